"""Connections that stay open: clients that take nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.conf import settings

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class GoneError(Exception):
    """A client is not there, or takes nothing."""


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
