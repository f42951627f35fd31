"""Action, as GraphQL shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from hypothesis import given
from hypothesis import strategies as st

from server.models import Action, action
from tests.schema.client import data, gid
from tests.schema.connections import START
from tests.site.models import Article, Page, Project

WHOLE = """query ($id: ID!) { node(id: $id) { __typename id displayName url ... on Action {
    verb description timestamp public data
    actor { __typename id } target { __typename id } actionObject { __typename id } } } }"""
NAME = "query ($id: ID!) { node(id: $id) { displayName } }"


def test_an_action_shows_all_that_was_recorded(ada: User, brook: Project, page: Page) -> None:
    [(_, row)] = action.send(
        ada,
        verb="opened",
        target=brook,
        action_object=page,
        description="At last.",
        timestamp=START,
        labels=["bug"],
        due=datetime(2026, 2, 1, tzinfo=UTC),
        price=Decimal("1.50"),
    )
    assert data(WHOLE, id=gid(row))["node"] == {
        "__typename": "Action",
        "id": gid(row),
        "displayName": "ada opened on-rivers on brook",
        "url": None,
        "verb": "opened",
        "description": "At last.",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "public": True,
        "data": {"labels": ["bug"], "due": "2026-02-01T00:00:00Z", "price": "1.50"},
        "actor": {"__typename": "User", "id": gid(ada)},
        "target": {"__typename": "Project", "id": gid(brook)},
        "actionObject": {"__typename": "Page", "id": gid(page)},
    }


def test_an_action_of_an_actor_alone_has_null_for_the_rest(ada: User) -> None:
    [(_, row)] = action.send(ada, verb="woke", public=False)
    shown = data(WHOLE, ada, id=gid(row))["node"]
    assert {name: shown[name] for name in ("description", "data", "target", "actionObject")} == (
        dict.fromkeys(("description", "data", "target", "actionObject"))
    )
    assert shown["public"] is False


def test_the_name_of_an_action_is_a_sentence_without_the_time(
    ada: User, brook: Project, article: Article
) -> None:
    def name(**roles: Any) -> str:
        [(_, row)] = action.send(ada, verb="saw", **roles)
        return str(data(NAME, id=gid(row))["node"]["displayName"])

    assert name() == "ada saw"
    assert name(target=brook) == "ada saw brook"
    assert name(action_object=article) == "ada saw On streams"
    assert name(target=brook, action_object=article) == "ada saw On streams on brook"


def test_a_name_of_an_action_takes_nothing_for_a_template(ada: User) -> None:
    percent = Project.objects.create(name="100% %(actor)s {0}")
    [(_, row)] = action.send(ada, verb="%(what)s %s", target=percent)
    assert data(NAME, id=gid(row))["node"]["displayName"] == ("ada %(what)s %s 100% %(actor)s {0}")


def test_an_empty_page_is_an_object_though_it_is_false(ada: User, page: Page) -> None:
    assert not page
    [(_, row)] = action.send(ada, verb="wrote", target=page)
    shown = data(WHOLE, id=gid(row))["node"]
    assert shown["target"] == {"__typename": "Page", "id": gid(page)}
    assert shown["displayName"] == "ada wrote on-rivers"


def test_an_object_of_a_type_that_is_gone_is_null(ada: User) -> None:
    gone = ContentType.objects.create(app_label="gone", model="gone")
    row = Action(actor=ada, verb="saw", target_content_type=gone, target_object_id="1")
    row.save()
    assert data(WHOLE, id=gid(row))["node"]["target"] is None


def test_an_object_id_that_is_no_key_of_its_model_is_null(ada: User, brook: Project) -> None:
    row = Action(
        actor=ada,
        verb="saw",
        target_content_type=ContentType.objects.get_for_model(Project),
        target_object_id="not a number",
        action_object_content_type=ContentType.objects.get_for_model(Article),
        action_object_object_id="7",
    )
    row.save()
    shown = data(WHOLE, id=gid(row))["node"]
    assert (shown["target"], shown["actionObject"]) == (None, None)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e9, 1e9, width=32)  # PostgreSQL writes larger ones as whole numbers
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(value=json)
def test_any_json_comes_out_as_it_went_in(db: None, value: Any) -> None:
    ada, _ = User.objects.get_or_create(username="ada")
    document = """mutation ($data: JSON) { createAction(input: {verb: "saw", data: $data}) {
        userErrors { message } action { data } } }"""
    answer = data(document, ada, data=value)["createAction"]
    assert answer == {"userErrors": [], "action": {"data": value}}
    row = Action.objects.latest("pk")
    assert data(WHOLE, id=gid(row))["node"]["data"] == value


@pytest.mark.parametrize(
    ("document", "statements"),
    [
        ("{ nodes { actor { id } target { id } actionObject { id } } }", 2),
        ("{ nodes { displayName } }", 2),
        ("{ nodes { displayName actor { displayName } target { url } } }", 2),
        ("{ nodes { target { id } } }", 2),
        ("{ nodes { verb timestamp data } }", 1),
        ("{ edges { node { ...F } } } fragment F on Action { actor { ... { id } } }", 2),
        ("{ edges { a: node { x: actor { id } } b: node { y: target { id } } } }", 3),
        ("{ edges { node { actor { id } } } nodes { actor { id } target { id } } }", 3),
    ],
)
def test_a_page_loads_what_it_names_by_one_statement(
    ada: User,
    brook: Project,
    article: Article,
    django_assert_max_num_queries: Any,
    document: str,
    statements: int,
) -> None:
    for _ in range(3):
        action.send(ada, verb="saw", target=brook, action_object=article)
    selection, _, fragments = document.partition(" fragment")
    whole = f"{{ modelStream(model: PROJECT) {selection} }}"
    whole += f" fragment{fragments}" if fragments else ""
    with django_assert_max_num_queries(statements):
        data(whole)
