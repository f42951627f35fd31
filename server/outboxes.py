"""What waits to be sent to a client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    def __len__(self) -> int: ...


Part = TypeVar("Part", bound=Sized)


class FullError(Exception):
    """A client takes less than it is sent."""


class Outbox(Generic[Part]):
    """Parts in their order, at most ``most`` characters or bytes; iterated by one sender."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self._parts: deque[Part] = deque()
        self._ended = False
        self._changed = asyncio.Event()

    def put(self, part: Part) -> None:
        """Add a part, unless nothing more is sent; FullError where there is no room."""
        if self._ended:
            return
        # One part that is larger than everything may be goes through where nothing waits.
        if self.size and self.size + len(part) > self.most:
            raise FullError
        self._parts.append(part)
        self.size += len(part)
        self._changed.set()

    def end(self, *last: Part, now: bool = False) -> None:
        """Say that nothing comes after the ``last``; ``now``: nor is what waits before it sent."""
        if self._ended:
            return
        if now:
            self._parts.clear()
        self._parts.extend(last)
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Part]:
        while True:
            while self._parts:
                part = self._parts.popleft()
                yield part
                self.size = max(0, self.size - len(part))
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()
