"""What is looked at from time to time: how many there are now, in all processes together."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from weakref import WeakSet

import django
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.signals import connection_created
from prometheus_client import Gauge

from . import broker, live, pipes
from .connections import how_many

logger = logging.getLogger(__name__)

#: Each process looks every so many seconds, and the one that is asked at once.
EVERY = 5.0


def _gauge(name: str, meaning: str, *labels: str, mode: Any = "livesum") -> Gauge:
    return Gauge(name, meaning, labels, multiprocess_mode=mode)


INFO = _gauge("brook_info", "1; its labels say which versions run.", "version", "python", "django")
PROCESSES = _gauge("brook_processes", "Processes that serve.")
MEMORY = _gauge("brook_memory_bytes", "Memory that the processes have (resident).")
CONNECTIONS = _gauge("brook_connections", "Open WebSockets and event streams.")
SUBSCRIBERS = _gauge("brook_subscribers", "Subscriptions to streams of actions.")
STREAMS_FAIL = _gauge("brook_streams_fail", "Processes that cannot read what arrives.")
BROKER_UP = _gauge("brook_broker_up", "0 while any process cannot reach it.", mode="livemin")
DATABASE_CONNECTIONS = _gauge("brook_database_connections", "Open connections to databases.")
POOL = _gauge(
    "brook_database_pool",
    "Where connections are pooled: those of a state; waiting: threads that want one.",
    "state",
)

_databases: WeakSet[Any] = WeakSet()


def watch() -> None:
    """See from now on which connections to databases there are."""
    connection_created.connect(_created, dispatch_uid="server.gauges")


def look() -> None:
    """Set them all, for this process."""
    brook = INFO.labels(_version(), platform.python_version(), django.get_version())
    brook.set(1)
    PROCESSES.set(1)
    MEMORY.set(_memory())
    CONNECTIONS.set(how_many())
    SUBSCRIBERS.set(live.subscribers())
    STREAMS_FAIL.set(live.is_failing())
    BROKER_UP.set(not broker.is_away())
    of_threads = sum(it.connection is not None for it in tuple(_databases))
    DATABASE_CONNECTIONS.set(of_threads + pipes.how_many())
    for state, number in _pool():
        POOL.labels(state).set(number)


@asynccontextmanager
async def watched() -> AsyncIterator[None]:
    """Look from time to time, until the block ends."""
    watch()
    looking = asyncio.create_task(_looking())
    try:
        yield
    finally:
        looking.cancel()


async def _looking() -> None:
    while True:
        try:
            look()
        except Exception:  # a database that does not say how its pool is
            logger.exception("The gauges cannot be read; it is tried again.")
        await asyncio.sleep(EVERY)


def _created(connection: Any, **kwargs: Any) -> None:
    _databases.add(connection)


def _pool() -> Iterator[tuple[str, int]]:
    if not settings.DATABASES[DEFAULT_DB_ALIAS].get("OPTIONS", {}).get("pool"):
        return
    pool: Any = connections[DEFAULT_DB_ALIAS].pool  # type: ignore[attr-defined]
    stats = pool.get_stats()
    yield "open", stats.get("pool_size", 0)
    yield "idle", stats.get("pool_available", 0)
    yield "waiting", stats.get("requests_waiting", 0)


def _memory() -> int:
    """In bytes: now, or the most there was where the system does not say what it is now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _version() -> str:
    return version("brook")
