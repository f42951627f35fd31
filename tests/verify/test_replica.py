"""Who has written reads it, however far a replica is behind; others read the replica."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from server import writes
from tests.verify.conftest import UVICORN, Proof, clean_environment, free_port, manage, serving
from tests.verify.postgres import Cluster, cluster, running

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")

#: Writers at once, and how often each writes and reads what it wrote.
WRITERS, TIMES = 5, 100
#: Statements of others are known by the size of their pages: one more than they ask for.
OTHERS = 13
MARK = f"LIMIT {OTHERS + 1}"

#: Printed are tokens and ids of users; the last one writes nothing.
PEOPLE = f"""
import json
from datetime import timedelta
from django.contrib.auth.models import User
from schema.nodes import global_id
from server import tokens
users = [User.objects.create(username=f"user{{number}}") for number in range({WRITERS} + 1)]
print(json.dumps([[tokens.mint(user, timedelta(hours=1)), global_id(user)] for user in users]))
"""
#: A site in which nobody remembers who has written.
FORGETFUL = """
from server.settings import *
from server import writes
writes.since = lambda viewer: 0
"""
WRITE = """mutation ($verb: String!) {
  createAction(input: {verb: $verb}) { action { id } userErrors { message } } }"""
READ = """query ($of: ID!, $first: Int!) {
  actorStream(actor: $of, first: $first) { nodes { id verb actor { displayName } } } }"""


@dataclass
class Place:
    """A primary and its replica, a site on both, and who uses it."""

    primary: Cluster
    replica: Cluster
    environment: dict[str, str]
    directory: Path
    people: list[list[str]]

    @contextmanager
    def served(self, **more: str) -> Iterator[str]:
        """The address of a server with two processes, which read the replica already."""
        port = free_port()
        command = [*UVICORN, "--port", str(port), "--workers", "2", "--no-access-log"]
        log = self.directory / f"log-{port}"
        with serving(command, settings.BASE_DIR, self.environment | more, log, port) as (url, _):
            self.until_read(url)
            yield url

    def until_read(self, url: str) -> None:
        """Wait until twenty in a row, so both processes, have read the replica."""
        deadline = time.monotonic() + 120
        asked = self.asked(self.people[-1][1], OTHERS)
        while True:
            before = self.reads(self.replica)
            for _ in range(20):  # each by a connection of its own
                httpx.post(f"{url}/graphql", json=asked, timeout=60)
            if self.reads(self.replica) == before + 20:
                return
            assert time.monotonic() < deadline, self.replica.log.read_text()[-3000:]

    def reads(self, of: Cluster) -> int:
        """How many pages of others a server has read, by its log."""
        return sum(MARK in line for line in of.log.read_text().splitlines())

    def asked(self, of: str, first: int) -> dict[str, Any]:
        return {"query": READ, "variables": {"of": of, "first": first}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("replica")
    redis = free_port()
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="server.settings",
        SECRET_KEY="for tests alone",
        TOKEN_SECRET="a secret of thirty-two bytes, or more",
        RATE_LIMIT="0",
        WEB_CONCURRENCY="2",
        REDIS_URL=f"redis://127.0.0.1:{redis}/0",
        REPLICA_LAG="120",  # on a slow machine, too
    )
    keeps = ["--save", "", "--appendonly", "no", "--dir", str(directory)]
    command = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", *keeps]
    logged = {"log_statement": "all"}
    with cluster(directory / "primary", **logged) as primary:
        environment["DATABASE_URL"] = primary.url
        manage(environment, "migrate", "--verbosity", "0")
        people = json.loads(manage(environment, "shell", "-v0", "-c", PEOPLE))
        replica = primary.replica(directory / "twin", recovery_min_apply_delay="200ms")
        environment["DATABASE_REPLICA_URLS"] = replica.url
        with running(replica), subprocess.Popen(command, stdout=subprocess.DEVNULL) as broker:
            try:
                remember(environment["REDIS_URL"])
                yield Place(primary, replica, environment, directory, people)
            finally:
                broker.terminate()


def remember(url: str) -> None:
    """Have Redis say that it has forgotten no write: else everybody may have written before."""
    client = Redis.from_url(url, retry=Retry(ConstantBackoff(0.1), 300))
    client.set(writes.MEMORY, 1)


def missed(place: Place, url: str, writer: int, times: int) -> int:
    """How often a writer did not read what it had written, by a connection for each request."""
    token, own = place.people[writer]
    bearer = {"Authorization": f"Bearer {token}"}
    count = 0
    for number in range(times):
        asked = {"query": WRITE, "variables": {"verb": f"wrote {number}"}}
        written = httpx.post(f"{url}/graphql", json=asked, headers=bearer, timeout=60).json()
        [made] = [written["data"]["createAction"]["action"]["id"]]
        found = httpx.post(
            f"{url}/graphql", json=place.asked(own, 1), headers=bearer, timeout=60
        ).json()
        assert "errors" not in found, found
        count += [node["id"] for node in found["data"]["actorStream"]["nodes"]] != [made]
    return count


@contextmanager
def halting(replica: Cluster) -> Iterator[None]:
    """Have a replica replay nothing for half a second, then go on for as long, again and again."""
    over = threading.Event()

    def halt() -> None:
        while not over.wait(0.5):
            replica.execute("SELECT pg_wal_replay_pause()")
            over.wait(0.5)
            replica.execute("SELECT pg_wal_replay_resume()")

    with ThreadPoolExecutor(1) as thread:
        halts = thread.submit(halt)
        try:
            yield
        finally:
            over.set()
            halts.result()


def test_none_of_500_misses_what_they_wrote_and_others_read_the_replica(
    place: Place, proof: Proof
) -> None:
    others = [0]
    over = threading.Event()

    def look(url: str) -> None:
        bearer = {"Authorization": f"Bearer {place.people[-1][0]}"}
        while not over.is_set():
            for headers in ({}, bearer):
                asked = place.asked(place.people[0][1], OTHERS)
                found = httpx.post(f"{url}/graphql", json=asked, headers=headers, timeout=60)
                assert "errors" not in found.json()
                others[0] += 1

    with place.served() as url, ThreadPoolExecutor(WRITERS + 1) as threads:
        before = {of.port: place.reads(of) for of in (place.replica, place.primary)}
        with halting(place.replica):
            looking = threads.submit(look, url)
            try:
                missing = [
                    threads.submit(missed, place, url, writer, TIMES) for writer in range(WRITERS)
                ]
                misses = sum(each.result() for each in missing)
            finally:
                over.set()
            looking.result()
        there, here = (place.reads(of) - before[of.port] for of in (place.replica, place.primary))
    assert misses == 0
    assert (there, here) == (others[0], 0)
    assert there > 20
    proof(
        "a replica that is behind, two processes",
        f"{WRITERS * TIMES} writes read by who wrote, {misses} missed; "
        f"others read {there} of {others[0]} pages from the replica",
    )


def test_they_would_miss_it_if_nobody_remembered_who_has_written(
    place: Place, proof: Proof
) -> None:
    (place.directory / "forgetful.py").write_text(FORGETFUL)
    site = {"DJANGO_SETTINGS_MODULE": "forgetful", "PYTHONPATH": str(place.directory)}
    with place.served(**site) as url:
        place.replica.execute("SELECT pg_wal_replay_pause()")
        try:
            misses = missed(place, url, 0, 10)
        finally:
            place.replica.execute("SELECT pg_wal_replay_resume()")
    assert misses == 10
    proof("the same, if nobody remembered who wrote", f"{misses} of 10 missed")


def test_a_replica_that_is_gone_fails_no_query_and_is_read_again_when_it_is_back(
    place: Place, proof: Proof
) -> None:
    asked = place.asked(place.people[0][1], OTHERS)

    def look(url: str, times: int) -> None:
        for _ in range(times):
            found = httpx.post(f"{url}/graphql", json=asked, timeout=60)
            assert "errors" not in found.json()

    with place.served() as url:
        with ThreadPoolExecutor(1) as thread:
            looking = thread.submit(look, url, 300)
            place.replica.stop("immediate")
            looking.result()
        before = place.reads(place.primary)
        look(url, 20)
        assert place.reads(place.primary) == before + 20
        place.replica.start()
        begun = time.monotonic()
        place.until_read(url)
    proof(
        "a replica that is gone",
        f"320 queries, no error; read again {time.monotonic() - begun:.0f} s after it was back",
    )
