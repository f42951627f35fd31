"""An operation, whichever way it came: what it is answered."""

from __future__ import annotations

from dataclasses import replace

from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from . import documents, responses
from .context import Context
from .errors import HttpFault, RequestFault
from .requests import GraphQLRequest


def answer(asked: GraphQLRequest, context: Context) -> ExecutionResult:
    """What is answered at once.

    Raises RequestFault where there is no operation that may be executed: an HttpFault of 405 for
    one that GET may not ask for.
    """
    allowed = {OperationType.QUERY}
    if asked.may_mutate:
        allowed.add(OperationType.MUTATION)
    result = _execute(replace(asked, query=documents.text_of(asked)), context, allowed)
    if responses.was_executed(result):
        documents.keep(asked)
    return result


def _execute(
    asked: GraphQLRequest, context: Context, allowed: set[OperationType]
) -> ExecutionResult:
    from . import schema

    try:
        result: ExecutionResult = schema.execute_sync(
            asked.query,
            variable_values=asked.variables,
            context_value=context,
            operation_name=asked.operation_name,
            allowed_operation_types=allowed,
            operation_extensions=asked.extensions,
        )
        return result
    except InvalidOperationTypeError as error:
        said = error.as_http_error_reason(str(context.request.method))
        if error.operation_type is not OperationType.SUBSCRIPTION and not asked.may_mutate:
            raise HttpFault(405, f"{said}.", {"Allow": "POST"}) from None
    except CannotGetOperationTypeError as error:
        said = error.as_http_error_reason()
    return ExecutionResult(data=None, errors=[RequestFault(said)])
