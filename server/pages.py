"""One page of a stream: bounded index ranges.

A page seeks to its cursor in an index and reads no further than it must: never an OFFSET from the
start, never a sort of all that matches. Many pages of one shape are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import attrgetter, or_
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet

from . import conditions, counts, rows, windows
from .conditions import Statement
from .cursors import Position, written
from .rows import Columns, Reader
from .windows import Window

#: SQLite takes at most 500 parts of a union.
MOST_ARMS = 400

#: Drops rows: from a QuerySet, one of some of its rows.
Narrow = Callable[[QuerySet[Any]], QuerySet[Any]]


@dataclass(frozen=True)
class Ranges:
    """Rows, newest first, as the union of ranges that an index holds in that order."""

    queryset: QuerySet[Any]
    """What every row must satisfy; a plain QuerySet: unsliced and of whole rows."""
    arms: tuple[Q, ...] = (Q(),)
    """Each one range; a row may stand in several. No arms: no rows. ``Q()``: all of them."""
    time: str = "timestamp"
    """The field that orders; the primary key breaks ties."""
    counted: str = "pk"
    """The field of which a count counts the distinct values."""
    bounded: bool = True
    """Whether an index holds each arm; then many streams are read together."""

    def all(self) -> QuerySet[Any]:
        """All rows, each once, as one QuerySet."""
        if not self.arms:
            return self.queryset.none()
        return self.queryset.filter(reduce(or_, self.arms))

    def narrowed(self, narrow: Narrow | None = None) -> list[QuerySet[Any]]:
        """The rows of each range, or those of them that ``narrow`` leaves."""
        found = [self.queryset.filter(arm) for arm in self.arms]
        return [narrow(arm) for arm in found] if narrow else found

    def reader(self, only: Columns) -> rows.Reader:
        """The reader of its rows, whose cursors need the time."""
        only = None if only is None else {*only, self.time}
        return rows.reader(self.queryset.model, only, self.queryset.db)

    def page(self, window: Window, narrow: Narrow | None = None, only: Columns = None) -> Page:
        """One page of rows, in one statement; in two where ``narrow`` is given.

        ``narrow`` drops rows from within the ranges: then at most 10,000 rows of each are looked
        at, and where these do not fill the page it ends at the last one, with more to come. The
        rows have at least the columns ``only``.
        """
        [last] = horizons([self], window) if narrow else [None]
        found = Beginning(self, window, narrow, last).rows(only)
        return cut(found, window, self.time, last)

    def count(self, window: Window, narrow: Narrow | None = None) -> int | None:
        """How many rows there are between ``since`` and ``until``, in one statement.

        None beyond 10,000; with ``narrow``, also where more than that would have to be looked at.
        """
        return counts.numbers([counts.of_ranges(self, window, narrow)], self.queryset.db)[0]


@dataclass(frozen=True)
class Page:
    """Rows of a stream, newest first, and how to go on from them."""

    rows: Sequence[Any]
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None
    cursor: Callable[[Any], str]
    """The cursor of one of the rows."""


def pages(
    sources: Sequence[Ranges],
    window: Window,
    narrow: Narrow | None = None,
    only: Columns = None,
) -> list[Page]:
    """A page of each of many streams of one model.

    Together, in two statements for every 400 ranges, and one more with ``narrow``; one by one
    where no index bounds them.
    """
    if len(sources) < 2 or not all(source.bounded for source in sources):
        return [source.page(window, narrow, only) for source in sources]
    lasts = horizons(sources, window) if narrow else [None] * len(sources)
    beginnings = [
        Beginning(source, window, narrow, last)
        for source, last in zip(sources, lasts, strict=True)
    ]
    found = _each(beginnings, only)
    time = sources[0].time
    return [cut(mine, window, time, last) for mine, last in zip(found, lasts, strict=True)]


def cut(
    found: list[Any],
    window: Window,
    time: str = "timestamp",
    last: Position | None = None,
    *,
    quiet: bool = False,
) -> Page:
    """The page of rows that were found from its beginning on, one more than it holds.

    ``last`` is the last position that was looked at, if more may come behind it.
    """

    place = attrgetter(time, found[0]._meta.pk.attname) if found else None

    def cursor(row: Any) -> str:
        assert place
        return written(window.kind, *place(row), quiet)

    more, rows = len(found) > window.size, found[: window.size]
    near, far = (cursor(rows[0]), cursor(rows[-1])) if rows else (None, None)
    if last and not more:
        far, more = last.cursor(window.kind), True
        near = near or far
    if window.backward:
        has_previous_page = more or window.after is not None
        has_next_page = window.before is not None
        return Page(rows[::-1], has_next_page, has_previous_page, far, near, cursor)
    has_next_page = more or window.before is not None
    return Page(rows, has_next_page, window.after is not None, near, far, cursor)


def horizons(sources: Sequence[Ranges], window: Window) -> list[Position | None]:
    """The last row of each stream that may be looked at; None where all of it may.

    With several ranges it is the nearest of their ends: past that, rows of the range that is cut
    there would be missing between those of the others.
    """
    last = slice(windows.MOST_READ - 1, windows.MOST_READ)
    ends = _positions([Beginning(source, window) for source in sources], last)
    nearest = min if window.backward else max
    return [nearest(found, default=None) for found in ends]


@dataclass(frozen=True)
class Beginning:
    """The rows of a stream's ranges from where a page begins, to the last to be looked at."""

    source: Ranges
    window: Window
    narrow: Narrow | None = None
    last: Position | None = None

    @property
    def size(self) -> int:
        """As many as the page holds, and one more."""
        return self.window.size + 1

    def rows(self, only: Columns) -> list[Any]:
        """The first rows of the union of all ranges."""
        arms = self._written
        if arms is None and len(self.source.arms) == 1:
            return list(self._querysets()[0][: self.size])
        reader = self.source.reader(only)
        end = f"{self._order} LIMIT {self.size}"
        if arms is not None and len(arms) == 1:
            [(sql, params)] = arms
            return reader(f"SELECT {reader.columns} FROM {reader.table} WHERE {sql} {end}", params)
        if arms and connections[self.source.queryset.db].vendor == "postgresql":
            return self._merged(arms, reader, end)
        sql, params = conditions.union(self.positions(slice(self.size)))
        if not sql:
            return []
        # The columns are named: a name that the union did not have would be the outer row's.
        page = (
            f"WITH page(at, pk) AS ({sql} ORDER BY 1 {self._way}, 2 {self._way} LIMIT {self.size})"
        )
        return reader(
            f"SELECT {reader.columns} FROM {reader.table} WHERE {reader.key} IN"
            f" ({page} SELECT page.pk FROM page) {self._order}",
            params,
        )

    def _merged(self, arms: Sequence[Statement], reader: Reader, end: str) -> list[Any]:
        """The same by PostgreSQL, which reads no further in any range than the page needs.

        It merges ranges that are in the page's order, and passes over a row that it has had.
        """
        select = f"SELECT {reader.columns} FROM {reader.table}"
        ranges = " UNION ALL ".join(f"({select} WHERE {sql} {end})" for sql, _ in arms)
        place = ", ".join(conditions.column(self._model, it) for it in (self.source.time, "pk"))
        once = f"SELECT DISTINCT ON ({place}) {reader.columns} FROM ({ranges}) AS {reader.table}"
        return reader(f"{once} {end}", [param for _, params in arms for param in params])

    def positions(self, part: slice) -> list[Statement]:
        """SELECTs of where the rows of a part of each range stand, in the page's order."""
        if self._written is None:
            found = [rows[part] for rows in self._querysets()]
            selects = [conditions.as_sql(arm.values_list(self.source.time, "pk")) for arm in found]
            return [select for select in selects if select]
        start = part.start or 0
        end = f"LIMIT {part.stop - start} OFFSET {start}" if start else f"LIMIT {part.stop}"
        time, key = (conditions.column(self._model, name) for name in (self.source.time, "pk"))
        table = self._model._meta.db_table
        return [
            (f'SELECT {time}, {key} FROM "{table}" WHERE {sql} {self._order} {end}', params)
            for sql, params in self._written
        ]

    @cached_property
    def _written(self) -> list[Statement] | None:
        """Each range as a condition on its table alone; None where other tables take part."""
        queryset = self.source.queryset
        base = conditions.of(self.narrow(queryset) if self.narrow else queryset, self._within)
        arms = [conditions.where(self._model, queryset.db, arm) for arm in self.source.arms]
        if base is None or None in arms:
            return None
        both = (conditions.both(base, arm) for arm in arms if arm)
        return [condition for condition in both if condition is not conditions.NONE]

    def _querysets(self) -> list[QuerySet[Any]]:
        order = self.window.order(self.source.time)
        arms = self.source.narrowed(self.narrow)
        return [arm.filter(self._within).order_by(*order) for arm in arms]

    @cached_property
    def _within(self) -> Q:
        return self.window.ends(self.source.time, self.last)

    @property
    def _model(self) -> Any:
        return self.source.queryset.model

    @property
    def _way(self) -> str:
        return "ASC" if self.window.backward else "DESC"

    @property
    def _order(self) -> str:
        time, key = (conditions.column(self._model, name) for name in (self.source.time, "pk"))
        return f"ORDER BY {time} {self._way}, {key} {self._way}"


