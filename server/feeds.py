"""The stream of a user: what the followed do, without a walk over what everybody does.

The *probe* looks among the newest actions of all, where the stream of somebody who follows lively
people is. Where it finds too few, *heads* asks for the newest action of each of the followed, in
each role, and reads the ranges whose heads are the newest: an action sits in at most three ranges,
so the newest ``n`` actions of the stream are in those of the ``3n`` newest heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL

from . import pages
from .cursors import Position
from .follows import Follow
from .pages import Narrow, Page, Ranges, Statement, Window, cut, horizons
from .references import ROLES

#: A probe looks at twice as many actions as there are follows, but at this many at least.
LEAST_PROBED = 500


@dataclass(frozen=True)
class Feed(Ranges):
    """What a user follows, of the public actions in ``queryset``."""

    bounded: bool = False
    user_id: Any = None
    flag: str | None = None
    """Of which follows; of any when None."""
    own: tuple[int, str] | None = None
    """The user as (content type id, object id), where the user's own actions belong too."""

    def all(self) -> QuerySet[Any]:
        """The same as one QuerySet, to be filtered further; what it finds takes a walk."""
        follows = Follow.objects.using(self.queryset.db).filter(user_id=self.user_id)
        belongs = Q()
        for role in ROLES:
            same = follows.flagged(self.flag).filter(
                content_type=OuterRef(f"{role}_content_type"),
                object_id=OuterRef(f"{role}_object_id"),
            )
            belongs |= Q(Exists(same if role == "actor" else same.filter(actor_only=False)))
        if self.own:
            belongs |= Q(actor_content_type=self.own[0], actor_object_id=self.own[1])
        return self.queryset.filter(belongs)

    def page(self, window: Window, narrow: Narrow | None = None) -> Page:
        """One page: in one statement for a lively stream, in two for a quiet one.

        With ``narrow``, 10,000 of all actions are looked at. Where these do not fill the page, it
        ends there, or right before the next action of the stream, in up to four statements.
        """
        if narrow:
            return self._narrowed(window, narrow)
        rows = [] if window.begins_quiet else list(self._probe(window))
        if len(rows) > window.size:
            return cut(rows, window)
        return cut(list(self._heads(window, window.size + 1)), window, quiet=True)

    def _narrowed(self, window: Window, narrow: Narrow) -> Page:
        rows = list(self._probe(window, narrow))
        [last] = horizons([Ranges(self.queryset)], window) if len(rows) <= window.size else [None]
        if last is None:
            return cut(rows, window)
        following = self._heads(window.beyond(last), 1).first()
        if following is None:
            return cut(rows, window)
        at = Position.of(following, self.time)
        before_it = at._replace(pk=at.pk - 1 if window.backward else at.pk + 1)
        return cut(rows, window, last=before_it)

    def count(self, window: Window, narrow: Narrow | None = None) -> int | None:
        """How many there are; None beyond 10,000."""
        every = self._counting(window, None)
        wanted = self._counting(window, narrow) if narrow else None
        return pages.numbers([pages.bounded(every, wanted)], self.queryset.db)[0]

    def _probe(self, window: Window, narrow: Narrow | None = None) -> QuerySet[Any]:
        """The first rows among the newest, or oldest, of all."""
        within, way = self._within(window.ends(self.time)), _way(window)
        wanted = _condition(narrow(self.queryset.model._default_manager.all())) if narrow else _ALL
        follows, follows_params = self._follows()
        belongs: list[str] = []
        belongs_params: list[Any] = []
        for role in ROLES:
            actor_only = "" if role == "actor" else " AND NOT actor_only"
            belongs.append(
                f"EXISTS (SELECT 1 FROM {_FOLLOW} WHERE {follows}{actor_only}"
                f" AND content_type_id = {_ACTION}.{role}_content_type_id"
                f" AND object_id = {_ACTION}.{role}_object_id)"
            )
            belongs_params += follows_params
        if self.own:
            belongs.append(
                f"({_ACTION}.actor_content_type_id = %s AND {_ACTION}.actor_object_id = %s)"
            )
            belongs_params += self.own
        number, number_params = str(pages.WINDOW), ()
        if not narrow:
            greater, lesser = ("GREATEST", "LEAST") if self._is_postgresql else ("MAX", "MIN")
            number = (
                f"{lesser}({pages.WINDOW}, {greater}({LEAST_PROBED}, "
                f"2 * (SELECT COUNT(*) FROM {_FOLLOW} WHERE {follows})))"
            )
            number_params = follows_params
        return self._rows(
            window,
            f"SELECT id FROM (SELECT * FROM {_ACTION} WHERE {within[0]} {way} LIMIT {number})"
            f" AS {_ACTION} WHERE {wanted[0]} AND ({' OR '.join(belongs)})"
            f" {way} LIMIT {window.size + 1}",
            (*within[1], *number_params, *wanted[1], *belongs_params),
        )

    def _heads(self, window: Window, size: int) -> QuerySet[Any]:
        """The first ``size`` rows, from the ranges with the newest, or oldest, heads."""
        within, way = self._within(window.ends(self.time)), _way(window)
        followed, followed_params = self._followed()
        text = _POSTGRESQL_HEADS if self._is_postgresql else _SQLITE_HEADS
        heads, arms = [], []
        for number, role in enumerate(ROLES):
            named = {"role": role, "number": number, "within": within[0], "way": way}
            reaches = "" if role == "actor" else " WHERE NOT followed.actor_only"
            heads.append(text["head"].format(**named, reaches=reaches))
            arms.append(text["arm"].format(**named, size=size))
        return self._rows(
            window,
            f"WITH followed AS ({followed}), heads AS ({' UNION ALL '.join(heads)}), "
            + text["kept"].format(way=way, size=len(ROLES) * size)
            + f" SELECT id FROM (SELECT * FROM ({' UNION '.join(arms)}) AS arms"
            f" {way} LIMIT {size}) AS page",
            (*followed_params, *(within[1] * (2 * len(ROLES)))),
        )

    def _counting(self, window: Window, narrow: Narrow | None) -> Statement:
        """An expression for the count, which stops a little past the bound."""
        within = self._within(window.between(self.time), narrow)
        followed, followed_params = self._followed()
        arms = [
            f"SELECT {_ACTION}.id FROM followed JOIN {_ACTION} ON"
            f" {_ACTION}.{role}_content_type_id = followed.type"
            f" AND {_ACTION}.{role}_object_id = followed.object"
            f" WHERE {within[0]}{'' if role == 'actor' else ' AND NOT followed.actor_only'}"
            for role in ROLES
        ]
        # Each action is at most three times among them.
        most = len(ROLES) * (pages.WINDOW + 1)
        counted = f"SELECT * FROM ({' UNION ALL '.join(arms)}) AS arms LIMIT {most}"
        return (
            f"(WITH followed AS ({followed}) SELECT COUNT(DISTINCT id) FROM ({counted}) AS rows)",
            (*followed_params, *(within[1] * len(ROLES))),
        )

    def _follows(self) -> Statement:
        """The condition for the user's follows."""
        if self.flag is None:
            return "user_id = %s", (self._user_key,)
        return "user_id = %s AND flag = %s", (self._user_key, self.flag)

    def _followed(self) -> Statement:
        """Whom and what the user follows, once under whichever flags, and the user's self."""
        follows, params = self._follows()
        sql = (
            "SELECT content_type_id AS type, object_id AS object,"
            f" MIN(CASE WHEN actor_only THEN 1 ELSE 0 END) = 1 AS actor_only FROM {_FOLLOW}"
            f" WHERE {follows} GROUP BY content_type_id, object_id"
        )
        if not self.own:
            return sql, params
        true = "TRUE" if self._is_postgresql else "1"
        own_type = "CAST(%s AS integer), CAST(%s AS text)"
        return f"{sql} UNION ALL SELECT {own_type}, {true}", (*params, *self.own)

    def _within(self, ends: Q, narrow: Narrow | None = None) -> Statement:
        rows = self.queryset.filter(ends)
        return _condition(narrow(rows) if narrow else rows)

    def _rows(self, window: Window, sql: str, params: tuple[Any, ...]) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.queryset.model._base_manager.using(self.queryset.db)
        return rows.filter(pk__in=RawSQL(sql, params)).order_by(*window.order(self.time))

    @property
    def _is_postgresql(self) -> bool:
        return connections[self.queryset.db].vendor == "postgresql"

    @property
    def _user_key(self) -> Any:
        """The user's primary key as the database has it."""
        field: Any = Follow._meta.get_field("user")
        return field.get_db_prep_value(self.user_id, connections[self.queryset.db])


