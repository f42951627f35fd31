"""Answers as server-sent events: graphql-sse's protocol, a connection for each operation.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md#distinct-connections-mode
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from strawberry.types import ExecutionResult

from server import addresses, connections, metrics
from server.outboxes import FullError, Outbox

from . import operations, responses
from .authentication import until_unknown
from .context import Context
from .errors import HttpFault, RequestFault, TooSlow
from .requests import EVENTS

COMPLETE = b"event: complete\ndata:\n\n"
#: A comment, that no proxy takes the connection for dead; every so many seconds.
ALIVE, ALIVE_SECONDS = b":\n\n", 15.0


def check(request: HttpRequest) -> None:
    """Raise HttpFault where the client has as many connections as it may."""
    if connections.are_enough(addresses.client(request)):
        most = settings.LIVE_CONNECTIONS
        raise HttpFault(
            429, f"An address has at most {most} connections at once.", {"Retry-After": "10"}
        )


def response(context: Context, result: ExecutionResult) -> StreamingHttpResponse:
    """The result, or what ``context.source`` has: each as an event, and a last one."""
    parts = _once(result) if context.source is None else _live(context)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(parts, content_type=f"{EVENTS}; charset=utf-8", headers=headers)


async def _once(result: ExecutionResult) -> AsyncIterator[bytes]:
    yield _next(result) + COMPLETE


async def _live(context: Context) -> AsyncIterator[bytes]:
    outbox: Outbox[bytes] = Outbox(settings.LIVE_BUFFER)
    with connections.counted(addresses.client(context.request)):
        deeds = (_fill(outbox, context), _watch(outbox, context), _keep_alive(outbox))
        tasks = [asyncio.create_task(deed) for deed in deeds]
        try:
            async for part in outbox:
                yield part
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _fill(outbox: Outbox[bytes], context: Context) -> None:
    try:
        async with aclosing(operations.events(context)) as results:
            async for result in results:
                outbox.put(_next(result))
    except FullError:
        metrics.OVERRUNS.labels("sse").inc()
        outbox.end(_error(TooSlow(f"More than {outbox.most} bytes wait for you.")), now=True)
    else:
        outbox.end(COMPLETE)


async def _watch(outbox: Outbox[bytes], context: Context) -> None:
    try:
        await until_unknown(context.request)
    except RequestFault as fault:
        outbox.end(_error(fault))


async def _keep_alive(outbox: Outbox[bytes]) -> None:
    while True:
        outbox.put(ALIVE)
        await asyncio.sleep(ALIVE_SECONDS)


def _next(result: ExecutionResult) -> bytes:
    return b"event: next\ndata: %s\n\n" % responses.encoded(responses.body_of(result))


def _error(fault: RequestFault) -> bytes:
    return _next(operations.refused(fault)) + COMPLETE