def _each(beginnings: Sequence[Beginning], only: Columns) -> list[list[Any]]:
    """The first rows of each of many."""
    size, newest_first = beginnings[0].size, not beginnings[0].window.backward
    firsts = [
        sorted(set(found), reverse=newest_first)[:size]
        for found in _positions(beginnings, slice(size))
    ]
    reader = beginnings[0].source.reader(only)
    keys = {position.pk for found in firsts for position in found}
    by_key = {row.pk: row for row in reader.by_key(keys)}
    return [[by_key[at.pk] for at in found if at.pk in by_key] for found in firsts]


def _positions(beginnings: Sequence[Beginning], part: slice) -> list[list[Position]]:
    """Where the rows of a part of each one's ranges stand."""
    queryset, time = beginnings[0].source.queryset, beginnings[0].source.time
    field = queryset.model._meta.get_field(time).cached_col
    connection = connections[queryset.db]
    converters = connection.ops.get_db_converters(field)
    positions: list[list[Position]] = [[] for _ in beginnings]
    arms = [(n, arm) for n, mine in enumerate(beginnings) for arm in mine.positions(part)]
    for start in range(0, len(arms), MOST_ARMS):
        some = arms[start : start + MOST_ARMS]
        sql = " UNION ALL ".join(f"SELECT {n}, arm.* FROM ({sql}) AS arm" for n, (sql, _) in some)
        with connection.cursor() as cursor:
            cursor.execute(sql, [param for _, (_, params) in some for param in params])
            for n, at, pk in cursor:
                for convert in converters:
                    at = convert(at, field, connection)
                positions[n].append(Position(at, pk))
    return positions
