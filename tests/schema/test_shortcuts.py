"""The event loop answers what the whole way would, whom it would, and counts it alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple

import psycopg
import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.urls import path
from django.utils import timezone

from schema import catalog, schema
from schema.shortcuts import Shortcuts, are_open
from schema.views import GraphQLView
from server import access, metrics, pipes
from server.handlers import Handler, Said
from server.models import Action, follow
from server.sessions import Session, SessionStore
from tests.schema.client import gid
from tests.schema.connections import make
from tests.site.models import Project

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

MINE = """query Mine($first: Int) { userStream(first: $first) { edges { cursor
    node { id actor { displayName } } } pageInfo { hasNextPage endCursor } } }"""
OF = "query Of($of: ID!) { actorStream(actor: $of) { nodes { id verb target { id } } } }"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    by_loop: bool

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in json.loads(self.body)["errors"]]


class Watched(Shortcuts):
    """Shortcuts that say whether one was taken."""

    taken = False

    async def answer(self, scope: Mapping[str, Any], body: bytes) -> Said | None:
        said = await super().answer(scope, body)
        self.taken = said is not None
        return said


@dataclass
class Server:
    """A server of this process, whose event loop runs while it is asked."""

    shortcuts: Watched = field(default_factory=Watched)
    loop: asyncio.Runner = field(default_factory=asyncio.Runner)
    address: str = "10.1.2.3"

    def post(self, given: Any, cookie: str = "", **headers: str) -> Answer:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        lines = {"host": "localhost", "content-type": "application/json"} | headers
        lines |= {"cookie": cookie} if cookie else {}
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/graphql",
            "query_string": b"",
            "client": (self.address, 1234),
            "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
        }
        sent: list[Any] = []
        received = [{"type": "http.request", "body": body}]

        async def receive() -> Any:
            return received.pop() if received else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        handler = Handler(self.shortcuts)
        self.loop.run(access.noted(handler)(scope, receive, send))
        of = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        assert len(of.pop("x-request-id")) == 32
        return Answer(sent[0]["status"], of, sent[1]["body"], self.shortcuts.taken)

    def ask(self, document: str, cookie: str = "", **variables: Any) -> Answer:
        return self.post({"query": document, "variables": variables}, cookie)

    def learn(self, document: str, cookie: str = "", **variables: Any) -> Answer:
        """As :meth:`ask`, until the loop has answered."""
        for _ in range(3):
            found = self.ask(document, cookie, **variables)
        assert found.by_loop
        return found


@pytest.fixture
def server(settings: Any) -> Iterator[Server]:
    schema.documents.kept.clear()
    made = Server()
    yield made
    made.shortcuts.pipes.close()
    made.loop.close()
    access.write()  # which no other test is to find


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada")


@pytest.fixture
def bob(ada: User) -> User:
    """Whom ada follows, and who has done three things."""
    bob = User.objects.create(username="bob")
    follow(ada, bob, send_action=False)
    for number in range(3):
        make(Action, actor=bob, verb=f"did {number}", target=make(Project))
    return bob


def session_of(user: User, **more: Any) -> str:
    """The cookie of somebody who has logged in."""
    store = SessionStore()
    store[SESSION_KEY], store[BACKEND_SESSION_KEY] = str(user.pk), "server.sessions.Backend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    return f"sessionid={store.session_key}"


def test_the_third_answer_is_the_loops_and_the_same_to_the_byte(
    server: Server, ada: User, bob: User
) -> None:
    cookie = session_of(ada)
    for document, variables in ((MINE, {"first": 2}), (OF, {"of": gid(bob)})):
        answers = [server.ask(document, cookie, **variables) for _ in range(4)]
        assert [answer.by_loop for answer in answers] == [False, False, True, True]
        assert {answer[1:3] == answers[0][1:3] for answer in answers} == {True}
        assert answers[0].status == answers[3].status == 200


def test_other_values_are_answered_too(server: Server, ada: User, bob: User) -> None:
    cookie = session_of(ada)
    server.learn(OF, cookie, of=gid(bob))
    found = server.ask(OF, cookie, of=gid(ada))
    assert (found.by_loop, found.data) == (True, {"actorStream": {"nodes": []}})
    assert not server.ask(OF, cookie, of="nonsense").by_loop
    first = server.learn(MINE, cookie, first=2).data["userStream"]
    document = MINE.replace("$first: Int", "$after: String").replace(
        "first: $first", "after: $after"
    )
    end = first["pageInfo"]["endCursor"]
    rest = server.learn(document, cookie, after=end).data["userStream"]
    assert [len(page["edges"]) for page in (first, rest)] == [2, 1]


def test_nobody_in_particular_is_answered_too(server: Server, bob: User) -> None:
    found = server.learn(OF, of=gid(bob))
    assert found.headers == server.post({"query": OF, "variables": {"of": gid(bob)}}).headers
    assert not server.ask(MINE).by_loop
    assert server.ask(MINE).codes == ["UNAUTHENTICATED"]


def test_everybody_reads_their_own_stream(server: Server, ada: User, bob: User) -> None:
    hers, his = session_of(ada), session_of(bob)
    assert len(server.learn(MINE, hers).data["userStream"]["edges"]) == 3
    assert server.learn(MINE, his).data["userStream"]["edges"] == []
    found = server.ask(MINE, hers)
    assert found.by_loop
    assert len(found.data["userStream"]["edges"]) == 3


def test_what_has_just_been_recorded_is_there(server: Server, ada: User, bob: User) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    new = make(Action, actor=bob, verb="did more")
    found = server.ask(MINE, cookie)
    assert found.by_loop
    assert found.data["userStream"]["edges"][0]["node"]["id"] == gid(new)


@pytest.mark.parametrize("how", ["gone", "over", "inactive", "password", "nobody"])
def test_a_session_is_over_at_once(server: Server, ada: User, bob: User, how: str) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    sessions = Session.objects.filter(session_key=cookie.partition("=")[2])
    if how == "gone":
        sessions.delete()
    elif how == "over":
        sessions.update(expire_date=timezone.now())
    elif how == "inactive":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    elif how == "password":
        ada.set_password("another")
        ada.save()
    else:
        ada.delete()
    for _ in range(3):
        found = server.ask(MINE, cookie)
        assert (found.by_loop, found.codes) == (False, ["UNAUTHENTICATED"])


def test_who_is_renamed_is_answered_the_whole_way_and_then_again_by_the_loop(
    server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    User.objects.filter(pk=ada.pk).update(first_name="Ada")
    answers = [server.ask(MINE, cookie) for _ in range(3)]
    assert [answer.by_loop for answer in answers] == [False, False, False]
    monkeypatch.setattr("schema.shortcuts.PAUSE", 0)
    assert [server.ask(MINE, cookie).by_loop for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"host": "elsewhere.example"},
        {"authorization": "Bearer nonsense"},
        {"accept": "image/png"},
        {"content-type": "text/plain"},
    ],
)
def test_who_sends_other_headers_is_refused_as_ever(
    server: Server, ada: User, bob: User, headers: dict[str, str]
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    for _ in range(3):
        found = server.post({"query": MINE, "variables": {}}, cookie, **headers)
        assert not found.by_loop
        assert found.status in (400, 401, 403, 406, 415)


def test_a_page_of_another_origin_learns_nothing_by_who_has_no_session(
    server: Server, ada: User, bob: User, settings: Any
) -> None:
    """Such a page may ask for nobody in particular, and not for a visitor."""
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    settings.CORS_ALLOW_CREDENTIALS = True
    cookie = session_of(ada)
    server.learn(OF, cookie, of=gid(bob))
    given = {"query": OF, "variables": {"of": gid(bob)}}
    elsewhere = {"origin": "https://app.example"}
    answers = [server.post(given, **elsewhere) for _ in range(3)]
    assert (answers[-1].by_loop, answers[-1].status) == (True, 200)
    found = server.post(given, cookie, **elsewhere)
    assert (found.by_loop, found.status) == (False, 403)


def only_from_here(view: Any) -> Any:
    @wraps(view)
    def guarded(request: Any) -> Any:
        if request.META["REMOTE_ADDR"] != "10.1.2.3":
            raise PermissionDenied
        return view(request)

    return guarded


urlpatterns = [path("graphql", only_from_here(GraphQLView.as_view()))]


def test_a_view_that_a_site_decorates_has_no_shortcuts(
    server: Server, bob: User, settings: Any
) -> None:
    settings.ROOT_URLCONF = __name__
    answers = [server.ask(OF, of=gid(bob)) for _ in range(4)]
    assert {(answer.by_loop, answer.status) for answer in answers} == {(False, 200)}
    server.address = "8.8.8.8"
    assert server.ask(OF, of=gid(bob)).status == 403


def test_a_rule_that_asks_for_the_request_is_answered_the_whole_way(
    server: Server, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_queryset(cls: Any, queryset: Any, info: Any) -> Any:
        return queryset if getattr(info.context.request, "session", None) else queryset.none()

    declared = catalog.node_type(Project)
    monkeypatch.setattr(declared, "get_queryset", classmethod(get_queryset))
    answers = [server.ask(OF, of=gid(bob)) for _ in range(4)]
    assert {answer.by_loop for answer in answers} == {False}


def test_who_sends_much_is_not_kept(server: Server, bob: User) -> None:
    server.learn(OF, of=gid(bob))
    for _ in range(3):
        found = server.ask(OF, "a=" + "x" * 9_000, of=gid(bob))
        assert (found.by_loop, found.status) == (False, 200)
    assert max(map(len, server.shortcuts._looks._kept)) < 9_000


def test_who_wants_a_stream_gets_one(server: Server, ada: User, bob: User) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    for _ in range(3):
        found = server.post({"query": MINE}, cookie, accept="text/event-stream")
        assert not found.by_loop
        assert found.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "given",
    [
        b"nonsense",
        b"[]",
        {"query": MINE, "variables": []},
        {"query": MINE, "variables": {"first": 101}},
        {"query": MINE, "operationName": "Other"},
        {"query": MINE, "extensions": {"cost": True}},
        {"query": MINE, "documentId": "x"},
        b'{"query": "\xff"}',
    ],
)
def test_what_is_another_request_is_answered_the_whole_way(
    server: Server, ada: User, bob: User, given: Any
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    assert not server.post(given, cookie).by_loop


def test_it_costs_what_it_costs(server: Server, ada: User, bob: User, settings: Any) -> None:
    settings.RATE_LIMIT, settings.RATE_BURST = 1, 1_000
    cookie = session_of(ada)
    cost = 50 + 5 + 2 * 20  # read once; the page, its rows and what they name
    answers = [server.ask(MINE, cookie, first=20) for _ in range(40)]
    good = [answer for answer in answers if answer.status == 200]
    assert 1 < sum(answer.by_loop for answer in good) == len(good) - 2
    assert len(good) <= 1_000 // (cost - 50) + 1
    assert {(answer.status, answer.by_loop) for answer in answers[len(good) :]} == {(429, False)}


def test_what_fails_here_is_charged_once(
    server: Server, ada: User, bob: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMIT, settings.RATE_BURST = 1, 1_000

    def left() -> int:
        asked = {"query": MINE, "extensions": {"cost": True}}
        cost = json.loads(server.post(asked, cookie).body)["extensions"]["cost"]
        return int(cost["left"]) + int(cost["requested"])

    cookie = session_of(ada)
    server.learn(MINE, cookie)
    before = left()
    server.ask(MINE, cookie)
    of_one = before - left()

    async def fails(*args: Any) -> Any:
        raise psycopg.OperationalError

    monkeypatch.setattr(server.shortcuts.pipes, "fetch", fails)
    before = left()
    assert not server.ask(MINE, cookie).by_loop
    assert abs(before - left() - of_one) <= 2, "but for what was gained meanwhile"


def test_it_is_counted_and_logged(
    server: Server, ada: User, bob: User, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    access.write()
    counted = metrics.OPERATIONS.labels("query", "Mine", "OK")._value.get()
    with caplog.at_level("INFO", "server.access"):
        assert server.post({"query": MINE, "operationName": "Mine"}, cookie).by_loop is False
        assert server.ask(MINE, cookie).by_loop
        access.write()
    assert metrics.OPERATIONS.labels("query", "Mine", "OK")._value.get() == counted + 2
    last: Any = caplog.records[-1]
    assert (last.route, last.status, last.statements) == ("graphql", 200, 1)
    assert last.operation == {"type": "query", "name": "Mine", "outcome": "OK", "cost": 45}


def test_a_database_that_cannot_be_reached_is_left_alone(
    server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    server.shortcuts.pipes.close()
    tried = []

    async def connect(**params: Any) -> Any:
        tried.append(params)
        raise psycopg.OperationalError("nobody is there")

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    for _ in range(3):
        found = server.ask(MINE, cookie)
        assert (found.by_loop, len(found.data["userStream"]["edges"])) == (False, 3)
    assert len(tried) == 1
    monkeypatch.undo()
    monkeypatch.setattr(server.shortcuts.pipes, "_away_until", 0.0)
    assert server.ask(MINE, cookie).by_loop


def test_a_connection_that_was_cut_is_noticed_by_one_request_alone(
    server: Server, ada: User, bob: User
) -> None:
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    [pipe] = server.shortcuts.pipes._idle
    with psycopg.connect(pipe.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pipe.info.backend_pid])
    answers = [server.ask(MINE, cookie) for _ in range(2)]
    assert [answer.by_loop for answer in answers] == [False, True]
    assert {len(answer.data["userStream"]["edges"]) for answer in answers} == {3}


def test_a_slow_statement_is_asked_again_with_more_patience(
    server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "PATIENCE", 0.05)
    cookie = session_of(ada)
    server.learn(MINE, cookie)
    with psycopg.connect(server.shortcuts.pipes._idle[0].info.dsn) as other:
        other.execute("LOCK TABLE activity_action")
        server.loop.get_loop().call_later(0.2, other.rollback)
        found = server.ask(MINE, cookie)
    assert (found.by_loop, len(found.data["userStream"]["edges"])) == (False, 3)
    assert server.ask(MINE, cookie).by_loop


def test_a_sites_code_that_asks_the_database_is_not_tried_again(
    server: Server, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: Any = catalog.node_type(Project)
    names: list[Any] = []

    def display_name(project: Any) -> str:
        names.append(project)
        return f"{project.name} of {User.objects.count()}"

    monkeypatch.setattr(declared, "display_name", display_name)
    monkeypatch.setattr(declared, "named_from", ("name",))
    document = OF.replace("target { id }", "target { displayName }")
    answers = [server.ask(document, of=gid(bob)) for _ in range(5)]
    assert {answer.by_loop for answer in answers} == {False}
    assert {answer.body for answer in answers} == {answers[0].body}
    assert len(names) == 3 * 5 + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", True),
        ("COMPILED", False),
        ("SHORTCUT_CONNECTIONS", 0),
        ("SESSION_SAVE_EVERY_REQUEST", True),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.db"),
        ("AUTHENTICATION_BACKENDS", ["django.contrib.auth.backends.ModelBackend"]),
        ("DATABASE_ROUTERS", ["server.replicas.Router"]),
        ("MIDDLEWARE", ["django.middleware.gzip.GZipMiddleware"]),
    ],
)
def test_a_site_of_which_not_everything_is_known_has_no_shortcuts(
    settings: Any, name: str, value: Any
) -> None:
    assert are_open()
    setattr(settings, name, value)
    assert not are_open()


def test_what_is_kept_of_clients_is_bounded(
    server: Server, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.learn(OF, of=gid(bob))
    kept = server.shortcuts._ways, server.shortcuts._looks
    for latest in kept:
        latest.most = 3
    for number in range(6):
        for _ in range(2):
            given = {"query": OF, "variables": {"of": gid(bob)}}
            server.post(given, f"a={number}", **{"user-agent": str(number)})
    assert [len(latest) for latest in kept] == [3, 3]
