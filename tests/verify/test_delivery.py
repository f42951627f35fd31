"""Live streams: nothing is lost, whatever breaks, and two thousand who wait cost little."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.conf import settings

from server import watermarks
from tests.verify.conftest import UVICORN, Proof, clean_environment, free_port, manage, serving
from tests.verify.subscribers import Idle, Stream, Subscriber
from tests.verify.test_memory import resident

SECRET = "a secret of thirty-two bytes, or more"
USERS, SUBSCRIBERS, ACTIONS, CUTS = 40, 200, 1_000, 10
#: Each user follows so many others, the next ones.
FOLLOWED = 3
#: Those that come through the API; tests.verify.writing records the others.
BY_API = 400
#: Of the two thousand who wait, with fifty to a connection; and how long, and how often.
BESIDES, EACH, SECONDS, A_SECOND = 960, 50, 20, 10

#: Printed are the ids of the users, and tokens that name them.
PEOPLE = f"""
import json
from datetime import timedelta
from django.contrib.auth.models import User
from schema.nodes import global_id
from server import tokens
from server.models import follow
users = [User(username=f"user{{number}}") for number in range({USERS} + {BESIDES})]
User.objects.bulk_create(users)
for number, user in enumerate(users[:{USERS}]):
    for further in range(1, {FOLLOWED} + 1):
        follow(user, users[(number + further) % {USERS}], send_action=False)
