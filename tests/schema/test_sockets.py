"""GraphQL over WebSocket: the protocol, who asks, and what a connection may take."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from schema import asgi, authentication, build, limits, sockets
from server import connections, tokens
from tests.schema.server import RUNNING, SCHEMA, SUBPROTOCOL, Socket, serving, until

SECRET = "a secret of thirty-two bytes, or more"
COUNT = "subscription { count { number } }"
FOREVER = "subscription { forever }"
VIEWER = "subscription { count(to: 1) { viewer } }"


@pytest.fixture(autouse=True)
def site(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKEN_SECRET = SECRET
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    monkeypatch.setattr(build, "schema", SCHEMA)


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create(username="ada")


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create(username="bob")


@pytest.fixture
def socket(address: str) -> Iterator[Socket]:
    with Socket(address) as socket:
        yield socket


@pytest.fixture
def opened(socket: Socket) -> Socket:
    assert socket.init() == {"type": "connection_ack"}
    return socket


def cookie(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}


def here(address: str) -> dict[str, str]:
    return {"Origin": f"http://{address}"}


def bearer(user: User, **lifetime: float) -> dict[str, str]:
    token = tokens.mint(user, timedelta(**lifetime or {"minutes": 5}))
    return {"Authorization": f"Bearer {token}"}


def refusal(heard: list[Any]) -> tuple[str, str]:
    """The one message by which an operation was refused: its type, and its error's code."""
    [message] = heard
    [error] = message["payload"]
    return message["type"], error["extensions"]["code"]


# The protocol


def test_a_subscription_is_answered_event_by_event(opened: Socket) -> None:
    events = [
        {"id": "1", "type": "next", "payload": {"data": {"count": {"number": number}}}}
        for number in range(3)
    ]
    assert opened.ask(COUNT) == [*events, {"id": "1", "type": "complete"}]


def test_queries_and_mutations_are_answered_once(transactional_db: None, opened: Socket) -> None:
    [answer, end] = opened.ask("{ __typename }")
    assert answer["payload"] == {"data": {"__typename": "Query"}}
    assert end["type"] == "complete"
    [answer, _] = opened.ask('mutation { unfollow(input: {object: "x"}) { deletedFollowIds } }')
    assert answer["payload"]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_an_id_is_free_again_when_its_operation_has_ended(opened: Socket) -> None:
    assert opened.ask(COUNT) == opened.ask(COUNT)


def test_a_client_that_completes_hears_no_more_of_it(opened: Socket) -> None:
    opened.subscribe('subscription { forever(name: "completed") }')
    opened.hear()
    assert "completed" in RUNNING
    opened.say({"id": "1", "type": "complete"})
    until(lambda: "completed" not in RUNNING)
    assert opened.ask(COUNT)[-1]["type"] == "complete"


def test_what_completes_twice_or_never_was_is_no_fault(opened: Socket) -> None:
    opened.say({"id": "nothing", "type": "complete"})
    assert opened.ask(COUNT)


def test_a_client_that_leaves_leaves_nothing_behind(address: str) -> None:
    with Socket(address) as socket:
        socket.init()
        socket.subscribe('subscription { forever(name: "left") }')
        socket.hear()
    until(lambda: "left" not in RUNNING and not connections._open)


def test_a_client_that_leaves_before_it_is_accepted_is_no_fault(
    site: None, caplog: pytest.LogCaptureFixture
) -> None:
    messages = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]
    )
    refused: list[str] = []

    async def receive() -> Any:
        await asyncio.sleep(0.01)
        return next(messages)

    async def send(message: Any) -> None:
        refused.append(message["type"])
        raise ClientDisconnected

    scope = {
        "type": "websocket",
        "path": "/graphql",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "ws",
        "subprotocols": [SUBPROTOCOL],
    }
    asyncio.run(asgi.application(scope, receive, send))
    faults = [record for record in caplog.records if record.levelno > logging.INFO]
    assert (refused, faults) == (["websocket.accept"], [])
    assert not connections._open


