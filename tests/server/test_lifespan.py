"""What a server that is told to stop does first."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from server.lifespan import until_told


async def live(told: list[str], number: int | None) -> list[str]:
    """What is said in a server's life, which a signal ends."""
    said: list[str] = []
    messages = asyncio.Queue[dict[str, Any]]()
    messages.put_nowait({"type": "lifespan.startup"})

    async def send(message: dict[str, Any]) -> None:
        said.append(message["type"])

    application = until_told(lambda: told.append("stop"))
    living = asyncio.create_task(application({"type": "lifespan"}, messages.get, send))
    while not said:
        await asyncio.sleep(0)
    if number:
        os.kill(os.getpid(), number)
        while "stop" not in told:
            await asyncio.sleep(0)
    messages.put_nowait({"type": "lifespan.shutdown"})
    await living
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_streams_are_told_before_the_server_waits_for_them(number: signal.Signals) -> None:
    told: list[str] = []
    before = {it: signal.getsignal(it) for it in (signal.SIGINT, signal.SIGTERM)}
    try:
        for each in before:
            signal.signal(each, lambda *_: told.append("the server's own"))
        said = asyncio.run(live(told, number))
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert sorted(told) == ["stop", "the server's own"]


def test_a_server_in_a_thread_lives_too() -> None:
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.extend(asyncio.run(live([], None))))
    thread.start()
    thread.join(10)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
