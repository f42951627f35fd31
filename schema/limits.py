"""What one request may ask for, measured before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any

from django.conf import settings
from graphql import GraphQLError, GraphQLSchema
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from server import addresses, buckets, deadlines, metrics

from .context import Context
from .costs import Cost
from .errors import Throttled, TooComplex
from .parsing import Document, Documents

#: At most this many nodes, by the page sizes that are asked for.
MOST_NODES = 10_000
MOST_POINTS = 20_000
#: What it costs to have a document read that has not been read lately.
READING = 50
#: What every request costs at least.
LEAST = 5
#: So much of a subscription's event is paid for by what the subscription itself costs.
PLAIN_EVENT = 50


class Limits(SchemaExtension):
    """Refuse what is TOO_COMPLEX or THROTTLED, and stop at the TIMEOUT."""

    document: Document | None = None
    cost: Cost | None = None
    left: float | None = None

    def on_operation(self) -> Iterator[None]:
        with nullcontext() if self._is_live else deadlines.within(settings.TIME_LIMIT):
            yield

    def on_parse(self) -> Iterator[None]:
        execution: Any = self.execution_context
        documents = documents_of(execution.schema._schema)
        self.document = documents.known(execution.query)
        if self.document is None:
            if execution.root_value is None:
                self._charge(READING)
            self.document = documents.read(execution.query)
        execution.graphql_document = self.document.parsed
        execution.context.document = self.document
        yield

    def on_validate(self) -> Iterator[None]:
        assert self.document
        self.execution_context.pre_execution_errors = list(self.document.errors)
        yield

    def on_execute(self) -> Iterator[None]:
        execution: Any = self.execution_context
        assert self.document
        try:
            self.cost = self.document.cost(execution._provided_operation_name, execution.variables)
            execution.context.cost = self.cost.points
            self._check(self.cost)
            if execution.root_value is None:
                self._charge(max(LEAST, self.cost.points))
            elif self.cost.points > PLAIN_EVENT:
                self._charge(self.cost.points - PLAIN_EVENT)
        except GraphQLError as fault:
            if self._is_live:
                raise  # Strawberry looks at no result here
            execution.result = ExecutionResult(data=None, errors=[fault])
        yield

    def get_results(self) -> dict[str, Any]:
        """``extensions.cost``, where the request's own ``extensions`` ask for it."""
        execution: Any = self.execution_context
        if not (execution.operation_extensions or {}).get("cost") or not self.cost:
            return {}
        assert self.document
        data = execution.result and execution.result.data
        actual = self.document.actual_cost(execution._provided_operation_name, data)
        said: dict[str, Any] = {
            "requested": self.cost.points,
            "actual": actual.points,
            "most": MOST_POINTS,
        }
        if self.left is not None:
            said |= {"left": int(self.left), "restored": settings.RATE_LIMIT}
        return {"cost": said}

    @property
    def _is_live(self) -> bool:
        """Whether this is a subscription, which lasts; each event has a time limit of its own."""
        return {*self.execution_context.allowed_operations} == {OperationType.SUBSCRIPTION}

    def _check(self, cost: Cost) -> None:
        if cost.nodes > MOST_NODES:
            raise TooComplex(
                f"The query may return {cost.nodes} nodes; at most {MOST_NODES} are allowed."
            )
        if cost.points > MOST_POINTS:
            raise TooComplex(
                f"The query costs {cost.points} points; at most {MOST_POINTS} are allowed."
            )

    def _charge(self, points: int) -> None:
        if settings.RATE_LIMIT:
            taken = buckets.take(_payer(self.execution_context.context), points)
            if taken.wait:
                metrics.THROTTLED.inc()
                raise Throttled(taken.wait)
            self.left = taken.left


@cache
def documents_of(schema: GraphQLSchema) -> Documents:
    """Those that are kept of a schema."""
    return Documents(schema)


def _payer(context: Context) -> str:
    if context.viewer is not None:
        return f"user:{context.viewer.pk}"
    return f"address:{addresses.client(context.request)}"
