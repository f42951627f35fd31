"""A page, the objects that it names, and whether a session still is what it was: one statement.

It is PostgreSQL's, and of a *form* that was learned: what a stream asks of its rows is written for
two examples that have nothing in common but what they ask for. Where the two statements differ,
they differ by what the examples are, and that is where other values go. So a stream is still said
in one place, and asked again it costs no more than to fill in what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from .conditions import Statement
from .objects import ByRole, Reference
from .rows import Reader, Unasked, sharing

#: What differs between statements of one form, as PostgreSQL reads literals, by name.
Values = Mapping[str, str]


#: The page within its bundle: the name of no table, which would be hidden by it.
_PAGE = "brook_page"


class FormError(Exception):
    """Two examples do not tell which form their statements have."""


class Slot(str):
    """The name of a value in the place of a parameter."""

    __slots__ = ()


@dataclass(frozen=True)
class Form:
    """A statement as Django writes it, whose parameters are literals and slots."""

    sql: str
    params: tuple[str, ...]


def forms(read: Callable[[Values], Any], one: Values, two: Values) -> list[Form]:
    """The forms of what is asked of the database, in turn, where each statement finds nothing.

    Raises FormError where that says nothing of other values.
    """
    first, second = _asked(read, one), _asked(read, two)
    if len(first) != len(second):
        raise FormError(f"{len(first)} statements and {len(second)}")
    return [_form(*both, one, two) for both in zip(first, second, strict=True)]


def _asked(read: Callable[[Values], Any], example: Values) -> list[Statement]:
    with sharing(unasked := Unasked()):
        read(example)
    return unasked.statements


def _form(first: Statement, second: Statement, one: Values, two: Values) -> Form:
    if first[0] != second[0]:
        raise FormError(f"{first[0]!r} is not {second[0]!r}")
    examples = {(one[name], two[name]): Slot(name) for name in one}
    assert len(examples) == len(one), "values of an example differ"
    params = []
    for pair in zip(first[1], second[1], strict=True):
        mine, other = map(literal, pair)
        if mine != other and (mine, other) not in examples:
            raise FormError(f"{mine!r} beside {other!r} is no value of the examples")
        params.append(mine if mine == other else examples[mine, other])
    return Form(first[0], tuple(params))


def literal(value: Any) -> str:
    """A parameter as PostgreSQL reads it, whatever the type; raises FormError."""
    if isinstance(value, datetime):
        return value.isoformat()
    if type(value) in (str, bool, UUID):
        return str(value)
    if isinstance(value, int):  # psycopg's own for each size, too
        return str(int(value))
    raise FormError(f"{value!r} is of no type that is written as text")


def typed(statement: Statement) -> tuple[str, tuple[str, ...]]:
    """A statement whose parameters are literals of the types that psycopg would give them.

    PostgreSQL finds out what a text is by where it stands, which may be another type: of a key of
    JSON, or of an index into it. Raises FormError.
    """
    sql, *others = statement[0].split("%s")
    if len(others) != len(statement[1]):
        raise FormError(f"{len(others)} parameters, of which {len(statement[1])} are given")
    for value, text in zip(statement[1], others, strict=True):
        kind = _kind_of(value)
        sql += f"{f'CAST(%s AS {kind})' if kind else '%s'}{text}"
    return sql, tuple(map(literal, statement[1]))


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**31) <= value < 2**31 else "bigint"
    if isinstance(value, datetime):
        return "timestamptz"
    return "uuid" if isinstance(value, UUID) else ""


class Part(NamedTuple):
    """The objects of one model, as far as a condition holds of them."""

    type_id: int
    read: Reader
    asked: str = ""
    """SQL, whose parameters are slots; none for all of them."""
    slots: tuple[Slot, ...] = ()


class Found(NamedTuple):
    """What a bundle found."""

    rows: list[Any]
    """From the page's beginning on."""
    objects: dict[Reference, Any]
    holds: bool
    """Whether what was to hold did."""


