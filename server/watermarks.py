"""Watermarks: ids below which everything has surely been committed.

Ids are given out in order, but a transaction that began earlier may commit later. So whoever says
"all up to this one" must know which transactions may still bring in a smaller id. PostgreSQL
knows: a statement locks the table (ROW EXCLUSIVE) before it takes ids for its rows, and the lock
is held until the transaction has ended and what it wrote can be seen. So when none is left of
those that held the lock right after an id had been given out, all up to that id are there or will
never be. That is exact, however long transactions last; and as it is nothing but an id, it
survives a dump and a restore. SQLite has one writer, which takes ids and commits before the next.
"""

from __future__ import annotations

import base64
import binascii
import re
from threading import Lock
from time import sleep
from typing import Any

from django.db import connections, router

from .actions import Action
from .cursors import PageError

_CURSOR = re.compile(r"e1:([0-9]{1,19})")

#: How long a process waits for transactions that ran before it first looked, in seconds.
PATIENCE = 0.5
_PAUSE = 0.02

_TABLE = Action._meta.db_table

#: The last id that was given out; or the largest there is, where ids come from elsewhere.
_NEWEST = f"""
    SELECT GREATEST(
        CASE WHEN ids.is_called THEN ids.last_value ELSE 0 END,
        (SELECT COALESCE(MAX(id), 0) FROM {_TABLE})
    ) FROM {{sequence}} AS ids"""
#: Transactions that may have taken ids, and whether each is this one.
_WRITERS = f"""
    SELECT virtualtransaction, pid IS NOT DISTINCT FROM pg_backend_pid() FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = CAST('{_TABLE}' AS regclass)"""
#: The largest id from before the oldest of them began: by the times of actions, which may be a
#: minute ahead, and which a backdated one has not.
_BEFORE_THEM = f"""
    SELECT COALESCE(MAX(id), 0) FROM {_TABLE} WHERE id < COALESCE((
        SELECT MIN(id) FROM (
            SELECT id FROM {_TABLE} WHERE public AND timestamp >= (
                SELECT COALESCE(MIN(xact_start), now() - interval '1 hour')
                FROM pg_stat_activity WHERE pid IN (
                    SELECT pid FROM pg_locks
                    WHERE relation = CAST('{_TABLE}' AS regclass) AND mode = 'RowExclusiveLock'
                )
            ) - interval '1 minute' OFFSET 0
        ) AS since), 9223372036854775807)"""


def cursor(mark: int) -> str:
    """A watermark as text that a client gives back: base64url of kind, version and id."""
    return base64.urlsafe_b64encode(f"e1:{mark}".encode()).decode().rstrip("=")


def parse(text: str) -> int:
    """The watermark that a text stands for; PageError if it is none."""
    try:
        padded = text + "=" * (-len(text) % 4)
        match = _CURSOR.fullmatch(base64.b64decode(padded, b"-_", validate=True).decode())
        if match and int(match[1]) < 2**63:
            return int(match[1])
    except (binascii.Error, ValueError):
        pass
    raise PageError(f"{text[:40]!r} is no cursor of an event.")


def database() -> str:
    """Where actions arrive; a replica may not have them yet."""
    return router.db_for_write(Action)


class Watermarks:
    """The watermarks of one database, as a process comes to know them."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.mark: int | None = None
        self._open: list[tuple[int, set[str]]] = []
        """Ids that had been given out, and the transactions, not ended yet, that took some."""
        self._sequence = ""
        self._lock = Lock()

    def current(self) -> int:
        """The newest watermark.

        All that a page shows which is read after this call is at most missing, never too much: it
        has everything up to here.
        """
        with self._lock:
            if connections[self.using].vendor != "postgresql":
                return int(self._one(f"SELECT COALESCE(MAX(id), 0) FROM {_TABLE}"))
            for _ in range(int(PATIENCE / _PAUSE)):
                mark = self._look()
                if mark is not None:
                    return mark
                sleep(_PAUSE)
            # They ran before this process looked for the first time, so it cannot know.
            self.mark = int(self._one(_BEFORE_THEM))
            return self.mark

    def _look(self) -> int | None:
        newest = int(self._one(_NEWEST.format(sequence=self._sequence or self._find())))
        writers = self._all(_WRITERS)  # after that: whoever took an id until then is among them
        running = {name for name, is_own in writers if not is_own}
        if len(running) < len(writers):
            # Within a transaction that writes itself; what it wrote is there for itself alone.
            return newest if not running else self.mark
        for _, some in self._open:
            some &= running
        self._open.append((newest, running))
        for at in reversed(range(len(self._open))):
            if not self._open[at][1]:
                self.mark = max(self._open[at][0], self.mark or 0)
                del self._open[: at + 1]
                break
        # Of several that wait for the same transactions, the last says it all.
        self._open = [
            it
            for at, it in enumerate(self._open)
            if it[1] not in (w for _, w in self._open[at + 1 :])
        ]
        return self.mark

    def _find(self) -> str:
        sql = "SELECT pg_get_serial_sequence(%s, 'id')"
        self._sequence = str(self._one(sql, [_TABLE]))
        return self._sequence

    def _one(self, sql: str, params: Any = None) -> Any:
        return self._all(sql, params)[0][0]

    def _all(self, sql: str, params: Any = None) -> list[Any]:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, params)
            found: list[Any] = cursor.fetchall()
        return found


_known: dict[str, Watermarks] = {}


def current() -> int:
    """The newest watermark of the database in which actions arrive."""
    using = database()
    return _known.setdefault(using, Watermarks(using)).current()
