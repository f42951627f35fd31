"""GraphQL over HTTP: what is a request, and by which status and media type it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from schema.requests import GRAPHQL, JSON, MOST_BYTES
from tests.schema.client import gid
from tests.site.models import Project

pytestmark = pytest.mark.django_db

TYPENAME = {"query": "{ __typename }"}


def post(client: Client, body: Any = TYPENAME, accept: str = "", **options: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = options.pop("headers", {}) | ({"Accept": accept} if accept else {})
    content_type = options.pop("content_type", JSON)
    return client.generic(
        "POST", "/graphql", content, content_type, headers=headers, CONTENT_TYPE=content_type
    )


def refused(response: Any) -> tuple[int, list[str]]:
    """The status, and the codes of a response that has errors and no data."""
    assert response.headers["Content-Type"].split(";")[0] in (JSON, GRAPHQL)
    answer = response.json()
    assert set(answer) == {"errors"}
    return response.status_code, [error["extensions"]["code"] for error in answer["errors"]]


# Media types


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL),
        (f"{JSON}, {GRAPHQL};q=0.9", JSON),
        (f"{GRAPHQL}; charset=utf-8, {JSON}; charset=utf-8;q=0.5", GRAPHQL),
        (f"text/html, {GRAPHQL}", GRAPHQL),
    ],
)
def test_a_response_is_of_the_media_type_that_the_client_prefers(
    client: Client, accept: str, answered: str
) -> None:
    response = post(client, accept=accept)
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})
    assert response.headers["Content-Type"] == f"{answered}; charset=utf-8"


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", "nonsense", ","])
def test_what_nobody_can_answer_in_is_not_acceptable(client: Client, accept: str) -> None:
    assert refused(post(client, accept=accept)) == (406, ["BAD_REQUEST"])


def test_a_response_is_nobody_elses_to_keep_and_is_what_it_says(client: Client) -> None:
    response = post(client)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in response.headers


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/graphql",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "application/json; charset=utf-16",
        "application/json, application/json",
        "application/json\x00",
    ],
)
def test_a_body_must_be_json_and_say_so(client: Client, content_type: str) -> None:
    response = post(client, content_type=content_type)
    assert refused(response) == (415, ["BAD_REQUEST"])
    assert response.headers["Accept-Post"] == JSON


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8"]
)
def test_a_body_in_utf_8_may_say_so(client: Client, content_type: str) -> None:
    assert post(client, content_type=content_type).status_code == 200


# Bodies

NO_REQUESTS = {
    "nothing": b"",
    "half": b"{",
    "list": b"[]",
    "null": b"null",
    "text": b'"text"',
    "number": b"1",
    "true": b"true",
    "no query": b"{}",
    "a query of a number": b'{"query": 1}',
    "a query of null": b'{"query": null}',
    "an empty query": b'{"query": ""}',
    "no UTF-8": b"\xff",
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "no number": b'{"query": "{ __typename }", "variables": {"n": NaN}}',
    "infinity": b'{"query": "{ __typename }", "variables": {"n": -Infinity}}',
    "a huge integer": b'{"query": "{ __typename }", "variables": {"n": 1' + b"0" * 5000 + b"}}",
    "variables of a number": b'{"query": "{ __typename }", "variables": 1}',
    "variables of a list": b'{"query": "{ __typename }", "variables": []}',
    "variables of text": b'{"query": "{ __typename }", "variables": "{}"}',
    "extensions of a list": b'{"query": "{ __typename }", "extensions": []}',
    "an operation of a number": b'{"query": "{ __typename }", "operationName": 1}',
    "a document of a number": b'{"documentId": 1}',
    "a batch": b'[{"query": "{ __typename }"}]',
    "deep": b"[" * 100_000,
    "a hash of no version": b'{"extensions": {"persistedQuery": {"sha256Hash": "x"}}}',
    "a hash of null": b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": null}}}',
    "another hash": b'{"query": "{ __typename }", "documentId": "sha256:0"}',
}


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
@pytest.mark.parametrize("body", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_a_body_that_is_no_request_is_a_bad_request(
    client: Client, body: bytes, accept: str
) -> None:
    assert refused(post(client, body, accept)) == (400, ["BAD_REQUEST"])


def test_a_body_of_the_most_bytes_is_read_and_one_more_is_too_many(client: Client) -> None:
    shortest = len(json.dumps(TYPENAME | {"variables": {"text": ""}}))
    body = TYPENAME | {"variables": {"text": "x" * (MOST_BYTES - shortest)}}
    assert post(client, body).status_code == 200
    body["variables"]["text"] += "x"  # type: ignore[index]
    assert refused(post(client, body)) == (413, ["BAD_REQUEST"])
    assert refused(post(client, b" " * 3_000_000)) == (413, ["BAD_REQUEST"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "BAD_REQUEST"),
        ({"query": "{ unheard }"}, "BAD_REQUEST"),
        ({"query": "query A { __typename } query B { __typename }"}, "BAD_REQUEST"),
        ({"query": "fragment F on User { id }"}, "BAD_REQUEST"),
        ({"query": "{ __typename }", "operationName": "Unheard"}, "BAD_REQUEST"),
        ({"query": "subscription { __typename }"}, "BAD_REQUEST"),
        ({"query": "query ($id: ID!) { node(id: $id) { id } }"}, "BAD_USER_INPUT"),
        ({"query": "{ node(id: 1.5) { id } }"}, "BAD_USER_INPUT"),
        ({"query": "# Nothing"}, "BAD_REQUEST"),
    ],
    ids=str,
)
def test_a_fault_of_the_document_is_200_only_for_a_client_that_takes_no_more_than_json(
    client: Client, body: Any, code: str
) -> None:
    assert refused(post(client, body, JSON)) == (200, [code])
    assert refused(post(client, body, GRAPHQL)) == (400, [code])


def test_data_is_200_whatever_failed_below(client: Client) -> None:
    for accept in (JSON, GRAPHQL):
        response = post(client, {"query": "{ userStream { totalCount } }"}, accept)
        assert (response.status_code, response.json()["data"]) == (200, {"userStream": None})


# Methods


def test_a_text_is_not_taken_by_get(client: Client, ada: User, brook: Project) -> None:
    client.force_login(ada)
    mutation = f'mutation {{ follow(input: {{object: "{gid(brook)}"}}) {{ created }} }}'
    for query in (mutation, "{ __typename }"):
        response = client.get("/graphql", {"query": query}, headers={"Accept": JSON})
        assert refused(response) == (405, ["BAD_REQUEST"])
        assert response.headers["Allow"] == "POST"
    assert list(brook.incoming_follows.all()) == []


def test_get_without_a_document_is_a_bad_request(client: Client) -> None:
    assert refused(client.get("/graphql", headers={"Accept": JSON})) == (400, ["BAD_REQUEST"])
    response = client.get("/graphql", {"documentId": "x", "variables": "{"})
    assert refused(response) == (400, ["BAD_REQUEST"])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "FOO"])
def test_another_method_is_not_allowed(client: Client, method: str) -> None:
    response = client.generic(method, "/graphql", json.dumps(TYPENAME), JSON)
    assert refused(response) == (405, ["BAD_REQUEST"])
    assert response.headers["Allow"] == "GET, HEAD, POST, OPTIONS"


def test_options_are_the_methods(client: Client) -> None:
    response = client.options("/graphql")
    assert (response.status_code, response.headers["Allow"]) == (200, "GET, HEAD, POST, OPTIONS")


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=b"])
def test_what_a_foreign_form_can_send_is_no_request(
    client: Client, ada: User, brook: Project, content_type: str
) -> None:
    """A page elsewhere may post these without asking first."""
    client.force_login(ada)
    query = f'mutation {{ follow(input: {{object: "{gid(brook)}"}}) {{ created }} }}'
    assert post(client, {"query": query}, content_type=content_type).status_code == 415
    assert list(brook.incoming_follows.all()) == []
