"""PostgreSQL as a server needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.signals import request_started
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import override_settings

from server import deadlines, postgresql
from server.deadlines import Expired

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def _serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that serves, in which no connection is open yet."""
    connection.close()
    monkeypatch.setattr(postgresql, "_serving", True)
    yield
    connection.close()


@pytest.fixture
def _commanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a command, in which no connection is open yet."""
    connection.close()
    monkeypatch.setattr(postgresql, "_serving", False)


@contextmanager
def beside() -> Iterator[psycopg.Connection[Any]]:
    """Another connection to the same database, which Django knows nothing of."""
    parameters = connection.get_connection_params()
    names = ("dbname", "host", "port", "user", "password")
    given = {name: parameters[name] for name in names if name in parameters}
    with psycopg.connect(**given, autocommit=True) as other:
        yield other


def end(pid: int) -> None:
    """End a connection as a restart of PostgreSQL does, and wait until it is gone."""
    with beside() as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 20000)", [pid]).fetchone() == (True,)


def pid_of(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def told(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


def kept() -> int:
    """The process of a connection that outlives its request, as CONN_MAX_AGE has it."""
    pid = pid_of(connection)
    connection.close_at = None
    return pid


def test_a_request_after_a_restart_of_postgresql_finds_a_new_connection() -> None:
    was = kept()
    end(was)
    request_started.send(sender=None)
    assert pid_of(connection) != was


def test_so_does_what_no_request_called() -> None:
    was = kept()
    end(was)
    postgresql.refresh()
    assert pid_of(connection) != was


def test_without_a_look_at_it_the_connection_would_have_failed() -> None:
    end(pid_of(connection))
    with pytest.raises(OperationalError):
        pid_of(connection)
    connection.close()


def test_a_connection_that_is_good_is_kept() -> None:
    was = kept()
    postgresql.refresh()
    assert pid_of(connection) == was


def test_a_transaction_is_left_to_whoever_began_it() -> None:
    def transact() -> None:
        with transaction.atomic():
            end(pid_of(connection))
            postgresql._drop_those_cut()
            assert connection.connection is not None
            User.objects.count()

    with pytest.raises(OperationalError):
        transact()


@pytest.mark.usefixtures("_serving")
@override_settings(DATABASE_LOCK_SECONDS=3, DATABASE_IDLE_SECONDS=0, DATABASE_STATEMENT_SECONDS=7)
def test_a_server_s_statements_are_bounded_and_0_is_no_bound() -> None:
    assert told("lock_timeout") == "3s"
    assert told("idle_in_transaction_session_timeout") == "0"
    assert told("statement_timeout") == "7s"
    with deadlines.within(2):
        assert told("statement_timeout") == "2s"
    assert told("statement_timeout") == "7s"


@pytest.mark.usefixtures("_commanded")
@override_settings(DATABASE_LOCK_SECONDS=3, DATABASE_IDLE_SECONDS=3, DATABASE_STATEMENT_SECONDS=7)
def test_a_command_s_are_not() -> None:
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    assert [told(name) for name in names] == ["0", "0", "0"]


@pytest.mark.usefixtures("_serving")
@override_settings(DATABASE_LOCK_SECONDS=0.05)
def test_an_operation_that_waits_for_a_lock_too_long_is_stopped() -> None:
    ada = User.objects.create(username="ada")
    with beside() as other, other.transaction():
        other.execute("SELECT 1 FROM auth_user FOR UPDATE")
        with pytest.raises(Expired, match=r"more than 0\.05 seconds"), deadlines.within(60):
            ada.save()


@pytest.mark.usefixtures("_serving")
@override_settings(DATABASE_IDLE_SECONDS=0.05)
def test_a_transaction_that_stands_still_is_ended() -> None:
    def stand_still() -> None:
        with transaction.atomic():
            was = pid_of(connection)
            with beside() as other:
                gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s"
                while other.execute(gone, [was]).fetchone() != (True,):
                    pass
            User.objects.count()

    with pytest.raises(DatabaseError, match="idle-in-transaction timeout"):
        stand_still()


@pytest.mark.usefixtures("_serving")
def test_a_pool_s_connections_are_bounded_and_one_that_was_cut_is_given_to_nobody() -> None:
    pooled = deepcopy(connection.settings_dict)
    pooled |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
    pooled["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 1}
    here = DatabaseWrapper(pooled, connection.alias)
    try:
        was = pid_of(here)
        here.close()
        assert pid_of(here) == was
        assert here.connection.brook_bound
        here.close()
        end(was)
        assert pid_of(here) != was
    finally:
        here.close()
        here.close_pool()
