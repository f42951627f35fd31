"""What an operator sees of operations: ids, lines of the log, metrics."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from prometheus_client import REGISTRY

from schema import build, documents, observing
from server import actions, connections, metrics
from server.logs import Ids, Json, Line
from server.models import action
from tests.schema.client import gid
from tests.schema.server import SCHEMA, Socket, serving, until

SECRET = "hunter2"
MINE = """query Mine($first: Int) {
    viewer { id } modelStream(model: USER, first: $first) { totalCount } }"""


class Log:
    """What is written to the log, in a format."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(Ids())

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self, logger: str) -> list[dict[str, Any]]:
        found = map(json.loads, self.text.splitlines())
        return [it for it in found if it["logger"] == logger]

    def until(self, logger: str, number: int = 1) -> list[dict[str, Any]]:
        until(lambda: len(self.lines(logger)) >= number)
        return self.lines(logger)


def logged(formatter: logging.Formatter) -> Iterator[Log]:
    log, root = Log(formatter), logging.getLogger()
    root.addHandler(log.handler)
    before = root.level
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        root.setLevel(before)
        root.removeHandler(log.handler)


@pytest.fixture
def log() -> Iterator[Log]:
    yield from logged(Json())


@pytest.fixture
def lines() -> Iterator[Log]:
    yield from logged(Line())


@pytest.fixture
def address(settings: Any, transactional_db: None) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with serving() as address:
        yield address


def post(address: str, query: str, variables: Any = None, **headers: str) -> httpx.Response:
    body = {"query": query, "variables": variables}
    return httpx.post(f"http://{address}/graphql", json=body, headers=headers, timeout=60)


def value(sample: str, /, **labels: str) -> float:
    return REGISTRY.get_sample_value(sample, labels) or 0.0


def test_a_request_has_an_id_in_its_answer_and_its_line(address: str, log: Log) -> None:
    response = post(address, MINE, {"first": 1}, **{"X-Request-ID": "theirs"})
    own = response.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{32}", own)
    [line] = log.until("server.access")
    assert (line["request_id"], line["operation_id"]) == (own, f"{own}-1")
    assert (line["method"], line["route"], line["status"]) == ("POST", "graphql", 200)
    assert line["operation"].items() >= {"type": "query", "name": "Mine", "outcome": "OK"}.items()
    assert line["operation"]["cost"] > 0
    assert line["statements"] > 0
    assert line["seconds"] > 0


def test_the_id_that_a_proxy_of_ours_gives_is_kept_if_it_is_one(
    address: str, settings: Any
) -> None:
    settings.PROXIES = 1

    def answered(given: str) -> str:
        return str(post(address, MINE, **{"X-Request-ID": given}).headers["X-Request-ID"])

    assert answered("a-1.B_2") == "a-1.B_2"
    for wrong in ("", "a b", "a" * 65, "a;b", "{}"):
        assert re.fullmatch("[0-9a-f]{32}", answered(wrong))


def test_what_is_no_request_has_an_id_too(address: str, settings: Any, log: Log) -> None:
    settings.MOST_BODY = 10
    response = post(address, MINE)
    assert response.status_code == 413
    [line] = log.until("server.access")
    assert line["request_id"] == response.headers["X-Request-ID"]
    assert "operation" not in line


