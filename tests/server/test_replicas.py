"""Which database is read."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import DEFAULT_DB_ALIAS, connection, router, transaction
from django.test import Client
from django.test.utils import override_settings

from server import deadlines, replicas, writes
from server.models import Action, action, follow
from server.replicas import Replica, Watch
from server.writes import NEVER, Local, Shared

#: Without a transaction of the test's own, within which no replica would be read.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Replica:
    """The second database as a replica that has all, at which nobody looks."""
    settings.REPLICAS = ["other"]
    settings.DATABASE_ROUTERS = ["server.replicas.Router"]
    settings.REDIS_URL = ""
    found = good(Replica("other"))
    watch = Watch([])
    watch.replicas = [found]
    monkeypatch.setattr(replicas, "_watch", lambda aliases: watch)
    monkeypatch.setattr(writes, "_writes", lambda url, here=Local(): here)  # noqa: B008
    return found


def good(replica: Replica, replayed: int = 0) -> Replica:
    replica.as_of, replica.replayed = replicas.monotonic(), replayed
    return replica


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the test moves."""
    now = [1_000.0]
    for module in (replicas, writes):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


# Where what is read and written


def test_only_who_says_so_reads_a_replica(replica: Replica) -> None:
    there = User.objects.using("other").create(username="there")
    here = User.objects.create(username="here")
    assert list(User.objects.all()) == [here]
    with replicas.reading(replica):
        assert list(User.objects.all()) == [there]
    assert list(User.objects.all()) == [here]


def test_within_a_transaction_the_primary_is_read(replica: Replica) -> None:
    with replicas.reading(replica), transaction.atomic():
        assert router.db_for_read(User) == "default"


def test_what_was_read_from_a_replica_is_written_to_the_primary(replica: Replica) -> None:
    for using in ("default", "other"):
        User.objects.using(using).create(pk=7, username="ada")
    with replicas.reading(replica):
        ada = User.objects.get()
        assert ada._state.db == "other"
        action.send(ada, verb="joined")
        follow(ada, ada)
        ada.first_name = "Ada"
        ada.save()
    assert [it.verb for it in Action.objects.all()] == ["started following", "joined"]
    assert Action.objects.using("other").count() == 0
    assert User.objects.get().first_name == "Ada"


@override_settings(REPLICAS=[], DATABASE_ROUTERS=["server.replicas.Router"])
def test_what_is_of_another_database_stays_there() -> None:
    there = User.objects.using("other").create(username="there")
    with replicas.reading(Replica("replica")):
        assert router.db_for_read(User, instance=there) == "other"
        assert router.db_for_write(User, instance=there) == "other"


def test_no_migration_runs_on_a_replica(replica: Replica) -> None:
    assert router.allow_migrate("other", "activity") is False
    assert router.allow_migrate("default", "activity") is True


# Which replica


def test_a_replica_is_read_until_nothing_was_heard_of_it_for_too_long(
    replica: Replica, clock: list[float], settings: Any
) -> None:
    settings.REPLICA_LAG = 10
    good(replica)
    assert replicas.chosen(None) is replica
    clock[0] += 10
    assert replicas.chosen(None) is replica
    clock[0] += 0.1
    assert replicas.chosen(None) is None


def test_who_has_written_reads_the_primary_until_a_replica_has_it(replica: Replica) -> None:
    writes.note(7, 100)
    assert replicas.chosen(7) is None
    assert replicas.chosen(8) is replica
    assert replicas.chosen(None) is replica
    good(replica, 99)
    assert replicas.chosen(7) is None
    good(replica, 100)
    assert replicas.chosen(7) is replica


def test_one_viewer_keeps_to_one_replica(replica: Replica) -> None:
    watch = replicas._watch(())
    watch.replicas = [good(Replica(f"replica_{number}")) for number in range(3)]
    for viewer in range(20):
        assert len({replicas.chosen(viewer) for _ in range(5)}) == 1
    assert {replicas.chosen(viewer) for viewer in range(20)} == {*watch.replicas}


@pytest.mark.postgresql
def test_the_position_of_a_write_is_that_of_the_primary_s_log(replica: Replica) -> None:
    before = replicas._position(DEFAULT_DB_ALIAS, replicas._WRITTEN)
    replicas.wrote(7)
    assert before is not None
    assert before <= writes.since(7) < NEVER


def test_who_has_written_as_the_time_was_over_reads_the_primary(replica: Replica) -> None:
    with deadlines.within(1e-9):
        replicas.wrote(7)
    assert writes.since(7) == NEVER


@pytest.mark.postgresql
def test_a_database_that_is_no_replica_is_left_alone_and_the_log_says_so_once(
    replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "server.replicas")
    for _ in range(2):
        replica.again_at = 0.0
        replicas._watch(()).look()
    assert replicas.chosen(None) is None
    assert caplog.messages == [
        "other is left alone, and the primary read: it is no replica",
    ]


