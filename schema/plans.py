"""Operations that are asked again and again, and how a statement or two answer each.

A *plan* is made of an operation that asks for one page of one of Brook's own streams, once it has
been answered the whole way and its selection was compiled: then nothing is left to find out but
values. It is for what depends on the rows alone that a page and its objects have. For everything
else there is no plan, and for values that are out of the ordinary there is none this time: both
are answered the whole way, which knows what to say.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from time import monotonic
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model
from graphql import (
    FieldNode,
    GraphQLBoolean,
    GraphQLID,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLString,
    OperationType,
    VariableNode,
    get_named_type,
    print_ast,
    value_from_ast_untyped,
)
from strawberry.utils.str_converters import to_camel_case

from server import bundles, objects, pages, registry, rows
from server.bundles import Bundle, Form, FormError, Part, Slot
from server.cursors import Position
from server.feeds import Feed
from server.latest import Latest
from server.models import Action
from server.objects import ByRole, Reference
from server.rows import Columns, Reader
from server.sessions import Sighting
from server.streams import ActionManager
from server.windows import Window

from . import door
from .actions import ActionConnection
from .catalog import model_of, parse_id
from .compiled import Answer, Selection, united
from .connections import PAGING, Batch
from .context import Context
from .parsing import Document
from .streams import OF_A_KEY, Stream, streams

logger = logging.getLogger(__name__)

#: The forms of so many pages are kept, by plan and by what is asked of them.
MOST_PREPARED = 256
#: A form is written in so many ways, by the viewers' rules.
MOST_BUNDLES = 8
#: Objects of at most so many models are looked for by one statement, those registered first.
MOST_MODELS = 12

#: Longer texts are no arguments of a plan, in characters: their forms would be kept.
LONGEST = 255

#: Seconds for which a stream of which a probe has failed is not probed: its page is the same.
QUIET_FOR = 30.0

#: Runs a statement, whose parameters are literals.
Fetch = Callable[[str, Sequence[str]], Awaitable[Sequence[Any]]]


class UnplannedError(Exception):
    """The operation is answered the whole way."""


class NotNowError(UnplannedError):
    """For these values it is; for others there is a plan."""


class MovedError(NotNowError):
    """A session is not what it was."""


class Shape(NamedTuple):
    """What pages have in common that statements of the same forms find."""

    model: type[Model]
    """Of the reference object."""
    size: int
    backward: bool
    has_after: bool
    has_before: bool
    begins_quiet: bool
    given: tuple[tuple[str, Any], ...]
    """The stream's own arguments."""
    follows_many: bool
    """Whether the viewer does."""


class Asked(NamedTuple):
    """What is asked for, by the values of a request."""

    shape: Shape
    window: Window
    reference: Reference
    values: Mapping[str, str]


@dataclass
class Prepared:
    """The forms of a shape's statements, which are asked in turn until one finds a page."""

    forms: Sequence[Form]
    named: Sequence[tuple[type[Model], Part]]
    """The models whose objects are looked for, of each all that there are."""
    rules: bool
    """Whether it depends on the viewer what is there of one of them."""
    others: frozenset[int]
    """The content types of those that are not read here."""
    written: dict[Any, Bundle] = field(default_factory=dict)


class Argument(NamedTuple):
    """An argument of the stream's field."""

    name: str
    variable: str | None
    """The one that has its value; else that stands in the document."""
    value: Any
    """What it is, or what it is where the variable is not given."""
    takes: type | None
    """The class of its values; None: only null is planned for."""
    is_required: bool


