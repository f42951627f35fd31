"""How a test looks at a stream: what a subscription is answered, collected by an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from django.db import close_old_connections

from schema import operations
from schema.requests import GraphQLRequest
from server import live
from tests.schema.client import context_of

Answer = TypeVar("Answer")

#: Nothing that is awaited takes as long; then a test fails.
PATIENCE = 20.0


class Watcher:
    """One who looks at a stream, and what was received."""

    def __init__(self, document: str, viewer: Any, variables: dict[str, Any]) -> None:
        self.answers: list[dict[str, Any]] = []
        self.ended = False
        self._asked = GraphQLRequest(document, None, None, variables, {})
        self._request = context_of(viewer).request
        self._came = asyncio.Event()

    async def run(self) -> None:
        try:
            async for result in operations.results(self._asked, self._request):
                answer: dict[str, Any] = {"data": result.data}
                if result.errors:
                    answer["errors"] = [error.formatted for error in result.errors]
                self.answers.append(answer)
                self._came.set()
        finally:
            self.ended = True
            self._came.set()

    @property
    def ids(self) -> list[str]:
        """Of the actions, in the order in which they came."""
        return [edge["node"]["id"] for edge in self.edges]

    @property
    def edges(self) -> list[Any]:
        found = []
        for answer in self.answers:
            assert "errors" not in answer, answer["errors"]
            found += answer["data"].values()
        return found

    async def until(self, holds: Callable[[Watcher], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds(self):
                assert not self.ended, self.answers
                self._came.clear()
                await self._came.wait()

    async def has(self, number: int) -> None:
        await self.until(lambda it: len(it.answers) >= number)

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.ended:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def watching(
    document: str, viewer: Any = None, /, **variables: Any
) -> AsyncIterator[Watcher]:
    """Somebody looks at a stream within the block, from its beginning on."""
    hub = live.Hub.here()
    before = hub.size
    watcher = Watcher(document, viewer, variables)
    task = asyncio.create_task(watcher.run())
    try:
        await looked(lambda: (hub.size > before and hub.has_begun) or task.done())
        yield watcher
    finally:
        task.cancel()
        await asyncio.wait([task])


async def looked(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.005)


async def do(act: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
    """Do something that asks the database, in a thread, as a request would."""

    def acted() -> Answer:
        try:
            return act(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.to_thread(acted)


def run(main: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(main)
