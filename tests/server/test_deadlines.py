"""Time limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from server import deadlines
from server.deadlines import Expired, check, within

#: A statement that takes minutes.
ENDLESS = {
    "postgresql": "SELECT pg_sleep(120)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n WHERE i < 10000000000",
}
#: Enough for a statement to begin, and nothing to wait for.
SOON = 0.2


@pytest.fixture
def over() -> Iterator[None]:
    """The block whose time is over from the beginning."""
    with within(1e-9):
        yield


def run(sql: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def write(username: str) -> None:
    """A user, and then no end."""
    User.objects.create(username=username)
    run(ENDLESS[connection.vendor])


def limit() -> str:
    """What PostgreSQL has been told; asked past the wrapper, which would tell it anew."""
    return str(connection.connection.execute("SHOW statement_timeout").fetchone()[0])


def test_when_the_time_is_over_python_hears_of_it(over: None) -> None:
    with pytest.raises(Expired) as raised:
        check()
    assert str(raised.value) == "It took more than 1e-09 seconds."


def test_when_the_time_is_over_no_statement_begins(db: None, over: None) -> None:
    with pytest.raises(Expired):
        User.objects.count()


def test_a_statement_that_takes_too_long_is_stopped(db: None) -> None:
    with pytest.raises(Expired), transaction.atomic(), within(SOON):
        run(ENDLESS[connection.vendor])
    assert run("SELECT 1") == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_a_statement_outside_of_a_transaction_is_stopped_too() -> None:
    with pytest.raises(Expired), within(SOON):
        run(ENDLESS[connection.vendor])
    assert run("SELECT 1") == [(1,)]


def test_there_is_no_limit_outside_of_the_block(db: None) -> None:
    with within(1e-9):
        pass
    check()
    assert run("SELECT 1") == [(1,)]


def test_zero_seconds_are_no_limit(db: None) -> None:
    with within(0):
        check()
        assert run("SELECT 1") == [(1,)]


def test_what_was_written_before_the_end_is_rolled_back(db: None) -> None:
    with pytest.raises(Expired), transaction.atomic(), within(SOON):
        write("ada")
    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_is_left_when_the_time_is_over() -> None:
    inner = transaction.atomic()(write)
    with pytest.raises(Expired), transaction.atomic(), within(SOON):
        inner("ada")
    assert not User.objects.exists()


def test_another_fault_of_a_statement_stays_what_it_is(db: None) -> None:
    with within(10), pytest.raises(Exception, match="nowhere") as raised, transaction.atomic():
        run("SELECT * FROM nowhere")
    assert not isinstance(raised.value, Expired)


def test_a_statement_stopped_by_others_outside_of_any_limit_stays_what_it_is(db: None) -> None:
    def execute(*_: Any) -> None:
        raise OperationalError("interrupted")

    with pytest.raises(OperationalError):
        deadlines.statement(execute, "SELECT 1", (), False, {"connection": connection})


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_postgresql_is_told_once_as_long_as_it_stays_the_same() -> None:
    run("SELECT 1")
    assert limit() == "0"
    with within(10):
        run("SELECT 1")
    assert limit() == "10s", "it is not told again at the end of each request"
    raw, told = connection.connection, list[str]()
    execute = raw.execute

    def listen(sql: str) -> Any:
        told.append(sql)
        return execute(sql)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "execute", listen)
        for _ in range(3):
            with within(10):
                run("SELECT 1")
        assert told == []
        run("SELECT 1")
        assert told == ["SET statement_timeout = 0"], "nothing else than a request is limited"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_rolled_back_leaves_no_limit() -> None:
    connection.close()
    with within(10), transaction.atomic():
        run("SELECT 1")
        assert limit() == "10s"
        transaction.set_rollback(True)
    assert limit() == "0"
    with within(10):
        run("SELECT 1")
    assert limit() == "10s"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_new_connection_is_told_anew() -> None:
    with within(10):
        run("SELECT 1")
        connection.close()
        run("SELECT 1")
    assert limit() == "10s"
