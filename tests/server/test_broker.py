"""The broker: what processes tell each other, and that nobody waits for it."""

from __future__ import annotations

import logging
import os
import threading
from time import monotonic, sleep
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from server import broker
from server.broker import Broker
from server.checks import processes_hear_each_other, refuse_deaf_processes
from server.models import action, follow, send_many
from server.records import record

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"


def is_there() -> bool:
    try:
        return bool(redis.Redis.from_url(REDIS_URL, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


needs_redis = pytest.mark.skipif(not is_there(), reason="needs Redis: set REDIS_URL=redis://…")


def layer(address: str, prefix: str = "brook:tests:") -> dict[str, Any]:
    hosts = [{"address": address, "socket_connect_timeout": 1}]
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    return {"default": {"BACKEND": backend, "CONFIG": {"prefix": prefix, "hosts": hosts}}}


class Heard:
    """A listener that waits."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._came = threading.Condition()

    def __call__(self, ids: list[int], since: float | None = None) -> None:
        with self._came:
            self.ids += ids
            self._came.notify_all()

    def until(self, *ids: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: {*ids} <= {*self.ids}, 20), self.ids


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """All that is announced."""
    listener = Heard()
    monkeypatch.setattr(broker, "send", listener)
    return listener


@pytest.mark.django_db(transaction=True)
def test_every_way_of_recording_is_announced_when_it_is_committed(
    ada: User, bob: User, heard: Heard
) -> None:
    with transaction.atomic():
        [(_, sent)] = action.send(ada, verb="posted")
        keyed, _ = record(ada, "posted", idempotency_key="once")
        many = send_many([{"actor": ada, "verb": "posted"}] * 2)
        follow(ada, bob)
        assert heard.ids == []
    [followed] = ada.actor_actions.filter(verb="started following")
    stored = [sent, keyed, *(it for it, _ in many), followed]
    assert heard.ids == [it.pk for it in stored]
    assert record(ada, "posted", idempotency_key="once") == (keyed, False)
    assert len(heard.ids) == 5


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_announced(ada: User, heard: Heard) -> None:
    with transaction.atomic():
        record(ada, "posted")
        transaction.set_rollback(True)
    assert heard.ids == []


def test_a_process_hears_itself_without_redis() -> None:
    mine, listener = Broker(), Heard()
    end = mine.listen(listener)
    while not listener.ids:  # until it listens
        mine.send([1])
        sleep(0.01)
    mine.send([2, 3])
    listener.until(2, 3)
    end()
    mine.send([4])
    assert not mine._ids


@needs_redis
def test_processes_hear_each_other_through_redis(settings: Any) -> None:
    settings.CHANNEL_LAYERS = layer(REDIS_URL)
    one, other, listener = Broker(), Broker(), Heard()
    end = other.listen(listener)
    while not listener.ids:
        one.send([1])
        sleep(0.05)
    one.send(list(range(2, 2_500)))
    listener.until(*range(2, 2_500))
    end()


def test_a_broker_that_is_away_keeps_nobody_waiting_and_is_logged_once(
    settings: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "PAUSE", 0.01)
    settings.CHANNEL_LAYERS = layer("redis://127.0.0.1:1/0")
    away = Broker()
    with caplog.at_level(logging.WARNING, "server.broker"):
        for number in range(50):
            away.send([number])
        until = monotonic() + 20
        while not caplog.records and monotonic() < until:
            sleep(0.01)
        away.send([51])
        sleep(0.1)
    assert [it.message.partition(",")[0] for it in caplog.records] == ["The broker is away"]


def test_several_processes_without_redis_are_refused(settings: Any) -> None:
    assert processes_hear_each_other(None) == []
    settings.WEB_CONCURRENCY = 2
    [error] = processes_hear_each_other(None)
    assert (error.id, "REDIS_URL is not set" in error.msg) == ("activity.E006", True)
    with pytest.raises(ImproperlyConfigured, match=r"REDIS_URL is not set.*WEB_CONCURRENCY=1"):
        refuse_deaf_processes()
    settings.CHANNEL_LAYERS = layer(REDIS_URL)
    assert processes_hear_each_other(None) == []
    refuse_deaf_processes()
