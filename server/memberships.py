"""Which of many streams some actions belong to, in as few statements as can be.

A stream of dicts pins columns of the action itself, so the action answers. Those of users ask who
of them follows whom, all in one statement, so that a follow counts from the next action on. Every
other stream asks the database, many at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, reduce
from operator import or_
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, models
from django.db.models import Q, QuerySet

from . import conditions
from .actions import Action
from .conditions import Statement
from .feeds import Feed
from .follows import Follow
from .objects import Reference
from .pages import Ranges
from .references import ROLES

#: At most so many questions in one statement, and so many users.
MOST_ASKED, MOST_USERS = 50, 5_000


class Membership:
    """What belongs to a stream, as far as an action's own columns say."""

    def __init__(self, source: Ranges) -> None:
        self.source = source
        self.feed = source if isinstance(source, Feed) else None
        asked = conditions.of(source.queryset)
        self._is_public = asked == _public(source.queryset.db)
        self._is_plain = self._is_public or asked == conditions.ALL
        self._arms = [_pins(arm) for arm in source.arms]

    @property
    def asks_follows(self) -> bool:
        return self.feed is not None and self._is_plain

    def holds(self, action: Action) -> bool | None:
        """Whether the action belongs to the stream; None: only the database can say."""
        if self.feed is not None:
            return None if action.public else False
        if self._is_public and not action.public:
            return False
        answers = [_fits(action, pins, is_all) for pins, is_all in self._arms]
        if True in answers and self._is_plain:
            return True
        return None if True in answers or None in answers else False


def among(memberships: Sequence[Membership], actions: Sequence[Action]) -> list[set[int]]:
    """For each stream, the ids of those actions that belong to it.

    In no statement but one for all streams of users, and one for every 50 others that the actions
    alone do not answer for.
    """
    belonging: list[set[int]] = []
    feeds: list[int] = []
    asked: list[tuple[int, QuerySet[Any]]] = []
    for at, membership in enumerate(memberships):
        answers = {action.pk: membership.holds(action) for action in actions}
        belonging.append({pk for pk, holds in answers.items() if holds})
        open_ = [pk for pk, holds in answers.items() if holds is None]
        if open_ and membership.asks_follows:
            feeds.append(at)
        elif open_:
            asked.append((at, membership.source.all().filter(pk__in=open_)))
    for at, pks in zip(
        feeds, _followed([memberships[at].feed for at in feeds], actions), strict=True
    ):
        belonging[at] |= pks
    for (at, _), pks in zip(asked, asking([rows for _, rows in asked]), strict=True):
        belonging[at] |= pks
    return belonging


def asking(questions: Sequence[QuerySet[Any]]) -> list[set[Any]]:
    """The primary keys of each of many QuerySets of one database; equal ones are asked once."""
    written = [conditions.as_sql(rows.order_by().values("pk")) for rows in questions]
    found: dict[Any, set[Any]] = {}
    keys = [sql and (sql[0], repr(sql[1])) for sql in written]
    distinct = {key: sql for key, sql in zip(keys, written, strict=True) if key and sql}
    todo = list(distinct.items())
    for start in range(0, len(todo), MOST_ASKED):
        found |= _ask(todo[start : start + MOST_ASKED], questions[0].db)
    return [found.get(key, set()) for key in keys]


def _ask(questions: Sequence[tuple[Any, Statement]], using: str) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = {key: set() for key, _ in questions}
    sql = " UNION ALL ".join(
        f"SELECT {at}, asked.* FROM ({sql}) AS asked" for at, (_, (sql, _)) in enumerate(questions)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [param for _, (_, params) in questions for param in params])
        for at, pk in cursor.fetchall():
            found[questions[at][0]].add(pk)
    return found


def _followed(feeds: Sequence[Any], actions: Sequence[Action]) -> list[set[int]]:
    """For each user's stream, the ids of the actions that are in it."""
    if not feeds:
        return []
    using = feeds[0].queryset.db
    public = [action for action in actions if action.public]
    names = {(action.pk, role): _reference(action, role) for action in public for role in ROLES}
    follows = _follows({feed.user_id for feed in feeds}, {*names.values()} - {None}, using)
    found = []
    for feed in feeds:
        mine = follows.get(feed.user_id, [])
        actors, reached = set(), set()
        for named, flag, actor_only in mine:
            if feed.flag in (None, flag):
                actors.add(named)
                if not actor_only:
                    reached.add(named)
        if feed.own:
            actors.add((feed.own[0], feed.own[1]))
        found.append(
            {
                pk
                for (pk, role), named in names.items()
                if named in (actors if role == "actor" else reached)
            }
        )
    return found


def _follows(
    users: Iterable[Any], references: Iterable[Any], using: str
) -> dict[Any, list[tuple[Reference, str, bool]]]:
    """What users follow of some objects, under which flag, and whether as actors alone."""
    keys: dict[int, list[str]] = {}
    for type_id, object_id in references:
        keys.setdefault(type_id, []).append(object_id)
    if not keys:
        return {}
    named = reduce(or_, (Q(content_type=t, object_id__in=ids) for t, ids in keys.items()))
    found: dict[Any, list[tuple[Reference, str, bool]]] = {}
    users = list(users)
    for start in range(0, len(users), MOST_USERS):
        rows = Follow.objects.using(using).filter(
            named, user__in=users[start : start + MOST_USERS]
        )
        columns = ("user_id", "content_type_id", "object_id", "flag", "actor_only")
        for user, type_id, object_id, flag, actor_only in rows.order_by().values_list(*columns):
            found.setdefault(user, []).append(((type_id, object_id), flag, actor_only))
    return found


def _reference(action: Action, role: str) -> Reference | None:
    type_id = getattr(action, f"{role}_content_type_id")
    return None if type_id is None else (type_id, getattr(action, f"{role}_object_id"))


def _pins(arm: Q) -> tuple[list[tuple[str, Any]], bool]:
    """What a condition asks of columns of the action alone, and whether that is all it asks."""
    if arm.negated or (arm.connector != Q.AND and len(arm.children) > 1):
        return [], False
    pins, is_all = [], True
    for child in arm.children:
        if isinstance(child, Q):
            more, known = _pins(child)
            pins += more
        else:
            pin = _pin(child)
            pins += [pin] if pin else []
            known = pin is not None
        is_all = is_all and known
    return pins, is_all


def _pin(child: Any) -> tuple[str, Any] | None:
    if type(child) is not tuple:
        return None
    name, value = child
    field = _columns().get(name)
    if field is None:
        return None
    if isinstance(value, ContentType):
        value = value.pk
    kinds: tuple[type, ...] = (str,)
    if isinstance(field, models.BooleanField):
        kinds = (bool,)
    elif isinstance(field, models.ForeignKey):
        kinds = (int,)
    return (field.attname, value) if value is None or type(value) in kinds else None


def _fits(action: Action, pins: Sequence[tuple[str, Any]], is_all: bool) -> bool | None:
    if any(getattr(action, name) != value for name, value in pins):
        return False
    return True if is_all else None


@cache
def _columns() -> dict[str, Any]:
    kinds = (models.BooleanField, models.CharField, models.ForeignKey)
    fields = [field for field in Action._meta.concrete_fields if isinstance(field, kinds)]
    return {name: field for field in fields for name in (field.name, field.attname)}


@cache
def _public(using: str) -> Statement | None:
    return conditions.of(Action._base_manager.using(using).filter(public=True))
