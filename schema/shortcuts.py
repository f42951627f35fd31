"""Requests that are answered by the event loop, in a statement or two, because they come again.

It answers what the whole way has answered before: the same operation (see ``plans.py``), from a
client that sends the same headers, in a session that the statement itself finds unchanged. So
every middleware, the view and Django's authentication have had their say about all of it but
values; and limits, metrics and the log have it here too. Whatever is otherwise, and whatever goes
wrong, is answered the whole way.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import orjson
import psycopg
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connection
from django.http import HttpRequest, parse_cookie

from server import addresses, buckets, feeds, sessions, tallies, traces
from server.cursors import PageError
from server.handlers import Said
from server.latest import Latest
from server.pipes import Pipes
from server.tallies import Tally

from . import observing, responses
from .context import Context
from .errors import RequestFault
from .limits import Limits, payer
from .observing import Taken
from .parsing import Document
from .plans import MovedError, NotNowError, Plan, UnplannedError
from .requests import MOST_BYTES, GraphQLRequest

logger = logging.getLogger(__name__)

#: So many clients' headers are known, and so many sessions, those that came last.
MOST_WAYS, MOST_SESSIONS = 500, 2_000
#: As much is kept of a client, in bytes of its headers: who sends more is answered the whole way.
MOST_KNOWN = 8 * 1024
#: Seconds for which a session that has changed is not looked at again.
PAUSE = 5.0

#: Those that say nothing of how a request is answered, or are looked at by themselves. Any other
#: may: what it says is to be the same. Proxies add some that are of each request alone.
OTHER_HEADERS = frozenset(
    (
        *(b"content-length", b"cookie", b"x-forwarded-for", b"x-real-ip", b"cf-connecting-ip"),
        *(b"x-request-id", b"traceparent", b"tracestate", b"x-amzn-trace-id", b"cf-ray"),
        b"x-cloud-trace-context",
    )
)
#: Middlewares that answer alike what is alike. Not those of the settings: a site may add to that
#: very list.
KNOWN_MIDDLEWARES = frozenset(
    (
        "corsheaders.middleware.CorsMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "schema.headers.ContentSecurityPolicy",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "server.sessions.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    )
)


class Way(NamedTuple):
    """How a client is answered that sends some headers."""

    headers: Sequence[tuple[bytes, bytes]]
    route: str


class Look(NamedTuple):
    """What was found out of a cookie."""

    sighting: sessions.Sighting | None
    """None: it is nobody's, or has changed."""
    is_good: bool
    names_session: bool
    """Whether it has the session's name at all, as who sends none from elsewhere is let in."""
    follows_many: bool
    at: float


