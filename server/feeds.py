"""The stream of a user: what the followed do, without a walk over what everybody does.

The *probe* looks among the newest actions of all, where the stream of somebody who follows lively
people is. Where it finds too few, *heads* asks for the newest action of each of the followed, in
each role, and reads the ranges whose heads are the newest: an action sits in at most three ranges,
so the newest ``n`` actions of the stream are in those of the ``3n`` newest heads.

PostgreSQL copies whatever a leaf of the index has of a range, even where one row is wanted. So
the heads of a few say how new the page's last action is at least, and all are sought no further
back: then the dormant cost the same, however much they have done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Exists, OuterRef, Q, QuerySet

from . import conditions, counts, windows
from .conditions import Statement
from .cursors import Position
from .follows import Follow
from .pages import Narrow, Page, Ranges, cut, horizons
from .references import ROLES
from .rows import Columns, Reader
from .windows import Window

#: A probe looks at twice as many actions as there are follows, but at this many at least.
LEAST_PROBED = 500


@dataclass(frozen=True)
class Feed(Ranges):
    """What a user follows, of the actions in ``queryset`` that are public."""

    bounded: bool = False
    user_id: Any = None
    flag: str | None = None
    """Of which follows; of any when None."""
    own: tuple[int, str] | None = None
    """The user as (content type id, object id), where the user's own actions belong too."""
    glances: bool | None = None
    """Whether PostgreSQL looks up some of the newest first, as for who :func:`follows_many`; None:
    it finds out whether that is so."""

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
        return self.queryset.filter(belongs, _PUBLIC)

    def page(self, window: Window, narrow: Narrow | None = None, only: Columns = None) -> Page:
        """One page: in one statement for a lively stream, in two for a quiet one.

        With ``narrow``, 10,000 of all actions are looked at. Where these do not fill the page, it
        ends there, or right before the next action of the stream, in up to four statements.
        """
        if narrow:
            return self._narrowed(window, narrow, only)
        rows = [] if window.begins_quiet else self._probe(window, None, only)
        if len(rows) > window.size:
            return cut(rows, window)
        return cut(self._heads(window, window.size + 1, only), window, quiet=True)

    def _narrowed(self, window: Window, narrow: Narrow, only: Columns) -> Page:
        rows = self._probe(window, narrow, only)
        public = Ranges(self.queryset, (_PUBLIC,))
        [last] = horizons([public], window) if len(rows) <= window.size else [None]
        if last is None:
            return cut(rows, window)
        following = self._heads(window.beyond(last), 1, (self.time,))
        if not following:
            return cut(rows, window)
        at = Position.of(following[0], self.time)
        before_it = at._replace(pk=at.pk - 1 if window.backward else at.pk + 1)
        return cut(rows, window, last=before_it)

    def count(self, window: Window, narrow: Narrow | None = None) -> int | None:
        """How many there are; None beyond 10,000."""
        every = self._counting(window, None)
        wanted = self._counting(window, narrow) if narrow else None
        return counts.numbers([counts.bounded(every, wanted)], self.queryset.db)[0]

    def _probe(self, window: Window, narrow: Narrow | None, only: Columns) -> list[Any]:
        """The first rows among the newest, or oldest, of all."""
        within, way = self._within(window.ends(self.time)), _way(window)
        rows: QuerySet[Any] = self.queryset.model._default_manager.using(self.queryset.db)
        wanted = conditions.among(narrow(rows)) if narrow else conditions.ALL
        number, params = str(windows.MOST_READ), [*within[1]]
        if not narrow:
            greater, lesser = ("GREATEST", "LEAST") if self._is_postgresql else ("MAX", "MIN")
            follows, follows_params = self._follows()
            number = (
                f"{lesser}({windows.MOST_READ}, {greater}({LEAST_PROBED}, "
                f"2 * (SELECT COUNT(*) FROM {_FOLLOW} WHERE {follows})))"
            )
            params += follows_params
        belongs = self._belongs(_HASHED if self._is_postgresql else _LOOKED_UP)
        among = (
            f"FROM (SELECT * FROM {_ACTION} WHERE {within[0]} {way} LIMIT {number}) AS {_ACTION}"
            f" WHERE {wanted[0]} AND {belongs[0]}"
        )
        probe: Statement = (among, (*params, *wanted[1], *belongs[1]))
        end = f"{way} LIMIT {window.size + 1}"
        if not self._is_postgresql:
            return self._rows(window, f"SELECT id {probe[0]} {end}", probe[1], only)
        read = self.reader(only)
        if self.glances is not False and not narrow:
            return self._glance(window, within, probe, read)
        return read(f"SELECT {read.columns} {probe[0]} {end}", probe[1])

    def _glance(
        self, window: Window, within: Statement, probe: Statement, read: Reader
    ) -> list[Any]:
        """The same by PostgreSQL, which makes a table of all follows before a row is looked at.

        Of many follows, the first few rows are looked up one by one before, where somebody who
        follows many finds a page; only where that fails the probe is begun.
        """
        way, size, few = _way(window), window.size + 1, _few()
        first = min(len(ROLES) * size, LEAST_PROBED)  # no more than the probe would look at
        belongs, belongs_params = self._belongs(_LOOKED_UP)
        if self.glances is None:
            follows, follows_params = self._follows()
            counted = f"SELECT 1 FROM {_FOLLOW} WHERE {follows} LIMIT {few + 1}"
            belongs = f"(SELECT COUNT(*) FROM ({counted}) AS counted) > {few} AND {belongs}"
            belongs_params = (*follows_params, *belongs_params)
        end = f"{way} LIMIT {size}"
        return read(
            f"WITH glance AS MATERIALIZED (SELECT {read.columns} FROM (SELECT * FROM {_ACTION}"
            f" WHERE {within[0]} {way} LIMIT {first}) AS {_ACTION}"
            f" WHERE {belongs} {end})"
            f" SELECT * FROM (SELECT * FROM glance WHERE (SELECT COUNT(*) FROM glance) = {size}"
            f" UNION ALL SELECT * FROM (SELECT {read.columns} {probe[0]}"
            f" AND (SELECT COUNT(*) FROM glance) < {size} {end}) AS probe) AS page {way}",
            (*within[1], *belongs_params, *probe[1]),
        )

    def _belongs(self, followed: str) -> Statement:
        """That an action belongs to the stream, asked of each role in these words."""
        follows, follows_params = self._follows()
        belongs, params = [], list[Any]()
        for role in ROLES:
            among = follows if role == "actor" else f"{follows} AND NOT actor_only"
            belongs.append(followed.format(role=role, among=among))
            params += follows_params
        if self.own:
            belongs.append(
                f"({_ACTION}.actor_content_type_id = %s AND {_ACTION}.actor_object_id = %s)"
            )
            params += self.own
        return f"({' OR '.join(belongs)})", tuple(params)

    def _heads(self, window: Window, size: int, only: Columns) -> list[Any]:
        """The first ``size`` rows, from the ranges with the newest, or oldest, heads."""
        within, way = self._within(window.ends(self.time)), _way(window)
        followed, followed_params = self._followed()
        text = _POSTGRESQL_HEADS if self._is_postgresql else _SQLITE_HEADS
        named = {"within": within[0], "way": way, "size": size, "ranges": len(ROLES) * size}
        named |= {"few": 2 * size, "before": size - 1}
        named |= {"no_earlier": "<=" if window.backward else ">="}
        named |= {"ever": "infinity" if window.backward else "-infinity"}
        heads, arms = [], []
        for number, role in enumerate(ROLES):
            of = named | {"role": role, "number": number, "followed": _FOLLOWED[role]}
            heads.append(text["head"].format(**of))
            arms.append(text["arm"].format(**of))
        least = text["least"].format(**named)
        seeks = 2 * len(ROLES) + bool(least)
        return self._rows(
            window,
            f"WITH {followed}, {least} heads AS ({' UNION ALL '.join(heads)}), "
            + text["kept"].format(**named)
            + f" SELECT id FROM (SELECT * FROM ({' UNION '.join(arms)}) AS arms"
            f" {way} LIMIT {size}) AS page",
            (*followed_params, *(within[1] * seeks)),
            only,
        )

    def _counting(self, window: Window, narrow: Narrow | None) -> Statement:
        """An expression for the count, which stops a little past the bound."""
        within = self._within(window.between(self.time), narrow)
        followed, followed_params = self._followed()
        arms = [
            f"SELECT {_ACTION}.id FROM {_FOLLOWED[role]} AS followed JOIN {_ACTION} ON"
            f" {_ACTION}.{role}_content_type_id = followed.type"
            f" AND {_ACTION}.{role}_object_id = followed.object WHERE {within[0]}"
            for role in ROLES
        ]
        # Each action is at most three times among them.
        most = len(ROLES) * (windows.MOST_READ + 1)
        counted = f"SELECT * FROM ({' UNION ALL '.join(arms)}) AS arms LIMIT {most}"
        return (
            f"(WITH {followed} SELECT COUNT(DISTINCT id) FROM ({counted}) AS rows)",
            (*followed_params, *(within[1] * len(ROLES))),
        )

    def _follows(self) -> Statement:
        """The condition for the user's follows."""
        if self.flag is None:
            return "user_id = %s", (self._user_key,)
        return "user_id = %s AND flag = %s", (self._user_key, self.flag)

    def _followed(self) -> Statement:
        """Two tables, each of everybody and everything once: whose own actions belong to the
        stream, and what must be done to whom."""
        follows, params = self._follows()
        select, group = "SELECT content_type_id AS type, object_id AS object", "GROUP BY 1, 2"
        actors, actors_params = f"{select} FROM {_FOLLOW} WHERE {follows} {group}", params
        if self.own:
            others = f"{follows} AND NOT (content_type_id = %s AND object_id = %s)"
            actors = (
                f"SELECT CAST(%s AS integer) AS type, CAST(%s AS text) AS object"
                f" UNION ALL {select} FROM {_FOLLOW} WHERE {others} {group}"
            )
            actors_params = (*self.own, *params, *self.own)
        reached = f"{select} FROM {_FOLLOW} WHERE {follows} AND NOT actor_only {group}"
        return f"actors AS ({actors}), reached AS ({reached})", (*actors_params, *params)

    def _within(self, ends: Q, narrow: Narrow | None = None) -> Statement:
        written = None if narrow else conditions.of(self.queryset, _PUBLIC, ends)
        if written is not None:
            return written
        rows = self.queryset.filter(_PUBLIC, ends)
        return conditions.among(narrow(rows) if narrow else rows)

    def _rows(self, window: Window, sql: str, params: tuple[Any, ...], only: Columns) -> list[Any]:
        """The rows whose ids a SELECT finds."""
        read = self.reader(only)
        select = f"SELECT {read.columns} FROM {read.table} WHERE {read.key} IN ({sql})"
        return read(f"{select} {_way(window)}", params)

    @property
    def _is_postgresql(self) -> bool:
        return connections[self.queryset.db].vendor == "postgresql"

    @property
    def _user_key(self) -> Any:
        """The user's primary key as the database has it."""
        field: Any = Follow._meta.get_field("user")
        return field.get_db_prep_value(self.user_id, connections[self.queryset.db])


