"""Which streams actions belong to: what their QuerySets would say, in few statements."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from server import memberships
from server.memberships import Membership
from server.models import Action, follow
from server.pages import Ranges
from tests.site.models import Project

pytestmark = pytest.mark.django_db

VERBS = ("posted", "opened", "starred")


def sources(users: list[User], projects: list[Project]) -> list[Ranges]:
    """Of every shape that a stream has."""
    manager: Any = Action.objects
    streams = manager.streams()
    found = []
    for obj in (*users, *projects):
        found += [
            manager.ranges(streams[name], obj)
            for name in (
                "actor_stream",
                "target_stream",
                "any_stream",
                "mystream",
                "involving",
                "nothing",
                "untargeted",
            )
        ]
    for user in users:
        for own in (False, True):
            for flag in (None, "", "watching"):
                found.append(manager.ranges(streams["user_stream"], user, own, flag))
        found.append(manager.ranges(streams["everything"], user))
    found += [manager.ranges(streams["project_news"], project) for project in projects]
    found += [manager.ranges(streams["model_stream"], model) for model in (User, Project)]
    found.append(
        Ranges(manager.filter(verb="posted"), (Q(actor_object_id="1") | Q(data__isnull=True),))
    )
    return found


ROLE = st.integers(0, 3)
ACTION = st.tuples(ROLE, st.none() | ROLE, st.none() | ROLE, st.sampled_from(VERBS), st.booleans())
FOLLOW = st.tuples(st.integers(0, 1), ROLE, st.booleans(), st.sampled_from(["", "watching"]))


@given(st.lists(ACTION, min_size=1, max_size=8), st.lists(FOLLOW, max_size=8))
def test_an_action_belongs_to_a_stream_whose_queryset_has_it(actions: Any, follows: Any) -> None:
    users = [User.objects.create(username=f"u{User.objects.count()}") for _ in range(2)]
    projects = [Project.objects.create(name="p") for _ in range(2)]
    objs: list[Any] = [*users, *projects]
    for user, obj, actor_only, flag in follows:
        follow(users[user], objs[obj], send_action=False, actor_only=actor_only, flag=flag)
    stored = [
        Action.objects.create(
            actor=objs[actor],
            target=None if target is None else objs[target],
            action_object=None if action_object is None else objs[action_object],
            verb=verb,
            public=public,
        )
        for actor, target, action_object, verb, public in actions
    ]
    asked = sources(users, projects)
    pks = [action.pk for action in stored]
    fresh = list(Action.objects.filter(pk__in=pks).with_objects(False))
    expected = [set(it.all().filter(pk__in=pks).values_list("pk", flat=True)) for it in asked]
    assert memberships.among([Membership(it) for it in asked], fresh) == expected


def test_streams_of_dicts_are_answered_without_a_statement_and_those_of_users_in_one(
    ada: User, brook: Project
) -> None:
    manager: Any = Action.objects
    streams = manager.streams()
    action = Action.objects.create(actor=ada, verb="posted", target=brook)
    users = User.objects.bulk_create([User(username=f"user{n}") for n in range(200)])
    follow(users[7], ada, send_action=False)
    for name in ("actor_stream", "any_stream", "mystream"):
        asked = [Membership(manager.ranges(streams[name], user)) for user in [ada, *users]]
        with CaptureQueriesContext(connection) as queries:
            found = memberships.among(asked, [action])
        assert (found, len(queries)) == ([{action.pk}, *[set()] * 200], 0)
    asked = [Membership(manager.ranges(streams["user_stream"], user)) for user in users]
    with CaptureQueriesContext(connection) as queries:
        found = memberships.among(asked, [action])
    assert [at for at, pks in enumerate(found) if pks] == [7]
    assert len(queries) == 1
    asked = [Membership(manager.ranges(streams["involving"], user)) for user in users]
    with CaptureQueriesContext(connection) as queries:
        memberships.among(asked, [action])
    assert len(queries) == 200 / memberships.MOST_ASKED
