"""How many rows a stream has; never counted further than 10,000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import connections

from . import conditions, windows
from .conditions import Statement
from .windows import Window

if TYPE_CHECKING:
    from .pages import Narrow, Ranges

#: SQLite takes at most 500 parts of a union; a count has up to six.
MOST_COUNTS = 60


def of(
    sources: Sequence[Ranges], window: Window, narrow: Narrow | None = None
) -> list[int | None]:
    """The count of each of many streams; together, in one statement for every 60.

    None beyond 10,000; with ``narrow``, also where more than that would have to be looked at.
    """
    if not all(source.bounded for source in sources):
        return [source.count(window, narrow) for source in sources]
    expressions = [of_ranges(source, window, narrow) for source in sources]
    return numbers(expressions, sources[0].queryset.db) if sources else []


def of_ranges(ranges: Ranges, window: Window, narrow: Narrow | None) -> Statement:
    """An expression for the number of rows between ``since`` and ``until``."""
    every = _counting(ranges, window, None)
    return bounded(every, _counting(ranges, window, narrow) if narrow else None)


def bounded(every: Statement, wanted: Statement | None) -> Statement:
    """An expression: of what is wanted, where there is no more of it all than the bound."""
    if wanted is None:
        return every
    # CASE looks at the second count only when the first has found that it is bounded.
    most = windows.MOST_READ
    sql = f"CASE WHEN {every[0]} <= {most} THEN {wanted[0]} ELSE {most + 1} END"
    return sql, every[1] + wanted[1]


def numbers(expressions: Sequence[Statement], using: str) -> list[int | None]:
    """What counts' expressions come to; None beyond the bound."""
    found: dict[int, int] = {}
    for start in range(0, len(expressions), MOST_COUNTS):
        numbered = list(enumerate(expressions))[start : start + MOST_COUNTS]
        sql = " UNION ALL ".join(f"SELECT {number}, {sql}" for number, (sql, _) in numbered)
        with connections[using].cursor() as cursor:
            cursor.execute(sql, [param for _, (_, params) in numbered for param in params])
            found |= cursor.fetchall()
    return [found[n] if found[n] <= windows.MOST_READ else None for n in range(len(expressions))]


def _counting(ranges: Ranges, window: Window, narrow: Narrow | None) -> Statement:
    """An expression for the number of a stream's rows, which stops a little past the bound."""
    between = window.between(ranges.time)
    arms = [arm.filter(between).order_by() for arm in ranges.narrowed(narrow)]
    values = [arm.values(ranges.counted) for arm in arms]
    if ranges.counted != "pk":
        values = [value.distinct() for value in values]
    found = [conditions.as_sql(value[: windows.MOST_READ + 1]) for value in values]
    sql, params = conditions.union(filter(None, found))
    return f"(SELECT COUNT(*) FROM ({sql}) AS counted)" if sql else "0", params
