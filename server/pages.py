"""One page of a stream: bounded index ranges.

A page seeks to its cursor in an index and reads no further than it must: never an OFFSET from the
start, never a sort of all that matches. Many pages of one shape are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from .cursors import PageError, Position

DEFAULT_SIZE = 20
MAX_SIZE = 100
#: A filtered page looks at no more rows of each range than this; a count counts no further.
WINDOW = 10_000
#: SQLite takes at most 500 parts of a union; a count has up to six.
MOST_ARMS, MOST_COUNTS = 400, 60

#: Drops rows: from a QuerySet, one of some of its rows.
Narrow = Callable[[QuerySet[Any]], QuerySet[Any]]
#: SQL and its parameters.
Statement = tuple[str, tuple[Any, ...]]


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
        rows = [self.queryset.filter(arm) for arm in self.arms]
        return [narrow(arm) for arm in rows] if narrow else rows

    def page(self, window: Window, narrow: Narrow | None = None) -> Page:
        """One page of rows, in one statement; in two where ``narrow`` is given.

        ``narrow`` drops rows from within the ranges: then at most 10,000 rows of each are looked
        at, and where these do not fill the page it ends at the last one, with more to come.
        """
        [last] = horizons([self], window) if narrow else [None]
        arms = _arms(self, window, narrow, last)
        return cut(list(_merged(self, arms, window)), window, self.time, last)

    def count(self, window: Window, narrow: Narrow | None = None) -> int | None:
        """How many rows there are between ``since`` and ``until``, in one statement.

        None beyond 10,000; with ``narrow``, also where more than that would have to be looked at.
        """
        return numbers([_bounded_count(self, window, narrow)], self.queryset.db)[0]


@dataclass(frozen=True)
class Window:
    """Which part of a stream is asked for, in Relay's words, and from when to when.

    ``since`` (inclusive) and ``until`` (exclusive) end the ranges themselves.

    Raises PageError for a size below 0 or above 100, for ``first`` with ``last``, and for a
    cursor that is none of this ``kind``.
    """

    kind: str
    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None:
            raise PageError("Ask for first or for last, not for both.")
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 0 <= size <= MAX_SIZE:
                raise PageError(f"{name} is at least 0 and at most {MAX_SIZE}; this is {size}.")
        self.ends("timestamp")  # reads the cursors

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        asked = self.last if self.backward else self.first
        return DEFAULT_SIZE if asked is None else asked

    @property
    def begins_quiet(self) -> bool:
        """Whether the page goes on from where a user's stream was found quiet."""
        start = self.before if self.backward else self.after
        return start is not None and Position.parse(start, self.kind).quiet

    def beyond(self, last: Position) -> Window:
        """What follows a position, in the direction of the page."""
        cursor = last.cursor(self.kind)
        return replace(self, before=cursor) if self.backward else replace(self, after=cursor)

    def order(self, time: str) -> tuple[str, str]:
        """From where the page begins: from the newest, or from the oldest."""
        return (time, "pk") if self.backward else (f"-{time}", "-pk")

    def between(self, time: str) -> Q:
        """The condition for what is from ``since`` to ``until``."""
        ends = Q() if self.since is None else Q(**{f"{time}__gte": self.since})
        return ends if self.until is None else ends & Q(**{f"{time}__lt": self.until})

    def ends(self, time: str) -> Q:
        """The condition for what is between the cursors, too."""
        ends = self.between(time)
        if self.after is not None:
            ends &= Position.parse(self.after, self.kind).older(time)
        if self.before is not None:
            ends &= Position.parse(self.before, self.kind).newer(time)
        return ends


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


def pages(sources: Sequence[Ranges], window: Window, narrow: Narrow | None = None) -> list[Page]:
    """A page of each of many streams of one model.

    Together, in two statements for every 400 ranges, and one more with ``narrow``; one by one
    where no index bounds them.
    """
    if len(sources) < 2 or not all(source.bounded for source in sources):
        return [source.page(window, narrow) for source in sources]
    lasts = horizons(sources, window) if narrow else [None] * len(sources)
    arms = [
        _arms(source, window, narrow, last) for source, last in zip(sources, lasts, strict=True)
    ]
    rows = _each(sources, arms, window)
    time = sources[0].time
    return [cut(found, window, time, last) for found, last in zip(rows, lasts, strict=True)]


def counts(
    sources: Sequence[Ranges], window: Window, narrow: Narrow | None = None
) -> list[int | None]:
    """The count of each of many streams; together, in one statement for every 60."""
    if not all(source.bounded for source in sources):
        return [source.count(window, narrow) for source in sources]
    statements = [_bounded_count(source, window, narrow) for source in sources]
    return numbers(statements, sources[0].queryset.db) if sources else []


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

    def cursor(row: Any) -> str:
        return Position.of(row, time)._replace(quiet=quiet).cursor(window.kind)

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
    time, last = sources[0].time, slice(WINDOW - 1, WINDOW)
    ends, order = window.ends(time), window.order(time)
    arms = [[arm.filter(ends).order_by(*order)[last] for arm in s.narrowed()] for s in sources]
    nearest = min if window.backward else max
    return [nearest(found, default=None) for found in _positions(sources, arms)]


def _arms(
    source: Ranges, window: Window, narrow: Narrow | None, last: Position | None
) -> list[QuerySet[Any]]:
    """The beginning of each range: as many rows as the page holds, and one more."""
    within, order = window.ends(source.time), window.order(source.time)
    if last:
        seek = last.older if window.backward else last.newer
        within &= seek(source.time, itself=True)
    ordered = (arm.filter(within).order_by(*order) for arm in source.narrowed(narrow))
    return [arm[: window.size + 1] for arm in ordered]


