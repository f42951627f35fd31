"""Many who look at streams over WebSocket, as a frontend would: they come again, and resume."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import monotonic
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from server import watermarks

#: Seconds before somebody whose connection was lost comes again.
PAUSE = 0.3


@dataclass(frozen=True)
class Stream:
    """A stream of somebody's, and whoever looks at it."""

    name: str
    arguments: str
    token: str

    @property
    def subscription(self) -> str:
        arguments = f"{self.arguments}, after: $after" if self.arguments else "after: $after"
        return (
            f"subscription ($after: String) {{ {self.name}({arguments})"
            " { cursor node { id displayName actor { id displayName } } } }"
        )

    @property
    def query(self) -> str:
        arguments = f"{self.arguments}, " if self.arguments else ""
        return (
            f"query ($after: String) {{ {self.name}({arguments}first: 100, after: $after)"
            " { resumeCursor nodes { id } pageInfo { hasNextPage endCursor } } }"
        )


@dataclass
class Connection:
    """What came by one connection, in its order."""

    after: str
    """The cursor with which it began."""
    ids: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    """The watermark of each."""


class Subscriber:
    """One who looks at a stream by all servers in turn, until told that it is enough."""

    def __init__(self, urls: Sequence[str], stream: Stream, after: str) -> None:
        self.stream = stream
        self.after = after
        self.connections: list[Connection] = []
        self.faults: list[Any] = []
        self.last = monotonic()
        """When something came last."""
        self._urls: Iterator[str] = cycle(urls)
        self._socket: ClientConnection | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def ids(self) -> set[str]:
        return {it for connection in self.connections for it in connection.ids}

    def cut(self) -> None:
        """Lose the connection, as when a cable is pulled out; what is in it is lost too."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self.faults:
            try:
                async with opened(next(self._urls)) as self._socket:
                    await self._look(self._socket)
            except (OSError, TimeoutError, WebSocketException):
                await asyncio.sleep(PAUSE)

    async def _look(self, socket: ClientConnection) -> None:
        await begin(socket, self.stream.token)
        await subscribe(socket, "1", self.stream.subscription, self.after)
        mine = Connection(self.after)
        self.connections.append(mine)
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "ping":
                await socket.send('{"type":"pong"}')
            elif message["type"] == "error" and is_away(message["payload"]):
                await asyncio.sleep(PAUSE)
                return
            elif message["type"] != "next" or "errors" in message["payload"]:
                self.faults.append(message)
                return
            else:
                self.last = monotonic()
                [edge] = message["payload"]["data"].values()
                self.after = edge["cursor"]
                mine.ids.append(edge["node"]["id"])
                mine.marks.append(watermarks.parse(self.after))


def is_away(errors: Any) -> bool:
    """Whether they say that the database is: come again."""
    return all(error["extensions"]["code"] == "UNAVAILABLE" for error in errors)


def opened(url: str) -> connect:
    return connect(
        f"{url.replace('http', 'ws', 1)}/graphql",
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
        open_timeout=20,
        ping_interval=None,
        compression=None,
        proxy=None,
    )


async def begin(socket: ClientConnection, token: str) -> None:
    payload = {"Authorization": f"Bearer {token}"}
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    assert json.loads(await socket.recv())["type"] == "connection_ack"


async def subscribe(
    socket: ClientConnection, name: str, document: str, after: str | None = None
) -> None:
    payload = {"query": document, "variables": {"after": after}}
    await socket.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))


class Idle:
    """A connection with many subscriptions, on which something comes now and then."""

    def __init__(self, url: str, streams: Sequence[Stream]) -> None:
        self.streams = streams
        self.came: dict[tuple[int, str], float] = {}
        """When each came: the index of the stream and the action's id; of two the first."""
        self.faults: list[Any] = []
        self._task = asyncio.create_task(self._run(url))

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, url: str) -> None:
        token = self.streams[0].token
        async with opened(url) as socket:
            await begin(socket, token)
            for number, stream in enumerate(self.streams):
                await subscribe(socket, str(number), stream.subscription)
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "ping":
                    await socket.send('{"type":"pong"}')
                elif message["type"] != "next" or "errors" in message["payload"]:
                    self.faults.append(message)
                else:
                    [edge] = message["payload"]["data"].values()
                    self.came.setdefault((int(message["id"]), edge["node"]["id"]), monotonic())