def test_a_replica_is_as_good_as_the_last_end_of_the_log_that_it_has(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, clock: list[float], settings: Any
) -> None:
    settings.REPLICA_LAG = 10
    at = {"default": 0, "other": 0}
    monkeypatch.setattr(replicas, "_position", lambda using, sql: at[using])
    watch = replicas._watch(())
    watch.look()
    for written in (100, 200, 300):
        clock[0] += 4
        at["default"] = written
        at["other"] = written - 100
        watch.look()
        assert replica.as_of == clock[0] - 4
    at["other"] = 150
    watch.look()
    assert (replica.as_of, replica.is_good) == (clock[0] - 8, True)
    clock[0] += 4
    watch.look()
    assert replicas.chosen(None) is None


# A page that changes something


def test_who_changes_something_by_a_page_reads_it(replica: Replica, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "server.replicas.Middleware"]
    ada = User.objects.create_superuser("ada", password="secret")
    client = Client()
    client.force_login(ada)
    client.get("/admin/")
    assert writes.since(ada.pk) == 0
    client.post("/admin/auth/group/add/", {"name": "readers"})
    assert writes.since(ada.pk) > 0


def test_who_asks_graphql_has_changed_nothing(replica: Replica, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "server.replicas.Middleware"]
    ada = User.objects.create_user("ada")
    client = Client()
    client.force_login(ada)
    client.post("/graphql", {"query": "{ __typename }"}, "application/json")
    assert writes.since(ada.pk) == 0


# Who has written


@pytest.fixture
def shared() -> Iterator[Shared]:
    """The writes in Redis, where nothing is kept yet."""
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.RedisError:
        pytest.skip("needs Redis: set REDIS_URL=redis://…")
    keys = [writes.MEMORY, writes.EVERYBODY, *(f"{writes.PREFIX}test-{who}" for who in "ab")]
    client.delete(*keys)
    client.set(writes.MEMORY, 1)
    yield Shared(REDIS_URL)
    client.delete(*keys)


@pytest.fixture(params=["local", "shared"])
def either(request: pytest.FixtureRequest) -> Any:
    return Local() if request.param == "local" else request.getfixturevalue("shared")


def test_the_largest_position_counts_and_only_for_who_wrote(either: Any) -> None:
    assert either.since("test-a") == 0
    for position in (2**52, 2**52 + 4, 7):
        either.note("test-a", position)
    assert either.since("test-a") == 2**52 + 4
    assert either.since("test-b") == 0


def test_another_process_knows_it_by_redis(shared: Shared) -> None:
    shared.note("test-a", 100)
    assert Shared(REDIS_URL).since("test-a") == 100


def test_a_write_is_kept_as_long_as_a_replica_may_be_behind(
    shared: Shared, clock: list[float], settings: Any
) -> None:
    settings.REPLICA_LAG = 10
    shared.note("test-a", 100)
    left: Any = redis.Redis.from_url(REDIS_URL).pttl(f"{writes.PREFIX}test-a")
    assert 10_000 < left <= 15_000
    local = Local()
    local.note("test-a", 100)
    clock[0] += 14.9
    assert local.since("test-a") == 100
    clock[0] += 0.2
    assert local.since("test-a") == 0


def test_when_redis_has_forgotten_everybody_may_have_written(shared: Shared) -> None:
    redis.Redis.from_url(REDIS_URL).delete(writes.MEMORY)
    assert shared.since("test-a") == NEVER
    assert Shared(REDIS_URL).since("test-b") == NEVER, "for a while"
    redis.Redis.from_url(REDIS_URL).delete(writes.EVERYBODY)
    assert shared.since("test-a") == 0


def test_what_redis_was_not_told_it_is_told_when_it_is_back(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, answers none
        monkeypatch.setattr(writes, "PATIENCE_TO_TELL", 0.05)
        away = Shared(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        away.note("test-a", 100)
        assert away.since("test-b") == NEVER
        away.settle()
        assert away.since("test-b") == NEVER
    away._client = shared._client
    away.settle()
    assert shared.since("test-b") == NEVER


def test_of_more_writers_than_a_process_keeps_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writes, "MOST_KEPT", 2)
    local = Local()
    for viewer in "abc":
        local.note(viewer, 100)
    assert local.since("a") == NEVER


# Settings


def test_replicas_are_of_postgresql_and_are_routed_to(settings: Any) -> None:
    settings.REPLICAS = ["other"]
    settings.DATABASE_ROUTERS = []
    found = [fault.msg for fault in run_checks() if fault.id == "activity.E007"]
    assert "DATABASE_ROUTERS lacks server.replicas.Router" in found[-1]
    sqlite = connection.vendor == "sqlite"
    assert len(found) == (3 if sqlite else 1)
