"""What one request may ask for, measured before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_operation_ast,
    value_from_ast_untyped,
)
from strawberry.extensions import SchemaExtension
from strawberry.types import ExecutionResult

from server.windows import DEFAULT_SIZE, MAX_SIZE

from .errors import RequestFault, TooComplex

#: At most this many nodes, by the page sizes that are asked for.
MOST_NODES = 10_000
MOST_TOKENS = 5_000


class Limits(SchemaExtension):
    """Refuse a request that is TOO_COMPLEX."""

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MOST_TOKENS
        yield

    def on_execute(self) -> Iterator[None]:
        context: Any = self.execution_context
        ruler = Ruler(context.schema._schema, context.graphql_document, context.variables or {})
        try:
            # Strawberry would run the first of several that none was named of.
            nodes = ruler.measure(context._provided_operation_name)
            if nodes > MOST_NODES:
                raise TooComplex(
                    f"The query may return {nodes} nodes; at most {MOST_NODES} are allowed."
                )
        except RequestFault as fault:
            context.result = ExecutionResult(data=None, errors=[fault])
        yield


class Ruler:
    """Counts the nodes that a document may return, looking at each fragment once."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]
    ) -> None:
        self.schema = schema
        self.document = document
        self.variables = dict(variables)
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.measured: dict[str, int] = {}

    def measure(self, operation_name: str | None) -> int:
        """The nodes of one operation, at most: by the sizes of its pages and lists of ids.

        Raises RequestFault where several operations are there and none is named.
        """
        operation = get_operation_ast(self.document, operation_name or None)
        if operation is None:
            raise RequestFault("Say by operationName which of the operations is to run.")
        for variable in operation.variable_definitions or ():
            if variable.default_value is not None:
                default = value_from_ast_untyped(variable.default_value)
                self.variables.setdefault(variable.variable.name.value, default)
        root = self.schema.get_root_type(operation.operation)
        return self._below(operation.selection_set, root)

    def _below(self, selection_set: SelectionSetNode | None, parent: Any) -> int:
        total = 0
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                total += self._field(selection, parent)
            elif isinstance(selection, FragmentSpreadNode):
                total += self._spread(selection.name.value)
            else:
                total += self._fragment(selection, parent)
        return total

    def _spread(self, name: str) -> int:
        if name not in self.measured:
            self.measured[name] = self._fragment(self.fragments[name], None)
        return self.measured[name]

    def _fragment(self, fragment: Any, parent: Any) -> int:
        on = fragment.type_condition
        return self._below(
            fragment.selection_set, self.schema.get_type(on.name.value) if on else parent
        )

    def _field(self, field: FieldNode, parent: Any) -> int:
        definition = getattr(parent, "fields", {}).get(field.name.value)
        if definition is None or field.selection_set is None:
            return 0
        below = self._below(field.selection_set, get_named_type(definition.type))
        given = {argument.name.value: argument.value for argument in field.arguments or ()}
        if "first" in definition.args:
            return self._size(given) * max(1, below)
        if "ids" in definition.args:
            return self._length(given["ids"]) * (1 + below)
        return below + is_node(get_named_type(definition.type))

    def _size(self, given: Mapping[str, Any]) -> int:
        sizes = [self._value(given[name]) for name in ("first", "last") if name in given]
        asked = [size for size in sizes if isinstance(size, int | float)]
        return int(max(0, min(MAX_SIZE, max(asked, default=DEFAULT_SIZE))))

    def _length(self, ids: Any) -> int:
        if isinstance(ids, ListValueNode):
            return len(ids.values)
        value = self._value(ids)
        return len(value) if isinstance(value, list) else 1

    def _value(self, value: Any) -> Any:
        if isinstance(value, VariableNode):
            return self.variables.get(value.name.value)
        return int(value.value) if isinstance(value, IntValueNode) else None


def is_node(kind: Any) -> bool:
    """Whether a field of this type leads to a node."""
    return kind.name == "Node" or any(i.name == "Node" for i in getattr(kind, "interfaces", ()))
