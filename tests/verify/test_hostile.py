"""A hostile client against a running site: what each attack is answered, and what it costs."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from tests.verify.attacks import AUDIENCE, GRAPHQL, ISSUER, SECRET, Attack, Known, asked, attacks
from tests.verify.conftest import Proof, World, log_in, serving

PAPER = settings.BASE_DIR / "docs/security.md"
BEGIN, END = "<!-- attacks -->\n", "<!-- /attacks -->\n"
#: Of CPU time, that a refusal may cost.
MOST_SECONDS = 0.05


@dataclass
class Target:
    """The site that is attacked, and the process that answers."""

    url: str
    process: int
    known: Known
    #: Nobody, and the user who may log in.
    nobody: httpx.Client
    member: httpx.Client

    def send(self, attack: Attack) -> httpx.Response:
        client = self.member if attack.session else self.nobody
        headers = {"Accept": GRAPHQL, "Content-Type": "application/json", **attack.headers}
        if attack.token:
            headers["Authorization"] = f"Bearer {attack.token(self.known)}".strip()
        body = attack.body if isinstance(attack.body, bytes) else attack.body(self.known)
        return client.request(attack.method, attack.path, content=body, headers=headers)

    def cost(self) -> float:
        """The CPU time that the process has had, in seconds."""
        threads = Path(f"/proc/{self.process}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@pytest.fixture(scope="module")
def target(world: World) -> Iterator[Target]:
    environment = {
        **world.environment,
        "TOKEN_SECRET": SECRET,
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": AUDIENCE,
        "BODY_SECONDS": "1",
        # Else the first attacks would use up what the others may cost.
        "RATE_LIMIT": "0",
    }
    # Whoever may log in to the demo may do everything; an attacker may not.
    password = secrets.token_urlsafe()
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--command", MALLORY],
        cwd=settings.BASE_DIR,
        env={**environment, "PASSWORD": password},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    port = int(environment["PORT"])
    command = [sys.executable, "-m", "uvicorn", "schema.asgi:application", "--port", str(port)]
    log = world.directory / "log"
    with (
        serving(command, settings.BASE_DIR, environment, log, port) as (url, process),
        httpx.Client(base_url=url, timeout=60) as nobody,
        httpx.Client(base_url=url, timeout=60) as member,
    ):
        log_in(member, "mallory", password)
        viewer = member.post("/graphql", json={"query": ABOUT}).json()["data"]["viewer"]
        [followed] = viewer["following"]["nodes"]
        [edge] = viewer["anyStream"]["edges"]
        known = Known("mallory", viewer["id"], followed["followObject"]["id"], edge["cursor"])
        yield Target(url, process, known, nobody, member)


MALLORY = """
import os
from django.contrib.auth.models import User
from server.models import follow
mallory = User.objects.create_user("mallory", password=os.environ["PASSWORD"])
follow(mallory, User.objects.exclude(pk=mallory.pk).first())
"""
ABOUT = """{ viewer {
    id
    anyStream(first: 1) { edges { cursor } }
    following(types: [USER], first: 1) { nodes { followObject { id } } }
} }"""


def codes(response: httpx.Response) -> set[str]:
    """The codes of a GraphQL response's errors."""
    if "json" not in response.headers.get("Content-Type", ""):
        return set()
    return {error["extensions"]["code"] for error in response.json().get("errors", [])}


def test_every_attack_is_answered_as_the_paper_says(target: Target, proof: Proof) -> None:
    sent = attacks()
    assert fault(Attack("", "", asked("{ __typename }"), 400, "X"), target) == "200, not 400: []"
    faults = {
        f"{attack.kind}: {attack.name}": said for attack in sent if (said := fault(attack, target))
    }
    assert faults == {}
    refused = sum(bool(attack.code) for attack in sent)
    proof("attacks", f"{len(sent)}, {refused} of them refused, each by its status and code")


def fault(attack: Attack, target: Target) -> str:
    """What is wrong with the answer to an attack; nothing, if nothing is."""
    response = target.send(attack)
    said = codes(response)
    if (
        response.status_code != attack.status
        or bool(said) != bool(attack.code)
        or said - set(attack.code.split("|")) - {""}
    ):
        return f"{response.status_code}, not {attack.status}: {sorted(said)}"
    is_json = "json" in response.headers.get("Content-Type", "")
    if is_json and ("data" in response.json()) != (response.status_code == 200):
        return f"data with {response.status_code}"
    return ", ".join(word for word in NEVER if word in response.text)


NEVER = ("Traceback", "SELECT", "activity_", "Did you mean", "psycopg", "sqlite", "django")


def test_no_refusal_costs_much(target: Target, proof: Proof) -> None:
    """CPU time, the least of five times: what others do at the same time is not ours."""
    costs: dict[str, float] = {}
    refused = [attack for attack in attacks() if attack.code]
    for attack in refused:
        times = []
        for _ in range(5):
            before = target.cost()
            target.send(attack)
            times.append(target.cost() - before)
        costs[attack.name] = min(times)
    dear = sorted(costs, key=costs.__getitem__)[-3:]
    assert {name: costs[name] for name in dear if costs[name] > MOST_SECONDS} == {}
    dearest = ", ".join(f"{name} {1000 * costs[name]:.0f} ms" for name in reversed(dear))
    proof(f"{len(refused)} refusals", f"of CPU at most {dearest}")


def test_nobody_waits_for_slow_bodies(target: Target, proof: Proof) -> None:
    host, port = httpx.URL(target.url).host, httpx.URL(target.url).port
    head = (
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    slow = [socket.create_connection((host, port), timeout=10) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(head.encode())
        begun = time.monotonic()
        for _ in range(20):
            assert target.nobody.post("/graphql", json={"query": "{ __typename }"}).is_success
        waited = (time.monotonic() - begun) / 20
        answers = [connection.recv(100).split(b"\r\n")[0] for connection in slow]
    finally:
        for connection in slow:
            connection.close()
    assert set(answers) == {b"HTTP/1.1 408 Request Timeout"}
    proof("200 slow bodies", f"all told 408; meanwhile others answered in {1000 * waited:.1f} ms")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 10\r\nContent-Length: 20",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: -1",
        "Content-Length: x",
        "Transfer-Encoding: chunked\r\n\r\nzz",
        "No colon",
    ],
)
def test_two_readings_of_one_request_are_refused(target: Target, head: str) -> None:
    """What a proxy could take for another request than we do."""
    url = httpx.URL(target.url)
    request = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n"
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400"), answer


def test_the_paper_lists_the_attacks() -> None:
    """``WRITE=1 make verify PYTEST='-k lists_the_attacks'`` writes it anew."""
    rows = [
        f"| {attack.kind} | {attack.name} | {attack.status} | {attack.code.replace('|', ' or ')} |"
        for attack in attacks()
    ]
    table = "\n".join(["| | sent | status | code |", "| --- | --- | --- | --- |", *rows]) + "\n"
    head, _, rest = PAPER.read_text().partition(BEGIN)
    if os.environ.get("WRITE"):
        PAPER.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    else:
        assert rest.partition(END)[0] == f"\n{table}\n"