def follows_many(user: Any) -> bool:
    """Whether a user follows so many that a table made of them takes longer than a page."""
    return Follow.objects.filter(user_id=user.pk)[: _few() + 1].count() > _few()


def _few() -> int:
    """The most follows of which a probe looks no further than at :data:`LEAST_PROBED`."""
    return LEAST_PROBED // 2


#: Said with what else is asked, where it is written without Django's compiler.
_PUBLIC = Q(public=True)

_ACTION, _FOLLOW = "activity_action", "activity_follow"

# That the role is among the follows: looked up for each action, or in a table made of them once.
_LOOKED_UP = (
    f"(SELECT 1 FROM {_FOLLOW} WHERE {{among}}"
    f" AND content_type_id = {_ACTION}.{{role}}_content_type_id"
    f" AND object_id = {_ACTION}.{{role}}_object_id LIMIT 1) = 1"
)
_HASHED = (
    f"({_ACTION}.{{role}}_content_type_id, {_ACTION}.{{role}}_object_id) IN"
    f" (SELECT content_type_id, object_id FROM {_FOLLOW} WHERE {{among}})"
)

#: The table in which what takes a role is looked for.
_FOLLOWED = {role: "actors" if role == "actor" else "reached" for role in ROLES}

# The same plan in the words of each: one seek for every range's head, then the ranges kept.
_POSTGRESQL_HEADS = {
    "least": (
        "few AS (SELECT head.timestamp, head.id FROM actors CROSS JOIN LATERAL (SELECT timestamp,"
        " id FROM activity_action WHERE actor_content_type_id = actors.type"
        " AND actor_object_id = actors.object AND {within} {way} LIMIT 1) AS head LIMIT {few}),"
        " least AS (SELECT timestamp FROM few {way} LIMIT 1 OFFSET {before}),"
    ),
    "head": (
        "SELECT {number} AS role, followed.type, followed.object, head.timestamp, head.id"
        " FROM {followed} AS followed CROSS JOIN LATERAL (SELECT timestamp, id"
        " FROM activity_action WHERE {role}_content_type_id = followed.type"
        " AND {role}_object_id = followed.object AND {within}"
        " AND timestamp {no_earlier} COALESCE((SELECT timestamp FROM least), '{ever}')"
        " {way} LIMIT 1) AS head"
    ),
    "kept": "kept AS (SELECT role, type, object FROM heads {way} LIMIT {ranges})",
    "arm": (
        "SELECT arm.timestamp, arm.id FROM kept CROSS JOIN LATERAL (SELECT timestamp, id"
        " FROM activity_action WHERE {role}_content_type_id = kept.type"
        " AND {role}_object_id = kept.object AND {within} {way} LIMIT {size}) AS arm"
        " WHERE kept.role = {number}"
    ),
}
_SQLITE_HEADS = {
    "least": "",
    "head": (
        "SELECT {number} AS role, followed.type, followed.object, (SELECT id FROM activity_action"
        " WHERE {role}_content_type_id = followed.type AND {role}_object_id = followed.object"
        " AND {within} {way} LIMIT 1) AS head FROM {followed} AS followed"
    ),
    "kept": (
        "kept AS (SELECT heads.role, heads.type, heads.object FROM heads"
        " CROSS JOIN activity_action AS newest ON newest.id = heads.head {way} LIMIT {ranges})"
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
