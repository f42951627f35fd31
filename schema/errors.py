"""What goes wrong, as a client sees it.

    RequestFault                 a fault of the request: its text and code reach the client
    ├── BadUserInput             an argument names nothing, or is out of bounds
    ├── Unauthenticated          somebody must be logged in
    ├── Forbidden                this viewer may not
    ├── TooComplex               more than a request may ask for
    ├── Later                    not at the moment
    │   ├── Throttled            more than this viewer may ask for
    │   └── Unavailable          the database is away
    ├── Timeout                  it took too long
    ├── TooSlow                  a client takes less than it is sent
    ├── UnknownDocument          an id of a document that nobody has sent yet
    ├── HttpFault                no GraphQL request at all, with the status that says why
    ├── StreamFault              a site's stream returned what cannot be paged
    └── Internal                 nobody foresaw it

Every other exception becomes an Internal, masked, with an id under which the log has it. What a
mutation refuses as it should is no error at all: see UserError in ``payloads.py``.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import ClassVar

from graphql import GraphQLError, ValueNode, VariableNode

from server.cursors import PageError
from server.deadlines import Expired
from server.outages import is_outage

logger = logging.getLogger(__name__)

#: An answer has at most this many errors, the first ones.
MOST_ERRORS = 5


class RequestFault(GraphQLError):
    """A fault of the request, in words for whoever sent it."""

    code: ClassVar[str] = "BAD_REQUEST"
    #: Of the response, where nothing was executed; of 400, see ``responses.py``.
    status: int = 400
    headers: Mapping[str, str] = {}

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


class Later(RequestFault):
    """Not at the moment; ``wait`` is in seconds, at least one where a message says it."""

    def __init__(self, message: str, wait: float) -> None:
        self.wait = wait
        seconds = str(max(1, math.ceil(wait)))
        super().__init__(message.format(seconds))
        self.headers = {"Retry-After": seconds}


class Throttled(Later):
    """More than this viewer may ask for at the moment."""

    code = "THROTTLED"
    status = 429

    def __init__(self, wait: float) -> None:
        super().__init__("You ask for more than you may; come back in {} s.", wait)


class Unavailable(Later):
    """The database is away."""

    code = "UNAVAILABLE"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            "The database is away; come back in {} s. Asked again with its idempotencyKey, a "
            "mutation is carried out once, whether or not it was now.",
            wait=1,
        )


class Timeout(RequestFault):
    """It took too long."""

    code = "TIMEOUT"


class TooSlow(RequestFault):
    """A client that takes less than it is sent, and resumes where it was."""

    code = "TOO_SLOW"


class UnknownDocument(RequestFault):
    """An id of a document that nobody has sent yet; a client then sends its text."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class HttpFault(RequestFault):
    """No GraphQL request at all, with the status that says why."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] = {}) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class StreamFault(RequestFault):
    """A site's stream returned what cannot be paged; the text is for the site's developer."""

    code = "INTERNAL"


class Internal(RequestFault):
    """What nobody foresaw; ``reference`` is what the log has it under."""

    code = "INTERNAL"
    status = 500

    def __init__(self, reference: str) -> None:
        super().__init__(f"Something went wrong on our side; the log has it as {reference}.")
        self.extensions = {"code": self.code, "id": reference}


def of(error: Exception) -> GraphQLError:
    """An exception as an error of GraphQL's."""
    if isinstance(error, GraphQLError):
        return error
    return GraphQLError(str(error), original_error=error)


def presented(found: Sequence[GraphQLError], executing: bool) -> list[GraphQLError] | None:
    """What a client sees of errors, each with a code; of what nobody foresaw, no more than that.

    ``executing`` says whether they came from more than a document alone.
    """
    # All of them: the log is to have also what the answer has no room for.
    return [_presented(error, executing) for error in found][:MOST_ERRORS] or None


def presentable(error: Exception) -> GraphQLError:
    """What a client sees of an exception that came from where no operation was executed."""
    return _presented(of(error), executing=True)


def _presented(error: GraphQLError, executing: bool) -> GraphQLError:
    if error.extensions and "code" in error.extensions:
        return error
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        code = "BAD_USER_INPUT" if executing or _of_a_value(error) else "BAD_REQUEST"
        return _at(error, GraphQLError(error.message, extensions={"code": code}))
    if isinstance(cause, PageError):
        return _at(error, BadUserInput(str(cause)))
    if isinstance(cause, Expired):
        return _at(error, Timeout(f"{cause} Ask for less at once."))
    if is_outage(cause):
        logger.error("UNAVAILABLE at %s: %s", error.path, cause)
        return _at(error, Unavailable())
    reference = uuid.uuid4().hex
    logger.error(
        "INTERNAL %s at %s",
        reference,
        error.path,
        exc_info=(type(cause), cause, cause.__traceback__),
    )
    return _at(error, Internal(reference))


def _of_a_value(error: GraphQLError) -> bool:
    """Whether a document is at fault for nothing but a value that it gives."""
    node = error.nodes[0] if error.nodes else None
    return isinstance(node, ValueNode) and not isinstance(node, VariableNode)


def bad_request(error: GraphQLError) -> GraphQLError:
    """A parser's error, with its code."""
    return _at(error, RequestFault(error.message))


def _at(error: GraphQLError, fault: GraphQLError) -> GraphQLError:
    """A fault, where the error is for which it stands; without what caused it."""
    fault.path, fault.nodes = error.path, error.nodes
    fault.source, fault.positions = error.source, error.positions
    fault.locations = error.locations  # found once: that counts a document's lines
    return fault
