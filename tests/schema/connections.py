"""Every connection there is, found by walking the schema, and rows to fill each with."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Model
from graphql import GraphQLObjectType, get_named_type

from schema import catalog, nodes
from server import registry
from server.models import Action, Follow
from tests.schema.client import data, gid, schema

START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count(1)

#: What names every object of a row.
OBJECT = "{ id displayName url viewerIsFollowing }"
ROWS = {
    "a": f"id displayName verb timestamp actor {OBJECT} target {OBJECT} actionObject {OBJECT}",
    "f": f"id displayName started flag user {OBJECT} followObject {OBJECT}",
}
WINDOW = "first: $first, after: $after, last: $last, before: $before"
WINDOW_VARIABLES = "$first: Int, $after: String, $last: Int, $before: String"

#: What the tests' site returns nothing for, or what cannot be paged, on purpose.
EMPTY = {"nothing", "wrong"}


@dataclass(frozen=True)
class ConnectionField:
    """A field that returns a connection, and the type that has it."""

    holder: str
    name: str

    def __str__(self) -> str:
        return f"{self.holder}.{self.name}"

    @property
    def definition(self) -> Any:
        return schema._schema.type_map[self.holder].fields[self.name]

    @property
    def row(self) -> type[Model]:
        """The model of its rows."""
        kind = get_named_type(self.definition.type).name
        return {"ActionConnection": Action, "FollowConnection": Follow}[kind]

    @property
    def kind(self) -> str:
        """The letter that its cursors have."""
        return "a" if self.row is Action else "f"

    @property
    def time(self) -> str:
        return "timestamp" if self.row is Action else "started"

    @property
    def of(self) -> type[Model]:
        """The model of a reference object."""
        if self.holder != "Query":
            return model_of(self.holder)
        holders = [
            other.holder
            for other in CONNECTIONS
            if other.holder != "Query" and other.name == self.name
        ]
        return model_of("Project" if "Project" in holders or not holders else holders[0])

    @property
    def whole_page(self) -> str:
        """A selection that names every object of a row, and counts."""
        return f"""edges {{ cursor node {{ {ROWS[self.kind]} }} }} nodes {{ id }} totalCount
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}"""

    def document(self, selection: str) -> str:
        """A query of $id, and $first, $after, $last and $before, with the page as ``page``."""
        if self.holder != "Query":
            return f"""query ($id: ID!, {WINDOW_VARIABLES}) {{ node(id: $id) {{
                ... on {self.holder} {{ page: {self.name}({WINDOW}) {{ {selection} }} }} }} }}"""
        reference = next(iter(self.definition.args))
        if get_named_type(self.definition.args[reference].type).name == "NodeType":
            value = next(kind.name for kind in nodes.discover() if kind.value is self.of)
            return f"""query ({WINDOW_VARIABLES}) {{
                page: {self.name}({reference}: {value}, {WINDOW}) {{ {selection} }} }}"""
        return f"""query ($id: ID!, {WINDOW_VARIABLES}) {{
            page: {self.name}({reference}: $id, {WINDOW}) {{ {selection} }} }}"""

    def page(self, answer: Any) -> Any:
        return answer["page"] if "page" in answer else answer["node"]["page"]

    def ask(self, of: Model, viewer: Any, selection: str = "", /, **window: Any) -> Any:
        """One page of the connection of an object."""
        document = self.document(selection or self.whole_page)
        return self.page(data(document, viewer, id=gid(of), **window))

    def reference_object(self) -> Any:
        return (
            Action.objects.create(actor=make(User), verb="noted")
            if (self.of is Action)
            else make(self.of)
        )

    def fill(self, of: Any, times: list[datetime]) -> list[Any]:
        """Make rows of the connection of an object, all that belong, in the order of the times."""
        if self.row is Follow:
            return self._follows(of, times)
        verb = self.definition.args.get("verb")
        public = self.name != "privateActions"
        roles: dict[str, Any] = dict.fromkeys(("actor", "target", "action_object"), of)
        if self.name == "untargeted":
            roles["target"] = None
        if self.name == "userStream":
            Follow.objects.get_or_create(user=of, **_points_at(of))
        rows = [
            Action(
                **roles,
                verb=verb.default_value if verb else "posted",
                timestamp=time,
                public=public,
            )
            for time in times
        ]
        return list(Action.objects.bulk_create(rows))

    def _follows(self, of: Any, times: list[datetime]) -> list[Follow]:
        if self.name == "following":
            rows = [
                Follow(user=of, follow_object=project, started=time)
                for project, time in zip(
                    make_many(model_of("Project"), len(times)), times, strict=True
                )
            ]
        else:
            rows = [
                Follow(user=user, follow_object=of, started=time)
                for user, time in zip(make_many(User, len(times)), times, strict=True)
            ]
        return list(Follow.objects.bulk_create(rows))

    def ordered(self, rows: list[Any]) -> list[Any]:
        """The naive reference: newest first, the larger id first at the same time."""
        return sorted(rows, key=lambda row: (getattr(row, self.time), row.pk), reverse=True)


def walk() -> Iterator[ConnectionField]:
    for name, kind in schema._schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            for field, definition in kind.fields.items():
                if get_named_type(definition.type).name.endswith("Connection"):
                    yield ConnectionField(name, field)


def model_of(type_name: str) -> type[Model]:
    return catalog._names[type_name][0]


def _points_at(obj: Model) -> dict[str, Any]:
    named = registry.reference(obj)
    assert named is not None
    return {"content_type_id": named[0], "object_id": named[1]}


def make(model: type[Model], **given: Any) -> Any:
    """A saved object of any model, every field of it filled that must be."""
    return model._default_manager.create(**_values(model, given))


def make_many(model: type[Model], number: int) -> list[Any]:
    return list(
        model._default_manager.bulk_create([model(**_values(model, {})) for _ in range(number)])
    )


def _values(model: type[Model], given: dict[str, Any]) -> dict[str, Any]:
    values = dict(given)
    for field in model._meta.concrete_fields:
        if field.name in values or field.has_default() or field.null or field.auto_created:
            continue
        number = next(_numbers)
        if isinstance(field, models.ForeignKey):
            values[field.name] = make(field.related_model)
        elif isinstance(field, models.CharField | models.TextField):
            values[field.name] = f"{model.__name__.lower()}-{number}"
        elif isinstance(field, models.IntegerField):
            values[field.name] = number
        elif isinstance(field, models.DateTimeField):
            values[field.name] = START
    return values


def at(*minutes: int) -> list[datetime]:
    return [START + timedelta(minutes=minute) for minute in minutes]


CONNECTIONS = list(walk())
FILLED = [connection for connection in CONNECTIONS if connection.name not in EMPTY]


def once() -> Iterator[ConnectionField]:
    """Those of Query, and of what all nodes have each on one type, every type in its turn."""
    kinds = sorted({connection.holder for connection in FILLED} - {"Query"})
    interface: Any = schema._schema.type_map["Node"]
    for connection in FILLED:
        shared = [name for name in interface.fields if name == connection.name]
        if connection.holder == "Query" or not shared:
            yield connection
        else:
            turn = list(interface.fields).index(connection.name)
            if connection.holder == kinds[turn % len(kinds)]:
                yield connection


def cursor(text: str) -> str:
    """A cursor that says this: "a1:0:7" is that of action 7 at the beginning of 1970."""
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


ONCE = list(once())

__all__ = ["CONNECTIONS", "FILLED", "ONCE", "ConnectionField", "at", "cursor", "make"]
