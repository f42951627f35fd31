"""An operation from its text to its answer: read, kept within bounds, and executed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import strawberry
from django.conf import settings
from graphql import ExecutionResult as GraphQLResult
from graphql import execute
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType
from strawberry.utils.operation import get_operation_type

from server import deadlines

from . import errors, introspection
from .context import Context
from .limits import Limits
from .parsing import Document, Documents


class Schema(strawberry.Schema):
    """Strawberry's, with what is to be done before and after an operation is executed.

    It is done here, one thing after the other, and not by extensions of Strawberry's: these have
    no order that is told, and take as long as graphql-core does for a page. Extensions that a
    schema is given are not called, and Strawberry's asynchronous ways to execute have no bounds.
    """

    @cached_property
    def documents(self) -> Documents:
        """Those that have been read."""
        return Documents(self._schema)

    def execute_sync(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Context | None = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        """What an operation is answered; with an event as its root value, what that is.

        Every error has a code. Raises CannotGetOperationTypeError where no operation has the name,
        InvalidOperationTypeError for one of a type that is not allowed.
        """
        assert query
        assert context_value
        allowed = OperationType if allowed_operation_types is None else allowed_operation_types
        limits = Limits(context_value, is_of_event=root_value is not None)
        data, found, executing = None, list[Any](), False
        with deadlines.within(settings.TIME_LIMIT):
            try:
                document = self._read(query, limits)
                context_value.document = document
                _check_type(document, operation_name, allowed)
                found = document.errors or introspection.refusals(query, document, context_value)
                if not found:
                    executing = True
                    limits.charge(document.cost(operation_name, variable_values))
                    result = execute(
                        self._schema,
                        document.parsed,
                        root_value,
                        context_value,
                        variable_values,
                        operation_name,
                        is_awaitable=_is_awaitable,
                        executor_class=self.execution_context_class,
                        is_async_iterable=_is_async_iterable,
                        # Nor does an error say what else there is ("Did you mean …?").
                        hide_suggestions=True,
                        operation_extensions=operation_extensions,
                    )
                    assert isinstance(result, GraphQLResult), "no resolver is asynchronous"
                    data, found = result.data, result.errors or []
            except (CannotGetOperationTypeError, InvalidOperationTypeError):
                raise
            except Exception as error:
                found = [errors.of(error)]
        told = errors.presented(found, executing)
        if not (operation_extensions or {}).get("cost"):
            return ExecutionResult(data, told)
        return ExecutionResult(data, told, limits.said(operation_name, data))

    def _read(self, query: str, limits: Limits) -> Document:
        document = self.documents.known(query)
        if document is None:
            limits.charge_reading()
            document = self.documents.read(query)
        return document


def _check_type(document: Document, name: str | None, allowed: Iterable[OperationType]) -> None:
    try:
        kind = get_operation_type(document.parsed, name)
    except RuntimeError as error:
        raise CannotGetOperationTypeError(name) from error
    if kind not in allowed:
        raise InvalidOperationTypeError(kind)


def _no(value: Any) -> bool:
    return False


#: A subscription's source is opened here, and not iterated.
_is_async_iterable: Any = _no
_is_awaitable: Any = optimized_is_awaitable
