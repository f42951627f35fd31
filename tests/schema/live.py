"""How a test looks at a stream, in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import close_old_connections

Answer = TypeVar("Answer")

#: Nothing that is awaited takes as long; then a test fails.
PATIENCE = 20.0


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