class Shortcuts:
    """What a process has learned; see ``server.handlers``."""

    def __init__(self) -> None:
        self.pipes = Pipes(settings.SHORTCUT_CONNECTIONS)
        self._forget()
        setting_changed.connect(self._forget)

    def _forget(self, **kwargs: Any) -> None:
        self.are_open = are_open()
        self._ways: Latest[Any, Way] = Latest(MOST_WAYS)
        self._looks: Latest[bytes, Look] = Latest(MOST_SESSIONS)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Let go of the database when the block ends."""
        try:
            yield
        finally:
            self.pipes.close()

    async def answer(self, scope: Mapping[str, Any], body: bytes) -> Said | None:
        """The answer to what has been learned; None: it is answered the whole way."""
        if not self.are_open or scope["method"] != "POST" or len(body) > MOST_BYTES:
            return None
        known, cookie = _known_by(scope)
        look = self._looks.get(cookie) if known else None
        way = look and look.is_good and self._ways.get((look.names_session, known))
        if not look or not way:
            return None
        asked = _read(body)
        plan = asked and _plan(asked)
        if not asked or not plan:
            return None
        try:
            data = await self._answered(plan, asked, look, scope)
        except MovedError:
            self._looks.put(cookie, look._replace(sighting=None, is_good=False, at=monotonic()))
            return None
        except (NotNowError, PageError, RequestFault, psycopg.Error, TimeoutError):
            return None
        except Exception:
            # As of a site's own code that asks the database: there is no plan for that.
            logger.info("%r is always answered the whole way.", plan.name, exc_info=True)
            plan.document.plans[plan.name] = None
            return None
        if (tally := tallies.current()) is not None:
            tally.said["route"] = way.route
        return Said(200, way.headers, responses.encoded({"data": data}))

    async def _answered(
        self, plan: Plan, request: GraphQLRequest, look: Look, scope: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The data, for which the viewer is charged if there is any."""
        began, tally = perf_counter(), tallies.current() or Tally()
        viewer = look.sighting and look.sighting.user
        context = Context(_NO_REQUEST, asked=request, document=plan.document)
        context.viewer = viewer
        variables = request.variables or {}
        asked = plan.asked(variables, viewer, look.follows_many)
        points = Limits(context, is_of_event=False).points(
            plan.document.cost(plan.name, variables)
        )
        who = payer(viewer, "" if viewer else addresses.counted((scope.get("client") or ("",))[0]))
        await _charge(who, points)
        tally.operation = tally.operation or tally.next_operation()
        before, fetch = tally.statements, partial(self._fetch, tally)
        with traces.span("GraphQL Operation") as span:
            try:
                data = await plan.answer(asked, context, fetch, look.sighting)
            except BaseException:
                buckets.give_back(who, points)
                raise
            taken = Taken(perf_counter() - began, tally.statements - before, context.cost)
            observing.note(context, plan.name, "", "OK", taken, tally, span)
        return data

    async def _fetch(self, tally: Tally, sql: str, params: Sequence[str]) -> Sequence[Any]:
        tally.statements += 1
        return await self.pipes.fetch(sql, params)

    def learn(self, scope: Mapping[str, Any], request: HttpRequest, response: Any) -> None:
        """How a request was answered the whole way; its second time, for most never come again."""
        context: Context | None = getattr(request, "answered", None)
        if not self.are_open or context is None or context.answered is None:
            return
        asked, document, match = context.asked, context.document, request.resolver_match
        if (
            response.status_code != 200
            or response.streaming
            or response.cookies
            or asked.document_id
            or asked.extensions
            or "HTTP_AUTHORIZATION" in request.META
            or scope.get("root_path")
            or not _is_ours(match and match.func)
        ):
            return
        assert match
        tally = tallies.current() or Tally()
        statements = tally.statements
        try:
            known, cookie = _known_by(scope)
            plan = known and self._planned(document, context, asked)
            if plan:
                look = self._looked(cookie)
                given = asked.variables or {}
                plan.prepare(plan.asked(given, context.viewer, look.follows_many))
                self._ways.put((look.names_session, known), Way(_headers(response), match.route))
        except NotNowError:
            pass
        except Exception:
            logger.exception("What would answer %r again was not found out.", asked.operation_name)
            document.plans[asked.operation_name] = None
        tally.statements = statements  # what is learned is no part of the request

    def _planned(self, document: Document, context: Context, asked: GraphQLRequest) -> Plan | None:
        """The plan, if there is any: made the second time that an operation is answered."""
        plans, name = document.plans, asked.operation_name
        if name not in plans:
            plans[name] = False
        elif plans[name] is False:
            try:
                plans[name] = Plan(document, name, context.answered)
            except UnplannedError as why:
                logger.debug("%r is always answered the whole way: %s", name, why)
                plans[name] = None
        return plans[name] or None

    def _looked(self, cookie: bytes) -> Look:
        """Whose session a cookie names, found out unless that is known or changes all the time."""
        look = self._looks.get(cookie)
        if look is None or not (look.is_good or monotonic() - look.at < PAUSE):
            key = parse_cookie(cookie.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
            sighting = sessions.sighted(key) if key else None
            many = sighting is not None and feeds.follows_many(sighting.user)
            is_good = sighting is not None or key is None
            look = Look(sighting, is_good, key is not None, many, monotonic())
            self._looks.put(cookie, look)
        return look


def are_open() -> bool:
    """Whether nothing of this site's settings may make one answer differ from another."""
    return (
        settings.SHORTCUT_CONNECTIONS > 0
        and settings.COMPILED
        and connection.vendor == "postgresql"
        and connection.settings_dict["OPTIONS"].get("prepare_threshold") is not None
        and not connection.settings_dict["OPTIONS"].get("assume_role")
        and connection.timezone_name == "UTC"
        and not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
        and not (
            settings.DEBUG or settings.DATABASE_ROUTERS or settings.SESSION_SAVE_EVERY_REQUEST
        )
        and set(settings.MIDDLEWARE) <= KNOWN_MIDDLEWARES
        and settings.SESSION_ENGINE == "server.sessions"
        and settings.AUTHENTICATION_BACKENDS == ["server.sessions.Backend"]
    )


class _NoRequest:
    """In the place of Django's, of which a site's rule may ask anything: whoever asks goes on the
    whole way."""

    def __getattr__(self, name: str) -> Any:
        raise NotNowError(f"request.{name}")


_NO_REQUEST: Any = _NoRequest()


async def _charge(who: str, points: int) -> None:
    """Take so much from somebody's bucket, not waiting for Redis here; raises NotNowError."""
    if not settings.RATE_LIMIT or buckets.take_here(who, points):
        return
    taken = await asyncio.to_thread(buckets.take, who, points)
    if taken.wait:
        raise NotNowError("more than is left, which is to be said")


def _known_by(scope: Mapping[str, Any]) -> tuple[Any, bytes]:
    """What a client and an address are known by, and the cookies; by nothing if it is much."""
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    headers = [it for it in scope["headers"] if it[0] not in OTHER_HEADERS]
    path, query, cookie = scope["path"], scope["query_string"], b"; ".join(cookies)
    size = len(path) + len(query) + len(cookie) + sum(len(name) + len(it) for name, it in headers)
    if size > MOST_KNOWN:
        return None, b""
    return (path, query, scope.get("scheme"), *map(tuple, headers)), cookie


def _read(body: bytes) -> GraphQLRequest | None:
    """The request in a body, if it is one of an operation by its text alone."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(given) is not dict or not _PARAMETERS.issuperset(given):
        return None
    query, variables = given.get("query"), given.get("variables")
    name = given.get("operationName") or None
    if type(query) is not str or type(variables) not in _OBJECT or type(name) not in _NAME:
        return None
    return GraphQLRequest(query, None, name, variables, {})


_PARAMETERS = frozenset(("query", "variables", "operationName"))
_OBJECT, _NAME = (dict, type(None)), (str, type(None))


def _plan(asked: GraphQLRequest) -> Plan | None:
    from . import schema

    document = schema.documents.known(asked.query or "")
    return (document and document.plans.get(asked.operation_name)) or None


def _is_ours(view: Any) -> bool:
    """Whether a view is GraphQLView itself: what decorates it has its attributes, too."""
    from .views import GraphQLView

    is_one = getattr(view, "view_class", None) is GraphQLView
    return is_one and getattr(view, "itself", None) is view


def _headers(response: Any) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("ascii"), value.encode("latin-1"))
        for name, value in response.items()
        if name.lower() != "content-length"
    ]
