"""A server of the tests' own, whose schema has subscriptions for every occasion."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import strawberry
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from schema import asgi, build
from schema.context import Info
from schema.errors import Forbidden

SUBPROTOCOL = "graphql-transport-ws"
#: Operations that are running, by what each says of itself.
RUNNING: set[str] = set()


@strawberry.type
class Event:
    number: int

    @strawberry.field
    def viewer(self, info: Info) -> str | None:
        return info.context.viewer and str(info.context.viewer)

    @strawberry.field
    def odd(self) -> bool:
        if self.number % 2:
            raise ValueError("secret")
        return False


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncGenerator[Event, None]:
        for number in range(to):
            yield Event(number=number)

    @strawberry.subscription
    async def forever(self, name: str = "") -> AsyncGenerator[int, None]:
        RUNNING.add(name)
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            RUNNING.discard(name)

    @strawberry.subscription
    async def flood(self, most: int = 100_000) -> AsyncGenerator[str, None]:
        RUNNING.add("flood")
        try:
            for _ in range(most):
                yield "water" * 2_000
        finally:
            RUNNING.discard("flood")

    @strawberry.subscription
    async def refused(self, info: Info) -> AsyncGenerator[int, None]:
        if info.context.viewer is None:
            raise Forbidden("This is not for you.")
        yield 0

    @strawberry.subscription
    async def breaks(self, after: int) -> AsyncGenerator[int, None]:
        for number in range(after):
            yield number
        raise ValueError("secret")


SCHEMA = build.Schema(
    query=build.schema.query,
    mutation=build.schema.mutation,
    subscription=Subscription,
    extensions=build.schema.extensions,
    config=build.schema.config,
    execution_context_class=build.schema.execution_context_class,
)


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; ten seconds are enough for anything here."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def serving(**options: Any) -> Iterator[str]:
    """The address of a server of this process, until the block ends."""
    config = uvicorn.Config(
        asgi.application,
        port=0,
        ws="websockets-sansio",
        ws_max_size=options.pop("ws_max_size", 128 * 1024),
        ws_per_message_deflate=False,
        log_config=None,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        [listener] = server.servers[0].sockets
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@dataclass
class Socket:
    """A client that says what it likes."""

    address: str
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: Any = (SUBPROTOCOL,)
    options: dict[str, Any] = field(default_factory=dict)
    opening: Any = field(init=False)
    socket: ClientConnection = field(init=False)

    def __enter__(self) -> Socket:
        self.opening = connect(
            f"ws://{self.address}/graphql",
            subprotocols=self.subprotocols,
            additional_headers=self.headers,
            max_size=None,
            compression=None,
            proxy=None,
            **self.options,
        )
        self.socket = self.opening.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.opening.__exit__(kind, value, traceback)

    def say(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def hear(self) -> Any:
        return json.loads(self.socket.recv(timeout=10))

    def init(self, payload: Any = None) -> Any:
        message = {"type": "connection_init"}
        self.say(message if payload is None else {**message, "payload": payload})
        return self.hear()

    def subscribe(self, query: str, name: str = "1", **more: Any) -> None:
        self.say({"id": name, "type": "subscribe", "payload": {"query": query, **more}})

    def ask(self, query: str, name: str = "1", **more: Any) -> list[Any]:
        """All messages of an operation, until it ends."""
        self.subscribe(query, name, **more)
        heard = [self.hear()]
        while heard[-1]["type"] == "next":
            heard.append(self.hear())
        return heard

    def closed(self) -> tuple[int, str]:
        """By which code and reason the server closes the connection, whatever it says before."""
        with suppress(ConnectionClosed):
            while True:
                self.socket.recv(timeout=10)
        return self.socket.close_code or 0, self.socket.close_reason or ""
