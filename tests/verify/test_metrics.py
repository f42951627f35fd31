"""Several processes behind one port: their numbers add up, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from tests.server.test_broker import REDIS_URL, needs_redis
from tests.servers import Server, serving, site_of, until
from tests.sites import environment
from tests.verify.conftest import Proof

TOKEN = "for tests alone"
QUERY = {"query": "query Counted { viewer { id } }"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One of two processes."""
    given = {
        **environment(site_of(tmp_path), "site_settings"),
        "WEB_CONCURRENCY": "2",
        "REDIS_URL": REDIS_URL,
        "METRICS_TOKEN": TOKEN,
        "LOG_FORMAT": "json",
        "TMPDIR": str(tmp_path),
    }
    with serving(given, tmp_path) as server:
        yield server


def ask(server: Server, times: int) -> int:
    """How often it answered, by a connection for each request."""
    answered = 0
    with server.client() as client:
        for _ in range(times):
            answered += client.post("/graphql", json=QUERY).is_success
    return answered


def value(server: Server, sample: str, /, **labels: str) -> float:
    with server.client() as client:
        text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    samples = [it for family in parsed(text) for it in family.samples if it.name == sample]
    return sum(it.value for it in samples if it.labels.items() >= labels.items())


def operations(server: Server) -> float:
    return value(server, "brook_operations_total", type="query", name="Counted", outcome="OK")


def lines(server: Server) -> list[Any]:
    """What the log says of them."""
    found = [json.loads(it) for it in server.said.splitlines() if it.startswith("{")]
    return [it for it in found if it.get("operation", {}).get("name") == "Counted"]


@needs_redis
def test_processes_add_up_whatever_becomes_of_one(server: Server, proof: Proof) -> None:
    until(lambda: value(server, "brook_processes") == 2)
    assert ask(server, 200) == 200
    assert operations(server) == 200
    until(lambda: len(lines(server)) == 200)
    assert len({line["request_id"] for line in lines(server)}) == 200

    with server.client() as client:
        before = {int(client.get("/pid").text) for _ in range(30)}
    os.kill(min(before), signal.SIGKILL)
    until(lambda: not Path(f"/proc/{min(before)}").exists())
    until(server.answers)
    until(lambda: value(server, "brook_processes") == 2)
    assert operations(server) == 200

    server.process.send_signal(signal.SIGHUP)  # new processes, one by one
    until(lambda: server.said.count("Terminated child process") >= 2)
    until(lambda: value(server, "brook_processes") == 2)
    assert operations(server) == 200
    assert ask(server, 200) == 200
    assert operations(server) == 400
    assert httpx.get(f"{server.address}/readyz", timeout=30).json() == {"status": "ready"}
    assert server.end() == 0
    until(lambda: len(lines(server)) == 400)  # nothing is left unwritten
    proof("metrics of two processes", "400 operations; one was killed, then all replaced")
