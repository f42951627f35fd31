"""What an operation costs: the nodes that it may return, and what it asks of the database.

A document is priced once, by the schema's types; what remains is a sum of numbers and of page
sizes that its variables say. A field asks for what ``strawberry.field(metadata={"cost": …})``
says, else a page for ``PAGE`` points, a mutation for ``MUTATION``, any other field for none. One
point is about one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
    value_from_ast_untyped,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from server.windows import DEFAULT_SIZE, MAX_SIZE

#: At most this many actions are recorded by one mutation.
MOST_ACTIONS = 500

PAGE = 5
MUTATION = 20
#: What the schema says of itself.
_ASKS = {"__schema": 1_000, "__type": 50}

Variables = Mapping[str, Any]
#: How often what is below a field is there, by the operation's variables.
Times = Callable[[Variables], int]


class Cost(NamedTuple):
    nodes: int = 0
    asked: int = 0

    @property
    def points(self) -> int:
        return self.nodes + self.asked


@dataclass
class Part:
    """What is below a page or a list, as often as variables say."""

    times: Times
    price: Price
    least: int
    """The nodes that each time counts at least."""


@dataclass
class Price:
    """A sum, as far as it is known without variables, and the parts that it is not."""

    nodes: int = 0
    asked: int = 0
    parts: list[Part] = field(default_factory=list)

    def of(self, variables: Variables) -> Cost:
        nodes, asked = self.nodes, self.asked
        for part in self.parts:
            times, each = part.times(variables), part.price.of(variables)
            nodes += times * max(part.least, each.nodes)
            asked += times * each.asked
        return Cost(nodes, asked)

    def add(self, other: Price) -> None:
        self.nodes += other.nodes
        self.asked += other.asked
        self.parts += other.parts

    def multiply(self, times: int | Times, price: Price, least: int = 0) -> None:
        """Add a price so many times."""
        if isinstance(times, int) and not price.parts:
            self.nodes += times * max(least, price.nodes)
            self.asked += times * price.asked
        elif isinstance(times, int):
            number = times
            self.parts.append(Part(lambda _: number, price, least))
        else:
            self.parts.append(Part(times, price, least))


class Priced(NamedTuple):
    """Of a selection: what is there once, and what is there for each row of a page."""

    once: Price
    each: Price


class Operation:
    """An operation's price and its variables' defaults."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode
    ) -> None:
        self._defaults = {
            variable.variable.name.value: value_from_ast_untyped(variable.default_value)
            for variable in operation.variable_definitions or ()
            if variable.default_value is not None
        }
        root = schema.get_root_type(operation.operation)
        once, each = Pricing(schema, document).of(operation.selection_set, root)
        once.add(each)
        self._price = once

    def cost(self, variables: Variables | None) -> Cost:
        """At most, by the sizes of its pages and lists."""
        return self._price.of({**self._defaults, **(variables or {})})


