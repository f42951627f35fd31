"""From an ASGI server to Django's views and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from io import BytesIO
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponse
from django.urls import set_script_prefix

from . import connections, metrics, tallies
from .connections import Send
from .threads import THREAD, at_request

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Refused(Exception):
    """A body that is too large (413), too slow (408), or of which the client let go (None)."""

    def __init__(self, status: int | None, message: str = "") -> None:
        super().__init__(message)
        self.status = status


class Said(NamedTuple):
    """An answer."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class Shortcuts(Protocol):
    """What may be answered by the event loop, as it was before by the thread."""

    async def answer(self, scope: Mapping[str, Any], body: bytes) -> Said | None:
        """The answer to a request, or None."""

    def learn(self, scope: Mapping[str, Any], request: HttpRequest, response: Any) -> None:
        """How a request was answered, told by the thread."""


class Handler(ASGIHandler):
    """Django's, but that everything of a request runs in one thread, as under WSGI.

    Django's own changes threads several times a request, which costs more than half of all the
    requests that a process could answer. Here a body is read first, by the event loop, whatever
    number of clients send theirs slowly; then the one thread of the process does the whole rest.
    What streams asynchronously is sent by the event loop again. What it knows a shortcut for, the
    loop answers itself.
    """

    def __init__(self, shortcuts: Shortcuts | None = None) -> None:
        super(ASGIHandler, self).__init__()
        self.shortcuts = shortcuts
        self.load_middleware(is_async=False)
        self.streams: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(settings.BODY_SECONDS):
                body = await _body(scope, receive)
        except TimeoutError:
            await self._refuse(send, 408, f"The body took more than {settings.BODY_SECONDS} s.")
            return
        except Refused as refused:
            if refused.status:
                await self._refuse(send, refused.status, str(refused))
            return
        if self.shortcuts and (said := await self.shortcuts.answer(scope, body)):
            size = (b"content-length", b"%d" % len(said.body))
            start = {"status": said.status, "headers": [*said.headers, size]}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": said.body})
            return
        loop = asyncio.get_running_loop()
        there, since = copy_context().run, perf_counter()
        response = await loop.run_in_executor(THREAD, there, self._respond, scope, body, since)
        if not response.streaming:
            await self.send_response(response, send)
            return
        try:
            await self._stream(response, receive, send)
        finally:
            await loop.run_in_executor(THREAD, response.close)

    async def _stream(self, response: Any, receive: Receive, send: Send) -> None:
        """Send until the end, or the client leaves or takes nothing, or the server stops."""
        sending = asyncio.create_task(self.send_response(response, connections.in_time(send)))
        leaving = asyncio.create_task(_left(receive))
        self.streams.add(sending)
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            stopped = sending.cancelled()
        finally:
            self.streams.discard(sending)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
            # Of generators, Django closes none but those that it has put around the view's.
            if (aclose := getattr(response._iterator, "aclose", None)) is not None:
                await aclose()
        if stopped:
            await send({"type": "http.response.body"})
        elif not sending.cancelled():
            with suppress(connections.GoneError):
                sending.result()

    def stop(self) -> None:
        """End what streams, for which a server that is told to stop would wait."""
        for sending in self.streams:
            sending.cancel()

    @at_request()
    def _respond(self, scope: dict[str, Any], body: bytes, since: float) -> Any:
        metrics.WAITED.observe(perf_counter() - since)
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, BytesIO(body))
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = type(self)
        if self.shortcuts and request is not None:
            self.shortcuts.learn(scope, request, response)
        match, tally = getattr(request, "resolver_match", None), tallies.current()
        if match is not None and tally is not None:
            tally.said["route"] = match.route
        if response.streaming and not response.is_async:
            # A file: its parts are read here, where reading may wait.
            whole = HttpResponse(b"".join(response), status=response.status_code)
            whole.headers, whole.cookies = response.headers, response.cookies
            response.close()
            return whole
        if not response.streaming:
            response.close()  # which gives the database back, in the thread that has it
        return response

    async def _refuse(self, send: Send, status: int, message: str) -> None:
        error = {"message": message, "extensions": {"code": "BAD_REQUEST"}}
        response = HttpResponse(
            json.dumps({"errors": [error]}),
            status=status,
            content_type="application/json",
            # What is left of the body is not read.
            headers={"Connection": "close", "Cache-Control": "no-store"},
        )
        await self.send_response(response, send)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(scope: dict[str, Any], receive: Receive) -> bytes:
    """The whole body, of at most MOST_BODY bytes; raises Refused."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    size = int(said) if said.isdigit() else 0
    body = bytearray()
    more = True
    while more and size <= settings.MOST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(None)
        body += message.get("body", b"")
        more, size = message.get("more_body", False), max(size, len(body))
    if size > settings.MOST_BODY:
        raise Refused(413, f"A body has at most {settings.MOST_BODY} bytes; this one has more.")
    return bytes(body)
