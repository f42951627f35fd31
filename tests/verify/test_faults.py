"""Whatever an operator's night brings: no acknowledged action is lost, none is there twice."""

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
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from django.conf import settings

from tests.verify.conftest import Proof, clean_environment, free_port, manage, serving
from tests.verify.postgres import Cluster
from tests.verify.subscribers import Stream, Subscriber

pytestmark = [
    pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts small disks"),
]

SECRET = "a secret of thirty-two bytes, or more"
PAPER = settings.BASE_DIR / "docs/operations.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
WRITERS, READERS, SUBSCRIBERS = 6, 2, 4
#: Seconds before a fault, of it, and after its end.
CALM, WRONG = 3.0, 4.0
#: Seconds in which everybody is served again, however busy the machine.
PATIENCE = 120.0

PEOPLE = f"""
import json
from datetime import timedelta
from django.contrib.auth.models import User
from schema.nodes import global_id
from server import tokens
from server.models import follow
users = User.objects.bulk_create([User(username=f"user{{n}}") for n in range({WRITERS})])
for user in users[1:]:
    follow(users[0], user, send_action=False)
print(json.dumps([[tokens.mint(user, timedelta(hours=1)), global_id(user)] for user in users]))
"""
WRITE = """mutation ($target: ID!, $key: String!, $text: String!) {
  createAction(
    input: {verb: "praised", target: $target, idempotencyKey: $key, description: $text}
  ) { action { id } userErrors { message } } }"""
READ = """query ($of: ID!) {
  modelStream(model: USER, first: 5) { nodes { id } } node(id: $of) { id } }"""


class Disk:
    """A small one."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        directory.mkdir()
        size = f"size={megabytes}m,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", directory], check=True)
        self.directory, self._ballast = directory, directory / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.directory], check=False)


class Broker:
    """A Redis that keeps nothing."""

    def __init__(self, directory: Path) -> None:
        self.port, self.directory = free_port(), directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        keeps = ["--save", "", "--appendonly", "no", "--dir", str(self.directory)]
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *keeps]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()


@dataclass
class Site:
    """All that can break, and who is there."""

    url: str
    pid: int
    cluster: Cluster
    broker: Broker
    data: Disk
    log: Disk
    said: Path
    tokens: list[str]
    ids: list[str]

    def workers(self) -> list[int]:
        """The processes that serve."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [
            int(pid)
            for pid in children
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]


@contextmanager
def disks(directory: Path) -> Iterator[tuple[Disk, Disk]]:
    made = [Disk(directory / "data", 512), Disk(directory / "log", 64)]
    try:
        yield made[0], made[1]
    finally:
        for disk in made:
            disk.unmount()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    for parent in (tmp_path, *tmp_path.parents):
        parent.chmod(parent.stat().st_mode | 0o011)
    broker = Broker(tmp_path)
    with disks(tmp_path) as (data, log):
        cluster = Cluster(data.directory / "pg", log.directory / "wal", max_wal_size="8MB")
        try:
            cluster.start()
            broker.start()
            port = free_port()
            environment = clean_environment(
                DJANGO_SETTINGS_MODULE="server.demo.settings",
                DATABASE_URL=cluster.url,
                REDIS_URL=f"redis://127.0.0.1:{broker.port}/0",
                SECRET_KEY=secrets.token_urlsafe(50),
                TOKEN_SECRET=SECRET,
                RATE_LIMIT="1000000000",
                WEB_CONCURRENCY="2",
                PORT=str(port),
            )

            manage(environment, "migrate", "--verbosity", "0")
            made = json.loads(
                manage(environment, "shell", "--verbosity", "0", "--command", PEOPLE)
            )
            command, said = [sys.executable, "-m", "server"], tmp_path / "said"
            with serving(command, settings.BASE_DIR, environment, said, port) as (url, pid):
                people = map(list, zip(*made, strict=True))
                yield Site(url, pid, cluster, broker, data, log, said, *people)
        finally:
            broker.stop()
            cluster.stop("immediate")


class Answer(NamedTuple):
    """What somebody was answered, and when."""

    at: float
    said: str
    """``ok``, a code, or why there was no answer."""
    writes: bool