_ACTION, _FOLLOW = "activity_action", "activity_follow"
_ALL: Statement = ("1 = 1", ())

# The same plan in the words of each: one seek for every range's head, then the ranges kept.
_POSTGRESQL_HEADS = {
    "head": (
        "SELECT {number} AS role, followed.type, followed.object, head.timestamp, head.id"
        " FROM followed CROSS JOIN LATERAL (SELECT timestamp, id FROM activity_action"
        " WHERE {role}_content_type_id = followed.type AND {role}_object_id = followed.object"
        " AND {within} {way} LIMIT 1) AS head{reaches}"
    ),
    "kept": "kept AS (SELECT role, type, object FROM heads {way} LIMIT {size})",
    "arm": (
        "SELECT arm.timestamp, arm.id FROM kept CROSS JOIN LATERAL (SELECT timestamp, id"
        " FROM activity_action WHERE {role}_content_type_id = kept.type"
        " AND {role}_object_id = kept.object AND {within} {way} LIMIT {size}) AS arm"
        " WHERE kept.role = {number}"
    ),
}
_SQLITE_HEADS = {
    "head": (
        "SELECT {number} AS role, followed.type, followed.object, (SELECT id FROM activity_action"
        " WHERE {role}_content_type_id = followed.type AND {role}_object_id = followed.object"
        " AND {within} {way} LIMIT 1) AS head FROM followed{reaches}"
    ),
    "kept": (
        "kept AS (SELECT heads.role, heads.type, heads.object FROM heads"
        " CROSS JOIN activity_action AS newest ON newest.id = heads.head {way} LIMIT {size})"
    ),
    "arm": (
        "SELECT arm.timestamp, arm.id FROM kept CROSS JOIN activity_action AS arm ON arm.id IN"
        " (SELECT id FROM activity_action WHERE {role}_content_type_id = kept.type"
        " AND {role}_object_id = kept.object AND {within} {way} LIMIT {size})"
        " WHERE kept.role = {number}"
    ),
}


def _way(window: Window) -> str:
    way = "ASC" if window.backward else "DESC"
    return f"ORDER BY timestamp {way}, id {way}"


def _condition(rows: QuerySet[Any]) -> Statement:
    """What a QuerySet asks of its rows, in words of their table."""
    query: Any = rows.query
    compiler = query.get_compiler(using=rows.db)
    try:
        if sum(1 for uses in query.alias_refcount.values() if uses) > 1:
            sql, params = rows.order_by().values("pk").query.get_compiler(using=rows.db).as_sql()
            return f"{_ACTION}.id IN ({sql})", tuple(params)
        sql, params = compiler.compile(query.where)
    except EmptyResultSet:
        return "1 = 0", ()
    except FullResultSet:
        return _ALL
    return sql, tuple(params)
