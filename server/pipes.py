"""Connections to PostgreSQL that the event loop asks itself.

They are for statements of a fraction of a millisecond, for which a thread would take longer to be
told and to tell than PostgreSQL takes; and so would psycopg's cursors, which do for any statement
what need be done for these once. So libpq is asked by ``psycopg.pq``. Whatever goes wrong here is
asked again by a thread, which has more patience and says what is the matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any
from weakref import WeakSet

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus

#: Seconds that a statement may take, and those after which PostgreSQL is taken to be gone.
PATIENCE, GONE = 1.0, 2.0
#: Seconds for which PostgreSQL is left alone when it cannot be reached.
PAUSE = 5.0
#: So many statements are prepared by a connection, then all are forgotten.
MOST_PREPARED = 200


def how_many() -> int:
    """The open ones of this process."""
    return sum(not pipe.is_closed() for pipe in tuple(_made))


class Pipes:
    """At most so many connections of one event loop; each is made when it is first needed."""

    def __init__(self, most: int) -> None:
        self._turns = asyncio.Semaphore(most)
        self._idle: list[Pipe] = []
        self._away_until = 0.0

    async def fetch(self, sql: str, params: Sequence[str]) -> list[tuple[Any, ...]]:
        """What a statement finds, whose parameters ``$1``, ``$2`` … are literals as PostgreSQL
        reads them. Raises psycopg.Error, TimeoutError.
        """
        async with asyncio.timeout(GONE):
            await self._turns.acquire()
        try:
            pipe = self._idle.pop() if self._idle else await self._connected()
            try:
                async with asyncio.timeout(GONE):
                    found = await pipe.fetch(sql, params)
            except BaseException as error:
                if _is_of_values(error) and pipe.is_good():
                    self._idle.append(pipe)
                else:  # what it was asked may still be under way, or fail for ever
                    pipe.close()
                raise
            self._idle.append(pipe)
            return found
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close those that are asked nothing at the moment."""
        while self._idle:
            self._idle.pop().close()

    async def _connected(self) -> Pipe:
        if monotonic() < self._away_until:
            raise psycopg.OperationalError("PostgreSQL could not be reached a moment ago.")
        try:
            return await _connect()
        except psycopg.OperationalError:
            self._away_until = monotonic() + PAUSE
            raise


def _is_of_values(error: BaseException) -> bool:
    """Whether a statement fails for what it was asked about, or how long that took."""
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, psycopg.DataError) or state.startswith("22") or state == "57014"


class Pipe:
    """A connection, asked one thing at a time."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self.info = connection.info
        self._connection = connection  # which ends with the last that knows it
        self._libpq = connection.pgconn
        self._read = Transformer(connection)
        self._prepared: dict[str, bytes] = {}
        _made.add(self)

    async def fetch(self, sql: str, params: Sequence[str]) -> list[tuple[Any, ...]]:
        """As :meth:`Pipes.fetch`."""
        values = [param.encode() for param in params]
        if any(b"\0" in value for value in values):
            raise psycopg.DataError("PostgreSQL's text has no character of the number 0.")
        name = self._prepared.get(sql) or await self._prepare(sql)
        self._libpq.send_query_prepared(name, values)
        result = await self._result(ExecStatus.TUPLES_OK)
        self._read.set_pgresult(result)
        return self._read.load_rows(0, result.ntuples, tuple)

    def is_good(self) -> bool:
        """Whether it may be asked something else."""
        return self._libpq.transaction_status == TransactionStatus.IDLE

    def is_closed(self) -> bool:
        """Whether it was ended, by whomever."""
        return self._connection.closed

    def close(self) -> None:
        """End it."""
        self._libpq.finish()

    async def _prepare(self, sql: str) -> bytes:
        if len(self._prepared) >= MOST_PREPARED:
            self._prepared.clear()
            self._libpq.send_query(b"DEALLOCATE ALL")
            await self._result(ExecStatus.COMMAND_OK)
        name = b"brook_%d" % len(self._prepared)
        self._libpq.send_prepare(name, sql.encode())
        await self._result(ExecStatus.COMMAND_OK)
        self._prepared[sql] = name
        return name

    async def _result(self, wanted: ExecStatus) -> Any:
        """The last result of what was sent; raises psycopg.Error where it is another."""
        libpq, loop = self._libpq, asyncio.get_running_loop()
        while libpq.flush():
            await self._until(loop.add_writer, loop.remove_writer, lambda: True)
        result: Any = None
        while True:
            if libpq.is_busy():
                await self._until(loop.add_reader, loop.remove_reader, self._has_arrived)
            found = libpq.get_result()
            if found is None:
                break
            result = found
        if result is None or result.status != wanted:
            raise error_from_result(result) if result else psycopg.OperationalError("No answer.")
        return result

    def _has_arrived(self) -> bool:
        self._libpq.consume_input()
        return not self._libpq.is_busy()

    async def _until(self, begin: Any, end: Any, done: Callable[[], bool]) -> None:
        """Wait until something is so, each time that the socket can be read, or written."""
        socket, waiting = self._libpq.socket, asyncio.get_running_loop().create_future()

        def look() -> None:
            if waiting.done():
                return
            try:
                if done():
                    waiting.set_result(None)
            except psycopg.Error as error:
                waiting.set_exception(error)

        begin(socket, look)
        try:
            await waiting
        finally:
            end(socket)


_made: WeakSet[Pipe] = WeakSet()


async def _connect() -> Pipe:
    """One as Django would make it; a statement takes no longer than PATIENCE, nor TIME_LIMIT."""
    params = connections[DEFAULT_DB_ALIAS].get_connection_params()
    del params["cursor_factory"]
    seconds = min(PATIENCE, settings.TIME_LIMIT or PATIENCE)
    told = f"-c TimeZone=UTC -c statement_timeout={round(seconds * 1000)}"
    params["options"] = f"{params.get('options', '')} {told}".strip()
    connection = await psycopg.AsyncConnection.connect(**params, autocommit=True)
    # psycopg's own, in C: Django's adds the zone that it has already.
    timestamptz = psycopg.adapters.types["timestamptz"].oid
    loader = psycopg.adapters.get_loader(timestamptz, Format.TEXT)
    assert loader
    connection.adapters.register_loader(timestamptz, loader)
    return Pipe(connection)
