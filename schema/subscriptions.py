"""A subscription field for every stream of the manager: what arrives in it, live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

import strawberry
from django.conf import settings

from server import deadlines, live, rows, watermarks
from server.filters import Filter
from server.streams import StreamError
from server.windows import Window

from . import sources
from .actions import ActionEdge
from .context import Info
from .errors import StreamFault, Unauthenticated
from .streams import Stream, as_resolver, parameter, streams

After = Annotated[
    str | None,
    strawberry.argument(
        description="An event's cursor, or a connection's resumeCursor: what has arrived since is "
        "delivered first."
    ),
]


def fields() -> list[Any]:
    """Those of Subscription."""
    return [_field(stream) for stream in streams()]


def _field(stream: Stream) -> Any:
    def subscribe(self: Any, info: Info, **given: Any) -> Any:
        opening = partial(Opened, stream, info, given)
        if not _in_event_loop():
            return _events(opening())
        return _opened(opening)

    parameters = [stream.reference_parameter(), *stream.own_parameters()]
    as_resolver(subscribe, [*parameters, parameter("after", After, None)])
    field = strawberry.subscription(
        resolver=subscribe, graphql_type=ActionEdge, description=f"{stream.summary} As it arrives."
    )
    field.python_name = stream.name
    return field


async def _opened(opening: Callable[[], Opened]) -> AsyncGenerator[Any, None]:
    return _events(await live.run(opening))


async def _events(opened: Opened) -> AsyncGenerator[Any, None]:
    async with aclosing(opened.subscription.events()) as arriving:
        async for events in arriving:
            await live.run(partial(opened.check, events[0].among))
            for event in events:
                action: Any = event.action
                edge: Any = ActionEdge(cursor=event.cursor, node=action)
                edge.event = event
                yield edge


class Opened:
    """A stream that a viewer looks at; made, and looked at, where the database may be asked.

    Raises what the stream's field of Query does.
    """

    def __init__(self, stream: Stream, info: Info, given: Mapping[str, Any]) -> None:
        self.stream, self.info = stream, info
        self.named = given.get(stream.reference.name)
        reference = stream.opened(info, self.named)
        arguments = stream.arguments(info, given)
        looked_at = live.Stream(stream.method, reference, arguments)
        try:
            _ = looked_at.membership  # made here, where the database may be asked
        except StreamError as error:
            raise StreamFault(str(error)) from error
        wanted = given["filter"].wanted() if given.get("filter") else Filter()
        wanted.within(Window("a"))
        after = given.get("after")
        self.subscription = live.Subscription(
            looked_at,
            wanted,
            info.context.viewer,
            None if after is None else watermarks.parse(after),
        )

    def check(self, arrived: live.Arrived) -> None:
        """Raise what the field of Query would now: the viewer may not see the stream any more."""
        with rows.sharing(arrived.shared):
            if self.subscription.viewer is not None and arrived.viewer is None:
                raise Unauthenticated("You may not log in any more.")
            self.info.context.viewer = arrived.viewer
            self.stream.opened(self.info, self.named)


class Executor(sources.Executor):
    """graphql-core's, but that an event is executed where the database may be asked.

    What is read of it is read once for all to whom it is given at the same time.
    """

    def execute_operation(self, serially: bool | None = None) -> Any:
        event = getattr(self.root_value, "event", None)
        if event is None:
            return super().execute_operation(serially)
        if _in_event_loop():
            return self._in_thread(event)
        return self._answer(event)

    async def _in_thread(self, event: live.Event) -> Any:
        result = await live.run(partial(self._answer, event))
        return await result if self.is_awaitable(result) else result

    def _answer(self, event: live.Event) -> Any:
        context = self.context_value
        context.viewer = event.among.viewer
        context.peers.clear()
        context.answers.clear()
        with deadlines.within(settings.TIME_LIMIT), rows.sharing(event.shared):
            return super().execute_operation(False)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
