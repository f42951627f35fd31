"""Connections answered without graphql-core's walk.

What is selected of a connection is mostly plain: attributes, ids, names, the roles and what is
plain of them. Such a selection is made into a *column* for each field, once per document: a
function from all objects that stand there to what the response has of them, so that a page is a
few list comprehensions instead of a thousand resolver calls, and its rows have no more columns
than these functions need. Any other field, and any exception, leaves the connection to
graphql-core, whose answers and errors these are to the byte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model
from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLID,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
    Undefined,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import get_object_definition
from strawberry_django.descriptors import ModelProperty
from strawberry_django.fields.field import StrawberryDjangoField

from server import deadlines
from server.rows import Columns

from . import catalog, door, sources
from .connections import Batch, Connection, Edge, Supposed
from .context import Info
from .nodes import Node

#: As many selections are kept, the last made ones.
MOST_KEPT = 512

#: What objects name, by the field that leads there.
Named = Mapping[str, Sequence[Any]]
#: What the response has of each object.
Column = Callable[[Sequence[Any], Named, "Answer"], Sequence[Any]]


class NotPlainError(Exception):
    """The selection, or a value in it, is for graphql-core."""


class Executor(sources.Executor):
    """graphql-core's, but that plain selections of connections are compiled."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_value.compiles = True

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        deadlines.check()
        if isinstance(result, Connection) and position_context is None:
            selection = _selection(self, return_type, field_details_list)
            answers = selection and _answers(selection, result.batch)
            if answers:
                return answers[result.at]
            if result.batch.supposed:
                result.batch.supposed.check()
        return super().complete_object_value(
            return_type, field_details_list, info, path, result, position_context
        )


def _answers(selection: Selection, batch: Batch) -> Sequence[Any] | None:
    """What the response has of connections that are read together, made once for all of them.

    None where that fails: then graphql-core says what is wrong, and where.
    """
    if selection not in batch.answers:
        batch.needs = selection.needs
        try:
            answer = Answer(batch.info, batch.supposed)
            batch.answers[selection] = answer.of(selection, batch.connections)
            answer.found_out()
        except Exception:  # whatever a site's code may raise
            batch.answers[selection] = batch.needs = None
            vars(batch).pop("pages", None)  # to be read whole
    return batch.answers[selection]


class Answer:
    """Connections being answered."""

    def __init__(self, info: Info, supposed: Supposed | None) -> None:
        self.info = info
        self.supposed = supposed

    def of(self, selection: Selection, objects: Sequence[Any]) -> list[dict[str, Any]]:
        """What the response has of each of these objects of one type."""
        named = self._named(selection, objects) if selection.refers else {}
        made: list[dict[str, Any]] = [{} for _ in objects]
        for key, column in zip(selection.keys, selection.columns, strict=True):
            for each, value in zip(made, column(objects, named, self), strict=True):
                each[key] = value
        return made

    def found_out(self) -> None:
        """Raises where the object whose connections these are is not there to be seen."""
        if self.supposed:
            self.supposed.check()

    def of_nodes(self, selections: Mapping[str, Selection], found: Sequence[Any]) -> list[Any]:
        """The same of nodes of any types, some of them None; each object once."""
        by_class: dict[type, list[Any]] = {}
        for obj in {id(obj): obj for obj in found if obj is not None}.values():
            by_class.setdefault(type(obj), []).append(obj)
        made: dict[int, Any] = {}
        for cls, objects in by_class.items():
            selection = selections[catalog.type_name(cls) or ""]
            made.update(zip(map(id, objects), self.of(selection, objects), strict=True))
        return [made.get(id(obj)) for obj in found]

    def _named(self, selection: Selection, objects: Sequence[Any]) -> Named:
        """What the objects name, in one query per model."""
        references = {
            name: [refer(obj) for obj in objects] for name, refer in selection.refers.items()
        }
        supposed = (self.supposed.reference,) if self.supposed else ()
        found = door.load(self.info, chain(supposed, *references.values()), selection.behind.get)
        if supposed and supposed[0] in found:
            self.supposed = None
        return {name: [found.get(named) for named in all_] for name, all_ in references.items()}


@dataclass(eq=False)
class Selection:
    """What is selected of one type, as columns."""

    keys: list[str] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    needs: set[str] | None = field(default_factory=set)
    """The database's columns that these are made of; None: any."""
    refers: dict[str, Any] = field(default_factory=dict)
    """How the objects name those that are needed with them."""
    behind: dict[type[Model], set[str] | None] = field(default_factory=dict)
    """The columns that are needed of these, by model."""

    def need(self, columns: Columns) -> None:
        self.needs = _together(self.needs, columns)

    def need_behind(self, model: type[Model], columns: Columns) -> None:
        self.behind[model] = _together(self.behind.get(model, set()), columns)


def _together(some: Columns, others: Columns) -> set[str] | None:
    return None if some is None or others is None else {*some, *others}


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
    selection = Selection(list(grouped))
    for group in grouped.values():
        name = group[0].node.name.value
        if name == "__typename":
            column: Column | None = _constant(kind.name)
        else:
            column = _column(executor, kind, name, group, selection)
        if column is None:
            return None
        selection.columns.append(column)
    return selection