class Plan:
    """How an operation is answered, of which ``selection`` is what it selects of its connection.

    Raises UnplannedError where there is no plan for it.
    """

    def __init__(self, document: Document, name: str | None, selection: Selection) -> None:
        operation = document.operation(name)
        fields = operation.selection_set.selections
        asks = fields[0] if len(fields) == 1 else None
        if operation.operation is not OperationType.QUERY or not isinstance(asks, FieldNode):
            raise UnplannedError("not one field of a query")
        stream = _planned().get(asks.name.value)
        if stream is None or not _is_ours(stream) or "@" in print_ast(document.parsed):
            raise UnplannedError("not a stream that is planned for")
        self.document, self.name = document, name
        self._key = asks.alias.value if asks.alias else asks.name.value
        self._stream, self._selection, self._is_mine = stream, selection, stream.is_of_viewer
        self._arguments = list(_arguments(document, name, asks, stream))
        self._read = _reader(Action, selection.needs, "timestamp")
        self._roles, self._named, self._others = _named(selection)

    def asked(
        self, variables: Mapping[str, Any], viewer: Any, follows_many: bool = False
    ) -> Asked:
        """What is asked for by some variables; raises NotNowError, PageError.

        That a viewer follows many is no more than a hint, by which a page is found sooner.
        """
        given = dict[str, Any]()
        for name, variable, value, takes, is_required in self._arguments:
            if variable is not None:
                value = variables.get(variable, value)
            if type(value) is takes and not (isinstance(value, str) and len(value) > LONGEST):
                given[name] = value
            elif value is not _NOT_GIVEN and (value is not None or is_required):
                raise NotNowError(f"{name} is out of the ordinary")
        window = Window("a", **{name: given.pop(name, None) for name in PAGING})
        model, key = self._reference(given.pop(self._stream.reference.name, None), viewer)
        values: dict[str, str] = {_KEY: key}
        for slots, position in ((_AFTER, window.starts_after), (_BEFORE, window.ends_before)):
            if position is not None:
                values.update(zip(slots, _told(position), strict=True))
        shape = Shape(
            model,
            window.size,
            window.backward,
            window.after is not None,
            window.before is not None,
            window.begins_quiet,
            tuple(given.items()),
            follows_many,
        )
        return Asked(shape, window, (registry.content_type(model).pk, key), values)

    def prepare(self, asked: Asked) -> None:
        """Learn by which statements such a page is found, if it is by any.

        In a thread that may ask the database.
        """
        if (self, asked.shape) in _prepared:
            return
        try:
            prepared = self._learned(asked.shape)
        except FormError as why:
            logger.debug("There is no plan for %r: %s", asked.shape, why)
            prepared = None
        _prepared.put((self, asked.shape), prepared)

    def _learned(self, shape: Shape) -> Prepared:
        model: Any = shape.model

        def read(example: Mapping[str, str]) -> Any:
            key = objects.parse_key(model, example[_KEY])
            reference = model.from_db(DEFAULT_DB_ALIAS, [model._meta.pk.attname], [key])
            source = self._stream.ranges(reference, dict(shape.given))
            if isinstance(source, Feed):
                source = replace(source, glances=shape.follows_many)
            return source.page(_window(shape, example), only=self._selection.needs)

        forms = bundles.forms(read, *_examples(shape))
        named = dict(self._named)
        if not self._is_mine and model not in self._others:
            named.setdefault(model, _reader(model, ()))  # which finds out whether it is there
        if not forms or (not self._is_mine and model not in named):
            raise FormError("No statement would find it.")
        return Prepared(
            forms,
            [(it, Part(registry.content_type(it).pk, read)) for it, read in named.items()],
            not all(map(door.is_open, named)),
            frozenset(registry.content_type(it).pk for it in self._others),
        )

    async def answer(
        self, asked: Asked, context: Context, fetch: Fetch, sighting: Sighting | None
    ) -> dict[str, Any]:
        """The data of the response, if the viewer's session is still what it was.

        Raises NotNowError, what ``fetch`` does, and whatever a site's own code may.
        """
        prepared = _prepared.get((self, asked.shape))
        if prepared is None:
            raise NotNowError("nobody has asked in this way before")
        info: Any = SimpleNamespace(context=context)
        others, values = prepared.others, dict[str, str]()
        parts = [part for _, part in prepared.named]
        if prepared.rules:
            parts, others, values = _parts(prepared, info)
        values |= asked.values
        if sighting:
            values |= sighting.values
        page = asked.shape, asked.reference
        # What was found quiet is not probed again, but by who comes with another cursor.
        first = len(prepared.forms) - 1 if (_quiet.get(page) or 0) > monotonic() else 0
        for at in range(first, len(prepared.forms)):
            seen = sighting if at == first else None
            bundle = self._bundle(prepared, asked, at, parts, bool(seen))
            found = bundle.split(await fetch(bundle.sql, bundle.params(values)))
            if seen and not found.holds:
                raise MovedError("the session, or its user, has changed")
            if len(found.rows) > asked.window.size:
                break
        if at > first and asked.window.after is None and asked.window.before is None:
            _quiet.put(page, monotonic() + QUIET_FOR)
        if not self._is_mine and asked.reference not in found.objects:
            raise NotNowError("no node that the viewer may see")
        if others and any(
            role.held(vars(row))[0] in others for role in self._roles for row in found.rows
        ):
            raise NotNowError("objects that are not read here")
        is_quiet = self._is_mine and at == len(prepared.forms) - 1
        batch = Batch(info, 1, _refused, _refused, ActionConnection, _refused)
        batch.pages = [pages.cut(found.rows, asked.window, quiet=is_quiet)]
        return {self._key: Loaded(info, found.objects).of(self._selection, batch.connections)[0]}

    def _reference(self, given: str | None, viewer: Any) -> tuple[type[Model], str]:
        """The model and the key of the object whose stream it is."""
        mine = None if viewer is None else (type(viewer), str(viewer.pk))
        if not self._is_mine:
            found = parse_id(given) if given else None
        else:
            # By id, it must also be one that the viewer may see, which a rule may forbid.
            found = mine
            if given is not None and (parse_id(given) != mine or not door.is_open(type(viewer))):
                found = None
        if found is None or objects.parse_key(*found) is None:
            raise NotNowError("no node, or somebody else's stream")
        return found

    def _bundle(
        self, prepared: Prepared, asked: Asked, at: int, parts: Sequence[Part], is_seen: bool
    ) -> Bundle:
        key = (at, is_seen, *((part.type_id, part.asked) for part in parts if prepared.rules))
        bundle = prepared.written.get(key)
        if bundle is None:
            of = None if self._is_mine else (asked.reference[0], _KEY)
            bundle = Bundle(
                prepared.forms[at],
                self._read,
                ("timestamp", not asked.window.backward),
                self._roles,
                parts,
                of,
                Sighting.holds() if is_seen else None,
            )
            if len(prepared.written) >= MOST_BUNDLES:
                prepared.written.clear()
            prepared.written[key] = bundle
        return bundle


