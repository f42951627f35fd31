"""What the event loop asks PostgreSQL is answered, or given up in time, and the next is too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from server import pipes
from server.pipes import Pipes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def run(asking: Callable[[Pipes], Coroutine[Any, Any, Any]], most: int = 2) -> Any:
    """What is found by asking so, by at most so many connections."""

    async def asked() -> Any:
        made = Pipes(most)
        try:
            return await asking(made)
        finally:
            made.close()

    return asyncio.run(asked())


def test_values_are_read_as_django_has_them() -> None:
    sql = (
        "SELECT CAST($1 AS integer) + 1, CAST($2 AS text), CAST($3 AS timestamptz),"
        " CAST($4 AS boolean), CAST($5 AS uuid), CAST(NULL AS text), CAST('[1, null]' AS jsonb)"
    )
    number = "5a7c1e0f-2b7d-4c58-9d6a-0e3f4b5c6d7e"
    given = ["7", "o'é\n😀", "2026-01-31T12:30:00.5+01:00", "False", number]
    [found] = run(lambda made: made.fetch(sql, given))
    at = datetime(2026, 1, 31, 11, 30, 0, 500_000, UTC)
    assert found[:6] == (8, given[1], at, False, *[found[4]], None)
    assert (str(found[4]), found[2].tzinfo) == (number, UTC)
    assert found[6] == "[1, null]", "to be read by JSONField"


def test_much_is_sent_and_much_comes_back() -> None:
    """More than a socket takes at once."""
    text = "x" * 5_000_000
    assert run(lambda made: made.fetch("SELECT CAST($1 AS text)", [text])) == [(text,)]
    many = run(lambda made: made.fetch("SELECT generate_series(1, CAST($1 AS int))", ["50000"]))
    assert many == [(number,) for number in range(1, 50_001)]


def test_so_many_at_once_and_the_others_wait() -> None:
    async def asking(made: Pipes) -> Any:
        sql = "SELECT pg_backend_pid(), pg_sleep(0.02)"
        found = await asyncio.gather(*(made.fetch(sql, []) for _ in range(6)))
        return {row[0] for rows in found for row in rows}

    assert len(run(asking, most=3)) == 3


@pytest.mark.parametrize(
    ("sql", "params", "error", "connections"),
    [
        ("SELECT CAST($1 AS integer)", ["x"], psycopg.errors.InvalidTextRepresentation, 1),
        ("SELECT CAST($1 AS text)", ["a\0b"], psycopg.DataError, 1),
        ("SELECT nonsense", [], psycopg.errors.UndefinedColumn, 3),
        ("SELECT 1", ["1"], psycopg.errors.ProtocolViolation, 3),
    ],
)
def test_what_is_refused_says_why_and_hurts_nobody(
    sql: str, params: list[str], error: type[Exception], connections: int
) -> None:
    """A connection is left for another where it is not the values that are at fault."""

    async def asking(made: Pipes) -> Any:
        pids = []
        for _ in range(3):
            with pytest.raises(error):
                await made.fetch(sql, params)
            pids += await made.fetch("SELECT pg_backend_pid()", [])
        return pids

    assert len(set(run(asking))) == connections


def test_nobody_waits_for_a_turn_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "GONE", 0.1)

    async def asking(made: Pipes) -> Any:
        sql = "SELECT pg_sleep(0.08), 1"
        return await asyncio.gather(
            *(made.fetch(sql, []) for _ in range(4)), return_exceptions=True
        )

    first, *_, last = run(asking, most=1)
    assert first == [("", 1)]
    assert isinstance(last, TimeoutError)


def test_a_statement_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "PATIENCE", 0.05)

    async def asking(made: Pipes) -> Any:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await made.fetch("SELECT pg_sleep(5)", [])
        return await made.fetch("SELECT 1", [])

    assert run(asking) == [(1,)]


def test_who_does_not_answer_at_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is asked when nobody waits for the answer any more."""
    monkeypatch.setattr(pipes, "GONE", 0.05)

    async def asking(made: Pipes) -> Any:
        [[before]] = await made.fetch("SELECT pg_backend_pid()", [])
        with pytest.raises(TimeoutError):
            await made.fetch("SELECT pg_sleep(0.5)", [])
        assert made._idle == []
        [[after]] = await made.fetch("SELECT pg_backend_pid()", [])
        return before != after

    assert run(asking)


def test_a_connection_that_was_cut_is_not_asked_again() -> None:
    async def asking(made: Pipes) -> Any:
        [[pid]] = await made.fetch("SELECT pg_backend_pid()", [])
        with connection_of_its_own() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(psycopg.OperationalError):
            await made.fetch("SELECT 1", [])
        return await made.fetch("SELECT 1", [])

    assert run(asking) == [(1,)]


def test_what_is_prepared_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "MOST_PREPARED", 3)

    async def asking(made: Pipes) -> Any:
        found = [await made.fetch(f"SELECT {number}", []) for number in (*range(8), 1, 7)]
        prepared = await made.fetch("SELECT count(*) FROM pg_prepared_statements", [])
        return found, prepared

    found, [[prepared]] = run(asking)
    assert found == [[(number,)] for number in (*range(8), 1, 7)]
    assert prepared <= 3


def connection_of_its_own() -> Any:
    params = {**connection.get_connection_params(), "autocommit": True}
    del params["cursor_factory"]
    return psycopg.connect(**params)