def test_pings_are_answered_before_and_after_the_acknowledgement(socket: Socket) -> None:
    for _ in range(2):
        socket.say({"type": "ping"})
        assert socket.hear() == {"type": "pong"}
    socket.say({"type": "pong"})
    socket.init()
    socket.say({"type": "ping", "payload": {"any": "thing"}})
    assert socket.hear() == {"type": "pong"}


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[" * 100_000,
        "[]",
        "null",
        '"connection_init"',
        "{}",
        {"type": 7},
        {"type": "start"},
        {"type": "connection_init", "payload": []},
        b'{"type": "ping"}',
    ],
    ids=lambda message: str(message)[:20],
)
def test_what_is_no_message_of_the_protocol_ends_the_connection(
    socket: Socket, message: Any
) -> None:
    socket.say(message)
    assert socket.closed()[0] == 4400


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"id": "1"},
        {"id": "", "payload": {"query": COUNT}},
        {"id": 1, "payload": {"query": COUNT}},
        {"id": "1", "payload": None},
        {"id": "1", "payload": [COUNT]},
        {"id": "1", "payload": {"query": ["a"]}},
        {"id": "1", "payload": {"query": COUNT, "variables": "no"}},
        {"id": "1", "payload": {"query": COUNT, "operationName": 1}},
        {"id": "1", "payload": {"query": COUNT, "extensions": []}},
    ],
    ids=json.dumps,
)
def test_what_is_no_operation_ends_the_connection(opened: Socket, message: Any) -> None:
    opened.say({"type": "subscribe", **message})
    assert opened.closed()[0] == 4400


def test_an_operation_before_the_acknowledgement_is_unauthorized(socket: Socket) -> None:
    socket.subscribe(COUNT)
    assert socket.closed() == (4401, "Unauthorized")


def test_a_connection_begins_once(opened: Socket) -> None:
    opened.say({"type": "connection_init"})
    assert opened.closed() == (4429, "Too many initialisation requests")


def test_a_connection_that_does_not_begin_is_closed(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(sockets, "INIT_SECONDS", 0.1)
    with Socket(address) as socket:
        assert socket.closed() == (4408, "Connection initialisation timeout")


def test_an_id_has_one_operation_at_once(opened: Socket) -> None:
    opened.subscribe(FOREVER, "twice")
    opened.subscribe(COUNT, "twice")
    assert opened.closed() == (4409, "Subscriber for twice already exists")


@pytest.mark.parametrize("subprotocols", [["graphql-ws"], None])
def test_another_subprotocol_is_not_acceptable(address: str, subprotocols: Any) -> None:
    with Socket(address, subprotocols=subprotocols) as socket:
        assert socket.closed()[0] == 4406


def test_the_subprotocol_is_chosen_from_several(address: str) -> None:
    with Socket(address, subprotocols=["graphql-ws", SUBPROTOCOL]) as socket:
        assert socket.socket.subprotocol == SUBPROTOCOL


# Errors


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "BAD_REQUEST"),
        ("subscription { nothing }", "BAD_REQUEST"),
        ("subscription { count(to: 1) { number } forever }", "BAD_REQUEST"),
        ('subscription { count(to: "x") { number } }', "BAD_USER_INPUT"),
        ("subscription ($to: Int!) { count(to: $to) { number } }", "BAD_USER_INPUT"),
        ("query A { __typename } query B { __typename }", "BAD_REQUEST"),
        ("subscription { refused }", "FORBIDDEN"),
        ("subscription { breaks(after: 0) }", "INTERNAL"),
    ],
)
def test_what_cannot_be_executed_is_refused_by_its_code(
    opened: Socket, query: str, code: str
) -> None:
    heard = opened.ask(query)
    assert refusal(heard) == ("error", code)
    assert "secret" not in str(heard)
    assert opened.ask(COUNT)[-1]["type"] == "complete"


def test_a_subscription_that_breaks_ends_by_an_error(opened: Socket) -> None:
    *events, error = opened.ask("subscription { breaks(after: 2) }")
    assert [event["payload"]["data"]["breaks"] for event in events] == [0, 1]
    assert refusal([error]) == ("error", "INTERNAL")


