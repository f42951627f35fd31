"""Documents that ask for everything, made from the schema, and what stands where in an answer.

A coordinate is a type and a field of it: ``User.followers``. Each stands once in every selection,
under its own name, so that an answer tells its coordinates by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from tests.schema.client import schema
from tests.schema.connections import EMPTY

SCHEMA: Any = schema._schema
NODE: Any = SCHEMA.type_map["Node"]
TYPES = ", ".join(SCHEMA.type_map["NodeType"].values)
#: The last id that was given out, of whatever action, as the id of any new action tells it too.
OF_ALL = frozenset({"resumeCursor"})
#: The ways to ask for a page.
WINDOWS = {
    "first": "first: 2",
    "last": "last: 2",
    "filter": f'first: 2, filter: {{since: "2020-01-01T00:00:00Z", actorTypes: [{TYPES}]}}',
}


def is_node(kind: Any) -> bool:
    return kind is NODE or NODE in getattr(kind, "interfaces", ())


@cache
def below(kind: Any) -> frozenset[Any]:
    """The type, and all that the fields of objects lead to from it."""
    found: set[Any] = set()
    todo = [kind]
    while todo:
        kind = todo.pop()
        if kind not in found and not is_leaf_type(kind):
            found.add(kind)
            todo += [get_named_type(field.type) for field in kind.fields.values()]
            todo += SCHEMA.get_possible_types(kind) if kind is NODE else []
    return frozenset(found)


def leads_to_a_node(kind: Any) -> bool:
    """Whether a field of this type can have a node, somewhere below it."""
    return any(map(is_node, below(kind)))


def coordinates(root: Any) -> set[str]:
    """Every field below a type by which an object can come out."""
    return {
        f"{kind.name}.{name}"
        for kind in below(root) - {NODE}
        for name, field in kind.fields.items()
        if leads_to_a_node(get_named_type(field.type)) and name not in EMPTY
    }


class Everything:
    """A selection of everything below a type, through ``depth`` nodes, with its fragments.

    ``plain`` leaves out what ``compiled.py`` leaves to graphql-core.
    """

    def __init__(self, window: str = "first", *, plain: bool = False) -> None:
        self.window = WINDOWS[window]
        self.plain = plain
        self.fragments: dict[str, str] = {}

    def of(self, kind: Any, depth: int) -> str:
        """The selection set of a type."""
        if is_leaf_type(kind):
            return ""
        if isinstance(kind, GraphQLInterfaceType):
            possible = SCHEMA.get_possible_types(kind)
            spreads = " ".join(f"...{self._fragment(each, depth)}" for each in possible)
            return f"{{ __typename {spreads} }}"
        return f"{{ {self.on(kind.name, depth)} }}"

    def on(self, name: str | None, depth: int) -> str:
        """What spreads the selection of a type of this name."""
        return f"...{self._fragment(SCHEMA.type_map[name], depth)}"

    def field(self, name: str, field: Any, depth: int, given: dict[str, str] | None = None) -> str:
        """A field with what its arguments need, and all that is below it."""
        said = dict(given or {})
        paged = "first" in field.args
        for argument, definition in field.args.items():
            if is_required_argument(definition) and argument not in said:
                said[argument] = sample(definition.type)
        pairs = [f"{argument}: {value}" for argument, value in said.items()]
        if paged:
            pairs.append(self.window if "filter" in field.args else self.window.split(", f")[0])
        arguments = f"({', '.join(pairs)})" if pairs else ""
        return f"{name}{arguments} {self.of(get_named_type(field.type), depth)}"

    def document(self, selection: str, operation: str) -> str:
        """The document of an operation; what it selects was made before."""
        made, self.fragments = self.fragments, {}
        return " ".join((operation, f"{{ __typename {selection} }}", *made.values()))

    def _fragment(self, kind: Any, depth: int) -> str:
        name = f"{kind.name}{depth}"
        if name not in self.fragments:
            self.fragments[name] = ""
            fields = " ".join(self._fields(kind, depth - is_node(kind)))
            self.fragments[name] = f"fragment {name} on {kind.name} {{ __typename {fields} }}"
        return name

    def _fields(self, kind: Any, depth: int) -> Iterator[str]:
        for name, field in kind.fields.items():
            if name in EMPTY | OF_ALL or (
                depth < 0 and leads_to_a_node(get_named_type(field.type))
            ):
                continue
            if depth < 1 and "first" in field.args:
                continue  # of the objects at the end, no pages
            if self.plain and (name == "totalCount" or name == "viewerIsFollowing"):
                continue
            # Of fields of one name, those of different types may be of different types.
            own = is_node(kind) and name not in NODE.fields
            yield (f"{kind.name}_{name}: " if own else "") + self.field(name, field, depth)


def sample(kind: Any, given: dict[str, str] | None = None) -> str:
    """A literal of an input type, with what is required; ``given``: by a field's name."""
    given = given or {}
    if isinstance(kind, GraphQLNonNull):
        return sample(kind.of_type, given)
    if isinstance(kind, GraphQLList):
        return f"[{sample(kind.of_type, given)}]"
    if isinstance(kind, GraphQLInputObjectType):
        fields = {
            name: given.get(name) or sample(field.type, given)
            for name, field in kind.fields.items()
            if name in given or is_required_input_field(field)
        }
        return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items())}}}"
    if isinstance(kind, GraphQLEnumType):
        return str(next(iter(kind.values)))
    return {"ID": '"?"', "Int": "1", "Float": "1.5", "Boolean": "true"}.get(kind.name, '"posted"')


def ids_among(fields: Any) -> Iterator[str]:
    """The names of the arguments that are ids, or of input fields at any depth."""
    for name, field in fields.items():
        kind = get_named_type(field.type)
        if kind.name == "ID":
            yield name
        elif isinstance(kind, GraphQLInputObjectType):
            yield from ids_among(kind.fields)


def found_at(answer: Any, marks: list[str], kind: str) -> set[str]:
    """The coordinates below which an answer of a type has one of the marks."""
    found = set()
    if isinstance(answer, list):
        for each in answer:
            found |= found_at(each, marks, kind)
    elif isinstance(answer, dict):
        name = answer.get("__typename", kind)
        for key, value in answer.items():
            field = key.removeprefix(f"{name}_")
            text = json.dumps(value)
            if any(mark in text for mark in marks):
                found.add(f"{name}.{field}")
                found |= found_at(value, marks, "?")
    return found
