"""Connections answered without graphql-core's walk.

What is selected of a connection is mostly plain: attributes, ids, names, the roles and what is
plain of them. Such a selection is made into a *column* for each field, once per document: a
function from all objects that stand there to what the response has of them, so that a page is a
few list comprehensions instead of a thousand resolver calls. Any other field, and any exception,
leaves the connection to graphql-core, whose answers and errors these are to the byte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    Undefined,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import get_object_definition
from strawberry_django.fields.field import StrawberryDjangoField

from . import catalog, door
from .connections import Batch, Connection, Edge
from .context import Info
from .door import Named
from .nodes import Node

#: As many selections are kept, the last made ones.
MOST_KEPT = 512

#: What the response has of each object; the objects that they name are at hand.
Column = Callable[[Sequence[Any], Named, "Answer"], list[Any]]


class NotPlainError(Exception):
    """The selection, or a value in it, is for graphql-core."""


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's, but that plain selections of connections are compiled."""

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        if type(result) is Connection and position_context is None:
            selection = _selection(self, return_type, field_details_list)
            answers = selection and _answers(selection, result.batch)
            if answers:
                return answers[id(result)]
        return super().complete_object_value(
            return_type, field_details_list, info, path, result, position_context
        )


def _answers(selection: Selection, batch: Batch) -> dict[int, Any] | None:
    """What the response has of connections that were read together, made once for all of them.

    None where that fails: then graphql-core says what is wrong, and where.
    """
    if selection not in batch.answers:
        try:
            found = Answer(batch.info).of(selection, batch.connections)
        except Exception:  # whatever a site's code may raise
            batch.answers[selection] = None
        else:
            batch.answers[selection] = dict(zip(map(id, batch.connections), found, strict=True))
    return batch.answers[selection]


class Answer:
    """Connections being answered."""

    def __init__(self, info: Info) -> None:
        self.info = info

    def of(self, selection: Selection, objects: Sequence[Any]) -> list[dict[str, Any]]:
        """What the response has of each of these objects of one type."""
        named: Named = {}
        if selection.names:
            named = door.load_named(self.info, dict.fromkeys(objects, selection.names))
        columns = [column(objects, named, self) for column in selection.columns]
        keys = selection.keys
        return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]

    def of_nodes(self, selections: dict[str, Selection], found: Sequence[Any]) -> list[Any]:
        """The same of nodes of any types, some of them None; each object once."""
        by_type: dict[str, dict[Any, None]] = {}
        for obj in found:
            if obj is not None:
                by_type.setdefault(catalog.type_name(type(obj)) or "", {})[obj] = None
        made: dict[Any, Any] = {None: None}
        for name, objects in by_type.items():
            made.update(zip(objects, self.of(selections[name], list(objects)), strict=True))
        return [made[obj] for obj in found]


class Selection:
    """What is selected of one type, as columns."""

    def __init__(self, keys: list[str], columns: list[Column], names: frozenset[str]) -> None:
        self.keys = keys
        self.columns = columns
        self.names = names
        """The fields by which the objects name others that are needed."""


_kept: OrderedDict[Any, tuple[Any, Selection | None]] = OrderedDict()


def _selection(executor: Executor, kind: GraphQLObjectType, details: Any) -> Selection | None:
    """The selection of a type below these fields, or None if it is not plain."""
    switches = {
        (name, value)
        for name, value in executor.variable_values.coerced.items()
        if isinstance(value, bool)  # what @skip and @include may ask
    }
    fields = tuple(id(detail.node) for detail in details)
    key = (kind, fields, frozenset(switches))
    kept = _kept.get(key)
    if kept is None:
        made = _compile(executor, kind, details)
        # The nodes are kept too, so that no other node gets their ids.
        _kept[key] = kept = ([detail.node for detail in details], made)
        if len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return kept[1]


def _compile(executor: Executor, kind: GraphQLObjectType, details: Any) -> Selection | None:
    grouped, deferred, *_ = executor.collect_subfields(kind, details)
    if deferred:
        return None
    columns: list[Column] = []
    names: set[str] = set()
    for group in grouped.values():
        name = group[0].node.name.value
        if name == "__typename":
            columns.append(_constant(kind.name))
            continue
        field = kind.fields[name]
        column = _column(executor, kind, name, field, group, names)
        if column is None:
            return None
        columns.append(column)
    return Selection(list(grouped), columns, frozenset(names))


