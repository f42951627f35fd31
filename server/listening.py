"""Where a server listens."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

UNIX, FD = "unix:", "fd:"
#: Connections that wait to be taken.
BACKLOG = 2048


def opened(host: str, port: int) -> socket.socket:
    """A socket that listens: at a host's port, ``unix:`` a path, or ``fd:`` one that is open.

    Raises OSError, and ValueError for what is no number of an open one.
    """
    if host.startswith(FD):
        return socket.socket(fileno=int(host.removeprefix(FD)))
    if host.startswith(UNIX):
        return _at(Path(host.removeprefix(UNIX)))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def named(host: str, port: int) -> str:
    """As it is written in the settings, for a message."""
    return host if host.startswith((UNIX, FD)) else f"{host}:{port}"


def address(listener: socket.socket) -> str:
    """Where a socket listens, for who looks at the log."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"{UNIX}{name}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"


def _at(path: Path) -> socket.socket:
    """A Unix socket, for its owner and group; one that nobody listens at any more is replaced."""
    if path.is_socket():
        if _is_listened_at(path):
            raise OSError("Another server listens there.")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _is_listened_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        return other.connect_ex(str(path)) != errno.ECONNREFUSED
