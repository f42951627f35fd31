"""DateTime: how the API reads and writes a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import strawberry
from graphql import GraphQLError, StringValueNode, ValueNode, print_ast


def read(value: Any) -> datetime:
    """A moment in UTC, from ISO 8601; without an offset it is in UTC. Raises GraphQLError."""
    if not isinstance(value, str):
        raise GraphQLError("A DateTime is a string in ISO 8601.")
    try:
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise GraphQLError(f"{value[:40]!r} is no DateTime in ISO 8601.") from None


def _literal(node: ValueNode, variables: Any = None) -> datetime:
    try:
        return read(node.value if isinstance(node, StringValueNode) else print_ast(node))
    except GraphQLError as fault:
        raise GraphQLError(fault.message, node) from None


DateTime = strawberry.scalar(
    name="DateTime",
    description="Date with time (isoformat)",
    serialize=datetime.isoformat,
    parse_value=read,
    parse_literal=_literal,
)
