"""Nodes: ids, the one door, and the types that are made for models."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from schema import catalog, nodes
from server.models import Action, Follow, action
from tests.schema.client import ask, data, gid, gids, refusals
from tests.schema.conftest import Hide
from tests.site.models import Article, Finished, Fork, Mirror, Page, Place, Project, Venue

NODE = "query ($id: ID!) { node(id: $id) { __typename id displayName url } }"
NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.fixture
def everything(ada: User, brook: Project, article: Article, page: Page) -> list[Any]:
    [(_, done)] = action.send(ada, verb="starred", target=brook)
    return [
        ada,
        Group.objects.create(name="editors"),
        brook,
        article,
        page,
        Venue.objects.create(name="The Fleece"),
        done,
        Follow.objects.create(user=ada, follow_object=brook),
    ]


def test_an_id_leads_back_to_its_node_for_every_kind_of_key(everything: list[Any]) -> None:
    assert [data(NODE, id=gid(obj))["node"]["id"] for obj in everything] == gids(everything)
    assert data(NODES, ids=gids(everything))["nodes"] == [{"id": gid(obj)} for obj in everything]


def test_an_id_is_base64_of_the_type_and_the_key(brook: Project, page: Page) -> None:
    article = Article.objects.create(id=UUID(int=7), title="On keys")
    assert gids([brook, page, article]) == [
        encoded(f"Project:{brook.pk}"),
        encoded("Page:on-rivers"),
        encoded("Article:00000000-0000-0000-0000-000000000007"),
    ]


def test_a_node_says_its_type_and_name(everything: list[Any]) -> None:
    named = [data(NODE, id=gid(obj))["node"] for obj in everything]
    assert [(node["__typename"], node["displayName"]) for node in named] == [
        ("User", "ada"),
        ("Group", "editors"),
        ("Project", "brook"),
        ("Article", "On streams"),
        ("Page", "on-rivers"),
        ("Venue", "The Fleece tonight"),
        ("Action", "ada starred brook"),
        ("Follow", "ada follows brook"),
    ]


def test_a_type_without_nodes_py_has_the_fields_of_node_alone() -> None:
    document = "query ($name: String!) { __type(name: $name) { fields { name } } }"

    def fields(name: str) -> set[str]:
        return {field["name"] for field in data(document, name=name)["__type"]["fields"]}

    assert fields("Article") == fields("Node")
    assert fields("Project") == fields("Node") | {"projectNews"}  # that stream is of projects


def test_an_unknown_a_malformed_and_an_invisible_id_answer_alike(
    brook: Project, delta: Project, hide: Hide
) -> None:
    hide(delta)
    bad = [
        encoded("Project:999999"),
        encoded("Unheard:1"),
        encoded("Project"),
        encoded("Diary:1"),
        encoded("Query:1"),
        gid(delta),
        "",
        "é",
        "not base64!",
        f"{gid(brook)}=",
    ]
    assert [ask(NODE, id=given) for given in bad] == [{"data": {"node": None}}] * len(bad)
    mixed = [*bad, gid(brook)]
    assert ask(NODES, ids=mixed) == {"data": {"nodes": [*([None] * len(bad)), {"id": gid(brook)}]}}


@pytest.mark.parametrize(
    "written",
    ["0{}", "+{}", " {}", "{} ", "{}.0", "{}\x00", "{}_0", "٣", "9" * 19, "9" * 40, "-1", ""],
)
def test_a_key_that_is_written_otherwise_is_no_key(brook: Project, written: str) -> None:
    given = encoded(f"Project:{written.format(brook.pk)}")
    assert ask(NODE, id=given) == {"data": {"node": None}}


def test_a_uuid_that_is_written_otherwise_is_no_key(article: Article) -> None:
    written = [str(article.pk).upper(), article.pk.hex, f"{{{article.pk}}}", "7"]
    assert article.pk.hex != str(article.pk)
    wrong = [encoded(f"Article:{key}") for key in written if key != str(article.pk)]
    assert data(NODES, ids=wrong)["nodes"] == [None] * len(wrong)
    assert data(NODES, ids=[gid(article)])["nodes"] == [{"id": gid(article)}]


def test_base64_that_is_written_otherwise_is_no_id() -> None:
    User.objects.all()
    assert catalog._decode(encoded("User:1")) == "User:1"
    assert [catalog._decode(given) for given in ("VXNlcjox\n", "VXNlcj ox", "VXNlcjox====")] == [
        None,
        None,
        None,
    ]


@given(text=st.text(max_size=30))
def test_no_text_as_an_id_is_a_fault(db: None, text: str) -> None:
    for written in (text, encoded_or_empty(text), encoded_or_empty(f"Page:{text}")):
        assert ask(NODE, id=written) == {"data": {"node": None}}


def encoded_or_empty(text: str) -> str:
    return b64encode(text.encode(errors="surrogatepass")).decode()


@given(slug=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_every_text_key_makes_an_id_that_leads_back(db: None, slug: str) -> None:
    page = Page.objects.create(slug=slug[:100])
    try:
        assert data(NODE, id=gid(page))["node"]["id"] == gid(page)
    finally:
        page.delete()


def test_nodes_keep_the_order_of_their_ids_and_repeat(ada: User, brook: Project) -> None:
    ids = [gid(brook), gid(ada), gid(brook)]
    assert data(NODES, ids=ids)["nodes"] == [{"id": given} for given in ids]
    assert data(NODES, ids=[])["nodes"] == []


def test_nodes_take_a_hundred_ids_and_no_more(brook: Project) -> None:
    assert data(NODES, ids=[gid(brook)] * 100)["nodes"] == [{"id": gid(brook)}] * 100
    answer = ask(NODES, ids=[gid(brook)] * 101)
    assert answer["data"] is None
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "100" in error["message"]
    assert "101" in error["message"]


def test_nodes_cost_one_statement_for_each_type(
    django_assert_num_queries: Any, brook: Project, delta: Project, article: Article
) -> None:
    with django_assert_num_queries(2):
        data(NODES, ids=gids([brook, article, delta]))


def test_an_id_with_an_old_name_still_loads_and_answers_the_new_one(
    brook: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(catalog._names, "Undertaking", (Project, catalog.node_type(Project)))
    assert data(NODE, id=encoded(f"Undertaking:{brook.pk}"))["node"]["id"] == gid(brook)


def test_a_type_cannot_take_a_name_that_is_taken() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'Article' of site\.Page is taken by site\.A"):
        nodes.node(Page, name="Article")(type("Page", (), {}))
    with pytest.raises(ImproperlyConfigured, match=r"'Query' of site\.Page is taken by Brook"):
        nodes.node(Page, name="Query")(type("Page", (), {}))
    with pytest.raises(ImproperlyConfigured, match=r"'User' of site\.Page is taken by auth\.User"):
        nodes.node(Page, name="Leaf", aliases=["User"])(type("Page", (), {}))
    assert "Leaf" not in catalog._names


def test_a_model_has_one_type() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"site\.Page has two node types"):
        nodes.node(Page, name="Leaf")(type("Page", (), {}))


def test_a_child_and_a_proxy_are_nodes_of_what_is_registered(ada: User, db: None) -> None:
    fork, mirror, finished = (
        Fork.objects.create(name="fork"),
        Mirror.objects.create(name="mirror"),
        Finished.objects.create(name="finished"),
    )
    place = Place.objects.create(name="Inn")
    for obj in (fork, mirror, finished, place):
        action.send(ada, verb="saw", target=obj)
    document = """query ($id: ID!) { actorStream(actor: $id, last: 4) {
        nodes { target { __typename id displayName } } } }"""
    found = [row["target"] for row in data(document, id=gid(ada))["actorStream"]["nodes"]]
    assert [(node["__typename"], node["displayName"]) for node in found][::-1] == [
        ("Project", "fork"),
        ("Project", "mirror"),
        ("Project", "finished"),
        ("Venue", "Inn tonight"),
    ]
    assert [node["id"] for node in found][::-1] == gids([fork, mirror, finished, place])
    assert gid(mirror) == encoded(f"Project:{mirror.project_id}")
    assert data(NODES, ids=gids([fork, mirror]))["nodes"] == [
        {"id": gid(fork)},
        {"id": gid(mirror)},
    ]


@pytest.mark.parametrize(
    ("username", "email", "full", "shown"),
    [
        ("ada", "ada@example.com", "Ada Lovelace", "ada"),
        ("ada@example.com", "ada@example.com", "Ada Lovelace", "Ada Lovelace"),
        ("ada@example.com", "", "", "User {}"),
        ("ada@example.com", "ada@example.com", "ada@example.com", "User {}"),
        ("ada@intranet", "ada@intranet", "", "User {}"),
        ("Ädä@example.com", "Ädä@example.com", "Ada", "Ada"),
        ("ADA@example.com", "ada@example.com", "Ada", "Ada"),
        ("ada@intranet", "other@example.com", "", "ada@intranet"),
    ],
)
def test_a_users_name_is_never_the_email_address(
    db: None, username: str, email: str, full: str, shown: str
) -> None:
    user = User.objects.create(username=username, email=email, first_name=full)
    document = "{ viewer { displayName username } }"
    name = shown.format(user.pk)
    assert data(document, user)["viewer"] == {"displayName": name, "username": name}


def test_url_is_the_models_page_where_it_has_one(
    brook: Project, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Page, "get_absolute_url", lambda self: f"/pages/{self.slug}", raising=False
    )
    assert data(NODE, id=gid(page))["node"]["url"] == "/pages/on-rivers"
    assert data(NODE, id=gid(brook))["node"]["url"] is None


def test_a_fault_of_one_node_leaves_its_siblings(
    ada: User, brook: Project, article: Article
) -> None:
    document = """query ($good: ID!, $bad: ID!) {
        good: node(id: $good) { id }
        bad: node(id: $bad) { id }
        stream: anyStream(object: $bad) { nodes { id } }
        other: anyStream(object: $good) { nodes { id } }
    }"""
    answer = ask(document, good=gid(brook), bad="?")
    assert answer["data"] == {
        "good": {"id": gid(brook)},
        "bad": None,
        "stream": None,
        "other": {"nodes": []},
    }
    assert refusals(answer) == [(["stream"], "BAD_USER_INPUT")]


def test_actions_and_follows_are_nodes_though_not_registered(ada: User, brook: Project) -> None:
    [(_, done)] = action.send(ada, verb="starred", target=brook)
    follow = Follow.objects.create(user=ada, follow_object=brook)
    document = """query ($ids: [ID!]!) { nodes(ids: $ids) {
        __typename viewerIsFollowing
        anyStream { totalCount nodes { id } }
        followers { totalCount nodes { id } }
    } }"""
    empty = {"totalCount": 0, "nodes": []}
    assert data(document, ada, ids=gids([done, follow]))["nodes"] == [
        {"__typename": kind, "viewerIsFollowing": False, "anyStream": empty, "followers": empty}
        for kind in ("Action", "Follow")
    ]


def test_an_action_can_be_acted_on_and_followed_where_it_is_registered(
    ada: User, bob: User, brook: Project, registered: Any
) -> None:
    registered(Action)
    [(_, done)] = action.send(ada, verb="starred", target=brook)
    [(_, liked)] = action.send(bob, verb="liked", target=done)
    Follow.objects.create(user=bob, follow_object=done)
    document = """query ($id: ID!) { node(id: $id) {
        viewerIsFollowing
        targetStream { nodes { id displayName target { __typename id displayName } } }
        followers { nodes { displayName } }
    } }"""
    assert data(document, bob, id=gid(done))["node"] == {
        "viewerIsFollowing": True,
        "targetStream": {
            "nodes": [
                {
                    "id": gid(liked),
                    "displayName": "bob liked ada starred brook",
                    "target": {
                        "__typename": "Action",
                        "id": gid(done),
                        "displayName": "ada starred brook",
                    },
                }
            ]
        },
        "followers": {"nodes": [{"displayName": "bob follows ada starred brook"}]},
    }
