"""Where a browser's request comes from: a page of this site, or one elsewhere.

A page elsewhere can make a visitor's browser send the session cookie, but not without saying whose
page it is. So what a session sends needs no CSRF token, and who has no session needs nothing.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware


def is_from_here(request: HttpRequest) -> bool:
    """Whether a request has no session cookie, or comes from this site or a trusted origin.

    Where there is an ``Origin``, it decides; ``null`` is nobody's. Else ``Sec-Fetch-Site`` does.
    With neither it is a program: every browser of today names one of them when a page posts.
    """
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return True
    if "Origin" in request.headers:
        return is_of_this_site(request)
    return request.headers.get("Sec-Fetch-Site", "none").lower() in ("same-origin", "none")


def is_of_this_site(request: HttpRequest) -> bool:
    """Whether a request's ``Origin`` is this site's, or trusted."""
    csrf = CsrfViewMiddleware(lambda _: HttpResponse())
    return bool(csrf._origin_verified(request))  # type: ignore[attr-defined]


def refusal(request: HttpRequest) -> str:
    """Why a request that is not from here is refused, for the developer of its page."""
    origin = request.headers.get("Origin")
    came_from = (
        f"a {request.headers['Sec-Fetch-Site'][:20]} page that sends no Origin"
        if origin is None
        else f"{origin[:200] or 'an empty origin'}, which is not in CSRF_TRUSTED_ORIGINS"
    )
    return f"A request with a session must come from this site; this one is from {came_from}."
