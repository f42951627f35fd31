"""Where the events of a subscription come from."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

from graphql import ExecutionResult, OperationType
from graphql.execution import create_source_event_stream
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's; a subscription is executed with an event as its root value.

    Without one, its source is opened and left in ``Context.source``: so it is refused, bounded and
    masked as any operation, in the thread that has the database, and so is each of its events.
    """

    def execute_operation(self, serially: bool | None = None) -> Any:
        subscribes = self.operation.operation is OperationType.SUBSCRIPTION
        if not subscribes or self.root_value is not None:
            return super().execute_operation(serially)
        source: Any = create_source_event_stream(self)
        if isinstance(source, ExecutionResult):
            return source
        self.context_value.source = Source(source)
        return ExecutionResult({}, None)


class Source:
    """A subscription's events, each delivered once; raises what goes wrong with its first."""

    def __init__(self, opened: AsyncIterable[Any] | Awaitable[Any]) -> None:
        self._opened = opened

    async def __aiter__(self) -> AsyncIterator[Any]:
        opened: Any = self._opened
        events = await opened if isawaitable(opened) else opened
        if isinstance(events, ExecutionResult):
            raise (events.errors or [])[0]
        async with aclosing(events):
            async for event in events:
                yield event

    def close(self) -> None:
        """Let go of what was opened and nobody will iterate."""
        if isawaitable(self._opened):
            self._opened.close()  # type: ignore[attr-defined]
