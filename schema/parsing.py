"""Documents that are read once, the last used ones: within bounds, valid, and priced."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from . import shapes
from .costs import Cost, Found, Operation
from .errors import MOST_ERRORS, RequestFault, TooComplex, bad_request

MOST_TOKENS = 5_000
MOST_CHARACTERS = 50_000
#: A place in a document is found by counting its lines.
MOST_LINES = 5_000

#: So many are kept, and so many characters of them: parsed, each takes a hundred bytes.
MOST_KEPT = 256
MOST_KEPT_CHARACTERS = 500_000

RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
# What the rule may compare: some twenty fragments that select the same dozen fields of one node.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 12_000


@dataclass
class Document:
    """What is known of a document."""

    schema: GraphQLSchema
    parsed: DocumentNode
    errors: list[GraphQLError]
    """Why it is not valid; without codes, see ``errors.py``."""
    priced: dict[str | None, Operation] = field(default_factory=dict)
    plans: dict[str | None, Any] = field(default_factory=dict)
    """How its operations are answered, as far as that is planned: see ``shortcuts.py``."""

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The one of this name, or the only one. Raises RequestFault where that says none."""
        operation = get_operation_ast(self.parsed, name or None)
        if operation is None:
            # Strawberry would run the first of several that none was named of.
            raise RequestFault("Say by operationName which of the operations is to run.")
        return operation

    def cost(self, name: str | None, variables: Mapping[str, Any] | None) -> Cost:
        """What an operation costs at most."""
        priced = self.priced.get(name)
        if priced is None:
            operation = self.operation(name)
            self.priced[name] = priced = Operation(self.schema, self.parsed, operation)
        return priced.cost(variables)

    def actual_cost(self, name: str | None, data: Mapping[str, Any] | None) -> Cost:
        """What an operation has cost, by its answer."""
        return Found(self.schema, self.parsed).cost(self.operation(name), data)


class Documents:
    """The documents of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self.kept: OrderedDict[str, Document] = OrderedDict()
        self.characters = 0
        self._lock = threading.Lock()

    def known(self, text: str) -> Document | None:
        """The document, if it has been read and is still there."""
        document = self.kept.get(text)
        if document is not None:
            with self._lock:
                if text in self.kept:
                    self.kept.move_to_end(text)
        return document

    def read(self, text: str) -> Document:
        """Read a document, and keep it if it is valid.

        Raises RequestFault or GraphQLError, with a code, where it is no document or too large.
        """
        document = read(self.schema, text)
        if not document.errors:
            self._keep(text, document)
        return document

    def _keep(self, text: str, document: Document) -> None:
        with self._lock:
            if text not in self.kept:
                self.characters += len(text)
            self.kept[text] = document
            while len(self.kept) > MOST_KEPT or self.characters > MOST_KEPT_CHARACTERS:
                self.characters -= len(self.kept.popitem(last=False)[0])


def read(schema: GraphQLSchema, text: str) -> Document:
    """Refuse first what would be costly next."""
    if len(text) > MOST_CHARACTERS:
        raise TooComplex(
            f"The document has {len(text)} characters; at most {MOST_CHARACTERS} are allowed. "
            "Give long values as variables."
        )
    lines = text.count("\n") + text.count("\r")
    if lines > MOST_LINES:
        raise TooComplex(f"The document has {lines} lines; at most {MOST_LINES} are allowed.")
    try:
        parsed = parse(text, max_tokens=MOST_TOKENS)
    except GraphQLError as error:
        raise bad_request(error) from None
    shapes.check(parsed)
    errors = validate(schema, parsed, RULES, max_errors=MOST_ERRORS, hide_suggestions=True)
    return Document(schema, parsed, errors[:MOST_ERRORS])
