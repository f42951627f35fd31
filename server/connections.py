"""Connections that stay open: how many an address has, and clients that take nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings

Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_open: Counter[str] = Counter()


class GoneError(Exception):
    """A client is not there, or takes nothing."""


def are_enough(address: str) -> bool:
    """Whether an address has as many as it may, in this process."""
    return bool(_open[address] >= settings.LIVE_CONNECTIONS)


def how_many() -> int:
    """All that are open in this process."""
    return _open.total()


@contextmanager
def counted(address: str) -> Iterator[None]:
    """Count one more, until the block ends."""
    _open[address] += 1
    try:
        yield
    finally:
        _open[address] -= 1
        if not _open[address]:
            del _open[address]


def in_time(send: Send) -> Send:
    """An ASGI server's ``send`` that waits SEND_SECONDS for a client to take something.

    Then the connection is cut, and GoneError is raised.
    """

    async def send_in_time(message: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(settings.SEND_SECONDS):
                await send(message)
        except TimeoutError:
            # To close it would be to wait until what was sent is taken. Uvicorn's has a transport.
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            if transport is not None:
                transport.abort()
            raise GoneError from None

    return send_in_time