class Bundle:
    """One statement of what ``page`` finds, of the objects that its rows name by ``roles``, and of
    one more that the slots ``of`` name by its model's content type and its key.

    ``holds`` is what must be so, as FROM … WHERE … of one row that is there if it is.
    """

    def __init__(
        self,
        page: Form,
        read: Reader,
        order: tuple[str, bool],
        roles: Sequence[ByRole],
        parts: Sequence[Part],
        of: tuple[int, Slot] | None = None,
        holds: Form | None = None,
    ) -> None:
        self._parts = parts
        readers = [read, *(part.read for part in parts)]
        kinds, places = _layout(readers)
        self._picks = [_Pick(each, mine) for each, mine in zip(readers, places, strict=True)]
        nulls = [f"CAST(NULL AS {kind})" for kind in kinds]
        params: list[str] = [*page.params]
        selects = [_select(0, _PAGE, read, places[0], nulls, f"FROM {_PAGE}")]
        for at, (part, mine) in enumerate(zip(parts, places[1:], strict=True), 1):
            keys = _named(read.model, part, roles)
            if of and of[0] == part.type_id:
                keys.append(f"SELECT CAST(%s AS {_kind(part.read)})")
                params.append(of[1])
            where = f"{part.read.key} = ANY(ARRAY({' UNION ALL '.join(keys)}))"
            if part.asked:
                where += f" AND {part.asked}"
                params += part.slots
            table = part.read.table
            selects.append(
                _select(at, table, part.read, mine, nulls, f"FROM {table} WHERE {where}")
            )
        if holds:
            selects.append(f"SELECT {len(readers)}, {', '.join(nulls)} {holds.sql}")
            params += holds.params
        self.sql = _numbered(
            f"WITH {_PAGE} AS MATERIALIZED ({page.sql}) {' UNION ALL '.join(selects)}", params
        )
        self._params = [(isinstance(param, Slot), param) for param in params]
        time, self._newest_first = order
        self._place = itemgetter(places[0][read.at(time)] + 1, self._picks[0].key + 1)

    def params(self, values: Values) -> list[str]:
        """The statement's parameters."""
        return [values[param] if is_slot else param for is_slot, param in self._params]

    def split(self, found: Sequence[Any]) -> Found:
        """What is what among the rows that the statement found."""
        by_part: list[list[Any]] = [[] for _ in range(len(self._parts) + 2)]
        for at, some in groupby(found, itemgetter(0)):
            by_part[at] += some
        # SQL promises no order of what a union is made of.
        by_part[0].sort(key=self._place, reverse=self._newest_first)
        objects: dict[Reference, Any] = {}
        for part, pick, mine in zip(self._parts, self._picks[1:], by_part[1:], strict=False):
            if mine:
                keys = map(str, map(itemgetter(pick.key + 1), mine))
                references = zip(repeat(part.type_id), keys, strict=False)
                objects.update(zip(references, pick.made(mine), strict=True))
        return Found(self._picks[0].made(by_part[0]), objects, bool(by_part[-1]))


class _Pick:
    """What makes a model's instances of rows of the union."""

    def __init__(self, read: Reader, places: Sequence[int]) -> None:
        self._read = read
        self.key = places[read.at(read.model._meta.pk.attname)]
        first, *others = (place + 1 for place in places)
        self._values: Callable[[Any], Any] = (
            itemgetter(first, *others) if others else lambda values: (values[first],)
        )

    def made(self, found: Sequence[Any]) -> list[Any]:
        return self._read.made(list(map(self._values, found)))


def _layout(readers: Sequence[Reader]) -> tuple[list[str], list[list[int]]]:
    """The types of the union's columns, and which of them each model's stand in.

    Columns of one type stand in the same one: so there are no more than the widest model needs.
    """
    kinds: list[str] = []
    places: list[list[int]] = []
    for read in readers:
        mine: list[int] = []
        for field in read.fields:
            kind = _of_union(read.kind(field))
            free = (at for at, it in enumerate(kinds) if it == kind and at not in mine)
            if (at := next(free, None)) is None:
                at = len(kinds)
                kinds.append(kind)
            mine.append(at)
        places.append(mine)
    return kinds, places


def _of_union(kind: str) -> str:
    return "text" if kind.startswith("varchar") and not kind.endswith("]") else kind


def _select(
    number: int,
    table: str,
    read: Reader,
    places: Sequence[int],
    nulls: Sequence[str],
    source: str,
) -> str:
    """A SELECT of the union: its own columns in their places, and nulls in the others."""
    columns = [*nulls]
    for field, place in zip(read.fields, places, strict=True):
        kind = read.kind(field)
        column = f'{table}."{field.column}"'
        columns[place] = column if kind == _of_union(kind) else f"CAST({column} AS text)"
    return f"SELECT {number}, {', '.join(columns)} {source}"


def _named(model: Any, part: Part, roles: Sequence[ByRole]) -> list[str]:
    """SELECTs of the keys that the page's rows name of a model."""
    kind, found = _kind(part.read), []
    for role in roles:
        type_id, key = (f'{_PAGE}."{model._meta.get_field(name).column}"' for name in role.columns)
        asked = f"FROM {_PAGE} WHERE {type_id} = {part.type_id}"
        found.append(f"SELECT CAST({key} AS {kind}) {asked}")
    return found


def _kind(read: Reader) -> str:
    return read.kind(read.model._meta.pk)


def _numbered(sql: str, params: Sequence[str]) -> str:
    """A statement with $1, $2 … for Django's %s."""
    texts = [text.replace("%%", "%") for text in sql.split("%s")]
    if len(texts) != len(params) + 1:
        raise FormError(f"{len(texts) - 1} parameters, of which {len(params)} are given")
    return "".join(f"{text}${at}" for at, text in enumerate(texts[:-1], 1)) + texts[-1]