def _column(
    executor: Executor, kind: GraphQLObjectType, name: str, group: Any, selection: Selection
) -> Column | None:
    """The column of a field; what it is made of is added to the selection's needs."""
    field = kind.fields[name]
    declared: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    definition: Any = kind.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    owner: Any = definition.concrete_of.origin if definition.concrete_of else definition.origin
    if declared is None or declared.permission_classes or declared.extensions:
        return None
    resolver = declared.base_resolver and declared.base_resolver.wrapped_func
    if name in getattr(owner, "refers", ()):
        return _reference(executor, owner, name, field, group, selection)
    if not is_leaf_type(get_named_type(field.type)):
        get = _PARTS.get(resolver) or (attrgetter("node") if owner is Edge else None)
        return get and _part(executor, field, group, get, selection)
    if resolver is _ID:
        return _leaf(field, _ids(kind.name))
    if resolver is _NAME:
        return _leaf(field, _names(owner, selection))
    if field.args or isinstance(field.type, GraphQLList):
        return None
    hints = getattr(declared, "store", None)
    if resolver:
        if not _takes_the_object_alone(declared):
            return None
        selection.need(_hinted(catalog.model_of(kind.name), hints))
        return _leaf(field, _each(resolver))
    if isinstance(declared, StrawberryDjangoField) and declared.is_relation:
        return None
    attribute = getattr(declared, "django_name", None) or declared.python_name
    selection.need(_behind(catalog.model_of(kind.name), attribute))
    return _leaf(field, _each(attrgetter(attribute)))


def _takes_the_object_alone(declared: Any) -> bool:
    resolver = declared.base_resolver
    return bool(resolver.self_parameter and not resolver.info_parameter and not resolver.is_async)


def _behind(model: type[Model] | None, attribute: str) -> Columns:
    """The columns that an attribute of a model's instances is made of; None: any."""
    if model is None:
        return ()  # of no row: an edge's cursor
    try:
        column = model._meta.get_field(attribute)
    except FieldDoesNotExist:
        made = getattr(model, attribute, None)
        return _hinted(model, made.store) if isinstance(made, ModelProperty) else None
    return (column.attname,) if isinstance(column, Field) else None


def _hinted(model: type[Model] | None, hints: Any) -> Columns:
    """The columns that strawberry-django's ``only=`` names; None where it names none."""
    if model is None:
        return ()
    if hints is None or not hints.only or any("__" in name for name in hints.only):
        return None
    behind = [_behind(model, name) for name in hints.only]
    return None if None in behind else {name for columns in behind for name in columns or ()}


def _constant(value: Any) -> Column:
    return lambda objects, named, answer: [value] * len(objects)


def _each(of: Callable[[Any], Any]) -> Column:
    return lambda objects, named, answer: list(map(of, objects))


def _leaf(field: GraphQLField, raw: Column) -> Column:
    """Values as the scalar or enum has them, and as graphql-core checks them."""
    leaf: Any = get_named_type(field.type)
    as_it_is = {_AS_IT_IS.get(leaf)}
    if not isinstance(field.type, GraphQLNonNull):
        as_it_is.add(NoneType)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> Sequence[Any]:
        found = raw(objects, named, answer)
        return found if as_it_is.issuperset(map(type, found)) else [coerced(v) for v in found]

    def coerced(value: Any) -> Any:
        if type(value) in as_it_is:
            return value
        if value is None:
            raise NotPlainError("null where there must be a value")
        value = leaf.coerce_output_value(value)
        if value is None or value is Undefined:
            raise NotPlainError("a value that its scalar has not")
        return value

    return column


def _reference(
    executor: Executor,
    owner: Any,
    name: str,
    field: GraphQLField,
    group: Any,
    selection: Selection,
) -> Column | None:
    """What leads to a node, of whichever type it is."""
    kind: Any = get_named_type(field.type)
    kinds = executor.schema.get_possible_types(kind) if is_abstract_type(kind) else [kind]
    selections: dict[str, Selection] = {}
    for possible in kinds:
        below = _selection(executor, possible, group)
        if below is None:
            return None
        selections[possible.name] = below
        if model := catalog.model_of(possible.name):
            selection.need_behind(model, below.needs)
    _refer(owner, name, selection)
    return lambda objects, named, answer: answer.of_nodes(selections, named[name])


def _refer(owner: Any, name: str, selection: Selection) -> None:
    selection.refers[name] = owner.refers[name]
    selection.need(owner.refers[name].columns)


def _part(
    executor: Executor,
    field: GraphQLField,
    group: Any,
    get: Callable[[Any], Any],
    selection: Selection,
) -> Column | None:
    """What leads to one object, or to a list of them, of a type that is known."""
    kind: Any = get_named_type(field.type)
    below = _selection(executor, kind, group)
    if below is None:
        return None
    selection.need(below.needs)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        parts = [get(obj) for obj in objects]
        if not isinstance(parts[0] if parts else None, list):
            return answer.of(below, parts)
        made = iter(answer.of(below, [part for each in parts for part in each]))
        return [[next(made) for _ in each] for each in parts]

    return column


def _ids(name: str) -> Column:
    ids = catalog.ids_of(name)
    return lambda objects, named, answer: ids(objects)


def _names(owner: Any, selection: Selection) -> Column:
    selection.need(owner.named_from)
    if not owner.named_by:
        return _each(lambda obj: owner.compose(obj, {}))
    for name in owner.named_by:
        _refer(owner, name, selection)
    for model in catalog.all_models():
        kind = catalog.node_type(model)
        selection.need_behind(model, None if kind.named_by else kind.named_from)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        of = {
            obj: {name: named[name][at] for name in owner.named_by}
            for at, obj in enumerate(objects)
        }
        shown = door.shown(answer.info, objects, of)
        return [shown[obj] for obj in objects]

    return column


def _function(owner: type, name: str) -> Any:
    field: Any = get_object_definition(owner, strict=True).get_field(name)
    return field.base_resolver.wrapped_func


_ID, _NAME = _function(Node, "_id"), _function(Node, "_display_name")
_PARTS: dict[Any, Callable[[Any], Any]] = {
    function: function
    for function in (_function(Connection, n) for n in ("edges", "nodes", "page_info"))
}
#: Values of these classes are what the response has.
_AS_IT_IS: dict[Any, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
