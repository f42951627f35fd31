"""Mutations: what they do, what they refuse, and that nothing is written twice or halfway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from server.models import Action, Follow, action, follow
from tests.schema.client import ask, data, gid, gids, refusals
from tests.schema.conftest import Hide
from tests.schema.connections import START
from tests.site.models import Page, Project

ERRORS = "userErrors { field message code } clientMutationId"
CREATE = f"""mutation ($input: CreateActionInput!) {{ createAction(input: $input) {{
    created action {{ id }} actionEdge {{ cursor node {{ id }} }} {ERRORS} }} }}"""
CREATE_MANY = f"""mutation ($input: CreateActionsInput!) {{ createActions(input: $input) {{
    results {{ created action {{ id }} actionEdge {{ cursor node {{ id }} }} }} {ERRORS} }} }}"""
DELETE = f"""mutation ($input: DeleteActionInput!) {{ deleteAction(input: $input) {{
    deletedActionId {ERRORS} }} }}"""
FOLLOW = f"""mutation ($input: FollowInput!) {{ follow(input: $input) {{
    created follow {{ id actorOnly flag user {{ id }} followObject {{ id }} }}
    followEdge {{ cursor node {{ id }} }} object {{ id viewerIsFollowing }} {ERRORS} }} }}"""
UNFOLLOW = f"""mutation ($input: UnfollowInput!) {{ unfollow(input: $input) {{
    deletedFollowIds object {{ id viewerIsFollowing }} {ERRORS} }} }}"""


def create(viewer: Any, **given: Any) -> Any:
    return data(CREATE, viewer, input=given)["createAction"]


def one_error(payload: Any, field: str, code: str) -> str:
    """The message of the one error, when it is of this field and code."""
    [error] = payload["userErrors"]
    assert (error["field"], error["code"]) == (["input", field], code)
    return str(error["message"])


# createAction


def test_an_action_is_recorded_with_all_that_was_given(
    deputy: User, brook: Project, delta: Project
) -> None:
    payload = create(
        deputy,
        verb="opened",
        actor=gid(delta),
        target=gid(brook),
        actionObject=gid(deputy),
        description="At last.",
        public=False,
        timestamp=START.isoformat(),
        data={"labels": ["bug", None], "size": 1.5},
        idempotencyKey="1",
        clientMutationId="mine",
    )
    [row] = Action.objects.all()
    assert (row.actor, row.verb, row.target, row.action_object) == (delta, "opened", brook, deputy)
    assert (row.description, row.public, row.timestamp) == ("At last.", False, START)
    assert (row.data, row.idempotency_key) == ({"labels": ["bug", None], "size": 1.5}, "1")
    # The deputy may record it and, being no staff, not read it.
    assert payload["created"] is True
    assert payload["userErrors"] == []
    assert payload["clientMutationId"] == "mine"


def test_an_action_needs_a_verb_alone(ada: User) -> None:
    before = timezone.now()
    payload = create(ada, verb="woke")
    [row] = Action.objects.all()
    assert payload == {
        "created": True,
        "action": {"id": gid(row)},
        "actionEdge": {"cursor": payload["actionEdge"]["cursor"], "node": {"id": gid(row)}},
        "userErrors": [],
        "clientMutationId": None,
    }
    assert (row.actor, row.verb, row.public, row.data, row.description) == (
        ada,
        "woke",
        True,
        None,
        None,
    )
    assert before <= row.timestamp <= timezone.now()


def test_the_edge_of_a_new_action_stands_where_its_cursor_says(ada: User) -> None:
    older = create(ada, verb="first")
    newer = create(ada, verb="second")
    document = """query ($id: ID!, $after: String) {
        actorStream(actor: $id, after: $after) { nodes { id } edges { cursor } } }"""
    page = data(document, id=gid(ada), after=newer["actionEdge"]["cursor"])["actorStream"]
    assert page["nodes"] == [older["action"]]
    assert page["edges"] == [{"cursor": older["actionEdge"]["cursor"]}]


def test_another_actor_needs_the_permission(
    ada: User, deputy: User, bob: User, brook: Project
) -> None:
    for actor in (bob, brook):
        said = one_error(create(ada, verb="spoke", actor=gid(actor)), "actor", "NOT_ALLOWED")
        assert said == "You may record your own actions alone."
    assert list(Action.objects.all()) == []
    assert create(deputy, verb="spoke", actor=gid(bob))["created"] is True
    assert Action.objects.get().actor == bob


def test_the_viewer_may_be_named_as_the_actor(ada: User) -> None:
    assert create(ada, verb="spoke", actor=gid(ada))["created"] is True


def test_another_time_needs_the_permission(ada: User, deputy: User) -> None:
    payload = create(ada, verb="spoke", timestamp=START.isoformat())
    one_error(payload, "timestamp", "NOT_ALLOWED")
    assert create(deputy, verb="spoke", timestamp=START.isoformat())["created"] is True
    assert [row.timestamp for row in Action.objects.all()] == [START]


def bound(size: int) -> dict[str, str]:
    """Data whose JSON is of so many bytes."""
    return {"a": "x" * (size - len('{"a": ""}'))}


BOUNDS: list[tuple[str, Any, Any, str, list[str]]] = [
    ("verb", "x" * 255, "x" * 256, "TOO_LONG", ["255", "256"]),
    ("verb", "x", "", "INVALID", ["1", "empty"]),
    ("description", "x" * 4000, "x" * 4001, "TOO_LONG", ["4000", "4001"]),
    ("data", bound(16384), bound(16385), "TOO_LONG", ["16384", "16385"]),
    ("data", {"a": "é" * 8000}, {"a": "é" * 8192}, "TOO_LONG", ["16384", "16393"]),
    ("idempotencyKey", "x" * 255, "x" * 256, "TOO_LONG", ["255", "256"]),
    ("idempotencyKey", "x", "", "INVALID", ["1", "empty"]),
    ("verb", "x", "a\0b", "INVALID", ["U+0000"]),
    ("description", "", "\0", "INVALID", ["U+0000"]),
    ("data", {"a": "u0000"}, {"a": "\0"}, "INVALID", ["U+0000"]),
    ("data", {"a": "\\u0000"}, {"\0": 1}, "INVALID", ["U+0000"]),
    ("verb", "\U0001f600", "\ud83d", "INVALID", ["Unicode"]),
    ("data", 1e300, float("inf"), "INVALID", ["finite"]),
]


@pytest.mark.parametrize(
    ("field", "most", "more", "code", "words"),
    BOUNDS,
    ids=[f"{field}-{code}-{at}" for at, (field, _, _, code, _) in enumerate(BOUNDS)],
)
def test_every_bound_is_refused_with_the_value_and_the_limit(
    ada: User, field: str, most: Any, more: Any, code: str, words: list[str]
) -> None:
    said = one_error(create(ada, **{"verb": "spoke", field: more}), field, code)
    assert all(word in said for word in words), said
    assert list(Action.objects.all()) == []
    assert create(ada, **{"verb": "spoke", field: most})["userErrors"] == []


def test_data_of_a_backslash_and_u0000_is_stored_as_it_is(ada: User) -> None:
    create(ada, verb="quoted", data={"text": "\\u0000"})
    assert Action.objects.get().data == {"text": "\\u0000"}


def test_a_time_is_at_most_a_minute_ahead(deputy: User) -> None:
    late = timezone.now() + timedelta(minutes=2)
    payload = create(deputy, verb="spoke", timestamp=late.isoformat())
    said = one_error(payload, "timestamp", "INVALID")
    assert "a minute" in said
    assert late.isoformat() in said
    soon = timezone.now() + timedelta(seconds=50)
    assert create(deputy, verb="spoke", timestamp=soon.isoformat())["userErrors"] == []


@pytest.mark.parametrize(
    ("time", "refused"),
    [
        ("0001-01-01T00:00:00-14:00", []),
        ("0001-01-01T00:00:00+14:00", [(None, "BAD_USER_INPUT")]),
    ],
)
def test_a_time_at_the_beginning_of_the_calendar_is_no_fault_of_ours(
    deputy: User, time: str, refused: Any
) -> None:
    answer = ask(CREATE, deputy, input={"verb": "spoke", "timestamp": time})
    assert refusals(answer) == refused
    document = "query ($id: ID!) { actorStream(actor: $id) { edges { cursor } totalCount } }"
    assert refusals(ask(document, id=gid(deputy))) == []


def test_a_time_without_a_zone_is_utc(deputy: User) -> None:
    create(deputy, verb="spoke", timestamp=START.replace(tzinfo=None).isoformat())
    assert Action.objects.get().timestamp == START


def test_data_that_nests_deep_is_stored_or_refused(ada: User) -> None:
    nested: Any = []
    for _ in range(500):
        nested = [nested]
    answer = ask(CREATE, ada, input={"verb": "nested", "data": nested})
    assert refusals(answer) == []


def test_several_bounds_are_refused_at_once(ada: User) -> None:
    payload = create(ada, verb="", description="x" * 4001)
    assert sorted((error["field"][1], error["code"]) for error in payload["userErrors"]) == [
        ("description", "TOO_LONG"),
        ("verb", "INVALID"),
    ]


@pytest.mark.parametrize("field", ["actor", "target", "actionObject"])
def test_an_unknown_malformed_or_hidden_role_is_not_found(
    deputy: User, brook: Project, hide: Hide, field: str
) -> None:
    hide(brook)
    for given in ("?", "UHJvamVjdDo5OTk5OTk=", gid(brook)):
        said = one_error(create(deputy, verb="saw", **{field: given}), field, "NOT_FOUND")
        assert "brook" not in said
    assert list(Action.objects.all()) == []


@pytest.mark.parametrize("field", ["actor", "target", "actionObject"])
def test_a_role_that_takes_no_part_is_not_registered(deputy: User, field: str) -> None:
    [(_, done)] = action.send(deputy, verb="saw")
    said = one_error(create(deputy, verb="liked", **{field: gid(done)}), field, "NOT_REGISTERED")
    assert said == "Nodes of type Action take no part in streams."


# idempotencyKey


def test_the_same_key_and_input_answer_the_first_action(ada: User, brook: Project) -> None:
    given = {"verb": "opened", "target": gid(brook), "data": {"b": 1, "a": 2}}
    first = create(ada, **given, idempotencyKey="1")
    again = create(ada, **{**given, "data": {"a": 2, "b": 1}}, idempotencyKey="1")
    assert first["created"] is True
    assert again == {**first, "created": False}
    assert len(Action.objects.all()) == 1


def test_a_key_is_the_actors_own(ada: User, bob: User) -> None:
    assert create(ada, verb="woke", idempotencyKey="1")["created"] is True
    assert create(bob, verb="woke", idempotencyKey="1")["created"] is True
    assert create(ada, verb="woke", idempotencyKey="2")["created"] is True
    assert create(ada, verb="woke")["created"] is True
    assert create(ada, verb="woke")["created"] is True


@pytest.mark.parametrize(
    "other",
    [
        {"verb": "shut"},
        {"description": "New."},
        {"public": False},
        {"data": {"a": 2}},
        {"data": None},
        {"target": None},
        {"timestamp": (START + timedelta(microseconds=1)).isoformat()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_same_key_with_another_input_is_a_conflict(
    deputy: User, brook: Project, other: dict[str, Any]
) -> None:
    given = {
        "verb": "opened",
        "target": gid(brook),
        "data": {"a": 1},
        "timestamp": START.isoformat(),
        "idempotencyKey": "the key",
    }
    create(deputy, **given)
    said = one_error(create(deputy, **{**given, **other}), "idempotencyKey", "CONFLICT")
    assert "the key" in said
    assert create(deputy, **given)["created"] is False
    assert len(Action.objects.all()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_race_of_equal_calls_writes_one_action_and_all_answer_it(ada: User) -> None:
    answers: list[Any] = []
    barrier = Barrier(4)

    def call() -> None:
        try:
            barrier.wait(timeout=30)
            given = {"verb": "woke", "idempotencyKey": "1"}
            answers.append(ask(CREATE, User.objects.get(pk=ada.pk), input=given))
        finally:
            connection.close()

    threads = [Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    [row] = Action.objects.all()
    assert [answer["data"]["createAction"]["action"] for answer in answers] == [
        {"id": gid(row)}
    ] * 4
    assert sorted(answer["data"]["createAction"]["created"] for answer in answers) == [
        False,
        False,
        False,
        True,
    ]


# createActions


def create_many(viewer: Any, *actions: dict[str, Any], **given: Any) -> Any:
    return data(CREATE_MANY, viewer, input={"actions": actions, **given})["createActions"]


def faults(payload: Any) -> list[tuple[list[str], str]]:
    """Where and why something is refused; each below the actions of the input."""
    assert payload["results"] == []
    assert {tuple(error["field"][:2]) for error in payload["userErrors"]} == {("input", "actions")}
    return [(error["field"][2:], error["code"]) for error in payload["userErrors"]]


def test_many_actions_are_recorded_and_answered_in_their_order(
    deputy: User, brook: Project, delta: Project
) -> None:
    rich = {
        "verb": "opened",
        "actor": gid(delta),
        "target": gid(brook),
        "actionObject": gid(deputy),
        "description": "At last.",
        "public": False,
        "timestamp": START.isoformat(),
        "data": [{"labels": ["bug", None], "size": 1.5}],
        "idempotencyKey": "1",
    }
    payload = create_many(deputy, rich, {"verb": "woke"}, rich, clientMutationId="mine")
    first, second = Action.objects.order_by("pk")
    assert (first.actor, first.target, first.action_object) == (delta, brook, deputy)
    assert (first.verb, first.description, first.public) == ("opened", "At last.", False)
    assert (first.timestamp, first.data, first.idempotency_key) == (START, rich["data"], "1")
    assert (second.actor, second.verb, second.data) == (deputy, "woke", None)
    assert [(r["action"]["id"], r["created"]) for r in payload["results"]] == [
        (gid(first), True),
        (gid(second), True),
        (gid(first), False),
    ]
    assert [r["actionEdge"]["node"] for r in payload["results"]] == [
        r["action"] for r in payload["results"]
    ]
    assert (payload["userErrors"], payload["clientMutationId"]) == ([], "mine")


def test_the_edges_of_many_new_actions_stand_where_their_cursors_say(ada: User) -> None:
    first, second = create_many(ada, {"verb": "first"}, {"verb": "second"})["results"]
    document = """query ($id: ID!, $after: String) {
        actorStream(actor: $id, after: $after) { edges { cursor node { id } } } }"""
    page = data(document, id=gid(ada), after=second["actionEdge"]["cursor"])["actorStream"]
    assert page["edges"] == [first["actionEdge"]]


def test_all_that_is_wrong_with_many_actions_is_named_at_once(
    ada: User, bob: User, brook: Project, hide: Hide
) -> None:
    hide(brook)
    [(_, done)] = action.send(ada, verb="woke", idempotency_key="used")
    payload = create_many(
        ada,
        {"verb": "woke"},
        {"verb": "", "description": "x" * 4001},
        {"verb": "saw", "target": gid(brook)},
        {"verb": "saw", "actionObject": gid(done)},
        {"verb": "spoke", "actor": gid(bob)},
        {"verb": "spoke", "timestamp": START.isoformat()},
        {"verb": "slept", "idempotencyKey": "used"},
        {"verb": "a", "idempotencyKey": "1"},
        {"verb": "b", "idempotencyKey": "1"},
        {"verb": "saw", "target": ""},
    )
    assert faults(payload) == [
        (["1", "verb"], "INVALID"),
        (["1", "description"], "TOO_LONG"),
        (["2", "target"], "NOT_FOUND"),
        (["3", "actionObject"], "NOT_REGISTERED"),
        (["4", "actor"], "NOT_ALLOWED"),
        (["5", "timestamp"], "NOT_ALLOWED"),
        (["6", "idempotencyKey"], "CONFLICT"),
        (["8", "idempotencyKey"], "CONFLICT"),
        (["9", "target"], "NOT_FOUND"),
    ]
    assert "brook" not in str(payload)
    assert list(Action.objects.all()) == [done]


def test_five_hundred_actions_are_recorded_at_once_and_no_more(ada: User) -> None:
    refused = create_many(ada, *[{"verb": "woke"}] * 501)
    assert refused["results"] == []
    said = one_error(refused, "actions", "TOO_LONG")
    assert "501" in said
    assert "500" in said
    assert not Action.objects.exists()
    assert len(create_many(ada, *[{"verb": "woke"}] * 500)["results"]) == 500
    assert Action.objects.count() == 500


def test_no_actions_are_no_fault(ada: User) -> None:
    assert create_many(ada) == {"results": [], "userErrors": [], "clientMutationId": None}


def test_the_same_actions_again_are_found(ada: User, brook: Project) -> None:
    actions = [{"verb": "saw", "target": gid(brook), "idempotencyKey": str(at)} for at in range(5)]
    first, again = create_many(ada, *actions), create_many(ada, *actions)
    assert again["results"] == [{**each, "created": False} for each in first["results"]]
    assert Action.objects.count() == 5


def test_a_role_of_many_actions_may_be_an_empty_page(deputy: User, page: Page) -> None:
    """Which is false, but there."""
    create_many(deputy, {"verb": "changed", "actor": gid(page), "target": gid(page)})
    assert [(row.actor, row.target) for row in Action.objects.all()] == [(page, page)]


def test_many_actions_and_what_they_name_take_the_same_statements_however_many_they_are(
    deputy: User,
) -> None:
    projects = [Project.objects.create(name=str(at)) for at in range(60)]
    users = [User.objects.create(username=str(at)) for at in range(60)]
    document = """mutation ($input: CreateActionsInput!) { createActions(input: $input) {
        results { action { displayName actor { displayName } target { viewerIsFollowing } }
            mine: actionEdge { node { url actionObject { id displayName } } } }
        userErrors { code } } }"""

    def statements(number: int) -> int:
        actions = [
            {
                "verb": "starred",
                "actor": gid(users[at]),
                "target": gid(projects[at]),
                "actionObject": gid(users[-1 - at]),
                "idempotencyKey": f"{number} {at}",
            }
            for at in range(number)
        ]
        viewer = User.objects.get(pk=deputy.pk)
        with CaptureQueriesContext(connection) as queries:
            answer = data(document, viewer, input={"actions": actions})["createActions"]
        assert answer["userErrors"] == []
        assert [each["action"]["displayName"] for each in answer["results"]] == [
            f"{at} starred {59 - at} on {at}" for at in range(number)
        ]
        return len(queries)

    data("{ __typename }")
    statements(1)  # finds the content types
    assert statements(60) == statements(2)


def test_an_action_that_stands_for_a_list_of_one_is_recorded(ada: User) -> None:
    document = """mutation { createActions(input: {actions: {verb: "woke"}}) {
        results { created } } }"""
    assert data(document, ada)["createActions"]["results"] == [{"created": True}]


# deleteAction


def delete(viewer: Any, obj: Any) -> Any:
    return data(DELETE, viewer, input={"id": obj if isinstance(obj, str) else gid(obj)})[
        "deleteAction"
    ]


def test_an_action_is_deleted_by_its_actor(ada: User, bob: User) -> None:
    [(_, mine)] = action.send(ada, verb="woke", target=bob)
    [(_, kept)] = action.send(ada, verb="slept")
    assert delete(ada, mine) == {
        "deletedActionId": gid(mine),
        "userErrors": [],
        "clientMutationId": None,
    }
    assert list(Action.objects.all()) == [kept]
    one_error(delete(ada, mine), "id", "NOT_FOUND")


def test_another_deletes_an_action_with_the_permission(ada: User, bob: User, deputy: User) -> None:
    [(_, row)] = action.send(ada, verb="woke", target=bob)
    payload = delete(bob, row)
    assert payload["deletedActionId"] is None
    assert one_error(payload, "id", "NOT_ALLOWED") == "You may delete your own actions alone."
    assert list(Action.objects.all()) == [row]
    assert delete(deputy, row)["deletedActionId"] == gid(row)
    assert list(Action.objects.all()) == []


def test_what_is_no_action_that_the_viewer_sees_is_not_found(
    ada: User, deputy: User, brook: Project
) -> None:
    [(_, secret)] = action.send(ada, verb="wrote", public=False)
    for given in (brook, secret, "?", "QWN0aW9uOjk5OTk5OQ=="):
        one_error(delete(deputy, given), "id", "NOT_FOUND")
    assert list(Action.objects.all()) == [secret]
    assert list(Project.objects.all()) == [brook]


# follow


def follows(viewer: Any, obj: Any, **given: Any) -> Any:
    return data(FOLLOW, viewer, input={"object": gid(obj), **given})["follow"]


def test_a_follow_is_made_and_told(ada: User, brook: Project) -> None:
    payload = follows(ada, brook, clientMutationId="mine")
    [row] = Follow.objects.all()
    assert payload == {
        "created": True,
        "follow": {
            "id": gid(row),
            "actorOnly": True,
            "flag": "",
            "user": {"id": gid(ada)},
            "followObject": {"id": gid(brook)},
        },
        "followEdge": {"cursor": payload["followEdge"]["cursor"], "node": {"id": gid(row)}},
        "object": {"id": gid(brook), "viewerIsFollowing": True},
        "userErrors": [],
        "clientMutationId": "mine",
    }
    assert [(told.actor, told.verb, told.target) for told in Action.objects.all()] == [
        (ada, "started following", brook)
    ]


def test_to_follow_again_changes_actor_only_alone(ada: User, brook: Project) -> None:
    first = follows(ada, brook)
    again = follows(ada, brook, actorOnly=False)
    assert (again["created"], again["follow"]["id"]) == (False, first["follow"]["id"])
    assert again["follow"]["actorOnly"] is False
    assert [row.actor_only for row in Follow.objects.all()] == [False]
    assert len(Action.objects.all()) == 1


def test_each_flag_is_a_follow_of_its_own(ada: User, brook: Project) -> None:
    assert follows(ada, brook)["created"] is True
    assert follows(ada, brook, flag="watching")["created"] is True
    assert sorted(row.flag for row in Follow.objects.all()) == ["", "watching"]
    assert sorted(told.verb for told in Action.objects.all()) == [
        "started following",
        "started watching",
    ]


def test_a_follow_may_be_silent(ada: User, brook: Project) -> None:
    assert follows(ada, brook, sendAction=False)["created"] is True
    assert list(Action.objects.all()) == []


def test_the_edge_of_a_new_follow_stands_where_its_cursor_says(
    ada: User, bob: User, brook: Project
) -> None:
    older, newer = follows(ada, brook), follows(bob, brook)
    document = """query ($id: ID!, $after: String) {
        node(id: $id) { followers(after: $after) { nodes { id } } } }"""
    page = data(document, id=gid(brook), after=newer["followEdge"]["cursor"])["node"]["followers"]
    assert page["nodes"] == [{"id": older["follow"]["id"]}]


def test_a_flag_has_a_limit(ada: User, brook: Project) -> None:
    said = one_error(follows(ada, brook, flag="x" * 248), "flag", "TOO_LONG")
    assert "247" in said
    assert "248" in said
    assert one_error(follows(ada, brook, flag="\0"), "flag", "INVALID")
    assert list(Follow.objects.all()) == []
    assert follows(ada, brook, flag="x" * 247)["userErrors"] == []


def test_what_cannot_be_followed_is_refused(ada: User, brook: Project, hide: Hide) -> None:
    [(_, done)] = action.send(ada, verb="saw")
    assert one_error(follows(ada, done), "object", "NOT_REGISTERED")
    hide(brook)
    for document, name in ((FOLLOW, "follow"), (UNFOLLOW, "unfollow")):
        for given in (gid(brook), "?"):
            payload = data(document, ada, input={"object": given})[name]
            assert one_error(payload, "object", "NOT_FOUND")
            assert payload["object"] is None
    assert list(Follow.objects.all()) == []


# unfollow


def unfollows(viewer: Any, obj: Any, **given: Any) -> Any:
    return data(UNFOLLOW, viewer, input={"object": gid(obj), **given})["unfollow"]


@pytest.fixture
def followed(ada: User, bob: User, brook: Project) -> dict[str, Follow]:
    """Ada follows brook under three flags; bob under one."""
    follow(bob, brook, send_action=False)
    return {flag: follow(ada, brook, send_action=False, flag=flag) for flag in ("", "a", "b")}


def test_every_follow_of_a_node_is_ended(
    ada: User, bob: User, brook: Project, followed: dict[str, Follow]
) -> None:
    payload = unfollows(ada, brook, clientMutationId="mine")
    assert sorted(payload.pop("deletedFollowIds")) == sorted(gids(followed.values()))
    assert payload == {
        "object": {"id": gid(brook), "viewerIsFollowing": False},
        "userErrors": [],
        "clientMutationId": "mine",
    }
    assert [row.user for row in Follow.objects.all()] == [bob]
    assert list(Action.objects.all()) == []


@pytest.mark.parametrize("flag", ["", "a"])
def test_the_follow_of_one_flag_is_ended(
    ada: User, brook: Project, followed: dict[str, Follow], flag: str
) -> None:
    payload = unfollows(ada, brook, flag=flag, sendAction=True)
    assert payload["deletedFollowIds"] == [gid(followed[flag])]
    assert payload["object"] == {"id": gid(brook), "viewerIsFollowing": True}
    assert [told.verb for told in Action.objects.all()] == [f"stopped {flag or 'following'}"]


def test_to_unfollow_what_is_not_followed_does_and_says_nothing(
    ada: User, delta: Project, followed: dict[str, Follow]
) -> None:
    payload = unfollows(ada, delta, sendAction=True)
    assert payload["deletedFollowIds"] == []
    assert payload["userErrors"] == []
    assert list(Action.objects.all()) == []


def test_a_flag_that_nothing_can_have_ends_nothing(
    ada: User, brook: Project, followed: dict[str, Follow]
) -> None:
    for flag in ("\0", "\ud800"):
        answer = ask(UNFOLLOW, ada, input={"object": gid(brook), "flag": flag})
        assert refusals(answer) == []
        assert answer["data"]["unfollow"]["deletedFollowIds"] == []


# all of them


ALL: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "createAction": (CREATE, lambda obj: {"verb": "saw", "target": gid(obj)}),
    "createActions": (
        CREATE_MANY,
        lambda obj: {"actions": [{"verb": "woke"}, {"verb": "saw", "target": gid(obj)}]},
    ),
    "deleteAction": (DELETE, lambda obj: {"id": gid(obj)}),
    "follow": (FOLLOW, lambda obj: {"object": gid(obj)}),
    "unfollow": (UNFOLLOW, lambda obj: {"object": gid(obj)}),
}
every_mutation = pytest.mark.parametrize("name", ALL)


def test_these_are_all_mutations() -> None:
    fields = data("{ __schema { mutationType { fields { name } } } }")["__schema"]["mutationType"]
    assert {field["name"] for field in fields["fields"]} == set(ALL)


@every_mutation
def test_an_anonymous_viewer_is_unauthenticated(name: str, brook: Project) -> None:
    document, given = ALL[name]
    answer = ask(document, None, input=given(brook))
    assert answer["data"] is None
    assert refusals(answer) == [([name], "UNAUTHENTICATED")]
    assert list(Action.objects.all()) == []
    assert list(Follow.objects.all()) == []


@every_mutation
def test_the_clients_id_comes_back_with_a_refusal_too(name: str, ada: User, hide: Hide) -> None:
    document, given = ALL[name]
    obj = Project(pk=999_999)
    payload = data(document, ada, input={**given(obj), "clientMutationId": "mine"})[name]
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
    assert payload["clientMutationId"] == "mine"


@pytest.mark.parametrize("name", ["createAction", "follow"])
def test_what_fails_halfway_leaves_nothing(name: str, ada: User, brook: Project) -> None:
    """The last thing that is written is an action; a listener of the site's fails after it."""
    document, given = ALL[name]

    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("after the last row")

    post_save.connect(fail, sender=Action)
    try:
        answer = ask(document, ada, input=given(brook))
    finally:
        post_save.disconnect(fail, sender=Action)
    assert refusals(answer) == [([name], "INTERNAL")]
    assert list(Action.objects.all()) == []
    assert list(Follow.objects.all()) == []
    assert data(document, ada, input=given(brook))[name]["created"] is True


