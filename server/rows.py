"""Rows as instances with no more columns than are asked for.

An instance that lacks a column loads it when it is asked for it, as Django's deferred ones do. It
is made without a call of its constructor, where nothing but Django's own code would take part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, lru_cache
from inspect import getattr_static
from threading import RLock
from typing import Any, NamedTuple

from django.db import connections
from django.db.models import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    IntegerField,
    Model,
    QuerySet,
)
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import ModelIterable
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

from . import conditions
from .conditions import Statement

#: Names of columns (``attname``); None: all of them.
Columns = Collection[str] | None

#: Fields of which an int is what the database has.
PLAIN_KEYS = {AutoField, BigAutoField, IntegerField, BigIntegerField}

#: SQLite takes 32,766 parameters; to PostgreSQL a list is one.
MOST_KEYS = 30_000


def with_keys(rows: QuerySet[Any], keys: Sequence[Any], only: Columns = None) -> list[Any]:
    """Those of an unsliced QuerySet's rows that have these primary keys, in no order.

    With the columns ``only``, unless the QuerySet asks for more than conditions on its own table.
    """
    part = wanted(rows, keys, only)
    return list(rows.filter(pk__in=keys)) if part is None else together([part])[0]


class Wanted(NamedTuple):
    """The rows of a model that have some primary keys, of which a condition holds."""

    read: Reader
    keys: Sequence[Any]
    asked: Statement


def wanted(rows: QuerySet[Any], keys: Sequence[Any], only: Columns = None) -> Wanted | None:
    """As :func:`with_keys`, to be read with others; None where Django has to read it."""
    asked = conditions.of(rows) if _is_plain(rows) else None
    return None if asked is None else Wanted(reader(rows.model, only, rows.db), keys, asked)


def together(parts: Sequence[Wanted]) -> list[list[Any]]:
    """What is wanted of each of several models of one database, in one statement."""
    if len(parts) < 2 or sum(len(part.keys) for part in parts) > MOST_KEYS:
        return [part.read.by_key(part.keys, part.asked) for part in parts]
    selects: list[str] = []
    params: list[Any] = []
    for at, (read, keys, asked) in enumerate(parts):
        sql, values = conditions.both(read.among(keys), asked)
        columns = [each.read.columns if each.read is read else each.read.nulls for each in parts]
        selects.append(f"SELECT {at}, {', '.join(columns)} FROM {read.table} WHERE {sql}")
        params += values
    found = parts[0].read.fetch(" UNION ALL ".join(selects), params)
    made, start = [], 1
    for at, (read, *_) in enumerate(parts):
        end = start + read.width
        made.append(read.made([values[start:end] for values in found if values[0] == at]))
        start = end
    return made


def beside(mine: Wanted, column: str, others: Wanted) -> list[tuple[Any, Any]]:
    """What is wanted, each with the row of another model that a column names, or None.

    Of the others only what is asked of them counts, not their keys.
    """
    table, theirs, width = mine.read.table, others.read, mine.read.width
    sql, params = conditions.both(mine.read.among(mine.keys), mine.asked)
    found = mine.read.fetch(
        f"SELECT {mine.read.columns}, {theirs.columns} FROM {table} LEFT JOIN {theirs.table}"
        f' ON {theirs.key} = {table}."{column}" AND {others.asked[0]} WHERE {sql}',
        (*others.asked[1], *params),
    )
    has_one = [any(value is not None for value in values[width:]) for values in found]
    made = iter(theirs.made([v[width:] for v, has in zip(found, has_one, strict=True) if has]))
    return [
        (row, next(made) if has else None)
        for row, has in zip(mine.read.made([v[:width] for v in found]), has_one, strict=True)
    ]


class Shared:
    """What statements found; asked for by several threads, each is run once."""

    def __init__(self) -> None:
        self._found: dict[Any, list[Any]] = {}
        self._lock = RLock()

    def found(self, read: Reader, sql: str, params: Sequence[Any]) -> list[Any]:
        """What a statement finds, or found."""
        key = (read.using, sql, repr(params))
        with self._lock:
            if key not in self._found:
                self._found[key] = read.ask(sql, params)
            return self._found[key]


class Unasked:
    """Statements that are noted instead, as if each found nothing."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def found(self, read: Reader, sql: str, params: Sequence[Any]) -> list[Any]:
        """Nothing."""
        self.statements.append((sql, tuple(params)))
        return []


@contextmanager
def sharing(shared: Shared | Unasked | None) -> Iterator[None]:
    """Within it, what is read at one moment for many is read once; or not at all."""
    token = _shared.set(shared)
    try:
        yield
    finally:
        _shared.reset(token)


_shared: ContextVar[Shared | Unasked | None] = ContextVar("shared", default=None)


def reader(model: type[Model], only: Columns, using: str) -> Reader:
    """The reader of some columns of a model in a database."""
    return _reader(model, None if only is None else frozenset(only), using)


