"""Actions and follows in the admin: the same cost at any size, and nothing out of reach."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from server import admin as brook_admin
from server.models import Action, Follow, follow
from tests.site.models import Article, Mirror, Page, Project

ACTIONS, FOLLOWS = "/admin/activity/action/", "/admin/activity/follow/"
START = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def clerk() -> Client:
    """Staff who may see and remove actions and follows, and see users, but no groups."""
    user = User.objects.create(username="clerk", is_staff=True)
    names = ["view_action", "delete_action", "view_follow", "view_user"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


def act(actor: Any, verb: str, minute: int = 0, **more: Any) -> Action:
    return Action.objects.create(
        actor=actor, verb=verb, timestamp=START + timedelta(minutes=minute), **more
    )


def get(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, response.get("location")
    return response.content.decode()


def listed(text: str) -> list[int]:
    """The primary keys of the rows on a page, in order."""
    return [
        int(pk)
        for pk in re.findall(r'class="field-(?:timestamp|started)[^>]*>.*?/(\d+)/change', text)
    ]


def older(text: str) -> str | None:
    found = re.search(r'href="([^"]*)" rel="next"', text)
    return unescape(found[1]) if found else None


def read(client: Client, address: str) -> list[int]:
    """All pages of a list."""
    pks, query = [], "?" + address.partition("?")[2]
    while query:
        text = get(client, address.partition("?")[0] + query)
        pks += listed(text)
        query = older(text) or ""
    return pks


def statements(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        get(client, address)
    return [query["sql"] for query in captured.captured_queries]


@pytest.fixture
def many() -> list[Action]:
    """250 actions, four to a minute: users on groups and projects, a tenth of them private."""
    users = User.objects.bulk_create(User(username=f"user{n}") for n in range(20))
    groups = Group.objects.bulk_create(Group(name=f"group{n}") for n in range(20))
    projects = Project.objects.bulk_create(Project(name=f"project{n}") for n in range(20))
    return Action.objects.bulk_create(
        Action(
            actor=users[n % 20],
            verb="joined" if n % 50 else "founded",
            target=groups[n % 7],
            action_object=projects[n % 3] if n % 2 else None,
            timestamp=START + timedelta(minutes=n // 4),
            public=n % 10 > 0,
        )
        for n in range(250)
    )


def test_a_list_costs_the_same_with_one_row_and_with_a_hundred(
    client: Client, ada: User, brook: Project
) -> None:
    group = Group.objects.create(name="group")
    act(ada, "opened", target=group, action_object=brook)
    follow(ada, group, send_action=False)
    get(client, ACTIONS)  # which knows content types from now on
    one = len(statements(client, ACTIONS)), len(statements(client, FOLLOWS))
    users = User.objects.bulk_create(User(username=f"user{n}") for n in range(100))
    for n, user in enumerate(users):
        act(user, "opened", n, target=group, action_object=brook)
        follow(user, group if n % 2 else ada, send_action=False)
    assert (len(statements(client, ACTIONS)), len(statements(client, FOLLOWS))) == one
    assert one[0] <= 8


@pytest.mark.parametrize(
    "query", ["", "public=0", "public=1&target=auth.group", "q=joined", "q=group:{} joined"]
)
def test_a_list_takes_at_most_eight_statements_of_two_models_and_counts_nothing(
    clerk: Client, many: list[Action], query: str
) -> None:
    Action.objects.update(action_object_content_type=None, action_object_object_id=None)
    address = f"{ACTIONS}?{query.format(many[0].target_object_id)}"
    get(clerk, address)
    run = statements(clerk, address)
    assert len(run) <= 8
    assert not [sql for sql in run if "COUNT(" in sql]


@pytest.mark.parametrize(
    "query", ["", "public=1", "public=0", "q=joined", "public=1&actor=auth.user"]
)
def test_pages_go_on_to_the_very_first_action_without_repeat_or_gap(
    client: Client, many: list[Action], query: str
) -> None:
    wanted = [
        action.pk
        for action in reversed(many)
        if ("public" not in query or action.public == ("public=1" in query))
        and ("joined" not in query or action.verb == "joined")
    ]
    assert read(client, f"{ACTIONS}?{query}") == wanted


def test_what_no_index_finds_is_looked_for_in_bounds_and_the_page_says_so(
    client: Client, many: list[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brook_admin, "MOST_READ", 30)
    monkeypatch.setattr("server.windows.MOST_READ", 30)
    founded = [action for action in reversed(many) if action.verb == "founded"]
    group = many[0].target_object_id
    for query, wanted in (
        ("q=found", founded),
        ("public=1&q=jo", [it for it in reversed(many) if it.public and it.verb == "joined"]),
        (f"q=group:{group}+found", [it for it in founded if it.target_object_id == group]),
    ):
        assert read(client, f"{ACTIONS}?{query}") == [action.pk for action in wanted]
        assert "Looked at 30 rows" in get(client, f"{ACTIONS}?{query}")


def test_an_object_is_searched_for_in_any_role_with_its_private_actions(
    client: Client, ada: User, bob: User, brook: Project
) -> None:
    did = act(ada, "opened", 1, target=brook)
    was = act(bob, "praised", 3, target=ada, public=False)
    named = act(bob, "mentioned", 2, action_object=ada, target=brook)
    act(bob, "opened", 4, target=brook)
    for query in (f"user:{ada.pk}", f"auth.user:{ada.pk}", f'User:"{ada.pk}"'):
        assert read(client, f"{ACTIONS}?q={query}") == [was.pk, named.pk, did.pk]
    assert read(client, f"{ACTIONS}?q=user:{ada.pk}+PRAI") == [was.pk]
    assert read(client, f"{ACTIONS}?q=user:{ada.pk}&public=1") == [named.pk, did.pk]
    assert read(client, f"{ACTIONS}?q=user:{ada.pk}+project:{brook.pk}") == [named.pk, did.pk]
    assert read(client, f"{ACTIONS}?q=user:{ada.pk}&target=auth.user") == [was.pk]


@pytest.mark.parametrize("key", ["0", "x", "007", "9" * 40, '"1 2"'])
def test_what_is_no_key_of_an_object_finds_nothing(client: Client, ada: User, key: str) -> None:
    act(ada, "opened")
    assert read(client, f"{ACTIONS}?q=user:{key}") == []
    assert read(client, f"{FOLLOWS}?q=user:{key}") == []


def test_keys_of_every_kind_are_searched_for(
    client: Client, ada: User, article: Article, page: Page, brook: Project
) -> None:
    mirror = Mirror.objects.create(name="mirror")
    for obj in (article, page, mirror):
        action = act(ada, "read", target=obj)
        label = obj._meta.label_lower
        assert read(client, f"{ACTIONS}?q={label}:{obj.pk}") == [action.pk]


def test_a_verb_may_have_a_colon_and_what_like_takes_for_a_pattern(
    client: Client, ada: User
) -> None:
    again, share = act(ada, "re:opened", 1), act(ada, "100%_done")
    act(ada, "1000 done")
    assert read(client, f"{ACTIONS}?q=re:op") == [again.pk]
    assert read(client, f"{ACTIONS}?q=100%25_") == [share.pk]
    assert read(client, f"{ACTIONS}?q=opened") == []


def test_time_and_type_narrow_a_list(client: Client, ada: User, brook: Project) -> None:
    group = Group.objects.create(name="group")
    old = act(ada, "joined", target=group)
    new = act(ada, "opened", 60 * 24, target=brook)
    now = Action.objects.create(actor=ada, verb="starred", action_object=brook)
    hidden = Action.objects.create(actor=ada, verb="left", target=group, public=False)
    assert read(client, f"{ACTIONS}?q=since:2026-01-02") == [hidden.pk, now.pk, new.pk]
    assert read(client, f"{ACTIONS}?q=until:2026-01-02") == [old.pk]
    assert read(client, f"{ACTIONS}?public=1&q=since:2026-01-01T12:00Z+until:2026-01-03") == [
        new.pk
    ]
    assert read(client, f"{ACTIONS}?days=1") == [hidden.pk, now.pk]
    assert read(client, f"{ACTIONS}?target=auth.group") == [hidden.pk, old.pk]
    assert read(client, f"{ACTIONS}?public=1&target=auth.group") == [old.pk]
    assert read(client, f"{ACTIONS}?public=1&actor=auth.user&action_object=site.project") == [
        now.pk
    ]


def test_filters_that_need_public_actions_choose_them(client: Client, ada: User) -> None:
    act(ada, "joined")
    assert "actor=auth.user&amp;public=1" in get(client, ACTIONS)
    assert "days=7&amp;public=1" in get(client, ACTIONS)
    assert "actor=auth.user&amp;public=1" not in get(client, f"{ACTIONS}?public=0")
    assert "days=7&amp;q=user" in get(client, f"{ACTIONS}?q=user:{ada.pk}")


@pytest.mark.parametrize(
    "query",
    [
        "p=x",
        "p=1x",
        "public=1&p=7",
        "q=since:soon",
        "q=until:2026-13-01",
        "verb=opened",
        "verb__contains=o",
    ],
)
def test_what_is_no_list_leads_back_to_the_first(client: Client, ada: User, query: str) -> None:
    act(ada, "opened")
    response = client.get(f"{ACTIONS}?{query}")
    assert (response.status_code, response["location"]) == (302, f"{ACTIONS}?e=1")


def test_an_unknown_choice_of_a_filter_is_none(client: Client, ada: User) -> None:
    action = act(ada, "opened")
    for query in ("actor=auth.nosuch", "days=x", "public=x", "o=2", "o=-1.x", "all="):
        assert listed(get(client, f"{ACTIONS}?{query}")) == [action.pk]


def test_roles_are_linked_where_they_can_be_looked_at(
    client: Client, clerk: Client, ada: User, brook: Project
) -> None:
    group = Group.objects.create(name="<b>group</b>")
    act(ada, "joined", target=group, action_object=brook)
    user_link = f'<a href="/admin/auth/user/{ada.pk}/change/">ada</a>'
    group_link = f'<a href="/admin/auth/group/{group.pk}/change/">'
    text = get(client, ACTIONS)
    assert user_link in text
    assert f"{group_link}&lt;b&gt;group&lt;/b&gt;</a>" in text
    assert f'brook <span class="quiet">project:{brook.pk}</span>' in text
    assert not admin.site.is_registered(Project)
    text = get(clerk, ACTIONS)
    assert user_link in text
    assert group_link not in text


def test_an_object_that_is_gone_is_named_by_its_raw_id(client: Client, ada: User) -> None:
    user_type = ContentType.objects.get_for_model(User)
    action = act(ada, "praised", target_content_type=user_type, target_object_id="999")
    for address in (ACTIONS, f"{ACTIONS}{action.pk}/change/"):
        assert "user:999 (gone)" in get(client, address)


def test_an_action_can_be_hidden_and_is_otherwise_not_written_by_hand(
    client: Client, ada: User, brook: Project
) -> None:
    action = act(ada, "opened", target=brook, data={"a": 1}, description="<i>")
    address = f"{ACTIONS}{action.pk}/change/"
    text = get(client, address)
    assert re.findall(r'<(?:input|select|textarea)[^>]* name="(?!csrf|_)(\w+)"', text) == [
        "public"
    ]
    assert "&lt;i&gt;" in text
    client.post(address, {"verb": "closed"})
    action.refresh_from_db()
    assert (action.verb, action.public) == ("opened", False)
    assert client.get(f"{ACTIONS}add/").status_code == 403


def test_deleting_selected_rows_names_them_without_a_query_for_each(
    client: Client, many: list[Action]
) -> None:
    doomed = {"action": "delete_selected", "_selected_action": [it.pk for it in many[:90]]}
    with CaptureQueriesContext(connection) as captured:
        text = client.post(ACTIONS, doomed).content.decode()
    assert len(captured) < 15
    assert text.count("user3 joined") > 0
    client.post(ACTIONS, doomed | {"post": "yes"})
    assert Action.objects.count() == 160


def test_selecting_across_pages_reaches_no_further_than_the_filters(
    client: Client, many: list[Action]
) -> None:
    everything = {
        "action": "delete_selected",
        "select_across": "1",
        "_selected_action": [many[0].pk],
        "post": "yes",
    }
    client.post(f"{ACTIONS}?public=0", everything)
    assert set(Action.objects.values_list("public", flat=True)) == {True}
    client.post(f"{ACTIONS}?q=user:{many[1].actor_object_id}", everything)
    assert not many[1].actor.actor_actions.exists()
    assert Action.objects.exists()


def test_follows_are_searched_for_by_either_side_and_by_flag(
    client: Client, ada: User, bob: User, brook: Project
) -> None:
    by = follow(ada, brook, send_action=False)
    of = follow(bob, ada, send_action=False, flag="watching")
    other = follow(bob, brook, send_action=False)
    assert read(client, FOLLOWS) == [other.pk, of.pk, by.pk]
    assert read(client, f"{FOLLOWS}?q=user:{ada.pk}") == [of.pk, by.pk]
    assert read(client, f"{FOLLOWS}?q=project:{brook.pk}") == [other.pk, by.pk]
    assert read(client, f"{FOLLOWS}?q=project:{brook.pk}+user:{ada.pk}") == [by.pk]
    assert read(client, f"{FOLLOWS}?q=Watch") == [of.pk]
    assert read(client, f"{FOLLOWS}?follow_object=site.project") == [other.pk, by.pk]
    Follow.objects.filter(pk=by.pk).update(started=timezone.now() - timedelta(days=8))
    assert read(client, f"{FOLLOWS}?days=7") == [other.pk, of.pk]
    text = get(client, f"{FOLLOWS}{of.pk}/change/")
    assert f'<a href="/admin/auth/user/{bob.pk}/change/">bob</a>' in text


def test_an_objects_streams_are_beside_it(client: Client, clerk: Client, ada: User) -> None:
    action = act(ada, "opened")
    for visitor in (client, clerk):
        text = get(visitor, f"/admin/auth/user/{ada.pk}/change/")
        [address] = re.findall(rf'href="({ACTIONS}\?[^"]*)"', text)
        assert read(visitor, unescape(address)) == [action.pk]
        assert f'href="{FOLLOWS}?q=auth.user:{ada.pk}"' in text
    assert f'href="{ACTIONS}?' not in get(client, f"{ACTIONS}{action.pk}/change/")


def test_what_may_not_be_seen_has_no_link_to_it(ada: User) -> None:
    user = User.objects.create(username="helper", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_user"))
    helper = Client()
    helper.force_login(user)
    assert ACTIONS not in get(helper, f"/admin/auth/user/{ada.pk}/change/")
    assert helper.get(ACTIONS).status_code == 403
