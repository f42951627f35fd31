"""The proxy of deploy/nginx.conf, with requests and live connections in processes of their own."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.servers import PATIENCE, Server, serving, until
from tests.verify.conftest import Proof, World, free_port

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")

CONFIGURATION = settings.BASE_DIR / "deploy/nginx.conf"
ALL = """\
daemon off; user root; pid {directory}/nginx.pid; error_log stderr notice; worker_processes 1;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  include {directory}/brook.conf;
}}
"""
SUBSCRIPTION = "subscription ($after: String) { modelStream(model: USER, after: $after) { %s } }"
EVENT = SUBSCRIPTION % "cursor node { id }"
ACT = 'mutation { createAction(input: {verb: "hummed"}) { action { id } userErrors { message } } }'


@dataclass
class Behind:
    """The site, as it is seen through the proxy, and what is behind it."""

    url: str
    plain: str
    trust: ssl.SSLContext
    http: Server
    live: Server
    live_again: Any
    world: World

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            verify=self.trust,
            timeout=PATIENCE,
            headers={"Origin": self.url},
            transport=httpx.HTTPTransport(verify=self.trust, **options),
        )

    def logged_in(self) -> httpx.Client:
        client = self.client()
        page = client.get("/login").text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found, page
        form = {"username": self.world.username, "password": self.world.password}
        answer = client.post("/login", data={"csrfmiddlewaretoken": found[1], **form})
        assert answer.status_code == 302, answer.text
        assert "secure" in answer.headers["Set-Cookie"].lower()
        return client

    @contextmanager
    def socket(self, session: str) -> Iterator[ClientConnection]:
        """A connection that is acknowledged."""
        with connect(
            f"{self.url.replace('https', 'wss')}/graphql",
            ssl=self.trust,
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
            additional_headers={"Cookie": f"sessionid={session}", "Origin": self.url},
            proxy=None,
        ) as socket:
            socket.send('{"type": "connection_init"}')
            assert json.loads(socket.recv(PATIENCE))["type"] == "connection_ack"
            yield socket


@pytest.fixture(scope="module")
def behind(world: World) -> Iterator[Behind]:
    with ExitStack() as stack:
        directory = world.directory
        port, redis, http, live = (free_port() for _ in range(4))
        broker = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(broker, stdout=subprocess.DEVNULL, cwd=directory)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        environment = world.environment | {
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "PYTHONPATH": str(settings.BASE_DIR),
            "HTTPS": "true",
            "PROXIES": "1",
            "RATE_LIMIT": "100",
            "RATE_BURST": "10000",
        }

        def start(role: str, port: int) -> Any:
            return serving(environment | {"PORT": str(port)}, directory, role)

        plain = free_port()
        trust = configure(directory, {"80": plain, "443": port, "8000": http, "8001": live})
        first = stack.enter_context(start("http", http))
        second = stack.enter_context(start("live", live))
        stack.enter_context(nginx(directory))
        url = f"https://127.0.0.1:{port}"
        until(lambda: answers(url, trust))
        yield Behind(
            url,
            f"http://127.0.0.1:{plain}",
            trust,
            first,
            second,
            lambda: stack.enter_context(start("live", live)),
            world,
        )


def configure(directory: Path, ports: dict[str, int]) -> ssl.SSLContext:
    """The very file, but for its ports, TLS files and what is of no loopback."""
    certificate, key = directory / "fullchain.pem", directory / "privkey.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    text = CONFIGURATION.read_text()
    text = re.sub(r"\n\s*listen \[::\][^\n]*", "", text)
    text = re.sub(r"listen (\d+)", lambda it: f"listen 127.0.0.1:{ports[it[1]]}", text)
    text = re.sub(
        r"server 127\.0\.0\.1:(\d+)", lambda it: f"server 127.0.0.1:{ports[it[1]]}", text
    )
    text = text.replace("/etc/brook/tls", str(directory))
    (directory / "brook.conf").write_text(text)
    (directory / "nginx.conf").write_text(ALL.format(directory=directory))
    return ssl.create_default_context(cafile=str(certificate))


@contextmanager
def nginx(directory: Path) -> Iterator[None]:
    command = ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    with (directory / "nginx.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        return httpx.get(f"{url}/login", verify=trust).status_code == 200
    except httpx.TransportError:
        return False


def act(client: httpx.Client) -> str:
    """The id of a new action of whoever is logged in."""
    answer = client.post("/graphql", json={"query": ACT}).json()["data"]["createAction"]
    assert answer["userErrors"] == []
    return str(answer["action"]["id"])


def subscribe(socket: ClientConnection, after: str | None) -> None:
    payload = {"query": EVENT, "variables": {"after": after}}
    socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))


def next_of(socket: ClientConnection) -> Any:
    heard = json.loads(socket.recv(PATIENCE))
    assert heard["type"] == "next", heard
    return heard["payload"]["data"]["modelStream"]


def now(client: httpx.Client) -> str:
    query = "{ modelStream(model: USER, first: 1) { resumeCursor } }"
    answer = client.post("/graphql", json={"query": query}).json()
    return str(answer["data"]["modelStream"]["resumeCursor"])


def test_requests_and_both_kinds_of_streams_find_their_processes(
    behind: Behind, proof: Proof
) -> None:
    with closing(behind.logged_in()) as client:
        after = now(client)
        with behind.socket(client.cookies["sessionid"]) as socket:
            subscribe(socket, after)
            sent = {"query": EVENT, "variables": {"after": after}}
            headers = {"Accept": "text/event-stream"}
            with client.stream("POST", "/graphql", json=sent, headers=headers) as events:
                assert events.headers["Content-Type"].startswith("text/event-stream")
                lines = events.iter_lines()
                made = [act(client) for _ in range(3)]
                over_socket = [next_of(socket)["node"]["id"] for _ in made]
                data = (json.loads(it[6:]) for it in lines if it.startswith("data: "))
                # They are here while the stream goes on: nothing holds them back.
                over_events = [next(data)["data"]["modelStream"]["node"]["id"] for _ in made]
        assert over_socket == over_events == made
        page = client.get("/graphql", headers={"Accept": "text/html"})
        assert "GraphiQL" in page.text
    direct: Any = {"json": {"query": "{__typename}"}, "headers": {"X-Forwarded-Proto": "https"}}
    with behind.live.client() as live, behind.http.client() as http:
        assert live.post("/graphql", **direct).status_code == 421
        assert http.post("/graphql", **direct).status_code == 200
    proof("nginx in front", "queries, mutations, WebSocket and SSE, each by its own process")


def test_browsers_are_kept_to_https(behind: Behind) -> None:
    moved = httpx.get(f"{behind.plain}/graphql?a=b")
    assert (moved.status_code, moved.headers["Location"]) == (308, "https://127.0.0.1/graphql?a=b")
    with behind.client() as client:
        # Whoever says that it was by http:// is not heard.
        answer = client.get("/login", headers={"X-Forwarded-Proto": "http"})
    assert answer.status_code == 200
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
    with behind.http.client() as direct:
        assert direct.get("/login").status_code == 301
        assert direct.get("/login", headers={"X-Forwarded-Proto": "https"}).status_code == 200


def test_a_body_too_large_is_refused_as_the_server_refuses_it(behind: Behind) -> None:
    with behind.client() as client:
        fits, refused = [
            client.post("/nowhere", content=b" " * size)
            for size in (settings.MOST_BODY, settings.MOST_BODY + 1)
        ]
    assert fits.status_code == 404
    assert refused.status_code == 413
    [error] = refused.json()["errors"]
    message = f"A body has at most {settings.MOST_BODY} bytes; this one has more."
    assert error == {"message": message, "extensions": {"code": "BAD_REQUEST"}}


def test_what_the_processes_tell_who_looks_after_them_is_not_told_outside(behind: Behind) -> None:
    with behind.client() as client:
        assert [client.get(path).status_code for path in ("/metrics", "/readyz")] == [404, 404]


def test_a_live_process_starts_again_without_a_gap(behind: Behind, proof: Proof) -> None:
    with closing(behind.logged_in()) as client:
        after = now(client)
        session = client.cookies["sessionid"]
        with behind.socket(session) as socket:
            subscribe(socket, after)
            made = [act(client) for _ in range(3)]
            events = [next_of(socket) for _ in made]
            behind.live.process.terminate()
            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE)
            assert socket.close_code == 1012
        made += [act(client) for _ in range(3)]  # while nobody listens
        assert behind.live.process.wait(PATIENCE) == 0
        behind.live = behind.live_again()
        made += [act(client) for _ in range(3)]
        with ExitStack() as stack:
            socket = until(lambda: again(behind, session, stack))
            subscribe(socket, events[-1]["cursor"])
            ids = dict.fromkeys(event["node"]["id"] for event in events)
            while len(ids) < len(made):  # what came just before the end may come again
                ids[next_of(socket)["node"]["id"]] = None
    assert list(ids) == made
    assert "Traceback" not in behind.live.said
    proof("a live process starts again", "1012, and nothing is lost")


def again(behind: Behind, session: str, stack: ExitStack) -> ClientConnection | None:
    try:
        return stack.enter_context(behind.socket(session))
    except (OSError, WebSocketException):
        return None


def test_a_client_is_who_the_proxy_sees_whatever_it_says(behind: Behind, proof: Proof) -> None:
    query = {"query": "{ modelStream(model: USER, first: 100) { nodes { id } } }"}
    with behind.client() as client, behind.client(local_address="127.0.0.2") as other:

        def asked(number: int) -> int:
            forged = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": "for=192.0.2.1"}
            return client.post("/graphql", json=query, headers=forged).status_code

        statuses = [asked(number) for number in range(200)]
        assert set(statuses) == {200, 429}
        assert statuses.index(429) > 5
        assert asked(201) == 429
        assert other.post("/graphql", json=query).status_code == 200
    proof(
        "a forged X-Forwarded-For", f"{statuses.count(429)} of 200 requests refused all the same"
    )
