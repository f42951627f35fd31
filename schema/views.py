"""/graphql: the API for programs, GraphiQL for browsers."""

from __future__ import annotations

import json
from typing import Any

from cross_web import HTTPException
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from strawberry.django.views import GraphQLView as StrawberryView
from strawberry.http.base import BaseRequestProtocol

from .catalog import node_type
from .context import Context

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


@method_decorator(csrf_exempt, name="dispatch")
class GraphQLView(StrawberryView[Context, None]):
    """Strawberry's view, with our context, page and check of the origin."""

    def __init__(self, **options: Any) -> None:
        # Here, not in urls.py: a schema that cannot be built is for "manage.py check" to explain.
        from . import schema

        super().__init__(schema=schema, allow_queries_via_get=False, **options)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST" and not _is_from_here(request):
            return _refused(
                403,
                f"A request with a session must come from this site; {request.headers['Origin']} "
                "is not in CSRF_TRUSTED_ORIGINS.",
            )
        try:
            return self.run(request=request)
        except HTTPException as error:
            return _refused(error.status_code, error.reason)
        except UnicodeDecodeError:
            return _refused(400, "The body is no UTF-8.")

    def parse_json(self, data: str | bytes) -> Any:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise HTTPException(400, "The body is no JSON.") from None
        if not isinstance(body, dict):
            raise HTTPException(400, "The body is no JSON object with a query.")
        return body

    def get_context(self, request: HttpRequest, response: HttpResponse) -> Context:
        return Context(request, response)

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """A browser gets the page, also at an address with a query, which the page opens."""
        by_browser = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        return by_browser or super().should_render_graphql_ide(request)

    def render_graphql_ide(self, request: HttpRequest) -> HttpResponse:
        return graphiql(request)


def _refused(status: int, message: str) -> HttpResponse:
    error = {"message": message, "extensions": {"code": "BAD_REQUEST"}}
    return JsonResponse({"errors": [error]}, status=status)


def _is_from_here(request: HttpRequest) -> bool:
    """Whether a browser that sends a session says that it comes from this site.

    A page elsewhere can make a visitor's browser send the session cookie, but not without its
    own Origin. So no token is needed, and programs without a session need nothing.
    """
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or "Origin" not in request.headers:
        return True
    return bool(CsrfViewMiddleware(lambda _: HttpResponse())._origin_verified(request))  # type: ignore[attr-defined]


@ensure_csrf_cookie
def graphiql(request: HttpRequest) -> HttpResponse:
    """The page, with who is logged in and the tabs that a site's tour names."""
    tour = settings.ACTSTREAM_SETTINGS.get("TOUR")
    tabs = import_string(tour)() if tour else [{"query": FIRST_QUERY}]
    viewer = Context(request).viewer
    context = {
        "viewer_name": node_type(type(viewer)).display_name(viewer) if viewer else "",
        "login_url": f"{reverse('login')}?next={request.path}",
        "logout_url": reverse("logout"),
        "config": {"endpoint": request.path, "tabs": tabs},
    }
    return render(request, "graphiql/page.html", context)