@dataclass
class Load:
    """Who write, read and wait for news meanwhile, and what they were told."""

    site: Site
    client: httpx.AsyncClient
    size: int
    """Of what is written, in bytes."""
    answers: list[Answer] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The id of the action of each key."""
    enough: bool = False
    """Whether everybody may end what they are at, and with that ``ended``."""
    ended: asyncio.Future[Any] = field(default_factory=asyncio.Future)

    async def write(self, number: int) -> None:
        turn = 0
        while not self.enough:
            turn += 1
            target = self.site.ids[(number + turn) % WRITERS]
            key = f"{number}-{turn}"
            given = {"target": target, "key": key, "text": secrets.token_hex(self.size // 2)}
            while (answer := await self._ask(number, WRITE, given, writes=True)) is None:
                await asyncio.sleep(0.1)
            self.acknowledged[key] = answer["createAction"]["action"]["id"]
            await asyncio.sleep(0.1)

    async def read(self, number: int) -> None:
        while not self.enough:
            await self._ask(number, READ, {"of": self.site.ids[number]}, writes=False)
            await asyncio.sleep(0.05)

    async def _ask(self, who: int, query: str, variables: Any, *, writes: bool) -> Any:
        """The data; None where there is none, which is noted with the reason."""
        said, data = "ok", None
        headers = {"Authorization": f"Bearer {self.site.tokens[who]}"}
        body = {"query": query, "variables": variables}
        try:
            response = await self.client.post(
                f"{self.site.url}/graphql", json=body, headers=headers, timeout=30
            )
            answer = response.json()
            if errors := answer.get("errors"):
                said = str(errors[0]["extensions"]["code"])
            else:
                data = answer["data"]
        except httpx.ConnectError:
            said = "refused"
        except httpx.TransportError:
            said = "cut off"
        except ValueError:
            said = f"{response.status_code} {response.text[:60]}"
        self.answers.append(Answer(time.monotonic(), said, writes))
        return data

    def since(self, at: float, *, writes: bool) -> list[Answer]:
        return [it for it in self.answers if it.at >= at and it.writes == writes]

    async def end(self, subscribers: list[Subscriber]) -> None:
        """Let everybody end what they are at; whoever waits for news has had all of it then."""
        self.enough = True
        await self.ended
        ids = set(self.acknowledged.values())
        deadline = time.monotonic() + PATIENCE
        while any(ids - it.ids for it in subscribers) and time.monotonic() < deadline:
            assert [it.faults for it in subscribers if it.faults] == []
            await asyncio.sleep(0.1)
        missed = [len(ids - it.ids) for it in subscribers]
        assert missed == [0] * SUBSCRIBERS, self.site.said.read_text()[-5000:]

    async def goes_on(self, at: float) -> float:
        """Seconds from a moment until everybody who writes is heard again."""
        deadline = time.monotonic() + PATIENCE
        while sum(it.said == "ok" for it in self.since(at, writes=True)) < WRITERS:
            assert time.monotonic() < deadline, self.answers[-20:]
            await asyncio.sleep(0.02)
        return next(it.at for it in self.since(at, writes=True) if it.said == "ok") - at


@dataclass
class Row:
    """One of the table."""

    fault: str
    writes: str
    reads: str
    after: float

    @property
    def cells(self) -> list[str]:
        return [self.fault, self.writes, self.reads, f"{self.after:.1f} s"]


def told(answers: list[Answer]) -> str:
    """What was said, the most frequent first."""
    said = Counter(it.said for it in answers)
    return ", ".join(f"{number} {what}" for what, number in said.most_common())


Fault = Callable[[Site], Awaitable[None]]


async def a_process_is_killed(site: Site) -> None:
    os.kill(site.workers()[0], signal.SIGKILL)


async def postgresql_restarts(site: Site) -> None:
    await asyncio.to_thread(site.cluster.stop)
    await asyncio.to_thread(site.cluster.start)


async def postgresql_is_away(site: Site) -> None:
    site.cluster.kill()
    await asyncio.sleep(WRONG)
    await asyncio.to_thread(site.cluster.start)


async def redis_is_away(site: Site) -> None:
    await asyncio.to_thread(site.broker.stop)
    await asyncio.sleep(WRONG)
    site.broker.start()


async def the_data_have_no_room(site: Site) -> None:
    await asyncio.to_thread(site.data.fill)
    await asyncio.sleep(WRONG)
    site.data.empty()


async def the_log_has_no_room(site: Site) -> None:
    """PostgreSQL ends then, by design; whoever looks after it starts it until it stays."""
    await asyncio.to_thread(site.log.fill)
    deadline = time.monotonic() + 60
    while (site.cluster.directory / "postmaster.pid").exists():
        assert time.monotonic() < deadline, "PostgreSQL goes on."
        await asyncio.sleep(0.05)
    await asyncio.sleep(WRONG)
    site.log.empty()
    await asyncio.to_thread(site.cluster.start)


FAULTS: dict[str, Fault] = {
    "a serving process is killed (`kill -9`)": a_process_is_killed,
    "PostgreSQL is restarted": postgresql_restarts,
    "PostgreSQL crashes, and is away for 4 s": postgresql_is_away,
    "Redis is away for 4 s": redis_is_away,
    "the disk of PostgreSQL's data is full for 4 s": the_data_have_no_room,
    "the disk of PostgreSQL's log is full, so it ends; 4 s later it is started with room": (
        the_log_has_no_room
    ),
}
#: What may be answered while something is wrong. Never INTERNAL, never a page.
CLEAR = {"ok", "UNAVAILABLE", "TIMEOUT", "refused", "cut off"}


@asynccontextmanager
async def loaded(site: Site, size: int) -> AsyncIterator[tuple[Load, list[Subscriber]]]:
    """Everybody at work until the block ends; writing what PostgreSQL can make no smaller."""
    limits = httpx.Limits(max_keepalive_connections=20)
    async with httpx.AsyncClient(limits=limits) as client:
        load = Load(site, client, size)
        stream = Stream("modelStream", "model: USER", site.tokens[0])
        headers = {"Authorization": f"Bearer {stream.token}"}
        body = {"query": stream.query, "variables": {"after": None}}
        answer = await client.post(f"{site.url}/graphql", json=body, headers=headers)
        start = answer.json()["data"][stream.name]["resumeCursor"]
        subscribers = [Subscriber([site.url], stream, start) for _ in range(SUBSCRIBERS)]
        writes = (load.write(number) for number in range(WRITERS))
        load.ended = asyncio.gather(*writes, *map(load.read, range(READERS)))
        try:
            yield load, subscribers
        finally:
            load.ended.cancel()
            for subscriber in subscribers:
                await subscriber.end()


async def through(site: Site) -> tuple[list[Row], int]:
    rows: list[Row] = []
    async with loaded(site, size=3_000) as (load, subscribers):
        for name, fault in FAULTS.items():
            await load.goes_on(time.monotonic())
            await asyncio.sleep(CALM)
            begun = time.monotonic()
            await fault(site)
            ended = time.monotonic()
            after = await load.goes_on(ended)
            await asyncio.sleep(CALM)
            writes, reads = (told(load.since(begun, writes=it)) for it in (True, False))
            rows.append(Row(name, writes, reads, after))
            print(*rows[-1].cells, sep=" | ", flush=True)  # noqa: T201 - it takes its time
        await load.end(subscribers)
    strange = {it.said for it in load.answers} - CLEAR
    assert not strange, (strange, site.said.read_text()[-3000:])
    stored = dict(
        site.cluster.execute(
            "SELECT idempotency_key, count(*) FROM activity_action WHERE verb = 'praised'"
            " GROUP BY actor_object_id, idempotency_key"
        )
    )
    assert stored == dict.fromkeys(load.acknowledged, 1)
    return rows, len(stored)


def test_no_acknowledged_action_is_lost_and_none_is_there_twice(site: Site, proof: Proof) -> None:
    rows, number = asyncio.run(through(site))
    for row in rows:
        proof(row.fault.replace("`", ""), f"{row.writes}; again after {row.after:.1f} s")
    proof("all faults", f"{number:,} acknowledged, 0 lost, 0 twice, {SUBSCRIBERS} who saw each")
    if "WRITE" in os.environ:
        lines = [["while …", "who write are answered", "who read", "writes go on after"]]
        lines += [["---"] * 4, *(row.cells for row in rows)]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        head, _, rest = PAPER.read_text().partition(BEGIN)
        said = f"\nOf {number:,} acknowledged actions none is lost, and none is there twice.\n"
        PAPER.write_text(f"{head}{BEGIN}\n{table}\n{said}\n{END}{rest.partition(END)[2]}")