hour = timedelta(hours=1)
print(json.dumps([[tokens.mint(user, hour), global_id(user)] for user in users]))
"""
PRAISE = """mutation ($target: ID!, $key: String!) {
  createAction(input: {verb: "praised", target: $target, idempotencyKey: $key}) {
    action { id } userErrors { message } } }"""


@dataclass(frozen=True)
class People:
    """A site's database, and who is in it."""

    directory: Path
    environment: dict[str, str]
    tokens: list[str]
    ids: list[str]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a new database, beside that of DATABASE_URL."""
    given = os.environ.get("DATABASE_URL", "")
    server = given if given.startswith("postgres") else "postgres://127.0.0.1:5432/postgres"
    name = f"delivery_{secrets.token_hex(4)}"
    try:
        maintenance = psycopg.connect(server, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        pytest.skip(f"needs PostgreSQL: {error}")
    with maintenance:
        maintenance.execute(f"CREATE DATABASE {name}")
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def people(postgresql: str, tmp_path: Path) -> Iterator[People]:
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="server.demo.settings",
        DATABASE_URL=postgresql,
        SECRET_KEY=secrets.token_urlsafe(50),
        TOKEN_SECRET=SECRET,
        RATE_LIMIT="1000000000",
    )

    manage(environment, "migrate", "--verbosity", "0")
    made = json.loads(manage(environment, "shell", "--verbosity", "0", "--command", PEOPLE))
    yield People(tmp_path, environment, *map(list, zip(*made, strict=True)))
    manage(environment, "flush", "--no-input", "--verbosity", "0")


class Part:
    """A server, or a broker, that is stopped and started again."""

    def __init__(self, people: People, port: int) -> None:
        self.people, self.port = people, port
        self.url = f"http://127.0.0.1:{port}"
        self.turns = 0
        self.running = ExitStack()
        self.pid = 0

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.running.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Server(Part):
    """A process of the site."""

    def start(self) -> None:
        self.turns += 1
        command = [*UVICORN, "--port", str(self.port), "--timeout-graceful-shutdown", "30"]
        log = self.people.directory / f"server-{self.port}-{self.turns}"
        serves = serving(command, settings.BASE_DIR, self.people.environment, log, self.port)
        _, self.pid = self.running.enter_context(serves)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.stop()


class Broker(Part):
    """A Redis of our own, that keeps nothing."""

    def start(self) -> None:
        directory = str(self.people.directory)
        keeps = ["--save", "", "--appendonly", "no", "--dir", directory]
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *keeps]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.running.callback(process.wait)
        self.running.callback(process.terminate)


# Nothing is lost


def looked_at(people: People) -> list[Stream]:
    """By two hundred: what many look at, and what some do."""
    streams = []
    for number in range(SUBSCRIBERS):
        token, of = people.tokens[number % USERS], people.ids[number % USERS]
        name, arguments = [
            ("userStream", ""),
            ("actorStream", f'actor: "{of}"'),
            ("targetStream", f'target: "{of}"'),
            ("anyStream", f'object: "{of}"'),
            ("modelStream", "model: USER") if number % 5 == 0 else ("userStream", ""),
        ][number // USERS]
        streams.append(Stream(name, arguments, token))
    return streams


@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
def test_two_hundred_have_each_action_of_their_streams_whatever_breaks(
    people: People, proof: Proof
) -> None:
    with Broker(people, free_port()) as broker:
        people.environment["REDIS_URL"] = f"redis://127.0.0.1:{broker.port}/0"
        with Server(people, free_port()) as first, Server(people, free_port()) as second:
            told = asyncio.run(through_everything(people, broker, first, second))
    proof("two servers, Redis, 200 subscribers", told)


async def through_everything(people: People, broker: Part, first: Server, second: Server) -> str:
    urls = [first.url, second.url]
    streams = looked_at(people)
    async with httpx.AsyncClient(timeout=60) as client:
        [start] = [page async for page in pages(client, urls[0], streams[0])]
        subscribers = [
            Subscriber([urls[number % 2], urls[1 - number % 2]], stream, start["resumeCursor"])
            for number, stream in enumerate(streams)
        ]
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(write_beside(people))
            for number in range(8):
                group.create_task(act(client, people, urls, number))
            group.create_task(cut(subscribers))
            group.create_task(restart(broker, first, second))
        written = time.monotonic() - begun

        expected: dict[Stream, set[str]] = {}
        for stream in dict.fromkeys(streams):
            found = [page async for page in pages(client, urls[1], stream)]
            expected[stream] = {node["id"] for page in found for node in page["nodes"]}

        def lacking() -> dict[int, set[str]]:
            both = [(expected[it.stream], it.ids) for it in subscribers]
            return {at: want - have for at, (want, have) in enumerate(both) if want - have}

        with_patience = time.monotonic() + 120
        while lacking() and time.monotonic() < with_patience:
            await asyncio.sleep(0.1)
        complete = max(it.last for it in subscribers) - begun - written
        await asyncio.sleep(2)  # in which too much could come
        for subscriber in subscribers:
            await subscriber.end()

    assert [it.faults for it in subscribers if it.faults] == []
    assert lacking() == {}
    assert [it.ids - expected[it.stream] for it in subscribers] == [set()] * SUBSCRIBERS
    assert len(set.union(*expected.values())) == ACTIONS
    connections = [it for subscriber in subscribers for it in subscriber.connections]
    for connection in connections:
        assert len(connection.ids) == len(set(connection.ids))
        assert connection.marks == sorted(connection.marks)
        assert not connection.marks or watermarks.parse(connection.after) <= connection.marks[0]
    given = sum(len(it.ids) for it in connections)
    owed = sum(len(expected[it.stream]) for it in subscribers)
    return (
        f"{owed:,} deliveries of {ACTIONS:,} actions in {written:.0f} s, none lost; complete"
        f" {complete:.1f} s after the last; {len(connections) - SUBSCRIBERS} resumptions brought"
        f" {given - owed} again; {CUTS} times 20 cut, a server restarted, one killed, a new Redis"
    )


async def pages(client: httpx.AsyncClient, url: str, stream: Stream) -> AsyncIterator[Any]:
    """All of a stream, by its query."""
    after = None
    while True:
        body = {"query": stream.query, "variables": {"after": after}}
        headers = {"Authorization": f"Bearer {stream.token}"}
        answer = (await client.post(f"{url}/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer
        page = answer["data"][stream.name]
        yield page
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


async def write_beside(people: People) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.verify.writing"),
        cwd=settings.BASE_DIR,
        env=people.environment,
    )
    assert await process.wait() == 0


async def act(client: httpx.AsyncClient, people: People, urls: Sequence[str], number: int) -> None:
    """Fifty by the API of one server, each asked for until it is answered."""
    random = Random(number)
    for turn in range(BY_API // 8):
        target, token = random.choice(people.ids[:USERS]), random.choice(people.tokens[:USERS])
        await praise(client, urls[number % 2], token, target, f"{number}-{turn}")
        await asyncio.sleep(0.5 * random.random())


async def praise(client: httpx.AsyncClient, url: str, token: str, target: str, key: str) -> str:
    """The id of the action; with its key it is one, however often it is asked for."""
    body = {"query": PRAISE, "variables": {"target": target, "key": key}}
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        try:
            answer = await client.post(f"{url}/graphql", json=body, headers=headers)
            made = answer.json()["data"]["createAction"]
        except (httpx.TransportError, ValueError):
            await asyncio.sleep(0.2)  # it restarts
            continue
        assert made["userErrors"] == [], made
        return str(made["action"]["id"])


async def cut(subscribers: Sequence[Subscriber]) -> None:
    random = Random(0)
    for _ in range(CUTS):
        await asyncio.sleep(1.5)
        for subscriber in random.sample(subscribers, 20):
            subscriber.cut()


async def restart(broker: Part, first: Server, second: Server) -> None:
    await asyncio.sleep(2)
    await asyncio.to_thread(first.stop)
    await asyncio.to_thread(first.start)
    await asyncio.sleep(1)
    await asyncio.to_thread(broker.stop)
    await asyncio.sleep(2)
    await asyncio.to_thread(broker.start)
    await asyncio.sleep(1)
    await asyncio.to_thread(second.kill)
    await asyncio.to_thread(second.start)


# Many who wait


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc: Linux")
def test_two_thousand_who_wait_are_told_of_each_action(people: People, proof: Proof) -> None:
    with Server(people, free_port()) as server:
        asyncio.run(wait_for_news(people, server, proof))


async def wait_for_news(people: People, server: Server, proof: Proof) -> None:
    process = Path(f"/proc/{server.pid}")
    random = Random(0)
    begun: dict[str, float] = {}
    answered: dict[str, float] = {}
    owed: set[tuple[int, int, str]] = set()
    async with httpx.AsyncClient(timeout=60) as client:
        await praise(client, server.url, people.tokens[0], people.ids[1], "what is loaded first")
        before = resident(process)
        idle = [Idle(server.url, waiting(people, number)) for number in range(USERS)]
        while await spending(process, 1) > 0.2:  # they are still coming
            pass
        kept = resident(process) - before
        at_rest = await spending(process, 5)

        async def one(number: int) -> None:
            actor, target = random.randrange(USERS), random.randrange(len(people.ids))
            token, at = people.tokens[actor], time.monotonic()
            key = await praise(client, server.url, token, people.ids[target], f"{number}")
            begun[key] = at
            answered[key] = time.monotonic()
            owed.update(
                (who, which, key)
                for who, one in enumerate(idle)
                for which, stream in enumerate(one.streams)
                if belongs(people, who, stream, actor, target)
            )

        async with asyncio.TaskGroup() as group:
            measured = group.create_task(spending(process, SECONDS))
            for number in range(SECONDS * A_SECOND):
                group.create_task(one(number))
                await asyncio.sleep(1 / A_SECOND)
        busy = measured.result()
        with_patience = time.monotonic() + 20
        while sum(len(it.came) for it in idle) < len(owed) and time.monotonic() < with_patience:
            await asyncio.sleep(0.1)
        for one_of_them in idle:
            await one_of_them.end()

    assert [it.faults for it in idle if it.faults] == []
    came = {(who, *what): at for who, it in enumerate(idle) for what, at in it.came.items()}
    assert came.keys() == owed
    asked, told = (
        quantiles([at - since[key] for (_, _, key), at in came.items()], n=100)
        for since in (begun, answered)
    )
    proof(
        f"{USERS * EACH:,} subscriptions, one process",
        f"{kept / 2**20:.0f} MiB more than the {before / 2**20:.0f} without; at rest"
        f" {at_rest * 100:.1f} % of a core",
    )
    proof(
        f"{A_SECOND} actions a second to them",
        f"{len(owed):,} deliveries, all there; after the actor had the answer p50"
        f" {told[49] * 1000:.0f} ms, p99 {told[98] * 1000:.0f} ms, after the request p50"
        f" {asked[49] * 1000:.0f} ms, p99 {asked[98] * 1000:.0f} ms; {busy * 100:.0f} % of a core,"
        f" the machine's load {os.getloadavg()[0]:.0f}",
    )


def waiting(people: People, number: int) -> list[Stream]:
    """Fifty that a user looks at: their own, and others', of which all together watch all."""
    streams = [Stream("userStream", "", people.tokens[number])]
    for which in range(number * (EACH - 1), (number + 1) * (EACH - 1)):
        name, role = [
            ("actorStream", "actor"),
            ("targetStream", "target"),
            ("anyStream", "object"),
        ][which % 3]
        of = people.ids[which % len(people.ids)]
        streams.append(Stream(name, f'{role}: "{of}"', people.tokens[number]))
    return streams


def belongs(people: People, who: int, stream: Stream, actor: int, target: int) -> bool:
    """Whether an action of the API is in a stream that a user looks at."""
    if stream.name == "userStream":
        return 1 <= (actor - who) % USERS <= FOLLOWED
    named = {"actorStream": [actor], "targetStream": [target], "anyStream": [actor, target]}
    return any(f'"{people.ids[it]}"' in stream.arguments for it in named[stream.name])


async def spending(process: Path, seconds: float) -> float:
    """Of a core, in the next seconds."""

    def used() -> float:
        user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    before, begun = used(), time.monotonic()
    await asyncio.sleep(seconds)
    return (used() - before) / (time.monotonic() - begun)
