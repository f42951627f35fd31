"""Every request and every WebSocket: its id, its line in the log, its part of the metrics."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from time import perf_counter, time
from typing import Any, NamedTuple

from . import metrics, tallies, traces
from .connections import Send
from .lifespan import Application
from .proxies import is_from_proxy
from .tallies import Tally

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
#: Lines are written together, every so many seconds: one by one they would take twice as long.
EVERY = 0.1
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
#: Messages by which an answer begins, and has headers.
_STARTS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}


def noted(application: Application) -> Application:
    """The ASGI application, of whose every request there is a note."""

    async def noting(scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await application(scope, receive, send)
            return
        headers = dict(scope["headers"]) if is_from_proxy(scope) else {}
        answer = Answer(scope, send, _tally(headers))
        tallies.begin(answer.tally)
        with traces.span(answer.method, "SERVER", _carrier(headers)) as span:
            try:
                await application(scope, receive, answer.send)
            finally:
                answer.note(span)

    return noting


class Answer:
    """What is sent back for a request."""

    def __init__(self, scope: Mapping[str, Any], send: Send, tally: Tally) -> None:
        self.method: str = scope.get("method", "WEBSOCKET")
        self.tally = tally
        self.status = 0
        self.began = perf_counter()
        self._send = send

    @property
    def transport(self) -> Any:
        """The server's, by which ``connections.in_time`` cuts a connection."""
        return getattr(getattr(self._send, "__self__", None), "transport", None)

    async def send(self, message: Mapping[str, Any]) -> None:
        kind, status = message["type"], self.status
        if kind in _STARTS:
            status = message.get("status", 101)
            headers = [*message.get("headers", ()), (HEADER, self.tally.request.encode())]
            message = {**message, "headers": headers}
        elif kind == "websocket.close" and not status:
            status = 403  # as a server makes it of a handshake that is not accepted
        await self._send(message)
        self.status = status

    def note(self, span: Any) -> None:
        """Log and count what has become of it; 0: the client left before it was answered."""
        route = self.tally.said.pop("route", "")
        metrics.request(str(self.status))
        if span is not None:
            span.update_name(f"{self.method} {route}".strip())
            span.set_attributes(
                {
                    "http.request.method": self.method,
                    "http.response.status_code": self.status,
                    "http.route": route,
                    "brook.request_id": self.tally.request,
                }
            )
            if self.status >= 500:
                traces.failed(span, str(self.status))
        # The address by its pattern: in what it stands for there may be ids of persons.
        about = {"method": self.method, "route": route, "status": self.status}
        _say(f"{self.method} /{route} {self.status}", self.tally, self.began, about)


@contextmanager
def operation() -> Iterator[None]:
    """Note one of the operations of a connection, by the task that answers it alone."""
    connection = tallies.current() or Tally()
    tally, began = connection.of_operation(), perf_counter()
    tallies.begin(tally)
    try:
        yield
    finally:
        _say("operation", tally, began, {})


def _say(what: str, tally: Tally, began: float, about: dict[str, Any]) -> None:
    """Have the line written: what was answered, and what it took."""
    global _due
    now = perf_counter()
    _lines.append(Line(time(), what, tally, now - began, {**about, **traces.ids()}))
    if now >= _due:
        _due = now + EVERY
        # It is no part of the request that happens to be the first.
        asyncio.get_running_loop().call_later(EVERY, write, context=Context())


class Line(NamedTuple):
    """One that is to be written."""

    time: float
    what: str
    tally: Tally
    seconds: float
    about: dict[str, Any]

    def record(self) -> logging.LogRecord:
        tally = self.tally
        more = "".join([f", {name} {value}" for name, value in tally.said.items()])
        text = f"{self.what} in {self.seconds * 1000:.1f} ms, {tally.statements} statements{more}"
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, text, None, None)
        record.created = self.time
        record.__dict__.update(
            self.about,
            request_id=tally.request,
            seconds=round(self.seconds, 6),
            statements=tally.statements,
        )
        if tally.operation:
            record.__dict__.update(operation_id=tally.operation, operation=tally.said)
        return record


_lines: list[Line] = []
_due = 0.0


@asynccontextmanager
async def written() -> AsyncIterator[None]:
    """See that all lines are written when the block ends."""
    try:
        yield
    finally:
        write()


def write() -> None:
    """Write the lines that wait."""
    global _lines
    lines, _lines = _lines, []
    if logger.isEnabledFor(logging.INFO):
        for line in lines:
            logger.handle(line.record())


def _tally(headers: Mapping[bytes, bytes]) -> Tally:
    """One with the id that a proxy of ours has given the request, or one of its own."""
    given = headers.get(HEADER, b"")
    return Tally(given.decode()) if _WELL_FORMED.fullmatch(given) else Tally()


def _carrier(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Of which trace a proxy of ours says that the request is a part."""
    return {
        name: headers[key].decode("latin-1")
        for name in ("traceparent", "tracestate")
        if (key := name.encode()) in headers
    }