def test_a_masked_error_is_logged_with_the_requests_id(
    address: str, ada: User, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **options: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(User, "get_username", fails)
    response = post(
        address, "query ($id: ID!) { node(id: $id) { displayName } }", {"id": gid(ada)}
    )
    [error] = response.json()["errors"]
    [line] = log.until("schema.errors")
    assert line["message"].split()[1] == error["extensions"]["id"]
    assert line["request_id"] == response.headers["X-Request-ID"]
    assert "ValueError: broken" in line["exception"]
    [access] = log.until("server.access")
    assert access["operation"]["outcome"] == "INTERNAL"


@pytest.mark.parametrize("kind", ["log", "lines"])
def test_nothing_that_was_asked_is_logged(
    address: str, settings: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    written: Log = request.getfixturevalue(kind)
    settings.SLOW_OPERATION = 0.000001
    settings.TOKEN_SECRET = "a secret of thirty-two bytes, or more"
    query = f"""query Mine($text: String) {{ modelStream(model: USER, filter: {{verbs: [$text,
        "{SECRET}"]}}) {{ totalCount }} }}"""
    query = query.replace("$text: String", "$text: String!")
    assert "errors" not in post(address, query, {"text": SECRET}).json()
    for wrong in (query + SECRET, f"{{ {SECRET} }}", f"mutation Mine {{ {SECRET} }}"):
        post(address, wrong, {"text": SECRET})
    post(address, query, Authorization=f"Bearer {SECRET}", Cookie=f"sessionid={SECRET}")
    for path in (f"graphql?documentId={SECRET}&variables={SECRET}", f"{SECRET}/x?y={SECRET}"):
        httpx.get(f"http://{address}/{path}", timeout=60)
    httpx.get(f"http://{address}/feeds/anyStream/{SECRET}.atom?verbs={SECRET}", timeout=60)
    until(lambda: written.text.count("server.access") >= 8)
    # All but what the client itself says, and the server of where it listens.
    said = [it for it in written.text.splitlines() if not re.search("httpx|uvicorn.error", it)]
    assert [it for it in said if SECRET in it or "127.0.0.1" in it] == []
    assert "schema.slow" in written.text


def test_a_line_for_people_has_the_requests_id(address: str, lines: Log) -> None:
    own = post(address, MINE).headers["X-Request-ID"]
    until(lambda: "server.access" in lines.text)
    assert f"INFO server.access: [{own}] POST /graphql 200 in " in lines.text
    assert ", type query, name Mine, outcome OK, cost " in lines.text


def test_a_slow_operation_is_logged_by_its_documents_hash(
    client: Client, ada: User, settings: Any, log: Log
) -> None:
    client.force_login(ada)
    body = {"query": MINE, "variables": {"first": 3}}
    client.post("/graphql", body, content_type="application/json")
    assert log.lines("schema.slow") == []
    settings.SLOW_OPERATION = 0.000001
    client.post("/graphql", body, content_type="application/json")
    [line] = log.lines("schema.slow")
    said = line["operation"]
    assert said["document"] == documents.hash_of(MINE)
    assert (said["type"], said["name"], said["viewer"]) == ("query", "Mine", str(ada.pk))
    assert said["statements"] > 0
    assert line["level"] == "WARNING"
    settings.SLOW_OPERATION = 0
    client.post("/graphql", body, content_type="application/json")
    assert len(log.lines("schema.slow")) == 1


def test_operations_are_counted_by_name_and_outcome(client: Client, db: None) -> None:
    def counted(outcome: str, name: str = "Counted") -> float:
        labels = {"type": "query", "name": name, "outcome": outcome}
        return value("brook_operations_total", **labels)

    def ask(query: str) -> None:
        client.post("/graphql", {"query": query}, content_type="application/json")

    before = counted("BAD_REQUEST", metrics.OTHERS)
    ask("query Uncounted { nothing }")
    assert counted("BAD_REQUEST", metrics.OTHERS) == before + 1
    for _ in range(3):
        ask("query Counted { viewer { id } }")
    ask("query Counted { nothing }")
    assert (counted("OK"), counted("BAD_REQUEST")) == (3, 1)
    assert value("brook_operation_seconds_count", type="query", name="Counted") == 4
    refused = value(
        "brook_operations_total", type="(none)", name="(none)", outcome="PERSISTED_QUERY_NOT_FOUND"
    )
    client.get("/graphql", {"documentId": "unknown"})
    assert refused + 1 == value(
        "brook_operations_total", type="(none)", name="(none)", outcome="PERSISTED_QUERY_NOT_FOUND"
    )


def test_names_of_registered_documents_come_before_those_of_clients(
    settings: Any, tmp_path: Any
) -> None:
    manifest = tmp_path / "documents.json"
    manifest.write_text(json.dumps({"1": "query Known { viewer { id } }", "2": "nonsense {"}))
    settings.DOCUMENTS = str(manifest)
    observing._names.cache_clear()
    try:
        assert observing._names().label("Known", False) == "Known"
        assert observing._names().label("Feed", False) == "Feed"
    finally:
        observing._names.cache_clear()


def test_an_operation_of_a_socket_has_an_id_and_a_line_of_its_own(
    address: str, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "schema", SCHEMA)
    with Socket(address) as socket:
        assert socket.socket.response
        own = socket.socket.response.headers["X-Request-ID"]
        socket.init()
        socket.ask("query First { viewer { id } }", "1")
        socket.ask("subscription Second { count(to: 3) { number } }", "2")
    until(lambda: not connections._open)
    first, second, opened = log.until("server.access", 3)
    assert {line["request_id"] for line in (first, second, opened)} == {own}
    assert [first["operation_id"], second["operation_id"]] == [f"{own}-1", f"{own}-2"]
    assert (first["operation"]["type"], second["operation"]["name"]) == ("query", "Second")
    assert second["operation"]["events"] == 3
    assert (opened["method"], opened["route"], opened["status"]) == ("WEBSOCKET", "graphql", 101)


def test_an_events_way_to_a_subscriber_is_timed(address: str, ada: User) -> None:
    before = value("brook_delivery_seconds_count"), value("brook_delivery_seconds_sum")
    with Socket(address) as socket:
        socket.init()
        socket.subscribe(f'subscription Mine {{ actorStream(actor: "{gid(ada)}") {{ cursor }} }}')
        from server import live

        until(lambda: live.subscribers() == 1 and all(it.has_begun for it in live._hubs.values()))
        action.send(ada, verb="posted")
        assert socket.hear()["type"] == "next"
        until(lambda: value("brook_delivery_seconds_count") == before[0] + 1)
    assert 0 <= value("brook_delivery_seconds_sum") - before[1] < 60
    assert actions.Action.objects.count() == 1


def test_refusals_are_counted(client: Client, ada: User, settings: Any) -> None:
    def logins(outcome: str) -> float:
        return value("brook_logins_total", outcome=outcome)

    ada.set_password(SECRET)
    ada.save()
    before = [logins(it) for it in ("succeeded", "failed", "throttled")]
    client.post("/login", {"username": "ada", "password": "wrong"})
    client.post("/login", {"username": "ada", "password": SECRET})
    settings.LOGIN_ATTEMPTS = 1
    for _ in range(2):
        client.post("/login", {"username": "bob", "password": "wrong"})
    after = [logins(it) for it in ("succeeded", "failed", "throttled")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 2, 1]

    tokens = value("brook_tokens_refused_total")
    headers = {"Authorization": "Bearer nonsense"}
    client.post("/graphql", {"query": MINE}, content_type="application/json", headers=headers)
    assert value("brook_tokens_refused_total") == tokens + 1

    throttled = value("brook_throttled_total")
    settings.RATE_LIMIT, settings.RATE_BURST = 1, 1
    for _ in range(2):
        client.post("/graphql", {"query": MINE}, content_type="application/json")
    assert value("brook_throttled_total") > throttled
