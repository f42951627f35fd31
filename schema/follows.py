"""Follow, and the connections of followers and of what is followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import strawberry
from django.contrib.auth import get_user_model

from server import counts, models, objects, pages, registry
from server.pages import Ranges
from server.windows import Window

from . import nodes
from .actions import ActionConnection, NodeType, models_of
from .actions import pages as action_pages
from .catalog import claim, node_type
from .connections import (
    After,
    Batch,
    Before,
    Connection,
    Edge,
    First,
    Last,
    for_each,
)
from .context import Info
from .errors import Forbidden
from .nodes import FlagArgument, Node, leading

_User = registry.check(get_user_model())


@strawberry.type(description="A user follows an object.")
class Follow(Node):
    """One follow; a user may follow an object once under each flag."""

    refers = {
        "user": objects.ByKey(models.Follow._meta.get_field("user"), _User),
        "followObject": objects.ByRole(models.Follow._meta.get_field("follow_object")),
    }
    named_by = frozenset(refers)
    named_from = ()

    user = leading("user", node_type(_User), "Who follows; null when not visible to the viewer.")
    follow_object = leading(
        "followObject", Node, "What is followed; null when gone or not visible to the viewer."
    )
    actor_only: bool = strawberry.field(
        description="Only what the object does reaches the user's stream, not what is done to it."
    )
    flag: str = strawberry.field(description='Why it is followed; "" is the plain follow.')
    started: datetime = strawberry.field(description="Since when, in UTC.")

    @classmethod
    def compose(cls, obj: Any, names: Mapping[str, str]) -> str:
        words = (names.get("user"), "follows", names.get("followObject"))
        return " ".join(word for word in words if word)

    @classmethod
    def is_type_of(cls, obj: Any, info: Any) -> bool:
        return isinstance(obj, models.Follow)


claim(models.Follow, Follow, "Follow")

FollowConnection = Connection[Follow]
FollowEdge = Edge[Follow]


def pages_of(
    info: Info, sources: Sequence[Ranges], narrow: pages.Narrow | None = None, **window: Any
) -> list[Connection[Any]]:
    """A page of each of many lists of follows, as connections."""
    asked = Window("f", **window)
    return Batch(
        info,
        len(sources),
        lambda needs: pages.pages(sources, asked, narrow, needs),
        lambda: counts.of(sources, asked, narrow),
    ).connections


def followers(
    self: Any,
    info: Info,
    flag: FlagArgument = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    def read(peers: list[Any]) -> list[Connection[Any]]:
        rows = (models.Follow.objects.for_object(peer, flag) for peer in peers)
        sources = [Ranges(row, time="started", counted="user") for row in rows]
        return pages_of(info, sources, first=first, after=after, last=last, before=before)

    return for_each(info, self, read)


def following(
    self: Any,
    info: Info,
    types: Annotated[
        list[NodeType] | None,
        strawberry.argument(description="Only what is of these types; of any when left out."),
    ] = None,
    flag: FlagArgument = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    of = models_of(types)
    narrow = None if of is None else lambda rows: rows.of(of)

    def read(peers: list[Any]) -> list[Connection[Any]]:
        rows = (models.Follow.objects.by(peer, flag) for peer in peers)
        sources = [Ranges(row, time="started") for row in rows]
        return pages_of(info, sources, narrow, first=first, after=after, last=last, before=before)

    return for_each(info, self, read)


def private_actions(
    self: Any,
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Any:
    manager, viewer = models.Action.objects, info.context.viewer
    if not manager.opens_to(viewer, "private_actions", self):
        raise Forbidden("Only this user and staff may read a user's private actions.")

    def read(peers: list[Any]) -> list[Connection[Any]]:
        sources = [manager.private(peer) for peer in peers]
        return action_pages(
            info, sources, None, first=first, after=after, last=last, before=before
        )

    return for_each(info, self, read) if viewer.is_staff else read([self])[0]


nodes.extend(
    nodes.added(
        followers,
        FollowConnection,
        "Newest first, one edge a follow; totalCount counts distinct users.",
    )
)
nodes.extend(
    nodes.added(following, FollowConnection, "What this user follows, newest first."), _User
)
nodes.extend(
    nodes.added(
        private_actions,
        ActionConnection,
        "This user's own actions that are not public, newest first; null with FORBIDDEN for "
        "anyone else but staff.",
    ),
    _User,
)
