"""From when a server starts until it stops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import FrameType
from typing import Any

from . import pulse

Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


def until_told(
    stop: Callable[[], None], *during: Callable[[], AbstractAsyncContextManager[None]]
) -> Application:
    """The ASGI application of the server's life: ``stop`` is called as soon as it is told to end.

    The server itself tells its application only after all requests have ended, which streams never
    do by themselves. All that lasts ``during`` it begins and ends with it: not as Python does, for
    a server that was told to stop by a signal may end by it.
    """

    async def application(
        scope: Any,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        await receive()
        _watch(stop, asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            for each in during:
                await stack.enter_async_context(each())
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return application


def _watch(stop: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        servers_own = signal.getsignal(number)
        if not callable(servers_own):
            continue

        def told(
            number: int,
            frame: FrameType | None,
            servers_own: Callable[..., Any] = servers_own,
        ) -> None:
            pulse.last()
            loop.call_soon_threadsafe(stop)
            servers_own(number, frame)

        try:
            signal.signal(number, told)
        except ValueError:  # a server in a thread, which is told in another way
            return
