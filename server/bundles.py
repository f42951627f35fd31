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
        self._read, self._parts = read, parts
        readers = [read, *(part.read for part in parts)]
        columns = [f'page."{field.column}"' for field in read.fields]
        params: list[str] = [*page.params]
        selects = [_select(0, ", ".join(columns), readers, 0, "FROM page")]
        for at, part in enumerate(parts, 1):
            keys = _named(read.model, part, roles)
            if of and of[0] == part.type_id:
                keys.append(f"SELECT CAST(%s AS {_kind(part.read)})")
                params.append(of[1])
            where = f"{part.read.key} = ANY(ARRAY({' UNION ALL '.join(keys)}))"
            if part.asked:
                where += f" AND {part.asked}"
                params += part.slots
            source = f"FROM {part.read.table} WHERE {where}"
            selects.append(_select(at, part.read.columns, readers, at, source))
        if holds:
            nulls = ", ".join(each.nulls for each in readers)
            selects.append(f"SELECT {len(readers)}, {nulls} {holds.sql}")
            params += holds.params
        self.sql = _numbered(
            f"WITH page AS MATERIALIZED ({page.sql}) {' UNION ALL '.join(selects)}", params
        )
        self._params = [(isinstance(param, Slot), param) for param in params]
        self._starts = [1]
        for each in readers:
            self._starts.append(self._starts[-1] + each.width)
        time, self._newest_first = order
        self._place = itemgetter(1 + read.at(time), 1 + read.at(read.model._meta.pk.attname))
        self._keys = [
            itemgetter(start + part.read.at(part.read.model._meta.pk.attname))
            for part, start in zip(parts, self._starts[1:-1], strict=True)
        ]

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
        for (type_id, read, *_), mine, start, key in zip(
            self._parts, by_part[1:], self._starts[1:], self._keys, strict=False
        ):
            if mine:
                references = zip(repeat(type_id), map(str, map(key, mine)), strict=False)
                objects.update(zip(references, read.made(mine, start), strict=True))
        return Found(self._read.made(by_part[0], 1), objects, bool(by_part[-1]))


def _select(number: int, columns: str, readers: Sequence[Reader], mine: int, source: str) -> str:
    """A SELECT of the union: its own columns among nulls in the place of the others'."""
    parts = [columns if at == mine else each.nulls for at, each in enumerate(readers)]
    return f"SELECT {number}, {', '.join(parts)} {source}"


def _named(model: Any, part: Part, roles: Sequence[ByRole]) -> list[str]:
    """SELECTs of the keys that the page's rows name of a model."""
    kind, found = _kind(part.read), []
    for role in roles:
        type_id, key = (f'page."{model._meta.get_field(name).column}"' for name in role.columns)
        found.append(f"SELECT CAST({key} AS {kind}) FROM page WHERE {type_id} = {part.type_id}")
    return found


def _kind(read: Reader) -> str:
    return read.kind(read.model._meta.pk)


def _numbered(sql: str, params: Sequence[str]) -> str:
    """A statement with $1, $2 … for Django's %s."""
    texts = [text.replace("%%", "%") for text in sql.split("%s")]
    if len(texts) != len(params) + 1:
        raise FormError(f"{len(texts) - 1} parameters, of which {len(params)} are given")
    return "".join(f"{text}${at}" for at, text in enumerate(texts[:-1], 1)) + texts[-1]
