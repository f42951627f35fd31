"""How large a document is, before anything is known of what it means.

Valid or not, a document is measured in time linear to its length: each definition once, and a
fragment counts wherever it is spread by what was measured of it. So neither validation, nor the
price, nor execution, which follow every spread, are given more than they can do at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
)

from .errors import RequestFault, TooComplex


class Shape(NamedTuple):
    """Counts of a document or of a definition, with what its fragments hold at each spread."""

    written: int = 0
    """Fields without what is spread."""
    fields: int = 0
    roots: int = 0
    """Fields of the outermost selection set."""
    aliases: int = 0
    directives: int = 0
    arguments: int = 0
    """Those of fields and directives, and an operation's variables."""
    spreads: int = 0
    depth: int = 0
    """The longest way of fields within fields."""


#: At most so many of each in a document; so deep.
MOST = Shape(
    written=1_500,
    fields=5_000,
    roots=100,
    aliases=500,
    directives=200,
    arguments=1_000,
    spreads=500,
    depth=25,
)
MOST_DEFINITIONS = 200
#: What a message calls them.
_SAID = {
    "written": "fields in its text",
    "fields": "fields with its fragments written out",
    "roots": "root fields",
    "aliases": "aliases",
    "directives": "directives",
    "arguments": "arguments and variables",
    "spreads": "spreads",
}
#: No need to count on: 60 fragments that spread each other twice have 2^60 fields.
_MANY = 1_000_000


class Spread(NamedTuple):
    name: str
    depth: int
    """Of the field in whose selection it is; 0: outermost."""


class Own(NamedTuple):
    """A definition without what it spreads."""

    shape: Shape
    spreads: list[Spread]


def check(document: DocumentNode) -> None:
    """Raise TooComplex where a document is too large, RequestFault where it has no end."""
    definitions = [
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    if len(definitions) > MOST_DEFINITIONS:
        raise TooComplex(
            f"The document has {len(definitions)} operations and fragments; at most "
            f"{MOST_DEFINITIONS} are allowed."
        )
    shape = measure(definitions)
    for name, what in _SAID.items():
        number, most = getattr(shape, name), getattr(MOST, name)
        if number > most:
            many = f"{_MANY} or more" if number >= _MANY else str(number)
            raise TooComplex(f"The document has {many} {what}; at most {most} are allowed.")
    if shape.depth > MOST.depth:
        raise TooComplex(
            f"The document nests fields {shape.depth} deep; at most {MOST.depth} are allowed."
        )


def measure(definitions: list[Any]) -> Shape:
    """All operations together, and every fragment once, even if nothing spreads it."""
    fragments = {
        definition.name.value: own(definition)
        for definition in definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    known: dict[str, Shape] = {}
    for name in _innermost_first(fragments):
        known[name] = _whole(fragments[name], known)
    operations = [
        _whole(own(definition), known)
        for definition in definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    kept = [fragment.shape._replace(roots=0) for fragment in fragments.values()]
    shapes = [*operations, *kept]
    sums = (sum(numbers) for numbers in list(zip(*shapes, strict=True))[:-1])
    return Shape._make([*sums, max((shape.depth for shape in shapes), default=0)])


def own(definition: Any) -> Own:
    """What one definition holds itself."""
    fields = roots = aliases = deepest = 0
    directives = list(definition.directives or ())
    arguments = len(definition.variable_definitions or ())
    spreads: list[Spread] = []
    todo = [(definition.selection_set, 0)]
    while todo:
        selection_set, depth = todo.pop()
        for selection in selection_set.selections:
            directives += selection.directives or ()
            if isinstance(selection, FieldNode):
                fields += 1
                roots += not depth
                aliases += selection.alias is not None
                arguments += len(selection.arguments or ())
                deepest = max(deepest, depth + 1)
                if selection.selection_set:
                    todo.append((selection.selection_set, depth + 1))
            elif isinstance(selection, FragmentSpreadNode):
                spreads.append(Spread(selection.name.value, depth))
            else:
                todo.append((selection.selection_set, depth))
    arguments += sum(len(directive.arguments or ()) for directive in directives)
    shape = Shape(
        fields, fields, roots, aliases, len(directives), arguments, len(spreads), deepest
    )
    return Own(shape, spreads)


def _whole(own: Own, known: dict[str, Shape]) -> Shape:
    """With what is spread; a fragment that is not there is for the validation to find."""
    written, fields, roots, aliases, directives, arguments, spreads, deepest = own.shape
    for spread in own.spreads:
        inner = known.get(spread.name)
        if inner:
            fields += inner.fields
            roots += 0 if spread.depth else inner.roots
            aliases += inner.aliases
            directives += inner.directives
            arguments += inner.arguments
            spreads += inner.spreads
            deepest = max(deepest, spread.depth + inner.depth)
    counts = (written, fields, roots, aliases, directives, arguments, spreads)
    return Shape._make([*(min(count, _MANY) for count in counts), deepest])


def _innermost_first(fragments: dict[str, Own]) -> Iterator[str]:
    """Each fragment after those that it spreads, found without recursion."""
    done: set[str] = set()
    for first in fragments:
        path = {first: iter(fragments[first].spreads)} if first not in done else {}
        while path:
            name = next(reversed(path))
            for spread in path[name]:
                if spread.name in path:
                    raise RequestFault(f"The fragment {spread.name} spreads itself.")
                if spread.name in fragments and spread.name not in done:
                    path[spread.name] = iter(fragments[spread.name].spreads)
                    break
            else:
                del path[name]
                done.add(name)
                yield name
