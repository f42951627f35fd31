"""Who may look at the schema: by introspection, and in GraphiQL."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from graphql import GraphQLError, NoSchemaIntrospectionCustomRule, validate

from .context import Context
from .errors import Forbidden
from .parsing import Document

#: Every document that asks for the schema has one of these in its text, and hardly another.
_NAMED = re.compile(r"\b__(schema|type)\b")


def is_open_to(viewer: Any) -> bool:
    """Whether a viewer may look at the schema, by the setting INTROSPECTION."""
    if settings.INTROSPECTION == "staff":
        return viewer is not None and bool(viewer.is_staff)
    return bool(settings.INTROSPECTION == "everyone")


def refusals(text: str, document: Document, context: Context) -> list[GraphQLError]:
    """Why a valid document may not be executed: it asks for the schema, which is not open.

    Not found by validation, because what was valid is kept for all viewers. Who asks is not looked
    up for a document that does not ask for the schema.
    """
    if not _NAMED.search(text) or not _asks(document) or is_open_to(context.viewer):
        return []
    return [Forbidden("The schema is not open to you: __schema and __type are refused.")]


def _asks(document: Document) -> bool:
    """Whether a valid document asks for the schema, anywhere in it."""
    rules = (NoSchemaIntrospectionCustomRule,)
    return bool(validate(document.schema, document.parsed, rules, max_errors=1))
