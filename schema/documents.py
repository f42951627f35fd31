"""Documents that are parsed and validated once, the last used ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from graphql import GraphQLError
from strawberry.extensions import ParserCache, ValidationCache

MOST_KEPT = 256


class Parsed(ParserCache):
    """Strawberry's, but that a document with a fault is left to the parser to refuse."""

    def __init__(self) -> None:
        super().__init__(maxsize=MOST_KEPT)

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        with suppress(GraphQLError, RecursionError):
            context.graphql_document = self.cached_parse_document(
                context.query, **context.parse_options
            )
        yield


class Validated(ValidationCache):
    """Strawberry's, with our bound."""

    def __init__(self) -> None:
        super().__init__(maxsize=MOST_KEPT)
