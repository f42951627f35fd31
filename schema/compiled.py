"""Connections answered without graphql-core's walk.

What is selected of a connection is mostly plain: attributes, ids, names, the roles and what is
plain of them. Such a selection is made into a *column* for each field, once per document: a
function from all objects that stand there to what the response has of them, so that a page is a
few list comprehensions instead of a thousand resolver calls, and its rows have no more columns
than these functions need. Any other field, and any exception, leaves the connection to
graphql-core, whose answers and errors these are to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
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
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLString,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    print_ast,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import get_object_definition
from strawberry_django.descriptors import ModelProperty
from strawberry_django.fields.field import StrawberryDjangoField

from server import deadlines
from server.latest import Latest
from server.rows import Columns

from . import catalog, door, sources
from .connections import Batch, Connection, Edge, Supposed
from .context import Info
from .nodes import Node

#: As many selections are kept, the last used ones.
MOST_KEPT = 512

#: What the response has of each object.
Column = Callable[[Sequence[Any], "Named", "Answer"], Sequence[Any]]


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
                if path.prev is None:
                    self.context_value.answered = selection
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
        if not selection.columns:
            return [{} for _ in objects]
        named = Named(self.named(selection, objects) if selection.refers else {})
        return selection.rows(*[column(objects, named, self) for column in selection.columns])

    def found_out(self) -> None:
        """Raises where the object whose connections these are is not there to be seen."""
        if self.supposed:
            self.supposed.check()

    def of_nodes(self, leads: Leads, name: str, named: Named) -> list[Any]:
        """The same of the nodes that a field leads to, of any types, some of them None.

        Made once of each object, for all fields below which the same is selected.
        """
        made = named.made.get(id(leads))
        if made is None:
            named.made[id(leads)] = made = {}
            by_class: dict[type, dict[int, Any]] = {}
            every = chain.from_iterable(named.by[name] for name in leads.names)
            for key, obj in {id(obj): obj for obj in every}.items():
                by_class.setdefault(type(obj), {})[key] = obj
            by_class.pop(NoneType, None)
            for cls, objects in by_class.items():
                selection = leads.selections[catalog.type_name(cls) or ""]
                of_class = self.of(selection, list(objects.values()))
                made.update(zip(objects, of_class, strict=True))
        return [made.get(id(obj)) for obj in named.by[name]]

    def named(self, selection: Selection, objects: Sequence[Any]) -> dict[str, list[Any]]:
        """What the objects name, by the field that leads there, in one query per model."""
        references = {
            name: [refer(obj) for obj in objects] for name, refer in selection.refers.items()
        }
        supposed = (self.supposed.reference,) if self.supposed else ()
        found = door.load(self.info, chain(supposed, *references.values()), selection.behind.get)
        if supposed and supposed[0] in found:
            self.supposed = None
        return {name: [found.get(named) for named in all_] for name, all_ in references.items()}


@dataclass
class Named:
    """What some objects name."""

    by: dict[str, list[Any]]
    """By the field that leads there."""
    made: dict[int, dict[int, Any]] = field(default_factory=dict)
    """What the response has of that, by ``Leads`` and object."""


@dataclass(eq=False)
class Leads:
    """Fields of one type that lead to nodes, below all of which the same is selected."""

    selections: dict[str, Selection] = field(default_factory=dict)
    """By the type that a node may have."""
    names: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Selection:
    """What is selected of one type, as columns."""

    keys: list[str] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    parts: list[Selection] = field(default_factory=list)
    """What is selected of objects that are parts of these."""
    leads: dict[str, Leads] = field(default_factory=dict)
    """What is selected of the nodes that these lead to, by how that is written."""
    is_of_rows: bool = True
    """Whether it is made of nothing but what a page, its rows and what they name hold."""
    needs: set[str] | None = field(default_factory=set)
    """The database's columns that these are made of; None: any."""
    refers: dict[str, Any] = field(default_factory=dict)
    """How the objects name those that are needed with them."""
    behind: dict[type[Model], set[str] | None] = field(default_factory=dict)
    """The columns that are needed of these, by model."""

    @cached_property
    def rows(self) -> Callable[..., list[dict[str, Any]]]:
        """What makes the objects of the response, of a value of each column.

        Written for these keys: ``dict(zip(keys, values))`` would take twice as long.
        """
        names = ", ".join(f"v{at}" for at in range(len(self.keys)))
        pairs = ", ".join(f"{key!r}: v{at}" for at, key in enumerate(self.keys))
        made: Callable[..., list[dict[str, Any]]] = eval(
            f"lambda *columns: [{{{pairs}}} for {names}, in zip(*columns, strict=True)]"
        )
        return made

    def need(self, columns: Columns) -> None:
        self.needs = united(self.needs, columns)

    def need_behind(self, model: type[Model], columns: Columns) -> None:
        self.behind[model] = united(self.behind.get(model, set()), columns)


def united(some: Columns, others: Columns) -> set[str] | None:
    """The columns of both; None: any."""
    return None if some is None or others is None else {*some, *others}


_kept: Latest[Any, tuple[Any, Selection | None]] = Latest(MOST_KEPT)


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
        kept = ([detail.node for detail in details], made)
        _kept.put(key, kept)
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
    if field.args or is_list_type(get_nullable_type(field.type)):
        return None
    hints = getattr(declared, "store", None)
    if resolver:
        if not _takes_the_object_alone(declared):
            return None
        selection.need(_hinted(catalog.model_of(kind.name), hints))
        selection.is_of_rows = False
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
    of_class, written = _WRITTEN.get(leaf.name, (None, None))
    if not isinstance(field.type, GraphQLNonNull):
        as_it_is.add(NoneType)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> Sequence[Any]:
        found = raw(objects, named, answer)
        classes = set(map(type, found))
        if classes <= as_it_is:
            return found
        if written and classes == {of_class}:
            return list(map(written, found))
        return [coerced(value) for value in found]

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
    written = "".join(print_ast(detail.node.selection_set) for detail in group)
    leads = selection.leads.get(f"{field.type} {written}")
    if leads is None:
        kind: Any = get_named_type(field.type)
        kinds = executor.schema.get_possible_types(kind) if is_abstract_type(kind) else [kind]
        leads = Leads()
        for possible in kinds:
            below = _selection(executor, possible, group)
            if below is None:
                return None
            leads.selections[possible.name] = below
            if model := catalog.model_of(possible.name):
                selection.need_behind(model, below.needs)
        selection.leads[f"{field.type} {written}"] = leads
    leads.names.append(name)
    _refer(owner, name, selection)
    return lambda objects, named, answer: answer.of_nodes(leads, name, named)


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
    selection.parts.append(below)

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
        return _each(owner.namer())
    for name in owner.named_by:
        _refer(owner, name, selection)
    for model in catalog.all_models():
        kind = catalog.node_type(model)
        selection.need_behind(model, None if kind.named_by else kind.named_from)

    def column(objects: Sequence[Any], named: Named, answer: Answer) -> list[Any]:
        of = {
            obj: {name: named.by[name][at] for name in owner.named_by}
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
#: Of values of these classes, what the response has of each.
_WRITTEN: dict[str, tuple[type, Callable[[Any], str]]] = {
    "DateTime": (datetime, datetime.isoformat)
}
