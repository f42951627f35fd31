"""Who sends a request: whom its token names, else whose session it carries."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from server import jwks, origins, tokens

from .errors import Forbidden, RequestFault, Unauthenticated

#: What a proxy in front may have checked and passed on; it says nothing to us.
OF_A_PROXY = frozenset({"basic", "digest", "negotiate"})
#: Methods by which nothing changes.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


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


def _be_whom(request: HttpRequest, token: str) -> None:
    if not token:
        raise BadToken("The header Authorization is not: Bearer, a space, and a token.")
    try:
        user, until = tokens.named(token)
    except tokens.TokenError as error:
        raise BadToken(str(error)) from None
    except tokens.Unavailable as error:
        raise CannotVerify(str(error)) from None

    async def auser() -> Any:
        return user

    request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
    request.session = type(request.session)()
    request.user, request.auser = user, auser
    request.until = until  # type: ignore[attr-defined]
