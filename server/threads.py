"""The one thread of a process in which everything runs that may wait for the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync
from django.db import close_old_connections

from . import postgresql

Answer = TypeVar("Answer")

#: asgiref's own, so that what others send to a thread by ``sync_to_async`` runs there too.
THREAD = SyncToAsync.single_thread_executor

_began: float | None = None


def began() -> float | None:
    """When the request that it is at began, by the monotonic clock; None: it is at none."""
    return _began


@contextmanager
def at_request() -> Iterator[None]:
    """What the thread does until the block ends is one request."""
    global _began
    _began = monotonic()
    try:
        yield
    finally:
        _began = None


async def in_thread(function: Callable[..., Answer], *args: Any) -> Answer:
    """What a function answers there, which a request that it belongs to did not call."""

    return await run(THREAD, partial(function, *args))


async def run(threads: Executor, work: Callable[[], Answer]) -> Answer:
    """What work that asks the database answers, in one of some threads."""
    there = copy_context().run
    return await asyncio.get_running_loop().run_in_executor(threads, there, _connected, work)


def _connected(work: Callable[[], Answer]) -> Answer:
    postgresql.refresh()
    try:
        return work()
    finally:
        close_old_connections()
