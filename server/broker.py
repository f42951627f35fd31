"""The broker: by channels' layer the processes tell each other which actions were recorded.

One thread of a process talks to it, so that whoever records an action never waits for it. Only ids
travel. What is lost while the broker is away is found in the database: see ``live.py``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from contextvars import Context
from functools import partial
from time import time
from typing import Any

from django.conf import settings
from django.db import transaction

logger = logging.getLogger(__name__)

GROUP = "brook.actions"
#: At most so many ids in one message, and so many that wait to be sent: the newest.
MOST_SENT, MOST_WAITING = 1_000, 10_000
#: Seconds that the broker has to answer, and for which it is left alone when it did not.
PATIENCE, PAUSE = 2.0, 1.0

#: Takes ids, and when the first of them was committed (``time.time``; None: not said).
Listener = Callable[[list[int], float | None], None]


def announce(ids: Iterable[int], using: str) -> None:
    """Make recorded actions known, if and when the transaction is committed."""
    if ids := list(ids):
        transaction.on_commit(partial(send, ids), using=using)


def send(ids: list[int]) -> None:
    """Make committed actions known to every process; returns at once."""
    _broker.send(ids)


def listen(listener: Listener) -> Callable[[], None]:
    """Have a listener called, in the broker's thread; returns what ends that."""
    return _broker.listen(listener)


def is_away() -> bool:
    """Whether this process cannot reach it."""
    return _broker.away


class Broker:
    """The thread, which begins with what there is to do first."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._since: float | None = None
        """When the first of them was committed."""
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: asyncio.Event
        self._hearing: asyncio.Task[None] | None = None
        self.away = False

    def send(self, ids: list[int]) -> None:
        if not self._listeners and is_in_memory():
            return  # nobody could hear it
        with self._lock:
            self._ids = (self._ids + ids)[-MOST_WAITING:]
            self._since = self._since or time()
        self._call(lambda: self._due.set())

    def listen(self, listener: Listener) -> Callable[[], None]:
        with self._lock:
            self._listeners.append(listener)
        self._call(self._hear)

        def end() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return end

    def _call(self, function: Callable[[], Any]) -> None:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._due = asyncio.Event()
                threading.Thread(target=self._run, name="broker", daemon=True).start()
            # What begins there is no part of the request that is answered here.
            self._loop.call_soon_threadsafe(function, context=Context())

    def _run(self) -> None:
        assert self._loop
        self._loop.run_until_complete(self._sending())

    def _hear(self) -> None:
        if self._hearing is None:
            self._hearing = asyncio.get_running_loop().create_task(self._receiving())

    async def _sending(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            while self._ids:
                with self._lock:
                    some, self._ids = self._ids[:MOST_SENT], self._ids[MOST_SENT:]
                    since, self._since = self._since, self._since if self._ids else None
                message = {"type": "actions", "ids": some, "since": since}
                try:
                    async with asyncio.timeout(PATIENCE):
                        await _layer().group_send(GROUP, message)
                except Exception as error:  # whatever a broker that is away makes of it
                    await self._is_away(error)
                else:
                    self._is_back()

    async def _receiving(self) -> None:
        while True:
            try:
                layer = _layer()
                async with asyncio.timeout(PATIENCE):
                    channel = await layer.new_channel()
                    await layer.group_add(GROUP, channel)
                while True:
                    message = await layer.receive(channel)
                    self._is_back()
                    for listener in tuple(self._listeners):
                        listener(message["ids"], message.get("since"))
            except Exception as error:
                await self._is_away(error)

    async def _is_away(self, error: Exception) -> None:
        if not self.away:
            self.away = True
            logger.warning(
                "The broker is away, so live streams look into the database alone: %s: %s",
                type(error).__name__,
                error,
            )
        await asyncio.sleep(PAUSE)

    def _is_back(self) -> None:
        if self.away:
            self.away = False
            logger.info("The broker is back.")


def _layer() -> Any:
    from channels.layers import get_channel_layer  # not for who only reads

    return get_channel_layer()


def is_in_memory() -> bool:
    """Whether a process hears itself alone."""
    return bool(
        settings.CHANNEL_LAYERS["default"]["BACKEND"] == "channels.layers.InMemoryChannelLayer"
    )


_broker = Broker()