class Pricing:
    """Prices of a valid document's selections, of each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.priced: dict[str, Priced] = {}

    def of(self, selection_set: SelectionSetNode, parent: Any) -> Priced:
        total = Priced(Price(), Price())
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                self._add(selection, parent, total)
                continue
            if isinstance(selection, FragmentSpreadNode):
                found = self._spread(selection.name.value)
            else:
                found = self._fragment(selection, parent)
            total.once.add(found.once)
            total.each.add(found.each)
        return total

    def _spread(self, name: str) -> Priced:
        if name not in self.priced:
            self.priced[name] = self._fragment(self.fragments[name], None)
        return self.priced[name]

    def _fragment(self, fragment: Any, parent: Any) -> Priced:
        on = fragment.type_condition
        return self.of(
            fragment.selection_set, self.schema.get_type(on.name.value) if on else parent
        )

    def _add(self, node: FieldNode, parent: Any, total: Priced) -> None:
        definition = getattr(parent, "fields", {}).get(node.name.value)
        if definition is None:
            total.once.asked += _ASKS.get(node.name.value, 0)
            return
        price = Price(asked=asked(self.schema, definition, parent))
        rows = False
        if node.selection_set is not None:
            kind = get_named_type(definition.type)
            once, each = self.of(node.selection_set, kind)
            given = {argument.name.value: argument.value for argument in node.arguments or ()}
            if "ids" in definition.args:
                each.add(once)
                each.nodes += 1
                price.multiply(_length(given["ids"]), each)
            elif "first" in definition.args or "input" in definition.args:
                times = _size(given) if "first" in definition.args else _answers(given["input"])
                price.add(once)
                price.multiply(times, each, least=1)
            else:
                price.add(once)
                price.add(each)
                price.nodes += is_node(kind)
                rows = is_list_type(get_nullable_type(definition.type))
        (total.each if rows else total.once).add(price)


def asked(schema: GraphQLSchema, definition: GraphQLField, parent: Any) -> int:
    """What one such field asks for besides the nodes that it returns."""
    declared: Any = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    said = declared.metadata.get("cost") if declared else None
    if said is not None:
        return int(said)
    if "first" in definition.args:
        return PAGE
    return MUTATION if parent is schema.mutation_type else 0


def is_node(kind: Any) -> bool:
    """Whether a field of this type leads to a node."""
    return kind.name == "Node" or any(i.name == "Node" for i in getattr(kind, "interfaces", ()))


def _size(given: Mapping[str, Any]) -> int | Times:
    """Of a page, as far as it is within bounds; what is not, its field will refuse."""
    values = [given[name] for name in ("first", "last") if name in given]

    def size(variables: Variables) -> int:
        sizes = [_value(value, variables) for value in values]
        wanted = [size for size in sizes if isinstance(size, int | float)]
        return int(max(0, min(MAX_SIZE, max(wanted, default=DEFAULT_SIZE))))

    return size if any(isinstance(value, VariableNode) for value in values) else size({})


def _length(ids: Any) -> int | Times:
    """How many ids a list names."""
    if isinstance(ids, ListValueNode):
        return len(ids.values)
    if not isinstance(ids, VariableNode):
        return 1
    return lambda variables: _many(_value(ids, variables))


def _answers(input: Any) -> int | Times:
    """How many things a mutation answers: as many as it is given of what it takes many."""
    given: Any = None
    if isinstance(input, ObjectValueNode):
        given = {field.name.value: field.value for field in input.fields}.get("actions")
    elif isinstance(input, VariableNode):

        def of_variable(variables: Variables) -> int:
            value = _value(input, variables)
            actions = value.get("actions") if isinstance(value, dict) else None
            return min(MOST_ACTIONS, _many(actions))

        return of_variable
    if given is None:
        return 1
    length = _length(given)
    if isinstance(length, int):
        return min(MOST_ACTIONS, length)
    return lambda variables: min(MOST_ACTIONS, length(variables))


def _many(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _value(value: Any, variables: Variables) -> Any:
    if isinstance(value, VariableNode):
        return variables.get(value.name.value)
    return int(value.value) if isinstance(value, IntValueNode) else None


class Found:
    """What an operation has cost, by its answer."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.schema = schema
        self.fragments = Pricing(schema, document).fragments
        self.seen: set[tuple[Any, ...]] = set()
        """Response keys by path; several selections may have the same one."""

    def cost(self, operation: OperationDefinitionNode, data: Mapping[str, Any] | None) -> Cost:
        root = self.schema.get_root_type(operation.operation)
        return self._of(operation.selection_set, root, data or {}, ())

    def _of(
        self,
        selection_set: SelectionSetNode,
        parent: Any,
        data: Mapping[str, Any],
        path: tuple[Any, ...],
    ) -> Cost:
        nodes = points = 0
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                found = self._field(selection, parent, data, path)
            else:
                fragment: Any = selection
                if isinstance(selection, FragmentSpreadNode):
                    fragment = self.fragments[selection.name.value]
                on = fragment.type_condition
                of = self.schema.get_type(on.name.value) if on else parent
                found = self._of(fragment.selection_set, of, data, path)
            nodes += found.nodes
            points += found.asked
        return Cost(nodes, points)

    def _field(
        self, node: FieldNode, parent: Any, data: Mapping[str, Any], path: tuple[Any, ...]
    ) -> Cost:
        key = node.alias.value if node.alias else node.name.value
        definition = getattr(parent, "fields", {}).get(node.name.value)
        if key not in data:
            return Cost()
        path = (*path, key)
        first = path not in self.seen
        self.seen.add(path)
        if definition is None:
            return Cost(0, _ASKS.get(node.name.value, 0) if first else 0)
        nodes, points = 0, asked(self.schema, definition, parent) if first else 0
        kind = get_named_type(definition.type)
        value = data[key]
        for at, each in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(each, dict) and node.selection_set is not None:
                below = self._of(node.selection_set, kind, each, (*path, at))
                nodes += below.nodes + (first and is_node(kind))
                points += below.asked
        return Cost(nodes, points)