def _column(
    executor: Executor,
    kind: GraphQLObjectType,
    name: str,
    field: GraphQLField,
    group: Any,
    names: set[str],
) -> Column | None:
    declared: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    definition: Any = kind.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    owner: Any = definition.concrete_of.origin if definition.concrete_of else definition.origin
    if declared is None or declared.permission_classes or declared.extensions:
        return None
    resolver = declared.base_resolver and declared.base_resolver.wrapped_func
    if is_leaf_type(get_named_type(field.type)):
        if resolver in _LEAVES:
            if name == "displayName":
                names.update(owner.named_by)
            return _leaf(field, _LEAVES[resolver])
        if field.args or isinstance(field.type, GraphQLList):
            return None
        if resolver:
            return _leaf(field, _each(resolver)) if _takes_the_object_alone(declared) else None
        if isinstance(declared, StrawberryDjangoField) and declared.is_relation:
            return None
        attribute = getattr(declared, "django_name", None) or declared.python_name
        return _leaf(field, _attribute(attribute))
    if name in getattr(owner, "refers", ()):
        names.add(name)
        return _reference(executor, name, field, group)
    get = _PARTS.get(resolver) or (attrgetter("node") if owner is Edge else None)
    return get and _part(executor, field, group, get)


def _takes_the_object_alone(declared: Any) -> bool:
    resolver = declared.base_resolver
    return bool(resolver.self_parameter and not resolver.info_parameter and not resolver.is_async)


def _constant(value: Any) -> Column:
    return lambda objects, named, answer: [value] * len(objects)


def _attribute(name: str) -> Column:
    get = attrgetter(name)
    return lambda objects, named, answer: list(map(get, objects))


def _leaf(field: GraphQLField, raw: Column) -> Column:
    """Values as the scalar or enum has them, and as graphql-core checks them."""
    required = isinstance(field.type, GraphQLNonNull)
    leaf: Any = get_named_type(field.type)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        values = []
        for value in raw(objects, named, answer):
            if value is not None:
                value = leaf.coerce_output_value(value)
                if value is None or value is Undefined:
                    raise NotPlainError("a value that its scalar has not")
            elif required:
                raise NotPlainError("null where there must be a value")
            values.append(value)
        return values

    return column


def _reference(executor: Executor, name: str, field: GraphQLField, group: Any) -> Column | None:
    """What leads to a node, of whichever type it is."""
    kind: Any = get_named_type(field.type)
    kinds = executor.schema.get_possible_types(kind) if is_abstract_type(kind) else [kind]
    selections: dict[str, Selection] = {}
    for possible in kinds:
        selection = _selection(executor, possible, group)
        if selection is None:
            return None
        selections[possible.name] = selection

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        return answer.of_nodes(selections, [named[obj][name] for obj in objects])

    return column


def _part(
    executor: Executor, field: GraphQLField, group: Any, get: Callable[[Any], Any]
) -> Column | None:
    """What leads to one object, or to a list of them, of a type that is known."""
    kind: Any = get_named_type(field.type)
    selection = _selection(executor, kind, group)
    if selection is None:
        return None

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        parts = [get(obj) for obj in objects]
        if not isinstance(parts[0] if parts else None, list):
            return answer.of(selection, parts)
        made = iter(answer.of(selection, [part for each in parts for part in each]))
        return [[next(made) for _ in each] for each in parts]

    return column


def _function(owner: type, name: str) -> Any:
    field: Any = get_object_definition(owner, strict=True).get_field(name)
    return field.base_resolver.wrapped_func


def _each(of: Callable[[Any], Any]) -> Column:
    return lambda objects, named, answer: [of(obj) for obj in objects]


def _names(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
    shown = door.shown(answer.info, objects, named)
    return [shown[obj] for obj in objects]


def _ids(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
    return [catalog.global_id(obj) for obj in objects]


_LEAVES: dict[Any, Column] = {
    _function(Node, "_id"): _ids,
    _function(Node, "_display_name"): _names,
}
_PARTS: dict[Any, Callable[[Any], Any]] = {
    function: function
    for function in (_function(Connection, n) for n in ("edges", "nodes", "page_info"))
}
