"""An operation, whichever way it came: what it is answered, once or event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import lru_cache, partial
from time import time
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from graphql import FieldNode, OperationDefinitionNode, VariableNode, Visitor, parse, visit
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from server import live, metrics, tallies
from server.threads import in_thread

from . import documents, responses
from .context import Context
from .errors import HttpFault, Later, RequestFault, presentable
from .observing import EVENT, observed
from .requests import GraphQLRequest


def answer(asked: GraphQLRequest, context: Context, *, streams: bool = False) -> ExecutionResult:
    """What is answered at once; where the answer ``streams``, a subscription is opened.

    Then ``context.source`` has its events. Raises RequestFault where there is no operation that
    may be executed: an HttpFault of 405 for one that GET may not ask for.
    """
    return observed(context, asked.operation_name, partial(_answered, asked, context, streams))


def _answered(asked: GraphQLRequest, context: Context, streams: bool) -> ExecutionResult:
    allowed = {OperationType.QUERY}
    if asked.may_mutate:
        allowed.add(OperationType.MUTATION)
    if streams:
        allowed.add(OperationType.SUBSCRIPTION)
    context.asked = replace(asked, query=documents.text_of(asked))
    result = _execute(context.asked, context, allowed)
    if context.source is not None and result.errors:
        context.source.close()
        context.source = None
        return refused(*result.errors)
    if responses.was_executed(result):
        documents.keep(asked)
    return result


async def results(asked: GraphQLRequest, request: Any) -> AsyncGenerator[ExecutionResult, None]:
    """What an operation is answered, by the event loop; refusals as PreExecutionError."""
    context = Context(request)
    try:
        result = await in_thread(_opened, asked, context)
    except RequestFault as fault:
        result = refused(fault)
    if context.source is None:
        yield result
        return
    async with aclosing(events(context)) as answers:
        async for each in answers:
            yield each


async def events(context: Context) -> AsyncGenerator[ExecutionResult, None]:
    """What a subscription is answered, event by event; the last may be a refusal.

    Events that cost more than their viewer has left come later, and so does what the database
    cannot say while it is away.
    """
    try:
        async with aclosing(aiter(context.source)) as source:
            async for event in source:
                while True:
                    result = await in_thread(_of_event, context.asked, context.request, event)
                    faults = (it for it in result.errors or () if isinstance(it, Later))
                    if (fault := next(faults, None)) is None:
                        break
                    await asyncio.sleep(fault.wait)
                yield result
                _delivered(event)
    except Exception as error:
        yield refused(presentable(error))


def _delivered(event: Any) -> None:
    """Count an event that was put where a client takes it."""
    if (tally := tallies.current()) is not None:
        tally.said["events"] = tally.said.get("events", 0) + 1
    arrived: live.Event | None = getattr(event, "event", None)
    if arrived is not None and arrived.among.since is not None:
        metrics.DELIVERY_SECONDS.observe(max(0.0, time() - arrived.among.since))


def refused(*errors: Any) -> PreExecutionError:
    """That an operation is not executed, or not any more."""
    return PreExecutionError(data=None, errors=list(errors))


def _opened(asked: GraphQLRequest, context: Context) -> ExecutionResult:
    _ = context.viewer  # read here, in the thread that has the database
    result = answer(asked, context, streams=True)
    if result.errors and not responses.was_executed(result):
        return refused(*result.errors)
    return result


def _of_event(asked: GraphQLRequest, request: Any, event: Any) -> ExecutionResult:
    """What an event is answered, made once for all who ask the same of it by the same credentials.

    As long as ``live.py`` shares what it has read; an error is nobody else's.
    """
    arrived: live.Event | None = getattr(event, "event", None)
    answers: dict[Any, ExecutionResult] = {}
    key: Any = None
    if arrived is not None and (shared := arrived.shared) is not None:
        answers = _answers.setdefault(shared, {})
        key = _key(asked, request, arrived)
    if key not in answers:
        # A context of its own: what is visible may have changed since the last event.
        context = Context(request, asked=asked)
        execute = partial(_execute, asked, context, {OperationType.SUBSCRIPTION}, event)
        result = observed(context, asked.operation_name, execute, EVENT)
        if result.errors:
            return result
        answers[key] = result
    return answers[key]


#: What was answered of what was read for many, while that is kept.
_answers: WeakKeyDictionary[Any, dict[Any, ExecutionResult]] = WeakKeyDictionary()


def _key(asked: GraphQLRequest, request: Any, arrived: live.Event) -> tuple[Any, ...]:
    text = asked.query or ""
    given = asked.variables or {}
    viewer = arrived.among.viewer
    return (
        *(arrived.action.pk, arrived.cursor, viewer and viewer.pk),
        *(text, asked.operation_name, asked.extensions == {}),
        responses.encoded({name: given[name] for name in _selecting(text) & given.keys()}),
        request.COOKIES.get(settings.SESSION_COOKIE_NAME),
        *(request.META.get(name) for name in ("HTTP_AUTHORIZATION", "HTTP_HOST")),
    )


@lru_cache(maxsize=256)
def _selecting(text: str) -> frozenset[str]:
    """The variables by which events differ: not those that only say which stream it is."""
    found: set[str] = set()

    class Variables(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            found.add(node.name.value)

    for definition in parse(text).definitions:
        for selection in definition.selection_set.selections:  # type: ignore[attr-defined]
            root = isinstance(definition, OperationDefinitionNode)
            if root and isinstance(selection, FieldNode):
                parts: list[Any] = [*(selection.directives or ()), selection.selection_set]
            else:
                parts = [selection]
            for part in filter(None, parts):
                visit(part, Variables())
    return frozenset(found)


def _execute(
    asked: GraphQLRequest, context: Context, allowed: set[OperationType], event: Any = None
) -> ExecutionResult:
    from . import schema

    try:
        result: ExecutionResult = schema.execute_sync(
            asked.query,
            variable_values=asked.variables,
            context_value=context,
            root_value=event,
            operation_name=asked.operation_name,
            allowed_operation_types=allowed,
            operation_extensions=asked.extensions,
        )
        return result
    except InvalidOperationTypeError as error:
        said = error.as_http_error_reason(str(context.request.method))
        if error.operation_type is OperationType.SUBSCRIPTION:
            said = "A subscription is answered over WebSocket, or as text/event-stream"
        elif not asked.may_mutate:
            raise HttpFault(405, f"{said}.", {"Allow": "POST"}) from None
    except CannotGetOperationTypeError as error:
        said = error.as_http_error_reason()
    return ExecutionResult(data=None, errors=[RequestFault(said)])
