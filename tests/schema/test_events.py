"""GraphQL as server-sent events, a connection for each operation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User

from schema import build, documents, events
from schema.documents import hash_of, registered
from schema.requests import GraphQLRequest
from server import connections, tokens
from tests.schema.server import RUNNING, SCHEMA, until

SECRET = "a secret of thirty-two bytes, or more"
COUNT = "subscription { count { number } }"
FOREVER = 'subscription { forever(name: "%s") }'
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKEN_SECRET = SECRET
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    monkeypatch.setattr(build, "schema", SCHEMA)


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    base_url = f"http://{address}"
    with httpx.Client(base_url=base_url, headers=STREAM, timeout=10) as client:
        yield client


def post(client: httpx.Client, query: str, **more: Any) -> Any:
    """A response that is read as it comes."""
    return client.stream("POST", "/graphql", json={"query": query}, **more)


def parts(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """The events of a response; comments are none."""
    kind = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data:"):
            said = line.removeprefix("data:").strip()
            yield kind, json.loads(said) if said else None
        else:
            assert line in ("", ":")


def ask(client: httpx.Client, query: str, **more: Any) -> list[tuple[str, Any]]:
    with post(client, query, **more) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        return list(parts(response))


def refusal(answer: list[tuple[str, Any]]) -> str:
    """The code by which an operation was refused, in the event before the last."""
    [*_, (kind, body), end] = answer
    assert (kind, end) == ("next", ("complete", None))
    [error] = body["errors"]
    return str(error["extensions"]["code"])


def test_a_subscription_is_answered_event_by_event(client: httpx.Client) -> None:
    assert ask(client, COUNT) == [
        *[("next", {"data": {"count": {"number": number}}}) for number in range(3)],
        ("complete", None),
    ]


def test_a_query_is_answered_by_one_event(client: httpx.Client) -> None:
    answer = [("next", {"data": {"__typename": "Query"}}), ("complete", None)]
    assert ask(client, "{ __typename }") == answer


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { refused }", "FORBIDDEN"),
        ("subscription { breaks(after: 0) }", "INTERNAL"),
        ("subscription { breaks(after: 2) }", "INTERNAL"),
    ],
)
def test_what_cannot_be_executed_is_an_event_with_errors(
    client: httpx.Client, query: str, code: str
) -> None:
    assert refusal(ask(client, query)) == code


def test_what_is_no_request_is_refused_as_over_http(client: httpx.Client) -> None:
    assert client.post("/graphql", content=b"{").status_code == 415
    bad = client.post("/graphql", json={"query": COUNT}, headers={"Authorization": "Bearer x"})
    assert (bad.status_code, bad.json()["errors"][0]["extensions"]["code"]) == (
        401,
        "UNAUTHENTICATED",
    )


def test_a_client_that_takes_no_stream_is_told_where_there_is_one(client: httpx.Client) -> None:
    asked = client.post("/graphql", json={"query": COUNT}, headers={"Accept": "application/json"})
    [error] = asked.json()["errors"]
    assert error["message"] == (
        "A subscription is answered over WebSocket, or as text/event-stream"
    )


def test_a_client_that_takes_both_gets_a_stream_where_there_must_be_one(
    client: httpx.Client,
) -> None:
    both = {"Accept": "application/json, text/event-stream"}
    assert len(ask(client, COUNT, headers=both)) == 4
    asked = client.post("/graphql", json={"query": "{ __typename }"}, headers=both)
    assert asked.json() == {"data": {"__typename": "Query"}}


def test_an_event_source_names_a_registered_document(
    client: httpx.Client, settings: Any, tmp_path: Any
) -> None:
    settings.DOCUMENTS = str(tmp_path / "documents.json")
    (tmp_path / "documents.json").write_text(json.dumps({"count": COUNT}))
    assert hash_of(COUNT) in registered(settings.DOCUMENTS)
    with client.stream("GET", "/graphql", params={"documentId": "count"}) as response:
        assert len(list(parts(response))) == 4


def test_the_text_of_a_document_is_found_once_for_all_events(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_of = documents.text_of
    found: list[GraphQLRequest] = []

    def note(asked: GraphQLRequest) -> str:
        found.append(asked)
        return text_of(asked)

    monkeypatch.setattr(documents, "text_of", note)
    assert len(ask(client, COUNT)) == 4
    assert len(found) == 1


def test_a_client_that_leaves_leaves_nothing_behind(client: httpx.Client) -> None:
    with post(client, FOREVER % "sse") as response:
        heard = parts(response)
        assert next(heard)[0] == "next"
        assert "sse" in RUNNING
        assert connections._open
    until(lambda: "sse" not in RUNNING and not connections._open)


def test_a_quiet_stream_says_that_it_is_alive(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "ALIVE_SECONDS", 0.01)
    with post(client, FOREVER % "alive") as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(40)].count(":") > 5


def test_a_stream_ends_with_its_token(
    client: httpx.Client, transactional_db: None, settings: Any
) -> None:
    settings.TOKEN_LEEWAY = 0
    ada = User.objects.create(username="ada")
    bearer = {"Authorization": f"Bearer {tokens.mint(ada, timedelta(seconds=1.5))}"}
    answer = ask(client, FOREVER % "token", headers=bearer)
    assert refusal(answer) == "UNAUTHENTICATED"
    assert answer[-2][1]["errors"][0]["message"] == "The token is expired."


def test_an_address_has_so_many_connections(client: httpx.Client, settings: Any) -> None:
    settings.LIVE_CONNECTIONS = 1
    with post(client, FOREVER % "first") as response:
        heard = parts(response)
        next(heard)
        refused = client.post("/graphql", json={"query": COUNT})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "10")
    until(lambda: not connections._open)
    assert ask(client, COUNT)


def test_a_slow_client_is_let_go_before_too_much_waits_for_it(
    client: httpx.Client, settings: Any
) -> None:
    settings.LIVE_BUFFER = 100_000
    with post(client, "subscription { flood }") as response:
        until(lambda: "flood" in RUNNING)
        until(lambda: "flood" not in RUNNING)  # while nothing is read
        assert refusal(list(parts(response))) == "TOO_SLOW"


def test_a_client_that_takes_nothing_is_cut_off(client: httpx.Client, settings: Any) -> None:
    settings.SEND_SECONDS = 0.3
    with post(client, "subscription { flood }"):
        until(lambda: bool(connections._open))
        until(lambda: not connections._open)
