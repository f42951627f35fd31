"""``python -m server``: how it goes on, and stops, whatever happens to its processes."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.servers import PATIENCE, Server, until


def process_of(server: Server) -> int:
    """The process that answers; whoever dies meanwhile answers nothing."""

    def answer() -> int:
        try:
            with server.client() as client:
                return int(client.get("/pid").text)
        except httpx.TransportError:
            return 0

    return until(answer)


@pytest.mark.parametrize("server", [{}], indirect=True)
def test_a_process_that_dies_is_replaced(server: Server) -> None:
    killed = process_of(server)
    os.kill(killed, signal.SIGKILL)
    assert process_of(server) != killed


@pytest.mark.parametrize("server", [{"STUCK_SECONDS": "1"}], indirect=True)
def test_a_process_that_is_stuck_is_replaced_and_says_where(server: Server) -> None:
    stuck = process_of(server)
    with server.client() as client, pytest.raises(httpx.TransportError):
        client.get("/stuck")
    assert process_of(server) != stuck
    assert "in stuck\n" in server.said


def test_a_reload_replaces_every_process_and_refuses_nobody(server: Server) -> None:
    before = {process_of(server) for _ in range(30)}
    server.process.send_signal(signal.SIGHUP)
    seen: set[int] = set()

    def all_new() -> bool:
        with server.client() as client:  # in which an error is one of the test
            seen.add(int(client.get("/pid").text))
        return server.said.count("Terminated child process") == 2 and not old_ones()

    def old_ones() -> set[int]:
        return {pid for pid in before if Path(f"/proc/{pid}").exists()}

    until(all_new)
    assert process_of(server) not in before
    assert server.end() == 0
    assert "Traceback" not in server.said


@pytest.mark.parametrize("server", [{"STOP_SECONDS": "1"}], indirect=True)
def test_a_server_that_stops_waits_no_longer_than_it_may(server: Server) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with server.client() as client:
            statuses.append(client.get("/stuck").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    # It is at the request once nobody else is answered.
    until(lambda: not server.answers())
    server.end()
    asking.join(PATIENCE)
    assert statuses == [500]


@pytest.mark.parametrize("server", [{}], indirect=True)
def test_no_process_outlives_the_one_that_looks_after_it(server: Server) -> None:
    orphan = process_of(server)
    server.process.kill()
    until(lambda: not Path(f"/proc/{orphan}").exists())
