"""Queries read a replica, where there is one that will do; everything else reads the primary."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Any

from graphql import OperationType
from graphql.execution.executor import CollectedErrors

from server import replicas
from server.cursors import PageError, Position

from . import sources

#: Of the cursors of actions and follows.
KINDS = "af"


class Executor(sources.Executor):
    """graphql-core's, but that a query may read a replica.

    What fails there is asked again of the primary: a replica may end any statement that is in its
    way. Not so a query that asks for a resumeCursor, whose page has all up to there, nor one that
    goes on from a cursor so new that a replica may lack what follows it: pages would skip that.
    """

    def execute_operation(self, serially: bool | None = None) -> Any:
        kind, context = self.operation.operation, self.context_value
        if kind is OperationType.QUERY:
            return self._read(serially)
        viewer = context.viewer if kind is OperationType.MUTATION else None
        try:
            return super().execute_operation(serially)
        finally:
            if viewer is not None:
                replicas.wrote(viewer.pk)

    def _read(self, serially: bool | None) -> Any:
        context = self.context_value
        viewer = context.viewer and context.viewer.pk  # read before, so from the primary
        replica = None if self._is_of_now() else replicas.chosen(viewer)
        if replica is None:
            return super().execute_operation(serially)
        with replicas.reading(replica):
            result = super().execute_operation(serially)
        if replica.has_failed():
            self.collected_errors = CollectedErrors()
            context.peers.clear()
            context.answers.clear()
            result = super().execute_operation(serially)
        return result

    def _is_of_now(self) -> bool:
        where = self.operation.loc
        if where is None or "resumeCursor" in where.source.body:
            return True
        given = self.variable_values.coerced.values()
        cursors = [*_WRITTEN.findall(where.source.body), *(it for it in given if type(it) is str)]
        times = [time for cursor in cursors if (time := _time(cursor))]
        return not all(map(replicas.have, times))


#: Cursors that stand in a document itself.
_WRITTEN = re.compile(r'\b(?:after|before)\s*:\s*"+([^"]*)"')


def _time(cursor: str) -> datetime | None:
    """When the row of a cursor was recorded; None if it is no cursor."""
    for kind in KINDS:
        with suppress(PageError):
            return Position.parse(cursor, kind).time
    return None
