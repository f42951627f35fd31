"""A database that is away is told from one that is asked what it cannot answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.db import ConnectionHandler, Error, connection

from server.outages import is_outage
from tests.verify.conftest import free_port

pytestmark = pytest.mark.django_db(transaction=True)


def refused(act: Callable[[], Any]) -> Error:
    with pytest.raises(Error) as refusal:
        act()
    return refusal.value


def sqlite(name: Path) -> Any:
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {"timeout": 0}}
    return ConnectionHandler({"default": settings})["default"]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    assert is_outage(refused(sqlite(tmp_path / "nowhere" / "db").ensure_connection))


def test_a_file_that_another_writes(tmp_path: Path) -> None:
    ours = sqlite(tmp_path / "db")
    with closing(sqlite3.connect(tmp_path / "db")) as other, closing(ours):
        other.execute("BEGIN EXCLUSIVE")
        assert is_outage(refused(lambda: ours.cursor().execute("CREATE TABLE t (a)")))


def test_a_file_that_is_full(tmp_path: Path) -> None:
    with closing(sqlite(tmp_path / "db")) as ours:
        cursor = ours.cursor()
        cursor.execute("CREATE TABLE t (a)")
        cursor.execute("PRAGMA max_page_count = 3")
        assert is_outage(refused(lambda: cursor.execute("INSERT INTO t VALUES (zeroblob(99999))")))


def test_a_server_that_nobody_started() -> None:
    settings = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": free_port(),
        "NAME": "brook",
    }
    away = ConnectionHandler({"default": settings})["default"]
    assert is_outage(refused(away.ensure_connection))


@pytest.mark.postgresql
def test_a_server_that_ends_the_connection() -> None:
    def end() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert is_outage(refused(end))
    assert is_outage(refused(lambda: connection.cursor().execute("SELECT 1")))
    connection.close()


@pytest.mark.parametrize("asked", ["SELECT nothing FROM nowhere", "SELEC 1"])
def test_a_wrong_statement_is_the_askers(asked: str) -> None:
    assert not is_outage(refused(lambda: connection.cursor().execute(asked)))


def test_what_has_nothing_to_do_with_a_database() -> None:
    assert not is_outage(OSError("away"))
