"""For who looks after the server: /healthz, /readyz and /metrics, answered by the event loop.

So they are answered while the thread for requests is busy, and know neither sessions nor hosts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from hmac import compare_digest
from ipaddress import ip_address
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from redis.asyncio import Redis

from . import broker, deadlines, gauges, live, metrics, watermarks
from .connections import Send
from .lifespan import Application
from .proxies import networks

logger = logging.getLogger(__name__)

#: Seconds that database and Redis have to answer, and for which what they said is good.
PATIENCE, FRESH = 1.8, 1.0
#: A look that has taken so many seconds is not waited for any more, and another one begins.
LOST = 30.0

#: How libpq connects: seconds, and milliseconds until what was sent is acknowledged.
IN_TIME = {"connect_timeout": 2, "tcp_user_timeout": 2_000}

#: What a proxy adds; who comes through one is not where the connection comes from.
FORWARDED = {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"}

Said = tuple[int, str, bytes]


def seen(application: Application) -> Application:
    """The ASGI application, with the three addresses before it."""

    async def seeing(scope: Any, receive: Any, send: Send) -> None:
        say = ADDRESSES.get(scope["path"]) if scope["type"] == "http" else None
        if say is None:
            await application(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, "text/plain", b"", (b"allow", b"GET, HEAD"))
        else:
            status, kind, body = await say(scope)
            challenge = [(b"www-authenticate", b"Bearer")] if status == 401 else []
            await _send(send, status, kind, body, *challenge, body=scope["method"] == "GET")

    return seeing


async def alive(scope: Any) -> Said:
    """That the process answers; nothing is asked."""
    return _json(200, {"status": "alive"})


async def ready(scope: Any) -> Said:
    """Whether requests can be answered, else why not: 503 within two seconds."""
    reasons = await _looks.reasons()
    if reasons:
        return _json(503, {"status": "not ready", "reasons": reasons})
    return _json(200, {"status": "ready"})


async def measured(scope: Any) -> Said:
    """The metrics, for who may read them."""
    if not _may_read(scope):
        return (401 if settings.METRICS_TOKEN else 404), "text/plain", b""
    gauges.look()
    # Not the thread for requests: what they do is what is asked about.
    text = await asyncio.to_thread(metrics.text)
    return 200, "text/plain; version=0.0.4; charset=utf-8", text


ADDRESSES = {"/healthz": alive, "/readyz": ready, "/metrics": measured}


class Looks:
    """Looks at what requests need: one at a time, for all who ask meanwhile."""

    def __init__(self) -> None:
        self._look: asyncio.Task[dict[str, str]] | None = None
        self._at = 0.0
        self._asked: Asked | None = None

    async def reasons(self) -> dict[str, str]:
        """Why not, by what it is about: what the last look found, if that is fresh."""
        look = self._look
        is_over = look is None or (look.done() and monotonic() - self._at > FRESH)
        if look is None or is_over or look.get_loop() is not asyncio.get_running_loop():
            look = self._look = asyncio.create_task(self._found())
        return await asyncio.shield(look)

    async def _found(self) -> dict[str, str]:
        database, redis = await asyncio.gather(self._database(), _redis())
        found = {**database, **redis}
        if broker.is_away():
            found["broker"] = "is away"
        if live.is_failing():
            found["streams"] = "what arrives cannot be read"
        self._at = monotonic()
        return found

    async def _database(self) -> dict[str, str]:
        if self._asked is None or self._asked.is_over:
            self._asked = Asked()
        answer = asyncio.wrap_future(self._asked.answer)
        await asyncio.wait({answer}, timeout=PATIENCE)
        return answer.result() if answer.done() else {"database": "does not answer"}


class Asked:
    """The databases, in a thread of its own, which may have to wait."""

    def __init__(self) -> None:
        self.answer: Future[dict[str, str]] = Future()
        self._began = monotonic()
        threading.Thread(target=self._ask, name="ready", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self.answer.done() or monotonic() - self._began > LOST

    def _ask(self) -> None:
        reasons = {}
        try:
            for alias in sorted({DEFAULT_DB_ALIAS, watermarks.database()}):
                with deadlines.within(PATIENCE):
                    unapplied = _unapplied(alias)
                if unapplied:
                    reasons["migrations"] = f"{unapplied} are not applied"
        except Exception as error:
            # What it says may name hosts and users: that is for the log.
            logger.warning("The database is not ready: %s", error)
            reasons["database"] = "cannot be asked"
        self.answer.set_result(reasons)


#: The newest migrations of a database that has them all.
_newest: dict[str, frozenset[tuple[str, str]]] = {}


def _unapplied(alias: str) -> int:
    """How many migrations a database lacks, by a connection that is made for the question."""
    # In the place of this thread's, which is what Django's recorder asks.
    connections[alias] = connection = connections.create_connection(alias)
    if connection.vendor == "postgresql":
        options = {**connection.settings_dict["OPTIONS"], **IN_TIME}
        options.pop("pool", None)
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
    try:
        applied = MigrationRecorder(connection).applied_migrations().keys()
        if (known := _newest.get(alias)) is not None and known <= applied:
            return 0
        executor = MigrationExecutor(connection)
        newest = executor.loader.graph.leaf_nodes()
        plan = executor.migration_plan(newest)
        if not plan:
            _newest[alias] = frozenset(newest)
        return len(plan)
    finally:
        connection.close()


async def _redis() -> dict[str, str]:
    if not settings.REDIS_URL:
        return {}
    try:
        async with asyncio.timeout(PATIENCE):
            async with Redis.from_url(settings.REDIS_URL) as client:
                await client.ping()
    except TimeoutError:
        return {"redis": "does not answer"}
    except Exception as error:
        logger.warning("Redis is not ready: %s", error)
        return {"redis": "cannot be asked"}
    return {}


def _may_read(scope: Mapping[str, Any]) -> bool:
    """By METRICS_TOKEN, or straight from one of METRICS_NETWORKS."""
    headers = dict(scope["headers"])
    token = settings.METRICS_TOKEN.encode()
    if token and compare_digest(headers.get(b"authorization", b""), b"Bearer " + token):
        return True
    if not settings.METRICS_NETWORKS or not FORWARDED.isdisjoint(headers):
        return False
    try:
        address = ip_address((scope.get("client") or ("",))[0])
    except ValueError:
        return False
    return any(address in it for it in networks(tuple(settings.METRICS_NETWORKS)))


def _json(status: int, said: Any) -> Said:
    return status, "application/json", json.dumps(said).encode()


async def _send(
    send: Send,
    status: int,
    kind: str,
    text: bytes,
    *headers: tuple[bytes, bytes],
    body: bool = True,
) -> None:
    fields = [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": text if body else b""})


_looks = Looks()