def test_an_error_in_an_event_leaves_the_next_event_as_it_is(opened: Socket) -> None:
    *events, end = opened.ask("subscription { count { number odd } }")
    assert [("errors" in event["payload"]) for event in events] == [False, True, False]
    assert events[1]["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(events)
    assert end["type"] == "complete"


def test_limits_and_documents_are_those_of_http(opened: Socket, settings: Any) -> None:
    inner = "anyStream(first: 100) { nodes { id } }"
    large = f"{{ modelStream(model: USER, first: 100) {{ nodes {{ actor {{ {inner} }} }} }} }}"
    assert refusal(opened.ask(large)) == ("error", "TOO_COMPLEX")
    settings.DOCUMENTS_ONLY = True
    assert refusal(opened.ask(COUNT)) == ("error", "FORBIDDEN")
    settings.DOCUMENTS_ONLY = False
    unknown = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    assert refusal(opened.ask("", extensions=unknown)) == ("error", "PERSISTED_QUERY_NOT_FOUND")


def test_an_event_that_costs_more_than_is_left_comes_later(
    address: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PLAIN_EVENT", -50)
    settings.RATE_LIMIT, settings.RATE_BURST = 200, 120
    with Socket(address) as socket:
        socket.init()
        *events, end = socket.ask("subscription Later { count(to: 4) { number } }")
    assert [event["payload"]["data"]["count"]["number"] for event in events] == [0, 1, 2, 3]
    assert end["type"] == "complete"


# Who asks


def viewer(socket: Socket) -> Any:
    return socket.ask(VIEWER)[0]["payload"]["data"]["count"]["viewer"]


def test_nobody_in_particular_asks(opened: Socket) -> None:
    assert viewer(opened) is None


def test_a_session_asks_from_this_site(address: str, ada: User) -> None:
    with Socket(address, cookie(ada) | here(address)) as socket:
        socket.init()
        assert viewer(socket) == "ada"


def test_a_program_without_a_page_may_have_a_session(address: str, ada: User) -> None:
    with Socket(address, cookie(ada)) as socket:
        socket.init()
        assert viewer(socket) == "ada"


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_a_page_elsewhere_does_not_connect(address: str, ada: User, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, Socket(address, {"Origin": origin}):
        pass
    assert refused.value.response.status_code == 403


def test_there_is_no_other_address(address: str) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{address}/elsewhere", subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403


def test_a_host_of_nobodys_does_not_connect(address: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["brook.example"]
    with pytest.raises(InvalidStatus), Socket(address):
        pass


def test_an_allowed_page_connects_without_the_session(
    address: str, ada: User, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    page = {"Origin": "https://app.example"}
    with Socket(address, page) as socket:
        socket.init()
        assert viewer(socket) is None
    with Socket(address, page | cookie(ada)) as socket:
        socket.say({"type": "connection_init"})
        assert socket.closed()[0] == 4403
    with Socket(address, page | cookie(ada)) as socket:
        socket.init(bearer(ada))
        assert viewer(socket) == "ada"


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_token_comes_in_the_payload(address: str, ada: User, bob: User, name: str) -> None:
    with Socket(address, cookie(bob) | here(address)) as socket:
        socket.init({name: bearer(ada)["Authorization"]})
        assert viewer(socket) == "ada"


def test_a_token_comes_in_a_header(address: str, ada: User) -> None:
    with Socket(address, bearer(ada)) as socket:
        socket.init()
        assert viewer(socket) == "ada"


@pytest.mark.parametrize("token", ["Bearer nonsense", "Bearer", "Token x", 7, None])
def test_a_bad_token_is_forbidden(address: str, ada: User, token: Any) -> None:
    with Socket(address, cookie(ada)) as socket:
        socket.say({"type": "connection_init", "payload": {"Authorization": token}})
        assert socket.closed()[0] == 4403


def test_an_expired_token_and_an_inactive_user_are_forbidden(
    address: str, ada: User, settings: Any
) -> None:
    settings.TOKEN_LEEWAY = 0
    expired, good = bearer(ada, minutes=-1), bearer(ada)
    User.objects.update(is_active=False)
    for token, why in ((expired, tokens.REASONS[0][1]), (good, tokens.UNKNOWN)):
        with Socket(address) as socket:
            socket.say({"type": "connection_init", "payload": token})
            assert socket.closed() == (4403, why)


def test_a_token_that_cannot_be_verified_now_may_come_again(address: str, settings: Any) -> None:
    settings.TOKEN_SECRET = "short"
    with Socket(address) as socket:
        socket.say({"type": "connection_init", "payload": {"Authorization": "Bearer x.y.z"}})
        assert socket.closed()[0] == 1013


def test_a_connection_ends_with_its_token(address: str, ada: User, settings: Any) -> None:
    settings.TOKEN_LEEWAY = 0
    with Socket(address) as socket:
        socket.init(bearer(ada, seconds=1.5))
        socket.subscribe('subscription { forever(name: "expires") }')
        assert socket.hear()["type"] == "next"
        assert socket.closed() == (4403, "The token is expired.")
    until(lambda: "expires" not in RUNNING)


@pytest.mark.parametrize("what", ["session", "user"])
def test_a_connection_ends_with_its_session_and_with_its_user(
    address: str, ada: User, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(authentication, "CHECKED_EVERY", 0.1)
    session = cookie(ada)
    with Socket(address, session) as socket:
        socket.init()
        socket.subscribe(FOREVER)
        assert socket.hear()["type"] == "next"
        if what == "user":
            User.objects.update(is_active=False)
        else:
            Client(headers=session, SERVER_NAME="127.0.0.1").post("/logout")
        assert socket.closed() == (4403, "The session is over.")


# Bounds


def test_a_connection_has_so_many_operations_at_once(opened: Socket) -> None:
    for number in range(sockets.MOST_OPERATIONS):
        opened.subscribe(FOREVER, f"s{number}")
    for _ in range(sockets.MOST_OPERATIONS):
        assert opened.hear()["type"] == "next"
    assert refusal(opened.ask(COUNT, "more")) == ("error", "TOO_COMPLEX")
    opened.say({"id": "s0", "type": "complete"})
    assert opened.ask(COUNT, "more")[-1]["type"] == "complete"


@pytest.mark.parametrize("ws_max_size", [128 * 1024, 16 * 1024 * 1024])
@pytest.mark.usefixtures("site")
def test_a_message_that_is_too_large_ends_the_connection(ws_max_size: int) -> None:
    """Whether the server bounds it itself or not."""
    with serving(ws_max_size=ws_max_size) as address, Socket(address) as socket:
        socket.init()
        socket.subscribe(COUNT, padding="x" * 130_000)
        while socket.hear()["type"] != "complete":
            pass
        socket.subscribe(COUNT, padding="x" * 132_000)
        assert socket.closed()[0] == 1009


def test_a_message_comes_in_fragments(opened: Socket) -> None:
    whole = json.dumps({"id": "1", "type": "subscribe", "payload": {"query": COUNT}})
    opened.socket.send(iter([whole[:10], whole[10:30], whole[30:]]))
    assert opened.hear()["type"] == "next"


def test_an_address_has_so_many_connections(address: str, settings: Any) -> None:
    settings.LIVE_CONNECTIONS = 2
    with Socket(address) as first, Socket(address) as second:
        first.init(), second.init()
        with pytest.raises(InvalidStatus) as refused, Socket(address):
            pass
        assert refused.value.response.status_code == 429
    until(lambda: not connections._open)
    with Socket(address) as socket:
        socket.init()


def test_a_slow_client_is_let_go_before_too_much_waits_for_it(address: str, settings: Any) -> None:
    settings.LIVE_BUFFER = 100_000
    with Socket(address, options={"max_queue": 1}) as socket:
        socket.init()
        socket.subscribe("subscription { flood }")
        assert socket.hear()["type"] == "next"
        until(lambda: "flood" not in RUNNING)  # while nothing is read
        assert socket.closed() == (1013, "Too slow: resume by after.")


def test_a_client_that_takes_nothing_is_cut_off(address: str, settings: Any) -> None:
    settings.SEND_SECONDS = 0.3
    with Socket(address, options={"max_queue": 1, "close_timeout": 0.1}) as socket:
        socket.init()
        socket.subscribe("subscription { flood }")
        until(lambda: not connections._open)


def test_a_server_that_stops_says_come_again(site: None) -> None:
    with serving() as address:
        socket = Socket(address).__enter__()
        socket.init()
        socket.subscribe(FOREVER)
        socket.hear()
    assert socket.closed()[0] == 1012
