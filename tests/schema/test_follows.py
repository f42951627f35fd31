"""Who follows what, as GraphQL says it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from server.models import Follow, action
from tests.schema.client import ask, data, gid, gids, refusals
from tests.schema.connections import START, at
from tests.site.models import Article, Project

FOLLOWERS = """query ($id: ID!, $flag: String) { node(id: $id) {
    followers(flag: $flag) { nodes { id user { username } flag } totalCount } } }"""
FOLLOWING = """query ($id: ID!, $types: [NodeType!], $flag: String) { node(id: $id) {
    ... on User { following(types: $types, flag: $flag) { nodes { id } totalCount } } } }"""


def follows(user: User, obj: Any, flag: str = "", minute: int = 0, **given: Any) -> Follow:
    [started] = at(minute)
    return Follow.objects.create(user=user, follow_object=obj, flag=flag, started=started, **given)


def test_followers_are_newest_first_with_one_edge_a_follow(
    ada: User, bob: User, brook: Project
) -> None:
    rows = [
        follows(ada, brook, minute=1),
        follows(bob, brook, minute=2),
        follows(ada, brook, "watching", minute=3),
    ]
    page = data(FOLLOWERS, id=gid(brook))["node"]["followers"]
    assert page["nodes"] == [
        {"id": gid(rows[2]), "user": {"username": "ada"}, "flag": "watching"},
        {"id": gid(rows[1]), "user": {"username": "bob"}, "flag": ""},
        {"id": gid(rows[0]), "user": {"username": "ada"}, "flag": ""},
    ]


def test_the_count_of_followers_is_of_distinct_users(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    for user, flag in ((ada, ""), (ada, "watching"), (ada, "liking"), (bob, "")):
        follows(user, brook, flag)
    follows(ada, delta)
    assert data(FOLLOWERS, id=gid(brook))["node"]["followers"]["totalCount"] == 2
    assert data(FOLLOWERS, id=gid(brook), flag="liking")["node"]["followers"]["totalCount"] == 1
    assert data(FOLLOWERS, id=gid(brook), flag="none")["node"]["followers"]["totalCount"] == 0


def test_a_flag_chooses_among_followers(ada: User, bob: User, brook: Project) -> None:
    plain, watching = follows(ada, brook), follows(bob, brook, "watching")

    def found(**variables: Any) -> set[str]:
        nodes = data(FOLLOWERS, id=gid(brook), **variables)["node"]["followers"]["nodes"]
        return {node["id"] for node in nodes}

    assert found() == found(flag=None) == set(gids([plain, watching]))
    assert found(flag="") == {gid(plain)}
    assert found(flag="watching") == {gid(watching)}


def test_following_is_newest_first_and_chosen_by_type_and_flag(
    ada: User, bob: User, brook: Project, article: Article
) -> None:
    rows = [
        follows(ada, brook, minute=1),
        follows(ada, article, minute=2),
        follows(ada, brook, "watching", minute=3),
        follows(ada, bob, minute=4),
    ]
    follows(bob, brook)

    def found(**variables: Any) -> list[str]:
        page = data(FOLLOWING, id=gid(ada), **variables)["node"]["following"]
        assert page["totalCount"] == len(page["nodes"])
        return [node["id"] for node in page["nodes"]]

    assert found() == gids(rows[::-1])
    assert found(types=["PROJECT"]) == gids([rows[2], rows[0]])
    assert found(types=["ARTICLE", "USER"]) == gids([rows[3], rows[1]])
    assert found(types=[]) == []
    assert found(types=["GROUP"]) == []
    assert found(flag="watching") == gids([rows[2]])
    assert found(types=["PROJECT"], flag="") == gids([rows[0]])


def test_a_follow_says_who_and_what_and_since_when(ada: User, brook: Project) -> None:
    row = follows(ada, brook, "watching", actor_only=False)
    document = """query ($id: ID!) { node(id: $id) { __typename id displayName url ... on Follow {
        user { __typename displayName } followObject { __typename displayName }
        actorOnly flag started } } }"""
    assert data(document, id=gid(row))["node"] == {
        "__typename": "Follow",
        "id": gid(row),
        "displayName": "ada follows brook",
        "url": None,
        "user": {"__typename": "User", "displayName": "ada"},
        "followObject": {"__typename": "Project", "displayName": "brook"},
        "actorOnly": False,
        "flag": "watching",
        "started": START.isoformat(),
    }


def test_a_follow_of_what_is_gone_has_no_object(ada: User, brook: Project) -> None:
    row = follows(ada, brook)
    Project.objects.filter(pk=brook.pk)._raw_delete("default")
    document = """query ($id: ID!) { node(id: $id) { displayName ... on Follow {
        followObject { id } user { id } } } }"""
    assert data(document, id=gid(row))["node"] == {
        "displayName": "ada follows",
        "followObject": None,
        "user": {"id": gid(ada)},
    }


FOLLOWED = """query ($ids: [ID!]!) { nodes(ids: $ids) { any: viewerIsFollowing
    plain: viewerIsFollowing(flag: "") watching: viewerIsFollowing(flag: "watching") } }"""


def test_whether_the_viewer_follows_is_by_flag(
    ada: User, bob: User, brook: Project, delta: Project, article: Article
) -> None:
    follows(ada, brook)
    follows(ada, delta, "watching")
    follows(bob, article)
    ids = gids([brook, delta, article, ada])
    assert data(FOLLOWED, ada, ids=ids)["nodes"] == [
        {"any": True, "plain": True, "watching": False},
        {"any": True, "plain": False, "watching": True},
        {"any": False, "plain": False, "watching": False},
        {"any": False, "plain": False, "watching": False},
    ]


def test_nobody_follows_where_nobody_is_logged_in(ada: User, brook: Project) -> None:
    follows(ada, brook)
    assert data(FOLLOWED, None, ids=[gid(brook)])["nodes"] == [
        {"any": False, "plain": False, "watching": False}
    ]


def test_whether_the_viewer_follows_costs_one_statement_for_a_list(
    ada: User, django_assert_num_queries: Any
) -> None:
    projects = Project.objects.bulk_create([Project(name=str(n)) for n in range(50)])
    follows(ada, projects[3])
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { viewerIsFollowing } }"
    with django_assert_num_queries(2):
        found = data(document, ada, ids=gids(projects))["nodes"]
    assert [node["viewerIsFollowing"] for node in found] == [n == 3 for n in range(50)]


def test_whether_the_viewer_follows_is_told_apart_by_type_at_one_place(
    ada: User, brook: Project, article: Article
) -> None:
    follows(ada, brook, "a")
    follows(ada, article, "b")
    document = """query ($ids: [ID!]!) { nodes(ids: $ids) {
        ... on Project { it: viewerIsFollowing(flag: "a") }
        ... on Article { it: viewerIsFollowing(flag: "b") } } }"""
    assert data(document, ada, ids=gids([brook, article]))["nodes"] == [{"it": True}] * 2


def test_what_users_follow_is_read_by_anyone(ada: User, bob: User, brook: Project) -> None:
    row = follows(ada, brook)
    for viewer in (None, bob, ada):
        assert data(FOLLOWING, viewer, id=gid(ada))["node"]["following"]["nodes"] == [
            {"id": gid(row)}
        ]


PRIVATE = """query ($id: ID!) { node(id: $id) { id ... on User {
    privateActions { nodes { verb public } totalCount } } } }"""


def test_private_actions_are_their_actors_and_the_staffs(
    ada: User, bob: User, root: User, brook: Project
) -> None:
    action.send(ada, verb="wrote", target=brook, public=False)
    action.send(ada, verb="posted", target=brook)
    action.send(bob, verb="told", target=ada, public=False)
    for viewer in (ada, root):
        assert data(PRIVATE, viewer, id=gid(ada))["node"]["privateActions"] == {
            "nodes": [{"verb": "wrote", "public": False}],
            "totalCount": 1,
        }


@pytest.mark.parametrize("who", ["bob", "nobody"])
def test_private_actions_are_null_and_forbidden_for_anyone_else(
    ada: User, bob: User, who: str
) -> None:
    action.send(ada, verb="wrote", public=False)
    answer = ask(PRIVATE, bob if who == "bob" else None, id=gid(ada))
    assert answer["data"] == {"node": {"id": gid(ada), "privateActions": None}}
    assert refusals(answer) == [(["node", "privateActions"], "FORBIDDEN")]


def test_a_group_can_be_followed(ada: User) -> None:
    editors = Group.objects.create(name="editors")
    row = follows(ada, editors)
    assert data(FOLLOWERS, id=gid(editors))["node"]["followers"] == {
        "nodes": [{"id": gid(row), "user": {"username": "ada"}, "flag": ""}],
        "totalCount": 1,
    }
