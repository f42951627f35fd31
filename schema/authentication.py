"""Who sends a request: whom its token names, else whose session it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from io import BytesIO
from time import time
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from server import deadlines, jwks, metrics, origins, tokens
from server.outages import is_outage
from server.threads import in_thread

from .errors import Forbidden, RequestFault, Unauthenticated

#: What a proxy in front may have checked and passed on; it says nothing to us.
OF_A_PROXY = frozenset({"basic", "digest", "negotiate"})
#: Methods by which nothing changes.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Seconds after which it is looked again whether a session still counts, and a user.
CHECKED_EVERY = 60.0


class BadToken(Unauthenticated):
    """A token was sent that names nobody; never is its sender taken for anonymous."""

    status = 401

    def __init__(self, message: str) -> None:
        super().__init__(message)
        challenge = f'Bearer error="invalid_token", error_description="{message}"'
        self.headers = {"WWW-Authenticate": challenge}


class ForeignOrigin(Forbidden):
    """A page elsewhere makes a visitor's browser send its session."""

    status = 403


class CannotVerify(RequestFault):
    """Whether a token is good cannot be said now."""

    code, status, headers = "INTERNAL", 503, {"Retry-After": str(jwks.COOLDOWN)}


def authenticate(request: HttpRequest) -> None:
    """Make ``request.user`` whom a bearer token names, or see that a session is used from here.

    A request with a token has no session: what its cookie may name is neither read nor kept.
    Raises BadToken, CannotVerify, ForeignOrigin.
    """
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if "HTTP_AUTHORIZATION" in request.META and scheme.lower() not in OF_A_PROXY:
        _be_whom(request, token.strip() if scheme.lower() == "bearer" else "")
    elif request.method not in SAFE and not origins.is_from_here(request):
        raise ForeignOrigin(origins.refusal(request))


def request_of(scope: Mapping[str, Any]) -> HttpRequest:
    """The request by which a WebSocket was opened, as one that may change something."""
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    request = ASGIRequest({**scope, "method": "POST", "scheme": scheme}, BytesIO())
    _read_session(request)
    return request


def may_connect(request: HttpRequest) -> bool:
    """Whether the page that opens a WebSocket may; no page: a program."""
    try:
        request.get_host()
    except DisallowedHost:
        return False
    origin = request.headers.get("Origin")
    return (
        origin is None
        or origin in settings.CORS_ALLOWED_ORIGINS
        or origins.is_of_this_site(request)
    )


async def until_unknown(request: HttpRequest) -> None:
    """Wait until it cannot be said any more that a viewer asks; raises RequestFault then.

    By a token that is expired, or within CHECKED_EVERY seconds by a session that is over, or a
    user who is no longer active. For nobody in particular it is waited for ever.
    """
    viewer = await in_thread(lambda: request.user.pk)
    while True:
        until = getattr(request, "until", None)
        wait = min(CHECKED_EVERY, until - time() if until else CHECKED_EVERY)
        await asyncio.sleep(max(0.05, wait))
        try:
            now = viewer and await in_thread(_viewer_now, request)
        except (CannotVerify, Error) as error:
            if isinstance(error, Error) and not is_outage(error):
                raise
            continue
        if now != viewer:
            raise Unauthenticated("The session is over.")


def _viewer_now(request: HttpRequest) -> Any:
    if not hasattr(request, "until"):
        vars(request).pop("_cached_user", None)
        _read_session(request)
    authenticate(request)
    return request.user.pk


def _read_session(request: HttpRequest) -> None:
    for middleware in _of_sessions():
        middleware.process_request(request)


@cache
def _of_sessions() -> list[Any]:
    """The site's own middlewares that say whose session it is."""
    kinds = (SessionMiddleware, AuthenticationMiddleware)
    found = map(import_string, settings.MIDDLEWARE)
    return [it(_nothing) for it in found if isinstance(it, type) and issubclass(it, kinds)]


def _nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def _be_whom(request: HttpRequest, token: str) -> None:
    if not token:
        raise BadToken("The header Authorization is not: Bearer, a space, and a token.")
    try:
        # As long as an operation may take, so that PostgreSQL is not told another time each time.
        with deadlines.within(settings.TIME_LIMIT):
            user, until = tokens.named(token)
    except tokens.TokenError as error:
        metrics.TOKENS_REFUSED.inc()
        raise BadToken(str(error)) from None
    except (tokens.Unavailable, deadlines.Expired) as error:
        raise CannotVerify(str(error)) from None

    async def auser() -> Any:
        return user

    request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
    request.session = type(request.session)()
    request.user, request.auser = user, auser
    request.until = until  # type: ignore[attr-defined]
