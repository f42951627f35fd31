"""A fresh clone, with nothing but Python: "make demo" serves it, and again, and keeps its data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from tests.verify.conftest import Proof, clean_environment, free_port, log_in, login, serving

STREAMS = """query ($id: ID!) {
  viewer { id username }
  userStream(first: 5, withUserActivity: true) { nodes { displayName } }
  anyStream(object: $id, first: 5) { nodes { displayName } }
  mystream(obj: $id, verb: "praised", first: 5) { nodes { id displayName } }
}"""
FIND = """{ modelStream(model: REPOSITORY, first: 1) { nodes { actor { id } target { id } } } }"""
CREATE = """mutation ($target: ID!) {
  createAction(input: {verb: "praised", target: $target, idempotencyKey: "fresh"}) {
    created action { id displayName } userErrors { field message code }
  }
}"""
FOLLOW = """mutation ($object: ID!) {
  follow(input: {object: $object}) { created userErrors { code } object { viewerIsFollowing } }
}"""
UNFOLLOW = """mutation ($object: ID!) {
  unfollow(input: {object: $object}) {
    deletedFollowIds userErrors { code } object { viewerIsFollowing }
  }
}"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed, and nothing that was installed or built beside it."""
    if not (settings.BASE_DIR / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs git: this is no checkout, or there is no git")
    directory = tmp_path / "brook"
    command = ["git", "clone", "--quiet", str(settings.BASE_DIR), str(directory)]
    subprocess.run(command, check=True, env=clean_environment(), timeout=120)
    assert not (directory / ".venv").exists()
    return directory


class Demo:
    """A running ``make demo``: what it said, when it answered, and a visitor's session."""

    def __init__(self, said: str, seconds: float, visitor: httpx.Client) -> None:
        self.said, self.seconds, self.visitor = said, seconds, visitor

    def look(self) -> None:
        """The page, and the assets that it names."""
        page = self.visitor.get("/graphql", headers={"Accept": "text/html"})
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        assert [self.visitor.get(path).status_code for path in assets] == [200, 200]

    def ask(self, query: str, **variables: Any) -> Any:
        answer = self.visitor.post("/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]


@contextmanager
def make_demo(directory: Path, **environment: str) -> Iterator[Demo]:
    port, log = free_port(), directory.with_name("make-demo.log")
    python = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info)
    command = ["make", "demo", f"PORT={port}", f"PYTHON={python}"]
    began = time.monotonic()
    with serving(command, directory, clean_environment(**environment), log, port) as (url, _):
        seconds = time.monotonic() - began
        with httpx.Client(base_url=url, timeout=30) as visitor:
            yield Demo(log.read_text(encoding="utf-8"), seconds, visitor)


def names(connection: Any) -> list[str]:
    return [node["displayName"] for node in connection["nodes"]]


def test_a_fresh_clone_serves_its_demo_and_keeps_what_is_done_there(
    clone: Path, proof: Proof
) -> None:
    with make_demo(clone) as demo:
        built = demo.seconds
        username, password = login(demo.said)
        demo.look()
        log_in(demo.visitor, username, password)
        [found] = demo.ask(FIND)["modelStream"]["nodes"]
        viewer = demo.ask("{ viewer { id username } }")["viewer"]
        assert viewer["username"] == username
        target = found["target"]["id"]

        created = demo.ask(CREATE, target=target)["createAction"]
        assert (created["created"], created["userErrors"]) == (True, [])
        praised = created["action"]
        data = demo.ask(STREAMS, id=viewer["id"])
        assert data["mystream"]["nodes"] == [praised]
        assert (
            names(data["userStream"])[0] == names(data["anyStream"])[0] == praised["displayName"]
        )

        assert demo.ask(UNFOLLOW, object=target)["unfollow"]["object"] == {
            "viewerIsFollowing": False
        }
        followed = demo.ask(FOLLOW, object=target)["follow"]
        assert followed == {
            "created": True,
            "userErrors": [],
            "object": {"viewerIsFollowing": True},
        }
        unfollowed = demo.ask(UNFOLLOW, object=target)["unfollow"]
        assert len(unfollowed.pop("deletedFollowIds")) == 1
        assert unfollowed == {"userErrors": [], "object": {"viewerIsFollowing": False}}

    with make_demo(clone) as demo:
        again = demo.seconds
        assert login(demo.said) == (username, password)
        log_in(demo.visitor, username, password)
        kept = demo.ask(STREAMS, id=viewer["id"])["mystream"]["nodes"]
        assert kept == [praised]
        assert demo.ask(CREATE, target=target)["createAction"]["created"] is False

    assert built < 180
    assert again < 15
    proof("fresh clone, make demo", f"serves after {built:.0f} s; 3 streams, 3 mutations answer")
    proof("started again", f"serves after {again:.1f} s; the created action is still there")


def test_a_fresh_clone_needs_no_node(clone: Path, tmp_path: Path, proof: Proof) -> None:
    everything_else = tmp_path / "bin"
    everything_else.mkdir()
    for directory in reversed(clean_environment()["PATH"].split(os.pathsep)):
        for program in Path(directory).glob("*"):
            place = everything_else / program.name
            place.unlink(missing_ok=True)
            if program.name not in {"node", "nodejs", "npm", "npx"}:
                place.symlink_to(program)
    with make_demo(clone, PATH=str(everything_else)) as demo:
        demo.look()
    assert demo.seconds < 180
    proof("fresh clone without Node", f"serves after {demo.seconds:.0f} s, with Node from PyPI")
