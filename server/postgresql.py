"""PostgreSQL as a server needs it: nothing waits for ever, and what was cut off is noticed."""

from __future__ import annotations

from select import POLLIN, poll
from typing import Any

from django.conf import settings
from django.core.signals import request_started
from django.db import close_old_connections, connections
from django.db.backends.signals import connection_created

_serving = False


def connect() -> None:
    """Look after every connection of this process."""
    connection_created.connect(_bound, dispatch_uid="server.postgresql.bound")
    request_started.connect(_drop_those_cut, dispatch_uid="server.postgresql.drop")


def serve() -> None:
    """Bound what this process asks from now on, because somebody waits for it.

    Commands have no such bounds: an import, or an index, may take hours.
    """
    global _serving
    _serving = True


def patience() -> float:
    """Seconds that a statement may take where ``deadlines.py`` does not say; 0: any time."""
    return float(settings.DATABASE_STATEMENT_SECONDS) if _serving else 0.0


def refresh() -> None:
    """Have this thread begin with connections that are good, or with none."""
    close_old_connections()
    _drop_those_cut()


def _drop_those_cut(**kwargs: Any) -> None:
    """Close the connections that PostgreSQL has ended, as when it was restarted.

    It says so unasked, and says nothing else to whoever does not ask: so it is enough to see
    whether there is something to read, which takes microseconds where a statement takes its way
    there and back.
    """
    for connection in connections.all(initialized_only=True):
        raw: Any = connection.connection
        if raw is None or connection.vendor != "postgresql" or connection.in_atomic_block:
            continue
        if raw.closed or _has_something_to_say(raw):
            connection.close()


def _has_something_to_say(raw: Any) -> bool:
    looking = poll()
    looking.register(raw.fileno(), POLLIN)
    return bool(looking.poll(0))


def _bound(connection: Any, **kwargs: Any) -> None:
    raw = connection.connection
    if not _serving or connection.vendor != "postgresql" or getattr(raw, "brook_bound", False):
        return
    bounds = {
        "lock_timeout": settings.DATABASE_LOCK_SECONDS,
        "idle_in_transaction_session_timeout": settings.DATABASE_IDLE_SECONDS,
    }
    told = [f"SET {name} = {round(seconds * 1000)}" for name, seconds in bounds.items() if seconds]
    if told:
        raw.execute("; ".join(told))
    raw.brook_bound = True
