"""/feeds/: every stream for machines, as Atom and as ActivityStreams 2.0.

A feed is a GraphQL document that the server asks itself. So its door, its limits, its cursors and
its statements are those of the API, and a stream has its feeds as soon as it has its field.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, partial
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import http_date, quote_etag
from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLInt,
    GraphQLList,
    get_named_type,
    get_nullable_type,
    is_required_argument,
)
from strawberry.utils.str_converters import to_camel_case

from server.windows import DEFAULT_SIZE

from . import activitystreams, atom, responses, schema
from .actions import NodeType
from .authentication import authenticate
from .catalog import type_name
from .connections import PAGING
from .context import Context
from .errors import Forbidden, HttpFault, RequestFault, Unauthenticated
from .observing import observed
from .requests import JSON
from .streams import Stream, streams

NAMED = "{ __typename id displayName url }"
PAGE = f"""nodes {{
  id displayName verb description timestamp data
  actor {NAMED} target {NAMED} actionObject {NAMED}
}} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}"""
COUNT = "totalCount nodes { timestamp }"

FORMATS = {"atom": atom.MEDIA_TYPE, "json": activitystreams.MEDIA_TYPE}
#: Of an error, by its code; 400 of any other.
STATUSES = {"FORBIDDEN": 403, "UNAUTHENTICATED": 401, "THROTTLED": 429}
STATUSES |= {"INTERNAL": 500, "TIMEOUT": 503, "UNAVAILABLE": 503}


@dataclass(frozen=True)
class Feed:
    """A stream of the manager, to be asked for by the texts of an address."""

    stream: Stream
    schema: Any

    @property
    def name(self) -> str:
        return to_camel_case(self.stream.name)

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The GraphQL types of the field's arguments, less the filter and the node itself.

        What has a default may be left out, so its variable may be too.
        """
        left_out = {"filter", to_camel_case(self.stream.reference.name)}
        fields = self.schema.type_map["Query"].fields[self.name].args
        return {
            name: arg.type if is_required_argument(arg) else get_nullable_type(arg.type)
            for name, arg in fields.items()
            if name not in left_out
        }

    @cached_property
    def filters(self) -> Mapping[str, Any]:
        """The GraphQL types of the filter's fields; an argument of the same name goes before."""
        fields = self.schema.type_map["ActionFilter"].fields
        return {name: f.type for name, f in fields.items() if name not in self.arguments}

    @cache  # noqa: B019 - as many as there are streams
    def document(self, selected: str) -> str:
        """The stream of ``$id``, with its node where it is one's."""
        declared = {"filter": "ActionFilter", **self.arguments}
        variables = "".join(f", ${name}: {kind}" for name, kind in declared.items())
        given = ", ".join(f"{name}: ${name}" for name in declared)
        if self.stream.of is NodeType:
            argument = to_camel_case(self.stream.reference.name)
            body = f"stream: {self.name}({argument}: $id, {given}) {{ {selected} }}"
            return f"query Feed($id: NodeType!{variables}) {{ {body} }}"
        of = type_name(self.stream.of) if self.stream.of else "Node"
        body = f"... on {of} {{ stream: {self.name}({given}) {{ {selected} }} }}"
        return f"query Feed($id: ID!{variables}) {{ node(id: $id) {{ displayName url {body} }} }}"

    def variables(self, texts: Any) -> dict[str, Any]:
        """What the texts of a QueryDict stand for; raises HttpFault."""
        given: dict[str, Any] = {}
        wanted: dict[str, Any] = {}
        for name in texts:
            kind = self.arguments.get(name) or self.filters.get(name)
            if kind is None:
                raise HttpFault(400, f"The feed takes no {name[:60]!r}.")
            into = given if name in self.arguments else wanted
            into[name] = self._value(name, kind, texts.getlist(name))
        return {**given, "filter": wanted} if wanted else given

    def _value(self, name: str, kind: Any, texts: list[str]) -> Any:
        values = [_of_text(get_named_type(kind), text) for text in texts]
        if isinstance(get_nullable_type(kind), GraphQLList):
            return values
        if len(values) > 1:
            raise HttpFault(400, f"{name} is given {len(values)} times; give it once.")
        return values[0]


@cache
def feeds() -> Mapping[str, Feed]:
    """Every stream's, by the name of its field."""
    found = (Feed(stream, schema._schema) for stream in streams())
    return {feed.name: feed for feed in found}


def respond(request: HttpRequest, stream: str, reference: str, form: str) -> HttpResponse:
    """A page of a stream, in a format of ``FORMATS``; a refusal says in JSON what is wrong."""
    try:
        feed = feeds().get(stream)
        if feed is None:
            raise HttpFault(404, f"There is no stream {stream[:60]!r}.")
        if feed.stream.of is NodeType and reference not in NodeType.__members__:
            raise HttpFault(404, f"{reference[:60]!r} is no type of node.")
        given = feed.variables(request.GET)
        authenticate(request)
        is_page = form == "atom" or not PAGING.keys().isdisjoint(given)
        asked = given if is_page else {**given, "first": 1}
        text = feed.document(PAGE if is_page else COUNT)
        found = _found(request, text, {**asked, "id": reference})
    except RequestFault as fault:
        return responses.refusal(fault, JSON)
    answer = Answer(request, feed, reference, found, given if is_page else None)
    write = atom.feed if form == "atom" else activitystreams.collection
    return answer.response(write(answer), form)


