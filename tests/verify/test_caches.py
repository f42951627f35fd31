"""Apollo Client, urql and relay-runtime on a running server, each by a session and by a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from tests.clients.server import needs, node
from tests.verify.conftest import Proof, World, log_in, serving

pytestmark = needs("npm")

CLIENTS = settings.BASE_DIR / "tests/clients"
FIRST = 7
#: A stream of some pages, and a node that the viewer does not follow yet.
ABOUT = """query ($first: Int!) { viewer {
    id
    anyStream(first: $first) { nodes { id actor { id } target { id viewerIsFollowing } } }
} }"""
STREAM = "query ($id: ID!) { anyStream(object: $id, first: 100) { nodes { id } } }"


@dataclass
class Server:
    url: str
    viewer: str
    stream: str
    ids: list[str]
    other: str
    #: By the name of how a client says who asks.
    environments: dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Server]:
    environment = {**world.environment, "TOKEN_SECRET": "for the clients of this test alone, " * 2}
    minted = subprocess.run(
        [sys.executable, "manage.py", "token", world.username],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    port = int(environment["PORT"])
    command = [sys.executable, "-m", "uvicorn", "schema.asgi:application", "--port", str(port)]
    with (
        serving(command, settings.BASE_DIR, environment, world.directory / "log", port) as (
            url,
            _,
        ),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        log_in(client, world.username, world.password)

        def ask(query: str, **variables: Any) -> Any:
            answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
            assert "errors" not in answer, answer
            return answer["data"]

        viewer = ask(ABOUT, first=100)["viewer"]
        targets = [it["target"] for it in viewer["anyStream"]["nodes"] if it["target"]]
        other = next(it["id"] for it in targets if not it["viewerIsFollowing"])
        streams: dict[str, list[str]] = {
            it["actor"]["id"]: [] for it in viewer["anyStream"]["nodes"] if it["actor"]
        }
        for found in streams:
            nodes = ask(STREAM, id=found)["anyStream"]["nodes"]
            streams[found] = [it["id"] for it in nodes]
        stream = max(streams, key=lambda it: len(streams[it]) % 100)
        yield Server(
            url,
            viewer["id"],
            stream,
            streams[stream],
            other,
            {
                "session": {"session": client.cookies["sessionid"]},
                "token": {"token": minted},
            },
        )


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The command of each client."""
    relay = CLIENTS / "relay"
    for directory in (relay, CLIENTS / "caches"):
        npm("ci", cwd=directory)
    npm("run", "compile", cwd=relay)
    built = tmp_path_factory.mktemp("relay") / "pages.mjs"
    node(str(CLIENTS / "build.mjs"), "src/pages.js", str(built), cwd=relay)
    caches = CLIENTS / "caches"
    return {
        "Apollo Client": [str(caches / "apollo.mjs")],
        "urql": [str(caches / "urql.mjs")],
        "relay-runtime": [str(built)],
    }


def npm(*command: str, cwd: Path) -> None:
    done = subprocess.run(["npm", *command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("identity", ["session", "token"])
@pytest.mark.parametrize("client", ["Apollo Client", "urql", "relay-runtime"])
def test_a_client_pages_mutates_and_refetches(
    server: Server, scripts: dict[str, list[str]], client: str, identity: str, proof: Proof
) -> None:
    who = server.environments[identity]
    said = node(
        *scripts[client],
        server.stream,
        server.other,
        cwd=CLIENTS,
        origin=server.url,
        session=who.get("session", ""),
        env={**os.environ, "TOKEN": who.get("token", "")},
    )
    assert json.loads(said) == {
        "viewer": server.viewer,
        "pages": ceil(len(server.ids) / FIRST),
        "ids": server.ids,
        # Before; then what the cache has and what the server says, after each mutation.
        "flags": [False, True, True, False, False],
    }
    proof(
        f"{client}, by a {identity}",
        f"{len(server.ids)} actions on {ceil(len(server.ids) / 7)} pages",
    )
