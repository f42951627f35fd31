"""Who may look at the schema: by introspection, and in GraphiQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from graphql import NoSchemaIntrospectionCustomRule, validate
from strawberry.extensions import SchemaExtension

from .errors import Forbidden

#: Every document that asks for the schema has one of these in its text, and hardly another.
_NAMED = re.compile(r"\b__(schema|type)\b")


def is_open_to(viewer: Any) -> bool:
    """Whether a viewer may look at the schema, by the setting INTROSPECTION."""
    if settings.INTROSPECTION == "staff":
        return viewer is not None and bool(viewer.is_staff)
    return bool(settings.INTROSPECTION == "everyone")


class Introspection(SchemaExtension):
    """Refuse ``__schema`` and ``__type`` to whom the schema is not open; before execution.

    Beside the validation and not in it, because what was valid is kept for all viewers. Who asks
    is not looked up for a document that does not ask for the schema.
    """

    def on_validate(self) -> Iterator[None]:
        context: Any = self.execution_context
        if (
            not context.pre_execution_errors
            and _asks(context)
            and not is_open_to(context.context.viewer)
        ):
            message = "The schema is not open to you: __schema and __type are refused."
            context.pre_execution_errors = [Forbidden(message)]
        yield


def _asks(context: Any) -> bool:
    """Whether a valid document asks for the schema, anywhere in it."""
    if context.query and not _NAMED.search(context.query):
        return False
    rules = (NoSchemaIntrospectionCustomRule,)
    return bool(validate(context.schema._schema, context.graphql_document, rules, max_errors=1))