class Loaded(Answer):
    """Of rows that name nothing but what has been found."""

    def __init__(self, info: Any, found: Mapping[Reference, Any]) -> None:
        super().__init__(info, None)
        self.found = found

    def named(self, selection: Selection, objects: Sequence[Any]) -> dict[str, list[Any]]:
        found, held = self.found.get, list(map(vars, objects))
        return {
            name: list(map(found, map(refer.held, held)))
            for name, refer in selection.refers.items()
        }


#: Until when streams are taken to be quiet, by what is asked of them and whose they are.
_quiet: Latest[tuple[Shape, Reference], float] = Latest(5_000)

#: None: no statement would find such a page.
_prepared: Latest[tuple[Plan, Shape], Prepared | None] = Latest(MOST_PREPARED)

#: The names of values.
_KEY = Slot("key")
_AFTER = Slot("after, its time"), Slot("after, its key")
_BEFORE = Slot("before, its time"), Slot("before, its key")

_NOT_GIVEN = object()
#: Values that GraphQL takes as they are.
_TAKEN: dict[Any, type] = {
    GraphQLID: str,
    GraphQLString: str,
    GraphQLInt: int,
    GraphQLBoolean: bool,
}
#: What of the manager must be Brook's own: a site's may depend on more than is known here.
_OURS = ("get_queryset", "public", "visible_to", "opens_to", "read", "ranges", "given", "arm")


@cache
def _planned() -> dict[str, Stream]:
    """Streams by the names of their fields."""
    return {
        to_camel_case(stream.name): stream
        for stream in streams()
        if stream.name in (*OF_A_KEY, "user_stream")
    }


def _is_ours(stream: Stream) -> bool:
    installed = type(Action.objects)
    return all(
        getattr(installed, name) is getattr(ActionManager, name) for name in (*_OURS, stream.name)
    )


def _arguments(
    document: Document, name: str | None, asks: FieldNode, stream: Stream
) -> Iterator[Argument]:
    query: Any = document.schema.query_type
    taken = query.fields[asks.name.value].args
    names = {to_camel_case(it.name): it.name for it in (stream.reference, *stream.parameters)}
    variables = {
        definition.variable.name.value: definition
        for definition in document.operation(name).variable_definitions or ()
    }
    for argument in asks.arguments or ():
        called, kind = argument.name.value, taken[argument.name.value].type
        takes, is_required = _TAKEN.get(get_named_type(kind)), isinstance(kind, GraphQLNonNull)
        if get_named_type(kind) is not getattr(kind, "of_type", kind):
            takes = None  # a list
        if isinstance(argument.value, VariableNode):
            variable: str | None = argument.value.name.value
            definition = variables[argument.value.name.value]
            is_required |= definition.type.kind == "non_null_type"
            value: Any = _NOT_GIVEN
            if definition.default_value is not None:
                value = value_from_ast_untyped(definition.default_value)
            elif is_required:
                value = None
        else:
            variable, value = None, value_from_ast_untyped(argument.value)
        yield Argument(names.get(called, called), variable, value, takes, is_required)


