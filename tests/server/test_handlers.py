"""Requests from an ASGI server: their bodies, their one thread, and what is sent back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from django.core.signals import request_finished
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from server.handlers import Handler
from tests.settings import BASE_DIR

THREADS: list[str] = []
#: What became of an endless stream.
ENDLESS: list[str] = []


def echo(request: HttpRequest) -> HttpResponse:
    THREADS.append(threading.current_thread().name)
    return HttpResponse(request.body, headers={"Length": request.headers.get("Content-Length")})


def own_file(request: HttpRequest) -> FileResponse:
    return FileResponse((BASE_DIR / "manage.py").open("rb"))


def counted(request: HttpRequest) -> StreamingHttpResponse:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield b"%d " % number

    return StreamingHttpResponse(numbers())


def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        ENDLESS.append("begun")
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ENDLESS.append("ended")

    return StreamingHttpResponse(parts())


def fails(request: HttpRequest) -> HttpResponse:
    raise ValueError("secret")


urlpatterns = [
    path("echo", echo),
    path("file", own_file),
    path("counted", counted),
    path("endless", endless),
    path("fails", fails),
]


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    settings.MOST_BODY = 10
    settings.BODY_SECONDS = 0.2


@pytest.fixture
def handler() -> Handler:
    return Handler()


class Connection:
    """What a server tells of one request, and what it is told."""

    def __init__(self, handler: Handler, address: str, *parts: bytes, said: int | None = None):
        self.handler = handler
        headers = [] if said is None else [(b"content-length", b"%d" % said)]
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": address,
            "query_string": b"",
            "headers": [(b"host", b"localhost"), *headers],
        }
        self.parts = list(parts)
        self.sent: list[Mapping[str, Any]] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self.parts:
            await asyncio.wait_for(self.left.wait(), 60)  # a client that says no more
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        if part == b"gone":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": part != b""}

    async def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self) -> tuple[int, bytes]:
        await self.handler(self.scope, self.receive, self.send)
        body = b"".join(message.get("body", b"") for message in self.sent[1:])
        return self.sent[0]["status"], body


def ask(*args: Any, **options: Any) -> tuple[int, bytes]:
    return asyncio.run(Connection(*args, **options).ask())


def refused(answer: tuple[int, bytes]) -> tuple[int, str]:
    [error] = json.loads(answer[1])["errors"]
    return answer[0], error["extensions"]["code"]


def test_a_body_is_read_whole_before_the_view_runs(handler: Handler) -> None:
    assert ask(handler, "/echo", b"01234", b"56789", b"", said=10) == (200, b"0123456789")
    assert ask(handler, "/echo", b"01", b"") == (200, b"01")


@pytest.mark.parametrize("parts", [(b"0123456789", b"0", b""), (b"0" * 11, b"")])
def test_a_body_that_is_too_large_is_refused(handler: Handler, parts: list[bytes]) -> None:
    assert refused(ask(handler, "/echo", *parts)) == (413, "BAD_REQUEST")


def test_a_body_that_says_it_is_too_large_is_not_read(handler: Handler) -> None:
    assert refused(ask(handler, "/echo", said=11)) == (413, "BAD_REQUEST")


def test_a_body_that_does_not_come_is_refused(handler: Handler) -> None:
    assert refused(ask(handler, "/echo", b"01234", said=10)) == (408, "BAD_REQUEST")


def test_others_are_answered_while_a_body_does_not_come(handler: Handler) -> None:
    async def both() -> list[Any]:
        slow = [asyncio.create_task(Connection(handler, "/echo", said=5).ask()) for _ in range(50)]
        quick = await Connection(handler, "/echo", b"quick", b"").ask()
        assert not any(task.done() for task in slow)
        return [quick, *await asyncio.gather(*slow)]

    quick, *slow = asyncio.run(both())
    assert quick == (200, b"quick")
    assert {status for status, _ in slow} == {408}


def test_a_client_that_left_is_not_answered(handler: Handler) -> None:
    connection = Connection(handler, "/echo", b"0", b"gone")
    asyncio.run(handler(connection.scope, connection.receive, connection.send))
    assert connection.sent == []


def test_every_request_runs_in_one_thread_that_has_the_database(handler: Handler) -> None:
    THREADS.clear()
    finished: list[str] = []

    def note(**_: Any) -> None:
        finished.append(threading.current_thread().name)

    request_finished.connect(note)
    try:
        for address in ("/echo", "/echo", "/file", "/counted"):
            ask(handler, address, b"")
    finally:
        request_finished.disconnect(note)
    assert len({*THREADS, *finished}) == 1
    assert len(finished) == 4


def test_a_file_is_sent_whole(handler: Handler) -> None:
    assert ask(handler, "/file", b"") == (200, (BASE_DIR / "manage.py").read_bytes())


def test_what_streams_is_sent_part_by_part(handler: Handler) -> None:
    connection = Connection(handler, "/counted", b"")
    assert asyncio.run(connection.ask()) == (200, b"0 1 2 ")
    assert len(connection.sent) == 5


async def begun(connection: Connection) -> asyncio.Task[Any]:
    """An endless stream, of which something was sent."""
    ENDLESS.clear()
    asking = asyncio.create_task(connection.ask())
    while len(connection.sent) < 2:
        await asyncio.sleep(0)
    return asking


def test_a_stream_ends_when_its_client_leaves(handler: Handler) -> None:
    async def scenario() -> list[Mapping[str, Any]]:
        connection = Connection(handler, "/endless", b"")
        asking = await begun(connection)
        connection.left.set()
        await asking
        return connection.sent

    sent = asyncio.run(scenario())
    assert ENDLESS == ["begun", "ended"]
    assert [message.get("body") for message in sent] == [None, b"first"]


def test_a_stream_ends_well_when_the_server_stops(handler: Handler) -> None:
    async def scenario() -> tuple[int, bytes]:
        asking = await begun(Connection(handler, "/endless", b""))
        handler.stop()
        answer: tuple[int, bytes] = await asking
        return answer

    assert asyncio.run(scenario()) == (200, b"first")
    assert ENDLESS == ["begun", "ended"]


def test_a_view_that_fails_is_an_error_that_says_nothing(handler: Handler) -> None:
    status, body = ask(handler, "/fails", b"")
    assert status == 500
    assert b"secret" not in body
