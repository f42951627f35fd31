"""A server's memory: what ten thousand requests leave behind, whatever they ask."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings

from tests.verify.conftest import Proof, World, free_port, serving

pytestmark = [
    pytest.mark.verify,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc: Linux"),
    pytest.mark.skipif(not shutil.which("make"), reason="needs make: it starts the server"),
]

FEW, MANY = 1_000, 10_000
MOST = 1.2
#: What the site of the negative control forgets with no request, in bytes.
KEPT = 8_192
KEEPING = f"""
from server.demo.settings import *

kept = []


def keeping(get_response):
    def answer(request):
        kept.append(bytes({KEPT}))
        return get_response(request)

    return answer


MIDDLEWARE = [*MIDDLEWARE, "keeping_site.keeping"]
"""


class Request(NamedTuple):
    """A request, and how its answer is known."""

    status: int
    said: bytes
    body: bytes
    path: str = "/graphql"
    headers: tuple[tuple[str, str], ...] = ()


class Server:
    """The server of ``make serve``, with one process, and a visitor who is logged in."""

    def __init__(self, url: str, world: World) -> None:
        self.port = urlsplit(url).port
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.cookies: dict[str, str] = {}
        page = self.ask(Request(200, b"csrfmiddlewaretoken", b"", "/login")).decode()
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found
        form = {"username": world.username, "password": world.password}
        body = urlencode({**form, "csrfmiddlewaretoken": found[1]}).encode()
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        self.ask(Request(302, b"", body, "/login", (kind,)))
        assert "sessionid" in self.cookies

    def ask(self, request: Request) -> bytes:
        """The body of the answer, which is as the request says."""
        headers = {
            "Content-Type": "application/json",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        } | dict(request.headers)
        method = "POST" if request.body else "GET"
        try:
            self.connection.request(method, request.path, request.body or None, headers)
            response = self.connection.getresponse()
        except ConnectionError:
            # The server hangs up where the body before was refused unread, if that was late.
            self.connection.close()
            self.connection.request(method, request.path, request.body or None, headers)
            response = self.connection.getresponse()
        body = response.read()
        assert (response.status, request.said in body) == (request.status, True), (request, body)
        for header in response.headers.get_all("Set-Cookie", []):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return body

    def process(self) -> Path:
        """The process that answers: the largest of those that were started for our port."""
        mark = f"PORT={self.port}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append((resident(process), process))
            except OSError:  # another's, or just gone
                continue
        return max(found)[1]

    def growth(self, requests: Iterator[Request]) -> tuple[int, int]:
        """The resident memory after a thousand of these requests, and after ten thousand."""
        process, sizes = self.process(), []
        for number in range(1, MANY + 1):
            self.ask(next(requests))
            if number in (FEW, MANY):
                sizes.append(resident(process))
        return sizes[0], sizes[1]


def resident(process: Path) -> int:
    """The resident memory of a process, in bytes."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", (process / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def make_serve(world: World, **environment: str) -> Iterator[Server]:
    # What "make verify" has installed and built is there.
    built = (f"{sys.prefix}/.installed", "schema/static/graphiql/graphiql.js")
    command = ["make", "serve", f"VENV={sys.prefix}", *(f"--assume-old={it}" for it in built)]
    port = free_port()
    environment = {**world.environment, "WEB_CONCURRENCY": "1", **environment, "PORT": str(port)}
    log = world.directory / f"{port}.log"
    with serving(command, settings.BASE_DIR, environment, log, port) as (url, _):
        server = Server(url, world)
        with closing(server.connection):
            yield server


def posted(status: int, said: str, document: str, **variables: Any) -> Request:
    body = {"query": document, "variables": variables}
    return Request(status, said.encode(), json.dumps(body).encode())


PAGE = """edges { cursor node { id verb timestamp displayName actor { __typename id displayName }
    target { __typename id displayName } } } pageInfo { hasNextPage endCursor }"""
NOBODY = (("Cookie", ""),)
ELSEWHERE = (("Origin", "https://elsewhere.example"),)


def mixed(server: Server) -> Iterator[Request]:
    """Streams, mutations, what is refused and what is broken, in turns."""
    found = json.loads(
        server.ask(
            posted(
                200,
                "data",
                "{ viewer { id } modelStream(model: REPOSITORY, first: 9)"
                " { edges { cursor } nodes { target { id } } } }",
            )
        )
    )["data"]
    me, stream = found["viewer"]["id"], found["modelStream"]
    cursor = stream["edges"][4]["cursor"]
    target = next(node["target"]["id"] for node in stream["nodes"] if node["target"])
    create = """mutation ($input: CreateActionInput!) { createAction(input: $input) {
        created action { id } userErrors { code } } }"""
    follow = "mutation ($object: ID!) { follow(input: {object: $object}) { created } }"
    unfollow = """mutation ($object: ID!) {
        unfollow(input: {object: $object}) { deletedFollowIds } }"""
    made = {"verb": "praised", "target": target}
    turns: list[Callable[[int], Request]] = [
        lambda _: posted(200, "edges", f"{{ userStream(first: 10) {{ {PAGE} }} }}"),
        lambda _: posted(
            200,
            "edges",
            f"query ($id: ID!) {{ actorStream(actor: $id, first: 10) {{ {PAGE} }} }}",
            id=me,
        ),
        lambda number: posted(
            200,
            "edges",
            f"""query ($id: ID!, $verb: String!) {{ anyStream(object: $id, first: 10,
                filter: {{verbs: [$verb]}}) {{ totalCount {PAGE} }} }}""",
            id=target,
            verb=f"verb {number}",
        ),
        lambda _: posted(
            200,
            "edges",
            f"""query ($after: String) {{ modelStream(model: REPOSITORY, first: 10,
                after: $after) {{ {PAGE} nodes {{ actor {{ followers(first: 2) {{
                totalCount nodes {{ user {{ id }} }} }} }} }} }} }}""",
            after=cursor,
        ),
        lambda number: posted(
            200,
            "nodes",
            "query ($id: ID!, $verb: String!)"
            " { mystream(obj: $id, verb: $verb, first: 10) { nodes { id } } }",
            id=me,
            verb=f"verb {number}",
        ),
        lambda _: posted(
            200,
            "displayName",
            "query ($id: ID!) { node(id: $id) { displayName viewerIsFollowing } }",
            id=target,
        ),
        lambda number: posted(
            200, '"created":true', create, input={**made, "idempotencyKey": f"{number}"}
        ),
        lambda number: posted(200, "deletedFollowIds", unfollow, object=target),
        lambda number: posted(200, '"created":true', follow, object=target),
        lambda _: posted(200, '"code":"', create, input={**made, "verb": ""}),
        lambda number: posted(
            200, '"code":"', create, input={"verb": "x" * (256 + number % 9), "target": target}
        ),
        lambda number: posted(
            200,
            "BAD_USER_INPUT",
            "query ($after: String) { userStream(after: $after) { nodes { id } } }",
            after=f"no cursor {number}",
        ),
        lambda _: posted(
            200,
            "TOO_COMPLEX",
            """{ modelStream(model: USER, first: 100) { nodes { followers(first: 100) {
                nodes { user { followers(first: 100) { nodes { id } } } } } } } }""",
        ),
        lambda _: posted(200, "errors", "{ viewer { nothingOfThisName } }"),
        lambda _: posted(200, "errors", "{ viewer { id "),
        lambda number: posted(
            200, "null", "query ($id: ID!) { node(id: $id) { id } }", id=f"no id {number}"
        ),
        lambda _: Request(400, b"no JSON", b"{"),
        lambda _: Request(400, b"UTF-8", b"\xff"),
        lambda _: posted(200, "UNAUTHENTICATED", "{ userStream { nodes { id } } }")._replace(
            headers=NOBODY
        ),
        lambda _: posted(403, "errors", "{ viewer { id } }")._replace(headers=ELSEWHERE),
        lambda _: Request(200, b"<html", b"", "/graphql", (("Accept", "text/html"),)),
        lambda number: Request(404, b"", b"", f"/nothing/{number}"),
    ]
    for number in count():
        yield turns[number % len(turns)](number)


def never_repeated(_: Server) -> Iterator[Request]:
    """Documents that all differ: in an alias, in a value, in what is wrong with them."""
    for number in count():
        yield (
            posted(
                200,
                f"a{number}",
                f"{{ modelStream(model: REPOSITORY, first: 3) {{ a{number}: nodes"
                " { id displayName actor { id displayName } } } }",
            ),
            posted(
                200,
                "nodes",
                f'{{ modelStream(model: REPOSITORY, first: 3, filter: {{verbs: ["{number}"]}})'
                " { nodes { id displayName actor { id displayName } } } }",
            ),
            posted(200, "errors", f"{{ viewer {{ a{number} }} }}"),
            posted(200, "errors", f"{{ viewer {{ a{number}: id "),
        )[number % 4]


@pytest.mark.parametrize("requests", [mixed, never_repeated])
def test_ten_thousand_requests_leave_nothing_behind(
    requests: Callable[[Server], Iterator[Request]], world: World, proof: Proof
) -> None:
    with make_serve(world) as server:
        few, many = server.growth(requests(server))

    name = requests.__name__.replace("_", " ")
    proof(f"memory of a server, {name} requests", said(few, many))
    assert many <= MOST * few, said(few, many)


def test_a_server_that_forgets_nothing_is_found_out(
    world: World, proof: Proof, tmp_path: Path
) -> None:
    (tmp_path / "keeping_site.py").write_text(KEEPING)
    site = {"DJANGO_SETTINGS_MODULE": "keeping_site", "PYTHONPATH": str(tmp_path)}
    nothing = Request(404, b"", b"", "/nothing")

    with make_serve(world, **site) as server:
        few, many = server.growth(nothing for _ in count())

    proof(f"the same, keeping {KEPT:,} bytes a request", said(few, many))
    assert many > MOST * few, said(few, many)


def said(few: int, many: int) -> str:
    return (
        f"{few / 1e6:.0f} MB after {FEW:,}, {many / 1e6:.0f} MB after {MANY:,}:"
        f" x {many / few:.2f}, at most {MOST}"
    )