def _named(
    selection: Selection,
) -> tuple[list[ByRole], dict[type[Model], Reader], set[type[Model]]]:
    """By what rows name objects; what reads these, by model; and the models of which it does not.

    Raises UnplannedError.
    """
    refers: dict[str, ByRole] = {}
    needs: dict[type[Model], Columns] = {}
    can_be_named = set(registry.registered())
    for each in _parts_of(selection):
        refers |= each.refers
        for model in can_be_named & set(each.behind):
            needs[model] = united(needs.get(model, ()), each.behind[model])
        for kind, below in (
            it for leads in each.leads.values() for it in leads.selections.items()
        ):
            if model_of(kind) in can_be_named and any(it.refers for it in _parts_of(below)):
                raise UnplannedError("objects that name others")
    readable = [model for model in registry.registered() if model in needs and door.reads(model)]
    readers = {model: _reader(model, needs[model]) for model in readable[:MOST_MODELS]}
    return list(refers.values()), readers, needs.keys() - readers.keys()


def _parts_of(selection: Selection) -> Iterator[Selection]:
    if not selection.is_of_rows:
        raise UnplannedError("more than rows hold")
    yield selection
    for part in selection.parts:
        yield from _parts_of(part)


def _reader(model: type[Model], needs: Columns, *besides: str) -> Reader:
    return rows.reader(model, None if needs is None else {*needs, *besides}, DEFAULT_DB_ALIAS)


def _parts(prepared: Prepared, info: Any) -> tuple[list[Part], frozenset[int], dict[str, str]]:
    """The objects that the viewer may see, the content types of others, and the rules' values."""
    parts, others, values = [], set(prepared.others), dict[str, str]()
    for model, (type_id, read, *_) in prepared.named:
        asked = door.rule(model, info)
        if asked is None:
            others.add(type_id)
            continue
        sql, literals = bundles.typed(asked)
        slots = tuple(Slot(f"{type_id}, {at}") for at in range(len(literals)))
        values.update(zip(slots, literals, strict=True))
        parts.append(Part(type_id, read, sql, slots))
    return parts, frozenset(others), values


def _refused(*args: Any) -> Any:
    raise NotNowError("more than rows hold")


def _told(position: Position) -> tuple[str, str]:
    return position.time.isoformat(), str(position.pk)


def _examples(shape: Shape) -> tuple[dict[str, str], dict[str, str]]:
    """Values that are nowhere else; raises FormError for a model whose keys are like none."""
    for keys in _EXAMPLES:
        if all(objects.parse_key(shape.model, key) is not None for key in keys):
            break
    else:
        raise FormError(f"keys of {shape.model._meta.label}")
    one, two = (
        {
            str(_KEY): key,
            **dict(zip(_AFTER, _told(Position(_NOON.replace(year=year), year)), strict=True)),
            **dict(zip(_BEFORE, _told(Position(_NOON.replace(year, 7), 3 * year)), strict=True)),
        }
        for key, year in zip(keys, (2011, 2017), strict=True)
    )
    return one, two


#: Of keys that are numbers, UUIDs, or texts.
_EXAMPLES = (
    ("1202020203", "1303030307"),
    ("5a7c1e0f-2b7d-4c58-9d6a-0e3f4b5c6d7e", "c3d2e1f0-9a8b-4c7d-8e6f-5a4b3c2d1e0f"),
    ("one-example", "another-example"),
)
_NOON = datetime(2011, 6, 15, 12, 30, 45, 678901, UTC)


def _window(shape: Shape, example: Mapping[str, str]) -> Window:
    """Of which an example is; begun where it was quiet, if the page begins so."""

    def cursor(slots: tuple[Slot, Slot]) -> str:
        time, key = (example[slot] for slot in slots)
        return Position(datetime.fromisoformat(time), int(key), shape.begins_quiet).cursor("a")

    return Window(
        "a",
        first=None if shape.backward else shape.size,
        last=shape.size if shape.backward else None,
        after=cursor(_AFTER) if shape.has_after else None,
        before=cursor(_BEFORE) if shape.has_before else None,
    )