def test_one_of_several_mutations_is_refused_alone(ada: User, brook: Project) -> None:
    document = """mutation ($good: FollowInput!, $bad: FollowInput!, $end: UnfollowInput!) {
        good: follow(input: $good) { created userErrors { code } }
        bad: follow(input: $bad) { created userErrors { code } }
        during: follow(input: $good) { created object { viewerIsFollowing } }
        end: unfollow(input: $end) { object { viewerIsFollowing } }
    }"""
    given = {"object": gid(brook)}
    assert data(document, ada, good=given, bad={"object": "?"}, end=given) == {
        "good": {"created": True, "userErrors": []},
        "bad": {"created": False, "userErrors": [{"code": "NOT_FOUND"}]},
        "during": {"created": False, "object": {"viewerIsFollowing": True}},
        "end": {"object": {"viewerIsFollowing": False}},
    }


def test_a_new_action_shows_its_roles_and_what_is_asked_of_them(
    ada: User, brook: Project, django_assert_max_num_queries: Any
) -> None:
    document = """mutation ($input: CreateActionInput!) { createAction(input: $input) {
        action { displayName verb actor { id displayName } target { id viewerIsFollowing }
            actionObject { id } } } }"""
    answer = data(document, ada, input={"verb": "starred", "target": gid(brook)})
    assert answer["createAction"]["action"] == {
        "displayName": "ada starred brook",
        "verb": "starred",
        "actor": {"id": gid(ada), "displayName": "ada"},
        "target": {"id": gid(brook), "viewerIsFollowing": False},
        "actionObject": None,
    }