def _found(request: HttpRequest, text: str, variables: Any) -> dict[str, Any]:
    """``node``, where there is one, and ``stream``; raises HttpFault."""
    context = Context(request)
    execute = partial(schema.execute_sync, text, variable_values=variables, context_value=context)
    result = observed(context, "Feed", execute)
    if result.errors:
        raise _fault(result.errors[0], context.viewer)
    data: Any = result.data
    holder = data.get("node", data)
    if holder is None or "stream" not in holder:
        raise HttpFault(
            404, f"{variables['id'][:60]!r} is no id of a node that you may see with a feed."
        )
    return {"node": data.get("node"), "stream": holder["stream"]}


class Answer:
    """What was found, and where it and what belongs to it are."""

    def __init__(
        self,
        request: HttpRequest,
        feed: Feed,
        reference: str,
        found: Mapping[str, Any],
        given: Mapping[str, Any] | None,
    ) -> None:
        self.request, self.feed, self.reference = request, feed, reference
        self.node, self.stream = found["node"], found["stream"]
        #: None: no page was asked for, but what the pages are of.
        self.given = given

    @property
    def title(self) -> str:
        return str(self.node["displayName"]) if self.node else self.reference

    @property
    def subtitle(self) -> str:
        return self.feed.stream.description

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return self.stream["nodes"]  # type: ignore[no-any-return]

    @property
    def updated(self) -> str | None:
        """The time of the newest action."""
        return self.nodes[0]["timestamp"] if self.nodes else None

    @property
    def id(self) -> str:
        """Of the stream, whichever page of it this is."""
        return self.tag(f"{self.feed.name}/{self.reference}{self._query()}")

    def url(self, form: str, **page: Any) -> str:
        """The address of the same stream, or of a page of it."""
        path = reverse("feed", args=[self.feed.name, self.reference, form])
        return self.absolute(f"{path}{self._query(**page)}")

    def _query(self, **page: Any) -> str:
        texts = [(k, v) for k, vs in self.request.GET.lists() if k not in PAGING for v in vs]
        query = urlencode([*texts, *page.items()])
        return f"?{query}" if query else ""

    def absolute(self, url: str) -> str:
        return self.request.build_absolute_uri(url)

    def itself(self, form: str) -> str:
        """The address of just this page."""
        return self.url(form, **{n: v for n, v in (self.given or {}).items() if n in PAGING})

    def next(self, form: str) -> str | None:
        info, size = self.stream.get("pageInfo"), self.size
        if not info or not info["hasNextPage"] or not info["endCursor"]:
            return None
        return self.url(form, first=size, after=info["endCursor"])

    def previous(self, form: str) -> str | None:
        info, size = self.stream.get("pageInfo"), self.size
        if not info or not info["hasPreviousPage"] or not info["startCursor"]:
            return None
        return self.url(form, last=size, before=info["startCursor"])

    def tag(self, specific: str) -> str:
        """A name that stays: RFC 4151."""
        host = self.request.get_host().partition(":")[0]
        return f"tag:{settings.FEED_AUTHORITY or f'{host},2026'}:{specific}"

    def response(self, body: bytes, form: str) -> HttpResponse:
        """The body, or 304 for whoever has it."""
        response = HttpResponse(body, content_type=f"{FORMATS[form]}; charset=utf-8")
        links = [
            (self.itself(other), f'rel="alternate"; type="{kind}"')
            for other, kind in FORMATS.items()
            if other != form
        ]
        links += [
            (url, f'rel="{rel}"')
            for rel, url in (("next", self.next(form)), ("prev", self.previous(form)))
            if url
        ]
        response["Link"] = ", ".join(f"<{url}>; {said}" for url, said in links)
        viewer = Context(self.request).viewer
        response["Cache-Control"] = f"{'public' if viewer is None else 'private'}, no-cache"
        patch_vary_headers(response, ["Authorization", "Cookie"])
        response["ETag"] = quote_etag(sha256(body).hexdigest()[:32])
        modified = self.updated and int(datetime.fromisoformat(self.updated).timestamp())
        if modified and modified < int(time.time()):  # more may come within the same second
            response["Last-Modified"] = http_date(modified)
        else:
            modified = None
        return get_conditional_response(  # type: ignore[return-value]
            self.request, etag=response["ETag"], last_modified=modified, response=response
        )

    @property
    def size(self) -> Any:
        """Of this page, and so of the next."""
        given = self.given or {}
        return given.get("first") or given.get("last") or DEFAULT_SIZE


def _of_text(kind: Any, text: str) -> Any:
    """What a text stands for; what is wrong with it GraphQL says better."""
    if kind is GraphQLBoolean and text in ("true", "false"):
        return text == "true"
    if kind is GraphQLInt and re.fullmatch(r"-?[0-9]{1,10}", text):
        return int(text)
    return text


def _fault(error: GraphQLError, viewer: Any) -> HttpFault:
    """An error of GraphQL's as HTTP's."""
    extensions = error.extensions or {}
    code = extensions.get("code")
    if code == Forbidden.code and viewer is None:
        code = Unauthenticated.code
    headers = dict(getattr(error.original_error or error, "headers", {}))
    if code == Unauthenticated.code:
        headers.setdefault("WWW-Authenticate", "Bearer")
    fault = HttpFault(STATUSES.get(str(code), 400), error.message, headers)
    fault.extensions = {**extensions, "code": code}
    return fault
