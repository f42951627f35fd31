"""Query, less the streams: who asks, and nodes by id."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry
from django.contrib.auth import get_user_model

from . import door
from .catalog import node_type
from .context import Info, stand
from .errors import BadUserInput
from .nodes import Node

#: At most this many ids at once.
MOST_IDS = 100


def viewer(info: Info) -> Any:
    return info.context.viewer


class Query:
    """Strawberry's type is made of this and of the streams' fields, in ``schema/__init__.py``."""

    viewer = strawberry.field(
        resolver=viewer,
        graphql_type=node_type(get_user_model()) | None,
        description="Who is logged in; null for an anonymous visitor.",
    )

    @strawberry.field(
        description="Null for an id that is unknown, malformed or not visible, alike."
    )
    def node(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the node.")],
    ) -> Node | None:
        found: Node | None = door.one_by_id(id, info)
        return found

    @strawberry.field(
        description="Nodes by id, in the order of the ids; null for each that is unknown, "
        "malformed or not visible."
    )
    def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="At most 100 ids.")],
    ) -> list[Node | None]:
        if len(ids) > MOST_IDS:
            raise BadUserInput(f"Ask for at most {MOST_IDS} ids at once; these are {len(ids)}.")
        found = door.by_id(ids, info)
        stand(info, found.values())
        return [found.get(given) for given in ids]
