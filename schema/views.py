"""/graphql: the API for programs, GraphiQL for browsers; /feeds/: streams for machines."""

from __future__ import annotations

import sys
from typing import Any

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.defaults import server_error
from django.views.generic import View

from server.outages import is_outage

from . import events, introspection, operations, requests, responses
from .authentication import authenticate
from .catalog import node_type
from .context import Context
from .errors import HttpFault, RequestFault, presentable

#: GraphiQL's first tab, where a site's ACTSTREAM_SETTINGS["TOUR"] names no others.
FIRST_QUERY = """\
# Your stream: what those do whom you follow, and you yourself. Press the play button.
query MyStream {
  userStream(first: 10, withUserActivity: true) {
    edges {
      cursor
      node {
        id
        displayName
        timestamp
        actor { __typename id displayName }
        target { __typename id displayName }
        actionObject { __typename id displayName }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""


class ForPrograms(View):
    """A view without a form, whose token CSRF protection would ask for."""

    @classmethod
    def as_view(cls, **options: Any) -> Any:
        # Not method_decorator(), which decorates anew at each request.
        view: Any = csrf_exempt(super().as_view(**options))
        view.itself = view  # by which shortcuts.py knows it from what decorates it
        return view


class GraphQLView(ForPrograms):
    """GraphQL over HTTP; a browser that asks for a page gets GraphiQL."""

    tells_writes = True  # schema/replicas.py knows a mutation from a query

    http_method_names = ["get", "head", "post", "options"]

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if "text/html" in request.headers.get("Accept", ""):
            return graphiql(request)
        return self.post(request)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        media_type = requests.JSON
        try:
            media_type = requests.media_type(request)
            asked = requests.read(request)
            authenticate(request)
            context, streams = Context(request), requests.takes_events(request)
            if streams:
                events.check(request)
            result = operations.answer(asked, context, streams=streams)
            request.answered = context  # type: ignore[attr-defined]  # for shortcuts.py
        except RequestFault as fault:
            return responses.refusal(fault, media_type)
        except Error as error:  # of who asks
            return responses.of(operations.refused(presentable(error)), media_type)
        if media_type == requests.EVENTS or context.source is not None:
            return events.response(context, result)
        return responses.of(result, media_type)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        allowed = ", ".join(name.upper() for name in self.http_method_names)
        fault = HttpFault(405, f"{request.method} is none of {allowed}.", {"Allow": allowed})
        return responses.refusal(fault, requests.JSON)


class FeedView(ForPrograms):
    """A stream for machines, in the format that its address ends in."""

    http_method_names = ["get", "head", "options"]

    def __init__(self, **options: Any) -> None:
        from .feeds import respond  # as late as the schema

        super().__init__(**options)
        self.respond = respond

    def get(self, request: HttpRequest, stream: str, reference: str, form: str) -> HttpResponse:
        return self.respond(request, stream, reference, form)


# The editor brings a font, and lays out its lines by style attributes and elements.
@csp_update({"style-src": [UNSAFE_INLINE], "font-src": ["data:"]})
@ensure_csrf_cookie
def graphiql(request: HttpRequest) -> HttpResponse:
    """The page, with who is logged in and the tabs that a site's tour names.

    Where the schema is not open to the viewer: the login page, or PermissionDenied.
    """
    viewer = Context(request).viewer
    if not introspection.is_open_to(viewer):
        if viewer is None and settings.INTROSPECTION == "staff":
            return redirect_to_login(request.get_full_path())
        raise PermissionDenied
    tour = settings.ACTSTREAM_SETTINGS.get("TOUR")
    tabs = import_string(tour)() if tour else [{"query": FIRST_QUERY}]
    context = {
        "viewer_name": node_type(type(viewer)).display_name(viewer) if viewer else "",
        "login_url": f"{reverse('login')}?next={request.path}",
        "logout_url": reverse("logout"),
        "config": {"endpoint": request.path, "tabs": tabs},
    }
    return render(request, "graphiql/page.html", context)


@login_required
def live(request: HttpRequest) -> HttpResponse:
    """The viewer's stream, live: the smallest page on the API, for a newcomer to copy."""
    viewer = Context(request).viewer
    context = {"viewer_name": node_type(type(viewer)).display_name(viewer)}
    return render(request, "live/page.html", context)


def failed(request: HttpRequest) -> HttpResponse:
    """Instead of a page for which something went wrong: 503 while the database is away."""
    error = sys.exc_info()[1]
    if error is None or not is_outage(error):
        return server_error(request)
    return HttpResponse(
        "The database is away. Come back in a moment.",
        "text/plain; charset=utf-8",
        status=503,
        headers={"Retry-After": "1", "Cache-Control": "no-store"},
    )
