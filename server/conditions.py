"""What holds of the rows of one table, as SQL.

Django's compiler takes longer to say ``"timestamp" <= %s`` than a database to find the page that
begins there. So comparisons of a row's own columns are written here; whatever else a site asks of
its rows, Django compiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, FullResultSet
from django.db import connections
from django.db.models import BooleanField, Field, ForeignKey, JSONField, Model, Q, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact

#: SQL and its parameters.
Statement = tuple[str, tuple[Any, ...]]

#: What holds of every row, and of none.
ALL: Statement = ("1 = 1", ())
NONE: Statement = ("1 = 0", ())

_COMPARISONS = {"": "=", "exact": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def of(rows: QuerySet[Any], *wanted: Q) -> Statement | None:
    """What an unsliced QuerySet asks of its rows, and what is wanted of them besides.

    In words of their own table; None where other tables take part.
    """
    written, connection = [ALL], connections[rows.db]
    for q in wanted:
        if (sql := _written(q, rows.model, connection)) is None:
            rows = rows.filter(q)
        else:
            written.append(sql)
    asked = _asked(rows)
    return asked and both(asked, *written)


def where(model: type[Model], using: str, wanted: Q) -> Statement | None:
    """What is wanted of the rows of a model, as :func:`of`."""
    written = _written(wanted, model, connections[using])
    return _asked(model._base_manager.using(using).filter(wanted)) if written is None else written


def among(rows: QuerySet[Any]) -> Statement:
    """The same of any unsliced QuerySet: where other tables take part, by primary key."""
    asked = _asked(rows)
    if asked is None:
        found = as_sql(rows.order_by().values("pk"))
        asked = found and (f"{column(rows.model, 'pk')} IN ({found[0]})", found[1])
    return asked or NONE


def both(*conditions: Statement) -> Statement:
    """What holds where all of these do."""
    if NONE in conditions:
        return NONE
    parts = [condition for condition in conditions if condition is not ALL] or [ALL]
    return " AND ".join(sql for sql, _ in parts), tuple(p for _, params in parts for p in params)


def as_sql(rows: QuerySet[Any]) -> Statement | None:
    """A QuerySet as SQL; None where it is known to be empty."""
    try:
        sql, params = rows.query.get_compiler(using=rows.db).as_sql()
    except EmptyResultSet:
        return None
    return sql, tuple(params)


def union(parts: Iterable[Statement]) -> Statement:
    """The union of SELECTs; without SQL where there is none.

    Django's own ``union()`` takes no sliced QuerySet on SQLite; SQLite itself takes a SELECT from
    one.
    """
    parts = list(parts)
    sql = " UNION ".join(f"SELECT * FROM ({sql}) AS arm" for sql, _ in parts)
    return sql, tuple(param for _, params in parts for param in params)


def column(model: type[Model], name: str) -> str:
    """A column of a model's table, as SQL names it."""
    found = _column(model, name)
    assert found, f"{model._meta.label} has no column {name} of its own"
    return found[0]


def _written(
    wanted: Q, model: type[Model], connection: Any, negated: bool = False
) -> Statement | None:
    """A condition on a row's own columns; None where it is of another kind."""
    if wanted.connector == Q.XOR:
        return None
    parts: list[str] = []
    params: list[Any] = []
    negated ^= wanted.negated
    for child in wanted.children:
        if isinstance(child, Q):
            part = _written(child, model, connection, negated)
        elif type(child) is tuple:
            part = _compared(model, connection, negated, *child)
        else:
            return None
        if part is None:
            return None
        if part is not ALL:  # as Django, which passes over an empty Q
            parts.append(part[0])
            params += part[1]
    if not parts:
        return ALL
    sql = f" {wanted.connector} ".join(parts)
    return f"NOT ({sql})" if wanted.negated else f"({sql})", tuple(params)


def _compared(
    model: type[Model], connection: Any, negated: bool, name: str, value: Any
) -> Statement | None:
    found = _comparison(model, name) if type(value) in (str, int, bool, datetime) else None
    if found is None:
        return None
    sql, operator, field = found
    if negated and field.null:
        return None  # null is neither equal nor unequal to SQL
    if isinstance(field, BooleanField):
        return _flag(sql, value, connection) if type(value) is bool else None
    return f"{sql} {operator} %s", (field.get_db_prep_value(value, connection),)


@cache
def _comparison(model: type[Model], name: str) -> tuple[str, str, Any] | None:
    """The column, the operator and the field of a lookup; None where Django has to write it."""
    name, _, comparison = name.partition("__")
    found = _column(model, name)
    if found is None or comparison not in _COMPARISONS:
        return None
    sql, field = found
    if comparison and isinstance(field, BooleanField):
        return None
    return sql, _COMPARISONS[comparison], field


def _flag(sql: str, value: bool, connection: Any) -> Statement:
    """A boolean column, as conditions of indexes have it: to SQLite only the same text is equal.

    Django 5.2 writes ``WHERE "public"`` there, Django 6.1 ``WHERE "public" = 1``.
    """
    if not value:
        return f"NOT {sql}", ()
    if connection.vendor == "sqlite":
        return f"({sql} AND {sql} = 1)", ()
    return sql, ()


def _flags(rows: QuerySet[Any]) -> Statement | None:
    """What a QuerySet asks of its rows, if that is flags of their own alone, as ``public()``."""
    where: Any = rows.query.where
    model: type[Model] = rows.model
    if where.negated or where.connector != "AND":
        return None
    written, connection = [], connections[rows.db]
    for child in where.children:
        column = getattr(child, "lhs", None)
        if not (isinstance(child, Exact) and isinstance(column, Col) and type(child.rhs) is bool):
            return None
        name = column.target.attname
        found = _column(model, name) if column.alias == model._meta.db_table else None
        if found is None or not isinstance(found[1], BooleanField):
            return None
        written.append(_flag(found[0], child.rhs, connection))
    return both(*written)


@cache
def _column(model: type[Model], name: str) -> tuple[str, Any] | None:
    meta: Any = model._meta
    try:
        field = meta.pk if name == "pk" else meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if not isinstance(field, Field) or isinstance(field, JSONField):
        return None
    if field.model._meta.db_table != meta.db_table:
        return None  # a multi-table parent's
    if isinstance(field, ForeignKey) and not field.target_field.primary_key:
        return None
    return f'"{meta.db_table}"."{field.column}"', field


def _asked(rows: QuerySet[Any]) -> Statement | None:
    """What a QuerySet asks of its rows; None where other tables take part."""
    query: Any = rows.query
    if query.distinct or query.annotations or query.extra or query.combinator:
        return None
    if sum(1 for uses in query.alias_refcount.values() if uses) > 1:
        return None
    if not query.where:
        return ALL
    if flags := _flags(rows):
        return flags
    try:
        sql, params = query.get_compiler(using=rows.db).compile(query.where)
    except EmptyResultSet:
        return NONE
    except FullResultSet:
        return ALL
    return f"({sql})", tuple(params)
