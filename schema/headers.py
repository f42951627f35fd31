"""What a browser may do with an answer: the headers that say so."""

from __future__ import annotations

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

#: For what is no page: a browser that takes it for one loads and runs nothing.
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
#: No page of ours asks for these.
NO_DEVICES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class ContentSecurityPolicy(CSPMiddleware):
    """django-csp's for pages; for what is no page, one policy that is not made anew each time."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response.headers.setdefault("Permissions-Policy", NO_DEVICES)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            return super().process_response(request, response)
        response.headers.setdefault(HEADER, NOTHING)
        return response
