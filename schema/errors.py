"""What goes wrong, as a client sees it.

    RequestFault                 a fault of the request: its text and code reach the client
    ├── BadUserInput             an argument names nothing, or is out of bounds
    ├── Unauthenticated          somebody must be logged in
    ├── Forbidden                this viewer may not
    ├── TooComplex               more than a request may ask for
    └── StreamFault              a site's stream returned what cannot be paged

Every other exception is masked as INTERNAL, with an id under which the log has it. What a mutation
refuses as it should is no error at all: see UserError in ``payloads.py``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension

from server.cursors import PageError

logger = logging.getLogger(__name__)


class RequestFault(GraphQLError):
    """A fault of the request, in words for whoever sent it."""

    code: ClassVar[str] = "BAD_REQUEST"

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": self.code})


class BadUserInput(RequestFault):
    """An argument names nothing, or is out of bounds."""

    code = "BAD_USER_INPUT"


class Unauthenticated(RequestFault):
    """Somebody must be logged in."""

    code = "UNAUTHENTICATED"


class Forbidden(RequestFault):
    """This viewer may not."""

    code = "FORBIDDEN"


class TooComplex(RequestFault):
    """More than a request may ask for."""

    code = "TOO_COMPLEX"


class StreamFault(RequestFault):
    """A site's stream returned what cannot be paged; the text is for the site's developer."""

    code = "INTERNAL"


class Errors(SchemaExtension):
    """Give every error a code, and mask what nobody foresaw."""

    def on_operation(self) -> Iterator[None]:
        yield
        result: Any = self.execution_context.result
        if result is not None and result.errors:
            result.errors = [self._presentable(error) for error in result.errors]

    def _presentable(self, error: GraphQLError) -> GraphQLError:
        if error.extensions and "code" in error.extensions:
            return error
        cause = error.original_error
        if cause is None or isinstance(cause, GraphQLError):
            executed = self.execution_context.result and self.execution_context.result.data
            code = "BAD_USER_INPUT" if executed or error.path else "BAD_REQUEST"
            return _located(error, error.message, {"code": code})
        if isinstance(cause, PageError):
            return _located(error, str(cause), {"code": BadUserInput.code})
        reference = uuid.uuid4().hex
        logger.error(
            "INTERNAL %s at %s",
            reference,
            error.path,
            exc_info=(type(cause), cause, cause.__traceback__),
        )
        return _located(
            error,
            f"Something went wrong on our side; the log has it as {reference}.",
            {"code": "INTERNAL", "id": reference},
        )


def _located(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    """The error with another text, where it was, without what caused it."""
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )
