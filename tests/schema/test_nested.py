"""Pages within pages: read together, and the same as when asked for one by one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from server.models import Action, follow
from tests.schema.client import ask, data, gid, refusals
from tests.schema.connections import CONNECTIONS, at
from tests.site.models import Page, Project

pytestmark = pytest.mark.django_db

PAGE = "edges { cursor node { id displayName } } pageInfo { hasNextPage endCursor } totalCount"
THREE_LEVELS = """query ($first: Int!) {
  modelStream(model: PROJECT, first: $first) { nodes {
    actor { id actorStream(first: 3) { nodes {
      id target { id targetStream(first: 2) { nodes { id displayName } } }
    } } }
  } }
}"""


@st.composite
def worlds(draw: Any) -> Any:
    """(actor, target, action object, minute, public): few of each, so that much coincides."""
    few = st.integers(0, 3)
    return draw(st.lists(st.tuples(few, few, few, few, st.booleans()), max_size=25))


def make_world(world: list[tuple[int, int, int, int, bool]]) -> None:
    users = [User.objects.create(username=f"user-{n}") for n in range(4)]
    projects = [Project.objects.create(name=f"project-{n}") for n in range(4)]
    pages = [Page.objects.create(slug=f"page-{n}") for n in range(4)]
    Action.objects.bulk_create(
        Action(
            actor=users[actor],
            verb="posted",
            target=projects[target],
            action_object=pages[object_] if object_ else users[actor],
            timestamp=at(minute)[0],
            public=public,
        )
        for actor, target, object_, minute, public in world
    )
    for number, user in enumerate(users):
        follow(user, projects[number], send_action=False)
        follow(user, users[0], send_action=False, flag="watching")


@pytest.mark.parametrize(
    "page",
    [
        f"page: anyStream(first: 2) {{ {PAGE} }}",
        f"page: actorStream(last: 2) {{ {PAGE} }}",
        f'page: anyStream(first: 2, filter: {{verbs: "posted", targetTypes: USER}}) {{ {PAGE} }}',
        f'page: anyStream(first: 2, filter: {{since: "2026-01-01T00:01:00Z"}}) {{ {PAGE} }}',
        f"page: mystream(first: 1) {{ {PAGE} }}",
        f"page: involving(first: 2) {{ {PAGE} }}",
        f"page: followers(first: 2) {{ {PAGE} }}",
    ],
)
@given(world=worlds())
def test_pages_below_a_list_are_those_that_each_node_has_alone(
    page: str, world: list[tuple[int, int, int, int, bool]]
) -> None:
    with transaction.atomic():
        make_world(world)
        ids = [gid(obj) for kind in (User, Project, Page) for obj in kind._default_manager.all()]

        together = data(f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {page} }} }}", ids=ids)

        alone = [data(f"query ($id: ID!) {{ node(id: $id) {{ {page} }} }}", id=i) for i in ids]
        assert together["nodes"] == [answer["node"] for answer in alone]
        transaction.set_rollback(True)


def test_three_levels_of_streams_take_as_many_statements_for_a_hundred_as_for_two(
    ada: User,
) -> None:
    statements = {}
    for number in (2, 100):
        projects = [Project.objects.create(name=f"project-{number}-{n}") for n in range(number)]
        users = [User.objects.create(username=f"user-{number}-{n}") for n in range(number)]
        Action.objects.bulk_create(
            Action(actor=user, verb="posted", target=project)
            for user, project in zip(users, projects, strict=True)
        )
        with CaptureQueriesContext(connection) as captured:
            answer = data(THREE_LEVELS, first=number)
        statements[number] = len(captured)
        assert len(answer["modelStream"]["nodes"]) == number
    # The outer page, its actors; where the inner pages' rows stand, these rows, their targets;
    # the same for the innermost pages, and both models that the display names are made of.
    assert statements == {2: 8, 100: 8}


@given(world=worlds())
def test_three_levels_of_streams_are_those_that_are_asked_for_one_by_one(
    world: list[tuple[int, int, int, int, bool]],
) -> None:
    with transaction.atomic():
        make_world(world)

        together = data(THREE_LEVELS, first=100)["modelStream"]["nodes"]

        first = data("{ modelStream(model: PROJECT, first: 100) { nodes { actor { id } } } }")
        alone = [
            {"actor": actor and {**actor, "actorStream": {"nodes": newest_of_actor(actor)}}}
            for actor in (action["actor"] for action in first["modelStream"]["nodes"])
        ]
        assert together == alone
        transaction.set_rollback(True)


def newest_of_actor(actor: dict[str, Any]) -> list[dict[str, Any]]:
    query = """query ($id: ID!) { node(id: $id) { actorStream(first: 3) { nodes {
        id target { id } } } } }"""
    nodes = data(query, id=actor["id"])["node"]["actorStream"]["nodes"]
    return [
        {**node, "target": target and {**target, "targetStream": newest_of_target(target)}}
        for node, target in ((node, node["target"]) for node in nodes)
    ]


def newest_of_target(target: dict[str, Any]) -> dict[str, Any]:
    query = """query ($id: ID!) { node(id: $id) { targetStream(first: 2) { nodes {
        id displayName } } } }"""
    stream: dict[str, Any] = data(query, id=target["id"])["node"]["targetStream"]
    return stream


def test_pages_below_a_list_count_together(ada: User) -> None:
    for name in "abc":
        Action.objects.create(actor=ada, verb="posted", target=Project.objects.create(name=name))
    ids = [gid(project) for project in Project.objects.all()]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { anyStream { totalCount } } }"
    data(query, ids=ids)
    with CaptureQueriesContext(connection) as captured:
        answer = data(query, ids=ids)
    assert answer["nodes"] == [{"anyStream": {"totalCount": 1}}] * 3
    # the nodes, the counts: no page is read that nobody looks at
    assert len(captured) == 2


@pytest.mark.parametrize("stream", ["involving", "userStream"])
def test_a_stream_that_is_no_range_stands_below_at_most_twenty_nodes(
    stream: str, root: User
) -> None:
    users = [User.objects.create(username=f"user-{n}") for n in range(21)]
    query = f"""query ($ids: [ID!]!) {{
        nodes(ids: $ids) {{ id ... on User {{ {stream} {{ nodes {{ id }} }} }} }} }}"""

    refused = ask(query, root, ids=[gid(user) for user in users])
    allowed = ask(query, root, ids=[gid(user) for user in users[:20]])

    assert {code for _, code in refusals(refused)} == {"TOO_COMPLEX"}
    assert "21 nodes; at most 20" in refused["errors"][0]["message"]
    assert [node["id"] for node in refused["data"]["nodes"]] == [gid(user) for user in users]
    assert allowed["data"]["nodes"] == [
        {"id": gid(user), stream: {"nodes": []}} for user in users[:20]
    ]


def test_of_users_below_a_list_only_ones_own_stream_is_open(ada: User, bob: User) -> None:
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on User {
        userStream { nodes { id } } privateActions { nodes { id } } } } }"""
    secret = Action.objects.create(actor=bob, verb="noted", public=False)
    mine = Action.objects.create(actor=ada, verb="noted", public=False)

    answer = ask(query, ada, ids=[gid(ada), gid(bob)])

    assert answer["data"]["nodes"] == [
        {
            "id": gid(ada),
            "userStream": {"nodes": []},
            "privateActions": {"nodes": [{"id": gid(mine)}]},
        },
        {"id": gid(bob), "userStream": None, "privateActions": None},
    ]
    assert refusals(answer) == [
        (["nodes", 1, "userStream"], "FORBIDDEN"),
        (["nodes", 1, "privateActions"], "FORBIDDEN"),
    ]
    assert gid(secret) not in str(answer)


def test_every_connection_of_node_can_stand_below_a_list() -> None:
    of_node = {connection.name for connection in CONNECTIONS if connection.holder == "Project"}
    assert {"anyStream", "followers", "mystream", "projectNews"} <= of_node
