"""While the database is away, whoever asks is told so, and may ask again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import ConnectionHandler, OperationalError, connection
from django.test import Client

from server import tokens
from tests.verify.conftest import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def away() -> Iterator[None]:
    """What it is like where nobody answers at the database's address."""
    settings = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "NAME": "brook"}
    nowhere = ConnectionHandler({"default": settings | {"PORT": free_port()}})["default"]

    def ask(execute: Any, *statement: Any) -> Any:
        nowhere.ensure_connection()

    with connection.execute_wrapper(ask):
        yield


def code(response: Any) -> Any:
    [error] = response.json()["errors"]
    assert "127.0.0.1" not in error["message"]
    return error["extensions"]["code"]


def ask(client: Client, query: str, **headers: Any) -> Any:
    headers["HTTP_ACCEPT"] = "application/graphql-response+json"
    body = {"query": query}
    return client.post("/graphql", body, content_type="application/json", **headers)


def test_a_field_that_needs_it_is_null_beside_those_that_do_not(
    client: Client, away: None, caplog: pytest.LogCaptureFixture
) -> None:
    response = ask(client, "{ modelStream(model: USER) { nodes { id } } __typename }")
    assert response.json()["data"] == {"modelStream": None, "__typename": "Query"}
    assert (response.status_code, code(response)) == (200, "UNAVAILABLE")
    [said] = [record for record in caplog.records if record.name == "schema.errors"]
    assert (said.levelno, said.exc_info) == (logging.ERROR, None)


def test_who_asks_cannot_be_said(client: Client, ada: User, settings: Any, request: Any) -> None:
    settings.TOKEN_SECRET = "a secret of thirty-two bytes, or more"
    token = tokens.mint(ada, timedelta(hours=1))
    request.getfixturevalue("away")
    response = ask(client, "{ __typename }", HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (response.status_code, code(response)) == (503, "UNAVAILABLE")
    assert response["Retry-After"] == "1"


def test_a_feed_and_a_page_say_so(client: Client, ada: User, request: Any) -> None:
    client.force_login(ada)
    client.raise_request_exception = False
    request.getfixturevalue("away")
    for path in ("/feeds/modelStream/USER.atom", "/live", "/admin/"):
        response = client.get(path)
        assert (path, response.status_code, response["Retry-After"]) == (path, 503, "1")
        assert b"127.0.0.1" not in response.content


def test_any_other_fault_of_a_page_is_ours(client: Client, ada: User) -> None:
    client.force_login(ada)
    client.raise_request_exception = False

    def fail(*_: Any) -> None:
        raise OperationalError("no such table")

    with connection.execute_wrapper(fail):
        assert client.get("/live").status_code == 500
