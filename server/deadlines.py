"""Time limits: of what is computed in Python, and of the statements in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import OperationalError

from . import postgresql, tallies

#: SQLite asks after so many of its steps, some milliseconds, whether to go on.
SQLITE_STEPS = 100_000


class Expired(Exception):
    """The time is over; ``seconds`` were allowed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"It took more than {seconds:g} seconds.")
        self.seconds = seconds


@dataclass
class Deadline:
    seconds: float
    end: float
    armed: set[int] = field(default_factory=set)
    """The connections that were told within a transaction, which may take it back."""

    def check(self) -> None:
        if monotonic() >= self.end:
            raise Expired(self.seconds)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let the block take so long; 0: as long as it likes.

    After that ``check`` and every statement raise Expired, and PostgreSQL and SQLite stop the
    statement that runs: PostgreSQL one that takes ``seconds`` alone, SQLite at the time itself.
    """
    token = _current.set(Deadline(seconds, monotonic() + seconds) if seconds else None)
    try:
        yield
    finally:
        _current.reset(token)


def check() -> None:
    """Raise Expired if the time is over."""
    deadline = _current.get()
    if deadline is not None:
        deadline.check()


def watch(sender: object, connection: Any, **kwargs: Any) -> None:
    """Have a connection's statements keep to the time; receives ``connection_created``."""
    if statement not in connection.execute_wrappers:
        # Not as the last: execute_wrapper() takes that away when its block ends.
        connection.execute_wrappers.insert(0, statement)
    if connection.vendor == "sqlite":
        connection.connection.set_progress_handler(_is_over, SQLITE_STEPS)


def statement(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Mapping[str, Any]
) -> Any:
    """Django's wrapper of a statement."""
    if (tally := tallies.current()) is not None:
        tally.statements += 1
    deadline = _current.get()
    connection = context["connection"]
    if connection.vendor == "postgresql":
        _tell(connection, deadline)
    if deadline is None or _ends(sql):
        return execute(sql, params, many, context)
    deadline.check()
    try:
        return execute(sql, params, many, context)
    except OperationalError as error:
        if _waited_for_a_lock(error):
            raise Expired(settings.DATABASE_LOCK_SECONDS) from error
        if _was_stopped(error):
            raise Expired(deadline.seconds) from error
        raise


def _ends(sql: Any) -> bool:
    """Whether it ends a savepoint, as a transaction must be able to when the time is over."""
    return isinstance(sql, str) and sql.startswith(("ROLLBACK", "RELEASE"))


def _is_over() -> bool:
    deadline = _current.get()
    return deadline is not None and monotonic() >= deadline.end


def _was_stopped(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "57014" or str(error) == "interrupted"


def _waited_for_a_lock(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "55P03"


def _tell(connection: Any, deadline: Deadline | None) -> None:
    """Let PostgreSQL know how long a statement may take: once, as long as that stays the same.

    So a connection that serves requests is told at its first one, and told another limit by the
    first statement outside of any (the admin's).
    """
    raw = connection.connection
    wanted = round((deadline.seconds if deadline else postgresql.patience()) * 1000)
    if getattr(raw, "brook_timeout", 0) == wanted or (deadline and id(raw) in deadline.armed):
        return
    if raw.autocommit:
        raw.execute(f"SET statement_timeout = {wanted}")
        raw.brook_timeout = wanted
    elif deadline and raw.info.transaction_status.name != "INERROR":
        raw.execute(f"SET LOCAL statement_timeout = {wanted}")
        deadline.armed.add(id(raw))
