"""What an operation took: for the metrics, the log and traces."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

from django.conf import settings
from graphql import GraphQLError, OperationDefinitionNode, parse
from strawberry.types import ExecutionResult

from server import metrics, tallies, traces
from server.tallies import Tally

from . import documents, errors
from .context import Context

logger = logging.getLogger("schema.slow")

#: The type of what is executed for an event of a subscription, and where none can be said.
EVENT, NO_TYPE = "event", "(none)"
#: So much of an operation's name is logged.
LONGEST_NAME = 100


def observed(
    context: Context, name: str | None, execute: Callable[[], ExecutionResult], kind: str = ""
) -> ExecutionResult:
    """What an operation, or an event of one, is answered; note what becomes of it."""
    tally, token = tallies.current(), None
    if tally is None:
        token = tallies.begin(tally := Tally())
    tally.operation = tally.operation or tally.next_operation()
    before, began = tally.statements, perf_counter()
    # What is noted is a function's part, not a generator's: this is in the way of every request.
    with traces.span("GraphQL Operation") as span:
        try:
            result = execute()
        except Exception as fault:
            taken = Taken(perf_counter() - began, tally.statements - before, context.cost)
            note(context, name, kind, _code(fault), taken, tally, span)
            raise
        finally:
            if token is not None:
                tallies.reset(token)
        taken = Taken(perf_counter() - began, tally.statements - before, context.cost)
        outcome = _code(result.errors[0]) if result.errors else "OK"
        note(context, name, kind, outcome, taken, tally, span)
    return result


class Taken(NamedTuple):
    seconds: float
    statements: int
    cost: int


def note(
    context: Context,
    name: str | None,
    kind: str,
    outcome: str,
    taken: Taken,
    tally: Tally,
    span: Any,
) -> None:
    """Count an operation, and say what it took: to its line in the log, and to its span."""
    found, asked = _asked(context, name)
    kind = kind or found
    label = _names().label(asked, outcome == "OK")
    metrics.operation(kind, label, outcome, *taken)
    asked = asked[:LONGEST_NAME]
    said = {"type": kind, "name": asked, "outcome": outcome, "cost": taken.cost}
    if kind != EVENT:
        tally.said.update(said)
    if span is not None:
        span.update_name(f"{kind} {asked}".strip())
        span.set_attributes(
            {
                "graphql.operation.type": kind,
                "graphql.operation.name": asked,
                "brook.outcome": outcome,
                "brook.cost": taken.cost,
                "brook.statements": taken.statements,
            }
        )
        if outcome != "OK":
            traces.failed(span, outcome)
    if 0 < settings.SLOW_OPERATION <= taken.seconds:
        _say(context, said, taken)


def _say(context: Context, said: dict[str, Any], taken: Taken) -> None:
    """The line of a slow operation: nothing of what it asked about, or was answered."""
    text = context.asked and context.asked.query
    viewer = context.__dict__.get("viewer")
    said = {
        **said,
        "seconds": round(taken.seconds, 6),
        "statements": taken.statements,
        "document": documents.hash_of(text) if text else "",
        "viewer": "" if viewer is None else str(viewer.pk),
    }
    words = ", ".join(f"{key} {value}" for key, value in said.items())
    logger.warning("A slow operation: %s", words, extra={"operation": said})


def _asked(context: Context, name: str | None) -> tuple[str, str]:
    """The type and the name of what was asked, as far as the document could be read."""
    document = context.document
    if document is None:
        return NO_TYPE, ""
    try:
        node = document.operation(name)
    except GraphQLError:
        return NO_TYPE, ""
    return node.operation.value, node.name.value if node.name else ""


def _code(error: Exception) -> str:
    """What became of an operation that began with this error."""
    code = (getattr(error, "extensions", None) or {}).get("code", "INTERNAL")
    return code if code in _codes() else "OTHER"


@cache
def _codes() -> frozenset[Any]:
    """Those that are ours: a site's may be without number."""
    faults, found = [errors.RequestFault], {"INTERNAL"}
    while faults:
        fault = faults.pop()
        found.add(fault.code)
        faults += fault.__subclasses__()
    return frozenset(found)


@cache
def _names() -> metrics.Names:
    """Ours, and those of registered documents, before any that a client brings."""
    found = {"Feed"}
    for text in set(documents.registered(settings.DOCUMENTS).values()):
        try:
            definitions = parse(text).definitions
        except GraphQLError:
            continue
        operations = (it for it in definitions if isinstance(it, OperationDefinitionNode))
        found |= {it.name.value for it in operations if it.name}
    return metrics.Names(*found)
