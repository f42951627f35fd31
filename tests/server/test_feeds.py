"""The stream of a user, read by probe and heads: the same as the walk that says what it means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from server import feeds, windows
from server.cursors import Position
from server.feeds import Feed
from server.filters import Filter
from server.models import Action, Follow
from server.pages import Page
from server.windows import Window
from tests.site.models import Project

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)
FEW = st.integers(0, 4)
ACTIONS = st.lists(
    st.tuples(FEW, st.none() | FEW, st.none() | FEW, FEW, st.sampled_from("pl"), st.booleans()),
    max_size=40,
)
FOLLOWS = st.lists(
    st.tuples(st.booleans(), FEW, st.booleans(), st.sampled_from(["", "watching"])), max_size=8
)


@pytest.fixture(
    params=[(1, 3), (2, 5), (3, 10_000), (500, 10_000)],
    ids=["dormant", "mixed", "of many follows", "lively"],
)
def probed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How far a probe looks: hardly, a little, and over all of these small worlds.

    But for the last, most who follow are among those of whom it begins with a glance.
    """
    monkeypatch.setattr(feeds, "LEAST_PROBED", request.param[0])
    monkeypatch.setattr(windows, "MOST_READ", request.param[1])


def make_world(actions: list[Any], follows: list[Any]) -> User:
    users = [User.objects.create(username=f"user-{n}") for n in range(5)]
    projects = [Project.objects.create(name=f"project-{n}") for n in range(5)]
    Action.objects.bulk_create(
        Action(
            actor=users[actor],
            target=None if target is None else projects[target],
            action_object=None if object_ is None else users[object_],
            verb=verb,
            timestamp=START + timedelta(minutes=minute),
            public=public,
        )
        for actor, target, object_, minute, verb, public in actions
    )
    for is_user, number, actor_only, flag in follows:
        Follow.objects.update_or_create(
            user=users[0],
            flag=flag,
            defaults={"actor_only": actor_only},
            **_names((users if is_user else projects)[number]),
        )
    return users[0]


def _names(obj: Any) -> dict[str, Any]:
    follow = Follow(follow_object=obj)
    return {"content_type": follow.content_type, "object_id": follow.object_id}


def feed_of(user: User, own: bool, flag: str | None) -> Feed:
    manager = Action.objects
    found = manager.ranges(manager.user_stream, user, own, flag)
    assert isinstance(found, Feed)
    return found


def walk(feed: Feed, size: int, wanted: Filter, *, backward: bool = False) -> Iterator[Page]:
    """Page after page, to the end."""
    cursor: str | None = None
    for _ in range(200):
        asked = (
            Window("a", last=size, before=cursor)
            if backward
            else Window("a", first=size, after=cursor)
        )
        [page] = Action.objects.read([feed], asked, None, wanted)
        yield page
        cursor = page.start_cursor if backward else page.end_cursor
        if not (page.has_previous_page if backward else page.has_next_page):
            return
    raise AssertionError("The pages do not end.")


@given(
    actions=ACTIONS,
    follows=FOLLOWS,
    own=st.booleans(),
    flag=st.sampled_from([None, "", "watching"]),
    size=st.integers(1, 5),
    verbs=st.sampled_from([None, ["p"]]),
    backward=st.booleans(),
)
def test_page_after_page_is_the_stream_in_both_directions(
    probed: None,
    actions: list[Any],
    follows: list[Any],
    own: bool,
    flag: str | None,
    size: int,
    verbs: list[str] | None,
    backward: bool,
) -> None:
    with transaction.atomic():
        user = make_world(actions, follows)
        feed = feed_of(user, own, flag)
        meant = feed.all().filter(Filter(verbs=verbs).rows())

        read = [page.rows for page in walk(feed, size, Filter(verbs=verbs), backward=backward)]

        if backward:
            read.reverse()
        assert [row for rows in read for row in rows] == list(meant)
        transaction.set_rollback(True)


@given(actions=ACTIONS, follows=FOLLOWS, own=st.booleans(), verbs=st.sampled_from([None, ["p"]]))
def test_a_count_is_that_of_the_stream(
    actions: list[Any], follows: list[Any], own: bool, verbs: list[str] | None
) -> None:
    with transaction.atomic():
        feed = feed_of(make_world(actions, follows), own, None)
        [count] = Action.objects.counts([feed], Window("a"), None, Filter(verbs=verbs))
        assert count == feed.all().filter(Filter(verbs=verbs).rows()).count()
        transaction.set_rollback(True)


def test_a_lively_stream_is_one_statement_and_a_quiet_one_two(
    ada: User, bob: User, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Follow.objects.create(user=ada, **_names(bob))
    others = User.objects.create(username="others")
    old = [Action.objects.create(actor=bob, verb="posted", timestamp=START) for _ in range(3)]
    new = [Action.objects.create(actor=others, verb="posted") for _ in range(5)]
    monkeypatch.setattr(feeds, "LEAST_PROBED", 3)
    feed = feed_of(ada, False, None)
    with django_assert_num_queries(2):
        quiet = feed.page(Window("a", first=2))
    with django_assert_num_queries(1):  # the cursor says that a probe has failed
        rest = feed.page(Window("a", first=2, after=quiet.end_cursor))
    assert [*quiet.rows, *rest.rows] == old[::-1]
    Action.objects.filter(pk__in=[row.pk for row in new]).delete()
    with django_assert_num_queries(1):
        lively = feed.page(Window("a", first=2))
    assert lively.rows == old[:0:-1]


@pytest.mark.postgresql
def test_no_table_is_made_of_many_follows_where_the_newest_are_theirs(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LEAST_PROBED", 4)
    for number in range(3):
        Follow.objects.create(user=ada, **_names(User.objects.create(username=f"user-{number}")))
    Follow.objects.create(user=ada, **_names(bob))
    for _ in range(3):
        Action.objects.create(actor=bob, verb="posted")

    def begun() -> bool:
        with CaptureQueriesContext(connection) as asked:
            feed_of(ada, False, None).page(Window("a", first=2))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {asked[0]['sql']}")
            plan = [line for [line] in cursor]
        [at] = [at for at, line in enumerate(plan) if "hashed SubPlan" in line]
        return "never executed" not in plan[at - 1]

    assert not begun()
    Action.objects.create(actor=User.objects.create(username="others"), verb="posted")
    assert not begun()
    for _ in range(9):
        Action.objects.create(actor=User.objects.get(username="others"), verb="posted")
    assert begun()


def test_the_cursor_of_a_quiet_stream_is_a_position_of_any_stream(ada: User) -> None:
    row = Action.objects.create(actor=ada, verb="posted", timestamp=START)
    quiet = Position.of(row, "timestamp")._replace(quiet=True).cursor("a")
    assert Position.parse(quiet, "a") == (START, row.pk, True)
    assert Window("a", after=quiet).begins_quiet
    feed = Action.objects.ranges(Action.objects.actor_stream, ada)
    assert feed.page(Window("a", after=quiet)).rows == []


def test_a_filtered_page_of_a_quiet_stream_skips_what_others_did(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much lies between, at most one page is empty."""
    monkeypatch.setattr(windows, "MOST_READ", 3)
    monkeypatch.setattr(feeds, "LEAST_PROBED", 1)
    Follow.objects.create(user=ada, **_names(bob))
    old = Action.objects.create(actor=bob, verb="p", timestamp=START)
    others = User.objects.create(username="others")
    Action.objects.bulk_create(Action(actor=others, verb="p") for _ in range(50))
    read = list(walk(feed_of(ada, False, None), 2, Filter(verbs=["p"])))
    assert [page.rows for page in read] == [[], [old]]
