"""/healthz, /readyz and /metrics, as probes ask for them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from django.db import connection, connections

from server import broker, health
from server.health import Looks
from server.threads import THREAD

SECRET = "hunter2"


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(f"{scope['path']} is not answered before the application.")


def get(path: str, method: str = "GET", client: str = "127.0.0.1", **headers: str) -> Any:
    """Status, headers and body."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), it.encode()) for name, it in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "client": (client, 1)}
    asyncio.run(health.seen(nothing)({**scope, "headers": given}, None, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def ready() -> tuple[int, dict[str, str]]:
    status, _, body = get("/readyz")
    return status, json.loads(body).get("reasons", {})


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(health, "_looks", Looks())
    settings.REDIS_URL = ""


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the default one a PostgreSQL somewhere."""

    def at(port: int) -> None:
        there = {
            **connections.settings["default"],
            "ENGINE": "django.db.backends.postgresql",
            "OPTIONS": {"pool": True},
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "USER": "brook",
            "PASSWORD": SECRET,
        }
        monkeypatch.setitem(connections.settings, "default", there)

    return at


def test_a_process_is_alive_while_its_thread_is_busy() -> None:
    let_go = threading.Event()
    busy = THREAD.submit(let_go.wait, 60)
    try:
        status, headers, body = get("/healthz", host="10.1.2.3")
        assert (status, json.loads(body)) == (200, {"status": "alive"})
        assert headers[b"cache-control"] == b"no-store"
    finally:
        let_go.set()
        busy.result()


@pytest.mark.django_db(transaction=True)
def test_it_is_ready_where_everything_answers() -> None:
    assert ready() == (200, {})


def test_probes_read_and_change_nothing() -> None:
    status, headers, body = get("/healthz", "HEAD")
    assert (status, body, headers[b"content-length"]) == (200, b"", b"19")
    assert get("/readyz", "POST")[0] == 405


@pytest.mark.django_db(transaction=True)
def test_it_is_not_ready_before_its_migrations_are_applied() -> None:
    assert ready() == (200, {})
    with connection.cursor() as cursor:
        newest = "(SELECT MAX(name) FROM django_migrations WHERE app = 'activity')"
        cursor.execute(f"UPDATE django_migrations SET app = 'away' WHERE name = {newest}")
        try:
            health._looks = Looks()
            health._newest.clear()
            status, reasons = ready()
        finally:
            cursor.execute("UPDATE django_migrations SET app = 'activity' WHERE app = 'away'")
    assert status == 503
    assert reasons.keys() == {"migrations"}


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_a_reason_without_its_address(
    database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    database(1)
    assert get("/readyz")[2] == (
        b'{"status": "not ready", "reasons": {"database": "cannot be asked"}}'
    )
    assert SECRET not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_database_that_hangs_is_a_reason_in_time_and_asked_once_for_all(
    database: Any, mute: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.2)
    database(mute.getsockname()[1])

    async def many() -> list[Any]:
        began = monotonic()
        found = await asyncio.gather(*(health._looks.reasons() for _ in range(50)))
        assert monotonic() - began < health.PATIENCE + 5  # as the machine is slow
        return found

    assert asyncio.run(many()) == [{"database": "does not answer"}] * 50
    mute.settimeout(10)
    mute.accept()[0].close()
    mute.setblocking(False)
    with pytest.raises(BlockingIOError):
        mute.accept()


@pytest.mark.django_db(transaction=True)
def test_redis_is_a_reason_only_where_it_is_configured(settings: Any, mute: Any) -> None:
    settings.REDIS_URL = f"redis://:{SECRET}@127.0.0.1:1/0"
    assert ready() == (503, {"redis": "cannot be asked"})
    health._looks = Looks()
    settings.REDIS_URL = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
    assert ready() == (503, {"redis": "does not answer"})


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker._broker, "away", True)
    assert ready() == (503, {"broker": "is away"})


def test_nobody_may_read_the_metrics_by_default() -> None:
    assert get("/metrics")[0] == 404
    assert get("/metrics", authorization="Bearer ")[0] == 404


def test_who_brings_the_token_may_read_the_metrics(settings: Any) -> None:
    settings.METRICS_TOKEN = SECRET
    assert get("/metrics", authorization=f"Bearer {SECRET}")[0] == 200
    for wrong in ("Bearer", "Bearer hunter", f"Basic {SECRET}", f"bearer{SECRET}"):
        status, headers, body = get("/metrics", authorization=wrong)
        assert (status, headers[b"www-authenticate"], body) == (401, b"Bearer", b"")


def test_who_connects_from_a_network_may_read_them_but_not_through_a_proxy(settings: Any) -> None:
    settings.METRICS_NETWORKS = ["10.0.0.0/8", "::1"]
    assert get("/metrics", client="10.9.8.7")[0] == 200
    assert get("/metrics", client="::1")[0] == 200
    for other in ("127.0.0.1", "11.0.0.1", "", "nowhere"):
        assert get("/metrics", client=other)[0] == 404
    for header in ("x_forwarded_for", "forwarded", "via", "x_real_ip"):
        assert get("/metrics", client="10.9.8.7", **{header: "10.0.0.1"})[0] == 404