class Reader:
    """Makes instances of what SELECTs find; the primary key is always among the columns.

    The model has a table of its own: it is no multi-table child.
    """

    def __init__(self, model: Any, only: frozenset[str] | None, using: str) -> None:
        meta = model._meta
        self.fields = [
            field
            for field in meta.concrete_fields
            if only is None or field.primary_key or field.attname in only
        ]
        self.model = model
        self.using = using
        self._names = [field.attname for field in self.fields]
        self._has_its_ways = (
            model.__init__ is not Model.__init__
            or model.from_db.__func__ is not _DJANGOS
            or any(type(getattr_static(model, name)) not in _PLAIN for name in self._names)
        )
        self.table = f'"{meta.db_table}"'
        self.key = conditions.column(model, "pk")
        self.columns = ", ".join(f'{self.table}."{field.column}"' for field in self.fields)

    def __call__(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """The instances of what a SELECT of :attr:`columns` finds."""
        return self.made(self.fetch(sql, params))

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """What any SELECT finds in its database; the same again within :func:`sharing`."""
        shared = _shared.get()
        return self.ask(sql, params) if shared is None else shared.found(self, sql, params)

    def ask(self, sql: str, params: Sequence[Any]) -> list[Any]:
        """What it finds now."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, params)
            found: list[Any] = cursor.fetchall()
        return found

    def made(self, found: Sequence[Any]) -> list[Any]:
        """The instances of values of :attr:`columns`."""
        if self._converts:
            found = self._converted(found)
        names, using, model = self._names, self.using, self.model
        if self._has_its_ways or any(
            it.receivers and it.has_listeners(model) for it in (pre_init, post_init)
        ):
            return [model.from_db(using, names, values) for values in found]
        made = []
        for values in found:
            instance = model.__new__(model)
            instance.__dict__ = attributes = dict(zip(names, values))  # noqa: B905 - each has all
            attributes["_state"] = state = ModelState()
            state.db, state.adding = using, False
            made.append(instance)
        return made

    def by_key(self, keys: Iterable[Any], asked: Statement = conditions.ALL) -> list[Any]:
        """The rows with these primary keys of which a condition holds, in no order."""
        keys = list(keys)
        if not keys or asked is conditions.NONE:
            return []
        most = len(keys) if self._is_postgresql else MOST_KEYS
        found = []
        for start in range(0, len(keys), most):
            sql, params = conditions.both(self.among(keys[start : start + most]), asked)
            found += self(f"SELECT {self.columns} FROM {self.table} WHERE {sql}", params)
        return found

    def among(self, keys: Sequence[Any]) -> Statement:
        """The condition for rows with these primary keys."""
        connection, field = connections[self.using], self.model._meta.pk
        if type(field) in PLAIN_KEYS and set(map(type, keys)) == {int}:
            values = tuple(keys)
        else:
            values = tuple(field.get_db_prep_value(key, connection) for key in keys)
        if len(values) == 1:
            return f"{self.key} = %s", values
        if self._is_postgresql and isinstance(field, IntegerField):
            # As text, for psycopg names a list's type by its largest number: as many statements.
            return f"{self.key} = ANY(CAST(%s AS {self.kind(field)}[]))", (
                f"{{{','.join(map(str, values))}}}",
            )
        if self._is_postgresql:
            return f"{self.key} = ANY(%s)", (list(values),)
        return f"{self.key} IN ({', '.join(['%s'] * len(values))})", values

    @cached_property
    def width(self) -> int:
        return len(self.fields)

    @cached_property
    def nulls(self) -> str:
        """As many nulls, of the types of the columns."""
        if not self._is_postgresql:
            return ", ".join(["NULL"] * self.width)
        return ", ".join(f"CAST(NULL AS {self.kind(field)})" for field in self.fields)

    def kind(self, field: Any) -> str:
        """A field's type, as its database casts to it."""
        return str(field.cast_db_type(connections[self.using]))

    def at(self, name: str) -> int:
        """Where a column stands among the others, by its attribute."""
        return self._names.index(name)

    @property
    def _is_postgresql(self) -> bool:
        return connections[self.using].vendor == "postgresql"

    def _converted(self, found: Sequence[Any]) -> list[Any]:
        """Values as Python has them, where the database's driver does not see to it."""
        connection, rows = connections[self.using], [list(values) for values in found]
        for at, expression, converts in self._converts:
            for values in rows:
                for convert in converts:
                    values[at] = convert(values[at], expression, connection)
        return rows

    @cached_property
    def _converts(self) -> list[tuple[int, Any, Sequence[Callable[..., Any]]]]:
        connection = connections[self.using]
        columns = [(at, field.cached_col) for at, field in enumerate(self.fields)]
        converts = [
            (
                at,
                column,
                [
                    *connection.ops.get_db_converters(column),
                    *column.get_db_converters(connection),
                ],
            )
            for at, column in columns
        ]
        return [each for each in converts if each[2]]


_DJANGOS: Any = Model.from_db.__func__  # type: ignore[attr-defined]
#: Attributes that only hold a value; any other may make another of it.
_PLAIN = (DeferredAttribute, ForeignKeyDeferredAttribute)


@lru_cache(maxsize=1024)
def _reader(model: type[Model], only: frozenset[str] | None, using: str) -> Reader:
    return Reader(model, only, using)


def _is_plain(rows: Any) -> bool:
    """Whether a QuerySet makes instances of its own table's rows and does nothing more."""
    meta, query = rows.model._meta, rows.query
    return not (
        (meta.parents and not meta.proxy)
        or query.select_related
        or query.deferred_loading != (frozenset(), True)
        or rows._prefetch_related_lookups
        or rows._iterable_class is not ModelIterable
        or type(rows)._fetch_all is not QuerySet._fetch_all
    )
