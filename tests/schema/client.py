"""How a test asks: a document and a viewer in, what a client would get out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from schema import nodes, schema
from schema.context import Context

__all__ = ["ask", "context_of", "data", "gid", "gids", "refusals", "schema"]


def ask(document: str, viewer: Any = None, /, **variables: Any) -> dict[str, Any]:
    """The whole answer: ``{"data": …}``, and ``"errors"`` where there are some."""
    result = schema.execute_sync(
        document, variable_values=variables, context_value=context_of(viewer)
    )
    answer: dict[str, Any] = {"data": result.data}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    return answer


def context_of(viewer: Any) -> Context:
    """The context of a request whose session is the viewer's, as Django's middleware leaves it."""
    request = RequestFactory().post("/graphql")
    request.user = SimpleLazyObject(lambda: viewer or AnonymousUser())  # type: ignore[assignment]
    return Context(request)


def data(document: str, viewer: Any = None, /, **variables: Any) -> Any:
    """The data of an answer without errors."""
    answer = ask(document, viewer, **variables)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def refusals(answer: dict[str, Any]) -> list[tuple[list[str | int] | None, str]]:
    """Where and by which code a request was refused."""
    return [(error.get("path"), error["extensions"]["code"]) for error in answer.get("errors", [])]


def gid(obj: Any) -> str:
    """The global id of an object."""
    return str(nodes.global_id(obj))


def gids(objects: Any) -> list[str]:
    """The global ids of objects."""
    return [gid(obj) for obj in objects]
