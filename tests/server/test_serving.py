"""``python -m server``: how it starts and stops; what it goes through is in tests/verify."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.servers import PATIENCE, Server, is_refused, until
from tests.sites import environment

pytestmark = pytest.mark.apart

SUBSCRIPTION = "subscription { modelStream(model: USER) { cursor } }"


# How it starts


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SECRET_KEY": None}, "Set the SECRET_KEY environment variable"),
        ({"WEB_CONCURRENCY": "2"}, "WEB_CONCURRENCY is 2, and REDIS_URL is not set"),
        ({"WEB_CONCURRENCY": "0"}, "WEB_CONCURRENCY is 0; it is 1 or more."),
        ({"WEB_CONCURRENCY": "two"}, "WEB_CONCURRENCY: invalid literal"),
        ({"ROLE": "live"}, "ROLE is live, and REDIS_URL is not set"),
        (
            {"DATABASE_URL": "sqlite:///empty.sqlite3"},
            "migrations, contenttypes.0001_initial first",
        ),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, "The database does not answer: "),
        ({"PORT": "99999"}, "127.0.0.1:99999 cannot be listened at"),
        ({"HOST": "unix:/nowhere/at/all"}, "unix:/nowhere/at/all cannot be listened at"),
        ({"HOST": "fd:77"}, "fd:77 cannot be listened at"),
        ({"DJANGO_SETTINGS_MODULE": "nothing"}, "No module named 'nothing'"),
        ({"PROXY_ADDRESSES": "the proxy"}, "PROXY_ADDRESSES has 'the proxy'"),
    ],
    ids=lambda it: ", ".join(it) if isinstance(it, dict) else "",
)
def test_what_hinders_a_server_is_said_in_a_line(
    slow_site: Path, given: dict[str, str | None], said: str
) -> None:
    asked = {**environment(slow_site, "site_settings"), "PORT": "0", **given}
    done = subprocess.run(
        [sys.executable, "-m", "server"],
        cwd=slow_site,
        env={name: value for name, value in asked.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("brook: ")
    assert said in line


def test_a_port_in_use_is_said_in_a_line(slow_site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        asked = environment(slow_site, "site_settings") | {"PORT": str(other.getsockname()[1])}
        command = [sys.executable, "-m", "server"]
        done = subprocess.run(
            command, cwd=slow_site, env=asked, capture_output=True, text=True, timeout=PATIENCE
        )
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("server", [{"HOST": "unix:brook.sock", "PROXIES": "1"}], indirect=True)
def test_it_listens_at_a_unix_socket_for_its_group_alone(server: Server, slow_site: Path) -> None:
    assert (slow_site / "brook.sock").stat().st_mode & 0o777 == 0o660
    with server.client() as client:
        said = client.get("/seen", headers={"X-Forwarded-For": "192.0.2.1"}).text
    assert said == "192.0.2.1 http"


# How it stops


def test_a_server_that_stops_finishes_what_is_open_and_takes_nothing_new(
    server: Server, slow_site: Path
) -> None:
    answers: list[str] = []

    def ask() -> None:
        with server.client() as client:
            answers.append(client.get("/slow").text)

    with (
        connect(f"ws{server.address[4:]}/graphql", subprotocols=["graphql-transport-ws"]) as live,  # type: ignore[list-item]
        server.client() as client,
        client.stream(
            "POST",
            "/graphql",
            json={"query": SUBSCRIPTION},
            headers={"Accept": "text/event-stream"},
        ) as events,
    ):
        parts = events.iter_text()
        assert next(parts) == ":\n\n"
        asking = threading.Thread(target=ask)
        asking.start()
        until((slow_site / "begun").exists)
        server.process.terminate()
        with pytest.raises(ConnectionClosed):
            live.recv(timeout=PATIENCE)
        assert live.close_code == 1012
        assert not "".join(parts).strip(":\n")
        until(lambda: is_refused(server.address))
        assert answers == []
        (slow_site / "enough").touch()
        asking.join(PATIENCE)
    assert answers == ["done"]
    assert server.process.wait(PATIENCE) == 0
    assert "Traceback" not in server.said


# What it serves


@pytest.mark.parametrize("server", [{"ROLE": "http"}], indirect=True)
def test_a_process_for_requests_takes_no_live_connection(server: Server) -> None:
    with server.client() as client:
        assert client.post("/graphql", json={"query": "{__typename}"}).status_code == 200
        sent: Any = {"json": {"query": SUBSCRIPTION}, "headers": {"Accept": "text/event-stream"}}
        refused = client.post("/graphql", **sent)
    assert refused.status_code == 421
    assert refused.json()["errors"][0]["message"].startswith("Live connections are served by")
