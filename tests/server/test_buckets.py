"""How much each may still ask for."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from server import buckets
from server.buckets import ADVANCE, Local, Shared, Taken

REDIS_URL = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
#: Points a second, so few that nothing is gained while a test runs.
SLOW = 0.001


def is_there() -> bool:
    try:
        return bool(redis.Redis.from_url(REDIS_URL, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


@pytest.fixture(scope="module")
def shared() -> Shared:
    if not is_there():
        pytest.skip("needs Redis: set REDIS_URL=redis://…")
    return Shared(REDIS_URL)


@pytest.fixture
def key() -> Iterator[str]:
    key = f"test:{uuid4()}"
    yield key
    if is_there():
        redis.Redis.from_url(REDIS_URL).delete(buckets.PREFIX + key)


@pytest.fixture(params=["local", "shared"])
def either(request: pytest.FixtureRequest) -> Any:
    return Local() if request.param == "local" else request.getfixturevalue("shared")


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a Redis that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the test moves."""
    clock = [1_000.0]
    monkeypatch.setattr(buckets, "monotonic", lambda: clock[0])
    return clock


def test_a_bucket_gives_what_it_holds_and_no_more(either: Any, key: str) -> None:
    assert [either.take(key, 40, SLOW, 100).wait for _ in range(2)] == [0, 0]
    refused = either.take(key, 40, SLOW, 100)
    assert refused.wait == pytest.approx(20 / SLOW, rel=0.01)
    assert either.take(key, 20, SLOW, 100).wait == 0, "a refusal takes nothing"


def test_another_has_a_bucket_of_their_own(either: Any, key: str) -> None:
    assert either.take(key, 100, SLOW, 100).wait == 0
    assert either.take(key, 1, SLOW, 100).wait > 0
    assert either.take(f"{key}:another", 100, SLOW, 100).wait == 0


def test_a_bucket_fills_as_time_goes_by(asleep: list[float]) -> None:
    bucket = Local()
    assert bucket.take("ada", 100, 10, 100) == Taken(0, 0)
    asleep[0] += 3
    assert bucket.take("ada", 40, 10, 100) == Taken(1, 30)
    asleep[0] += 1
    assert bucket.take("ada", 40, 10, 100) == Taken(0, 0)
    asleep[0] += 1_000
    assert bucket.take("ada", 0, 10, 100) == Taken(0, 100)


def test_a_bucket_in_redis_fills_as_time_goes_by(shared: Shared, key: str) -> None:
    """By a clock that no test can move: a rate that fills it between two commands."""
    for _ in range(20):
        assert shared.take(key, 100, 1e12, 100).wait == 0


def test_what_is_here_is_taken_without_asking(either: Any, key: str) -> None:
    assert either.take(key, 100, SLOW, 40_000).wait == 0
    taken = 100
    while either.take_here(key, 50, SLOW, 40_000):
        taken += 50
    assert taken <= 40_000
    before = either.take(key, 0, SLOW, 40_000).left
    either.give_back(key, 50)
    assert either.take_here(key, 50, SLOW, 40_000)
    assert not either.take_here(key, 50, SLOW, 40_000)
    assert either.take(key, 0, SLOW, 40_000).left == pytest.approx(before, abs=1)


@given(st.lists(st.integers(1, 60), max_size=30))
def test_nobody_gets_more_than_there_was(amounts: list[int]) -> None:
    bucket = Local()
    given = [amount for amount in amounts if not bucket.take("ada", amount, 1e-9, 100).wait]
    assert sum(given) <= 100
    left = 100 - sum(given)
    assert all(amount > left for amount in amounts if amount not in given)


def test_threads_together_get_no_more_than_there_is(either: Any, key: str) -> None:
    given: list[float] = []

    def ask() -> None:
        given.extend(either.take(key, 10, SLOW, 1_000).wait for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given.count(0) == 100


def test_two_processes_share_a_bucket_but_for_what_one_took_in_advance(
    shared: Shared, key: str
) -> None:
    other = Shared(REDIS_URL)
    given = sum(
        not each.take(key, 10, SLOW, 5_000).wait for _ in range(400) for each in (shared, other)
    )
    assert 10 * given <= 5_000
    assert 10 * given >= 5_000 - 2 * 5_000 * ADVANCE


def test_most_requests_need_no_round_trip(shared: Shared, key: str) -> None:
    client = redis.Redis.from_url(REDIS_URL)

    def asked() -> int:
        return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))

    before = asked()
    for _ in range(100):
        assert shared.take(key, 50, SLOW, 40_000).wait == 0
    assert asked() - before <= 100 / (1 + 40_000 * ADVANCE / 50) + 10


def test_what_is_left_is_said(either: Any, key: str) -> None:
    assert [either.take(key, 30, SLOW, 100).left for _ in range(3)] == pytest.approx(
        [70, 40, 10], abs=0.1
    )


@pytest.mark.parametrize("what", ["silent", "closed"])
def test_without_redis_a_process_limits_for_itself_and_says_so_once(
    what: str, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = nobody if what == "silent" else "redis://127.0.0.1:1/0"
    bucket = Shared(url)
    with caplog.at_level(logging.INFO):
        waits = [bucket.take("ada", 40, SLOW, 100).wait for _ in range(3)]
    assert waits[:2] == [0, 0]
    assert waits[2] > 0
    [said] = caplog.messages
    assert said.startswith("Redis is away")


def test_a_redis_that_is_away_is_not_asked_by_every_request(
    asleep: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Shared("redis://127.0.0.1:1/0")
    asked = []

    def script(**_: Any) -> None:
        asked.append(asleep[0])
        raise redis.ConnectionError

    monkeypatch.setattr(bucket, "_script", script)
    for _ in range(25):
        bucket.take("ada", 1, 1, 100)
        asleep[0] += 1
    assert asked == [1_000, 1_010, 1_020]


def test_a_redis_that_comes_back_is_used_again(
    shared: Shared,
    key: str,
    asleep: list[float],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = Shared(REDIS_URL)
    working = bucket._script
    monkeypatch.setattr(bucket, "_script", Shared("redis://127.0.0.1:1/0")._script)
    assert bucket.take(key, 100, SLOW, 100).wait == 0
    monkeypatch.setattr(bucket, "_script", working)
    asleep[0] += buckets.PAUSE
    with caplog.at_level(logging.INFO):
        assert bucket.take(key, 100, SLOW, 100).wait == 0
    assert caplog.messages == [
        "Redis is away, each process limits for itself: "
        + caplog.messages[0].partition("itself: ")[2],
        "Redis is back.",
    ]


def test_a_process_keeps_the_buckets_of_those_who_came_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "MOST_KEPT", 2)
    bucket = Local()
    for name in ("ada", "bob", "ada", "cleo"):
        bucket.take(name, 10, SLOW, 100)
    assert list(bucket._kept) == ["ada", "cleo"]


def test_more_than_a_bucket_holds_takes_a_full_one(settings: Any) -> None:
    settings.RATE_LIMIT, settings.RATE_BURST, settings.REDIS_URL = 1, 100, ""
    key = str(uuid4())
    assert buckets.take(key, 1_000).wait == 0
    assert buckets.take(key, 1).wait > 0
