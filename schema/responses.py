"""What a GraphQL request is answered, as HTTP carries it."""

from __future__ import annotations

import json
from typing import Any

import orjson
from django.http import HttpResponse
from strawberry.types import ExecutionResult

from .errors import RequestFault
from .requests import JSON


def of(result: ExecutionResult, media_type: str) -> HttpResponse:
    """The response of what was executed, or refused before.

    Its status is 200 where anything was executed. Else it is the first error's, but that of a
    fault of the document alone is 200 for a client that takes no more than JSON, as the
    specification has it: such clients look at the body only then.
    """
    status, headers = 200, dict[str, str]()
    if not was_executed(result):
        first = (result.errors or [])[0]
        status, headers = getattr(first, "status", 400), getattr(first, "headers", {})
        if status == 400 and media_type == JSON:
            status = 200
    return _response(body_of(result), media_type, status, headers)


def body_of(result: ExecutionResult) -> dict[str, Any]:
    """What a client gets, with ``data`` where anything was executed."""
    body: dict[str, Any] = {}
    if was_executed(result):
        body["data"] = result.data
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        body["extensions"] = result.extensions
    return body


def refusal(fault: RequestFault, media_type: str) -> HttpResponse:
    """The response to what is no request, or to nobody who may ask."""
    return _response({"errors": [fault.formatted]}, media_type, fault.status, fault.headers)


def was_executed(result: ExecutionResult) -> bool:
    """Whether there is data, be it null for an error at a field that may not be."""
    return result.data is not None or any(error.path for error in result.errors or ())


def _response(body: Any, media_type: str, status: int, headers: Any) -> HttpResponse:
    # Nobody else's to keep: the next answer may differ, and this one may be private.
    headers = {"Cache-Control": "no-store", **headers}
    return HttpResponse(
        encoded(body), f"{media_type}; charset=utf-8", status=status, headers=headers
    )


def encoded(body: Any) -> bytes:
    """JSON in one line."""
    try:
        return orjson.dumps(body)
    except TypeError:  # an integer of more than 64 bits, or half a surrogate pair
        return json.dumps(body).encode()
