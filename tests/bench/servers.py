"""A side, running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from .load import LoadError, fetch
from .sides import Side
from .worlds import Page

#: Seconds that a server may take to start.
START = 60


@dataclass(frozen=True)
class Running:
    """A server that answers at ``address``."""

    address: tuple[str, int]
    session: int

    def cpu(self) -> float:
        """Seconds that its processes have computed; not a number where there is no /proc.

        PostgreSQL's are not among them; SQLite is in ours. This is what a busy machine changes
        least.
        """
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == self.session:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK") if ticks else float("nan")


@contextmanager
def running(side: Side, processes: int, page: Page, log: Path) -> Iterator[Running]:
    """The side's server; what it prints goes to ``log``."""
    address = ("127.0.0.1", _free_port())
    command = side.command(address[1], processes)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("ab") as output:
        server = subprocess.Popen(
            command.words,
            env=inherited | command.environment,
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        begun = monotonic()
        while True:
            try:
                fetch(address, side.request(page))
                break
            except (OSError, LoadError) as error:
                if server.poll() is not None or monotonic() - begun > START:
                    raise LoadError(f"{side.title} does not start: {error} See {log}.") from error
                sleep(0.1)
        # The first process has answered; the others have as long again.
        sleep(monotonic() - begun + 0.5 if processes > 1 else 0)
        yield Running(address, server.pid)
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """With the processes that it has started: they are a session of their own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, how)
        except ProcessLookupError:
            break
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            continue
    server.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