def _merged(ranges: Ranges, arms: list[QuerySet[Any]], window: Window) -> QuerySet[Any]:
    """The first rows of the union of sliced, ordered arms."""
    if len(arms) == 1:
        return arms[0]
    using = ranges.queryset.db
    sql, params = _union([arm.values_list(ranges.time, "pk") for arm in arms], using)
    if not sql:
        return ranges.queryset.none()
    way = "ASC" if window.backward else "DESC"
    # The columns are named here: a name that the union did not have would be the outer row's.
    first = (
        f"WITH page(at, pk) AS ({sql} ORDER BY 1 {way}, 2 {way} LIMIT {window.size + 1}) "
        "SELECT page.pk FROM page"
    )
    rows: QuerySet[Any] = ranges.queryset.model._base_manager.using(using)
    return rows.filter(pk__in=RawSQL(first, params)).order_by(*window.order(ranges.time))


def _each(
    sources: Sequence[Ranges], arms: list[list[QuerySet[Any]]], window: Window
) -> list[list[Any]]:
    """The first rows of each stream, from the first of its sliced, ordered arms."""
    firsts = [
        sorted(set(found), reverse=not window.backward)[: window.size + 1]
        for found in _positions(sources, arms)
    ]
    queryset = sources[0].queryset
    rows = queryset.model._base_manager.using(queryset.db).in_bulk(
        {position.pk for found in firsts for position in found}
    )
    return [[rows[at.pk] for at in found if at.pk in rows] for found in firsts]


def _positions(sources: Sequence[Ranges], arms: list[list[QuerySet[Any]]]) -> list[list[Position]]:
    """Where the rows of each stream's sliced arms stand."""
    queryset, time = sources[0].queryset, sources[0].time
    using, column = queryset.db, queryset.model._meta.get_field(time).cached_col
    connection = connections[using]
    converters = connection.ops.get_db_converters(column)
    positions: list[list[Position]] = [[] for _ in sources]
    numbered = [(number, arm) for number, mine in enumerate(arms) for arm in mine]
    for start in range(0, len(numbered), MOST_ARMS):
        selects: list[str] = []
        params: list[Any] = []
        for number, arm in numbered[start : start + MOST_ARMS]:
            if statement := _compiled(arm.values_list(time, "pk"), using):
                selects.append(f"SELECT {number}, arm.* FROM ({statement[0]}) AS arm")
                params += statement[1]
        if not selects:
            continue
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(selects), params)
            for number, at, pk in cursor:
                for convert in converters:
                    at = convert(at, column, connection)
                positions[number].append(Position(at, pk))
    return positions


def bounded(every: Statement, wanted: Statement | None) -> Statement:
    """A count's expression: of what is wanted, where there is no more of it all than the bound."""
    if wanted is None:
        return every
    # CASE looks at the second count only when the first has found that it is bounded.
    sql = f"CASE WHEN {every[0]} <= {WINDOW} THEN {wanted[0]} ELSE {WINDOW + 1} END"
    return sql, every[1] + wanted[1]


def numbers(statements: Sequence[Statement], using: str) -> list[int | None]:
    """What counts' expressions come to; None beyond the bound."""
    found: dict[int, int] = {}
    for start in range(0, len(statements), MOST_COUNTS):
        numbered = list(enumerate(statements))[start : start + MOST_COUNTS]
        sql = " UNION ALL ".join(f"SELECT {number}, {sql}" for number, (sql, _) in numbered)
        with connections[using].cursor() as cursor:
            cursor.execute(sql, [param for _, (_, params) in numbered for param in params])
            found |= cursor.fetchall()
    return [found[n] if found[n] <= WINDOW else None for n in range(len(statements))]


def _bounded_count(ranges: Ranges, window: Window, narrow: Narrow | None) -> Statement:
    every = _counting(ranges, window, None)
    return bounded(every, _counting(ranges, window, narrow) if narrow else None)


def _counting(ranges: Ranges, window: Window, narrow: Narrow | None) -> Statement:
    """An expression for the number of a stream's rows, which stops a little past the bound."""
    between = window.between(ranges.time)
    arms = [arm.filter(between).order_by() for arm in ranges.narrowed(narrow)]
    values = [arm.values(ranges.counted) for arm in arms]
    if ranges.counted != "pk":
        values = [value.distinct() for value in values]
    sql, params = _union([value[: WINDOW + 1] for value in values], ranges.queryset.db)
    return f"(SELECT COUNT(*) FROM ({sql}) AS counted)" if sql else "0", params


def _union(querysets: Sequence[QuerySet[Any]], using: str) -> Statement:
    """The union, with no SQL where every part is known to be empty.

    Django's own ``union()`` takes no sliced QuerySet on SQLite; SQLite itself takes a SELECT from
    one.
    """
    parts = [part for queryset in querysets if (part := _compiled(queryset, using))]
    sql = " UNION ".join(f"SELECT * FROM ({sql}) AS arm" for sql, _ in parts)
    return sql, tuple(param for _, params in parts for param in params)


def _compiled(queryset: QuerySet[Any], using: str) -> Statement | None:
    """A QuerySet as SQL; None where it is known to be empty."""
    try:
        sql, params = queryset.query.get_compiler(using=using).as_sql()
    except EmptyResultSet:
        return None
    return sql, tuple(params)
