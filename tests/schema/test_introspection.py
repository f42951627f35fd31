"""Who may look at the schema, by introspection and in GraphiQL."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from graphql import get_introspection_query

from tests.schema.client import ask, data

ASKS = {
    "the schema": "{ __schema { queryType { name } } }",
    "a type": '{ __type(name: "User") { name } }',
    "an alias": '{ harmless: __type(name: "User") { name } }',
    "an inline fragment": "{ ... { ... on Query { __schema { queryType { name } } } } }",
    "a fragment": "{ ...F } fragment F on Query { __schema { queryType { name } } }",
    "what is switched off": "{ __schema @skip(if: true) { queryType { name } } __typename }",
    "another operation": "query A { __typename } query B { __schema { queryType { name } } }",
    "a line and a comment between": '{ __type # (\n(name: "User") { name } }',
    "what tools ask": get_introspection_query(),
}
ASKS_NOT = {
    "a name of a type": "{ __typename viewer { __typename } }",
    "a comment": "{ __typename } # __schema",
    "a text": '{ node(id: "__schema __type") { id } }',
}

HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture(params=["everyone", "staff", "nobody"])
def whom(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.INTROSPECTION = request.param
    return str(request.param)


@pytest.fixture
def viewers(ada: User, root: User) -> dict[str, Any]:
    return {"anonymous": None, "user": ada, "staff": root}


def is_open(whom: str, viewer: str) -> bool:
    return whom == "everyone" or (whom == "staff" and viewer == "staff")


@pytest.mark.parametrize("document", ASKS.values(), ids=ASKS)
def test_the_schema_is_told_to_whom_it_is_open(
    whom: str, viewers: dict[str, Any], document: str
) -> None:
    """In any order of viewers: that a document is valid is kept, who may ask it is not."""
    for viewer in ("staff", "anonymous", "user", "staff", "anonymous"):
        answer = ask(document, viewers[viewer])
        if is_open(whom, viewer):
            several = document.startswith("query A")
            assert several or "errors" not in answer, answer
        else:
            assert answer["data"] is None
            [error] = answer["errors"]
            assert error["extensions"] == {"code": "FORBIDDEN"}
            assert "__schema and __type" in error["message"]


@pytest.mark.parametrize("document", ASKS_NOT.values(), ids=ASKS_NOT)
def test_what_only_mentions_it_is_answered(
    whom: str, viewers: dict[str, Any], document: str
) -> None:
    for viewer in viewers.values():
        data(document, viewer)


def test_who_asks_is_not_looked_up_for_another_document(
    settings: Any, client: Client, ada: User, django_assert_num_queries: Any
) -> None:
    settings.INTROSPECTION = "staff"
    client.force_login(ada)
    for document, statements in (("{ __typename }", 0), (ASKS["the schema"], 1)):
        with django_assert_num_queries(statements):
            client.post("/graphql", {"query": document}, content_type="application/json")


def test_graphiql_is_for_whom_the_schema_is_open(
    whom: str, viewers: dict[str, Any], client: Client
) -> None:
    for viewer, user in viewers.items():
        client.logout()
        if user:
            client.force_login(user)
        response = client.get("/graphql?query=%7B__typename%7D", headers=HTML)
        if is_open(whom, viewer):
            assert response.status_code == 200
            assert b"graphiql-config" in response.content
        elif viewer == "anonymous" and whom == "staff":
            assert response.status_code == 302
            assert response.headers["Location"] == (
                "/login?next=/graphql%3Fquery%3D%257B__typename%257D"
            )
        else:
            assert response.status_code == 403
            assert b"graphiql-config" not in response.content


def test_a_program_is_answered_though_graphiql_is_for_nobody(settings: Any, db: None) -> None:
    settings.INTROSPECTION = "nobody"
    body = {"query": "{ __typename }"}
    response = Client().post("/graphql", body, content_type="application/json")
    assert response.json() == {"data": {"__typename": "Query"}}
