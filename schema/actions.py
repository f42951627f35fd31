"""Action, its connection and its filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import strawberry
from django.db.models import QuerySet
from strawberry.scalars import JSON

from server import models, objects, watermarks
from server.filters import Filter
from server.pages import Ranges
from server.windows import Window

from . import nodes
from .catalog import claim
from .connections import Batch, Connection, Edge
from .context import Info
from .nodes import Node, leading

NodeType: Any = nodes.discover()

_ROLES = {"actor": "actor", "target": "target", "actionObject": "action_object"}


@strawberry.type(
    description="Somebody did something: to something, with something. Newest first everywhere."
)
class Action(Node):
    """An action; it can itself be acted on where a site registers it."""

    refers = {
        name: objects.ByRole(models.Action._meta.get_field(role)) for name, role in _ROLES.items()
    }
    named_by = frozenset(_ROLES)
    named_from = ("verb",)

    verb: str = strawberry.field(description='What was done: "starred".')
    description: str | None = strawberry.field(description="What its reporter said about it.")
    timestamp: datetime = strawberry.field(description="When it was done, in UTC.")
    public: bool = strawberry.field(description="Whether it stands in public streams.")
    data: JSON | None = strawberry.field(description="What else its reporter recorded: any JSON.")

    actor = leading("actor", Node, "Who did it; null when gone or not visible to the viewer.")
    target = leading("target", Node, "To what it was done; null when none, gone or not visible.")
    action_object = leading(
        "actionObject", Node, "With what it was done; null when none, gone or not visible."
    )

    @classmethod
    def compose(cls, obj: Any, names: Mapping[str, str]) -> str:
        roles = {_ROLES[name]: text for name, text in names.items()}
        return models.Action.sentence(obj.verb, **roles)

    @classmethod
    def is_type_of(cls, obj: Any, info: Any) -> bool:
        return isinstance(obj, models.Action)

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info) -> QuerySet[Any]:
        return models.Action.objects.readable(info.context.viewer)


claim(models.Action, Action, "Action")

ActionEdge = Edge[Action]


@strawberry.type(description="One page of actions, newest first, and how to go on from it.")
class ActionConnection(Connection[Action]):
    """From which a subscription can go on, and of whose stream there are feeds."""

    @strawberry.field(
        description="For a subscription's after: it delivers what has arrived since this page."
    )
    def resume_cursor(self) -> str:
        return watermarks.cursor(self.batch.mark)

    @strawberry.field(
        description="Where the whole stream is as Atom, and with .json for .atom as "
        "ActivityStreams 2.0; null where it has no feed."
    )
    def feed_url(self) -> str | None:
        return self.batch.feed_url(self.at)


@strawberry.input(description="Which actions of a stream are wanted: those that meet every field.")
class ActionFilter:
    """Typed, never raw lookups."""

    verbs: list[str] | None = strawberry.field(
        default=None, description="Only actions with one of these verbs."
    )
    since: datetime | None = strawberry.field(
        default=None, description="Only actions at this time or later."
    )
    until: datetime | None = strawberry.field(
        default=None, description="Only actions before this time."
    )
    actor_types: list[NodeType] | None = strawberry.field(
        default=None, description="Only actions of actors of these types."
    )
    target_types: list[NodeType] | None = strawberry.field(
        default=None, description="Only actions with targets of these types."
    )
    action_object_types: list[NodeType] | None = strawberry.field(
        default=None, description="Only actions with action objects of these types."
    )

    def wanted(self) -> Filter:
        """The same in the server's words."""
        return Filter(
            verbs=self.verbs,
            since=self.since,
            until=self.until,
            actor_types=models_of(self.actor_types),
            target_types=models_of(self.target_types),
            action_object_types=models_of(self.action_object_types),
        )


def models_of(types: list[Any] | None) -> list[Any] | None:
    """The models that values of NodeType stand for."""
    return None if types is None else [kind.value for kind in types]


def pages(
    info: Info,
    sources: Sequence[Ranges],
    filter: ActionFilter | None,
    feed_url: Callable[[int], str | None] = lambda at: None,
    **window: Any,
) -> list[Connection[Any]]:
    """A page of each of many streams, as connections; ``feed_url`` is asked where each's is."""
    manager, viewer = models.Action.objects, info.context.viewer
    wanted = filter.wanted() if filter else Filter()
    asked = wanted.within(Window("a", **window))
    return Batch(
        info,
        len(sources),
        lambda needs: manager.read(sources, asked, viewer, wanted, needs),
        lambda: manager.counts(sources, asked, viewer, wanted),
        ActionConnection,
        feed_url,
    ).connections
