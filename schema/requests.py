"""A GraphQL request as HTTP carries it, and the media type of its response.

The GraphQL over HTTP specification, https://graphql.github.io/graphql-over-http/draft/, with less
allowed where it leaves the choice: one request a body, JSON alone, and by GET only documents that
the server knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from .errors import HttpFault

#: The most bytes of a body.
MOST_BYTES = 256 * 1024

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
#: For subscriptions, and whatever else a client wants as a stream.
EVENTS = "text/event-stream"

_UTF8 = ("", "; charset=utf-8")

_KINDS = {
    "query": (str, "a string"),
    "operationName": (str, "a string"),
    "documentId": (str, "a string"),
    "variables": (dict, "an object"),
    "extensions": (dict, "an object"),
}


@dataclass(frozen=True)
class GraphQLRequest:
    """The parameters of a request; at least one of ``query`` and ``document_id`` is there."""

    query: str | None
    document_id: str | None
    operation_name: str | None
    variables: dict[str, Any] | None
    extensions: dict[str, Any]
    #: Whether it may be a mutation.
    may_mutate: bool = True


def read(request: HttpRequest) -> GraphQLRequest:
    """The request of a GET or POST; raises HttpFault."""
    return _of_body(request) if request.method == "POST" else _of_address(request)


def takes_events(request: HttpRequest) -> bool:
    """Whether a client names a stream among what it takes."""
    return EVENTS in request.headers.get("Accept", "")


def media_type(request: HttpRequest) -> str:
    """What the client would rather have; JSON where it does not say; raises HttpFault."""
    accept = request.headers.get("Accept", "*/*")
    if accept in ("*/*", JSON):
        return JSON
    preferred = request.get_preferred_type(
        [f"{kind}{utf8}" for kind in (JSON, GRAPHQL, EVENTS) for utf8 in _UTF8]
    )
    if preferred is None:
        raise HttpFault(
            406, f"A response is {GRAPHQL}, {JSON} or {EVENTS}; {_short(accept)} is none of them."
        )
    return preferred.partition(";")[0]


def _of_body(request: HttpRequest) -> GraphQLRequest:
    # Before anything is refused: what is left unread would be taken for the next request.
    body = _body(request)
    charset = (request.content_params or {}).get("charset", "utf-8")
    if request.content_type != JSON or charset.lower() not in ("utf-8", "utf8"):
        given = request.headers.get("Content-Type") or "none"
        raise HttpFault(
            415, f"The Content-Type must be {JSON}; it is {_short(given)}.", {"Accept-Post": JSON}
        )
    return parameters(_json(body, "The body"))


def _body(request: HttpRequest) -> bytes:
    try:
        size = len(request.body)
    except RequestDataTooBig:
        size = MOST_BYTES + 1
    if size > MOST_BYTES:
        raise HttpFault(413, f"A body has at most {MOST_BYTES} bytes; this one has more.")
    return request.body


def _of_address(request: HttpRequest) -> GraphQLRequest:
    given: dict[str, Any] = {name: request.GET.get(name) for name in _KINDS}
    if given["query"] is not None:
        raise HttpFault(
            405, "A document's text is sent by POST; GET takes a documentId.", {"Allow": "POST"}
        )
    for name in ("variables", "extensions"):
        if given[name] is not None:
            given[name] = _json(given[name], name)
    return parameters(given, may_mutate=False)


def parameters(given: Any, may_mutate: bool = True, what: str = "The body") -> GraphQLRequest:
    """The request that parsed JSON is; raises HttpFault."""
    if not isinstance(given, dict):
        raise HttpFault(400, f"{what} must be an object with a query; it is {_kind(given)}.")
    for name, (kind, words) in _KINDS.items():
        value = given.get(name)
        if value is not None and not isinstance(value, kind):
            raise HttpFault(400, f"{name} must be {words}; it is {_kind(value)}.")
    extensions = given.get("extensions") or {}
    found = GraphQLRequest(
        query=given.get("query") or None,
        document_id=given.get("documentId") or _automatic(extensions.get("persistedQuery")),
        operation_name=given.get("operationName") or None,
        variables=given.get("variables"),
        extensions=extensions,
        may_mutate=may_mutate,
    )
    if found.query is None and found.document_id is None:
        raise HttpFault(400, "There is no query, and no documentId either.")
    return found


def _automatic(persisted: Any) -> str | None:
    """The document's id by Apollo's protocol of automatic persisted queries."""
    if persisted is None:
        return None
    given = persisted if isinstance(persisted, dict) else {}
    sha256 = given.get("sha256Hash")
    if given.get("version") != 1 or not isinstance(sha256, str):
        raise HttpFault(400, "extensions.persistedQuery must have version 1 and a sha256Hash.")
    return f"sha256:{sha256}"


def _json(text: str | bytes, what: str) -> Any:
    try:
        # UTF-8 alone: by itself, json would take UTF-16 and UTF-32 for JSON too.
        decoded = text.decode() if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise HttpFault(400, f"{what} is no JSON in UTF-8.") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _short(value: str) -> str:
    """A header's value, as a message may repeat it."""
    return value if len(value) <= 80 else f"{value[:80]}…"
