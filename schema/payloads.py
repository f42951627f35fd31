"""What a mutation takes and gives: one input, one payload, userErrors."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from strawberry.scalars import JSON

from .actions import Action, ActionEdge
from .costs import MOST_ACTIONS
from .follows import Follow, FollowEdge
from .nodes import Node


@strawberry.enum(description="Why a mutation was refused.")
class ErrorCode(Enum):
    """What a client can tell apart."""

    INVALID = strawberry.enum_value("INVALID", description="The value is not of the right form.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="The value is over its limit.")
    NOT_FOUND = strawberry.enum_value(
        "NOT_FOUND", description="No such node, or the viewer may not see it."
    )
    NOT_ALLOWED = strawberry.enum_value("NOT_ALLOWED", description="The viewer may not do this.")
    NOT_REGISTERED = strawberry.enum_value(
        "NOT_REGISTERED", description="Nodes of this type take no part in streams."
    )
    CONFLICT = strawberry.enum_value(
        "CONFLICT", description="The idempotency key was used for another input."
    )


@strawberry.type(description="An expected refusal.")
class UserError:
    """One thing to mend in the input."""

    field: list[str] | None = strawberry.field(description="The path of the input field at fault.")
    message: str = strawberry.field(description="What is wrong, with the value and the limit.")
    code: ErrorCode = strawberry.field(description="The reason, for programs.")


def _mutation_id() -> Any:
    return strawberry.field(
        default=None,
        description="Anything; the payload has it again, for clients that match by it.",
    )


def _input(description: str, **options: Any) -> Any:
    return strawberry.field(description=description, **options)


def _errors() -> Any:
    return strawberry.field(
        default_factory=list, description="Why nothing was done; empty where all went well."
    )


@strawberry.input(description="Somebody did something: one of many.")
class ActionInput:
    """What :func:`server.records.record` takes."""

    verb: str = _input('What was done, in at most 255 characters: "starred".')
    actor: strawberry.ID | None = _input(
        "Who did it: the viewer when left out; another needs the permission activity.act_as.",
        default=None,
    )
    action_object: strawberry.ID | None = _input("With what it was done.", default=None)
    target: strawberry.ID | None = _input("To what it was done.", default=None)
    description: str | None = _input(
        "What there is to say about it, in at most 4000 characters.", default=None
    )
    public: bool = _input("Whether it stands in public streams.", default=True)
    timestamp: datetime | None = _input(
        "When it was done: now when left out; another needs the permission activity.act_as.",
        default=None,
    )
    data: JSON | None = _input("What else to record: any JSON of at most 16 KiB.", default=None)
    idempotency_key: str | None = _input(
        "With the same key and the same input, the same actor's first action is returned and "
        "nothing is written twice; at most 255 characters.",
        default=None,
    )


@strawberry.input(description="Somebody did something.")
class CreateActionInput(ActionInput):
    """One, by itself."""

    client_mutation_id: str | None = _mutation_id()


@strawberry.type(description="What came of createAction.")
class CreateActionPayload:
    """The action, new or found by its key."""

    action: Action | None = strawberry.field(default=None, description="The action.")
    action_edge: ActionEdge | None = strawberry.field(
        default=None, description="The action as an edge, to be put in front of a connection."
    )
    created: bool = strawberry.field(
        default=False, description="False where the idempotency key found an earlier action."
    )
    user_errors: list[UserError] = _errors()
    client_mutation_id: str | None = _mutation_id()


@strawberry.input(description="What was done: all of it is recorded, or nothing.")
class CreateActionsInput:
    """What :func:`server.records.record_many` takes."""

    actions: list[ActionInput] = _input(
        f"At most {MOST_ACTIONS}; of two with one key, the second is answered with the first."
    )
    client_mutation_id: str | None = _mutation_id()


@strawberry.type(description="An action that createActions recorded, or found by its key.")
class CreatedAction:
    """As CreateActionPayload has it."""

    action: Action = strawberry.field(description="The action.")
    action_edge: ActionEdge = strawberry.field(
        description="The action as an edge, to be put in front of a connection."
    )
    created: bool = strawberry.field(
        description="False where the idempotency key found an earlier action."
    )


@strawberry.type(description="What came of createActions.")
class CreateActionsPayload:
    """The actions, each new or found by its key; none where one was refused."""

    results: list[CreatedAction] = strawberry.field(
        default_factory=list, description="The actions, in the order of the input."
    )
    user_errors: list[UserError] = _errors()
    client_mutation_id: str | None = _mutation_id()


@strawberry.input(description="An action to delete.")
class DeleteActionInput:
    """By its actor, or with the permission activity.delete_action."""

    id: strawberry.ID = _input("The id of the action.")
    client_mutation_id: str | None = _mutation_id()


@strawberry.type(description="What came of deleteAction.")
class DeleteActionPayload:
    """The id that is no more."""

    deleted_action_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of the action that is gone."
    )
    user_errors: list[UserError] = _errors()
    client_mutation_id: str | None = _mutation_id()


@strawberry.input(description="What the viewer is to follow.")
class FollowInput:
    """What :func:`server.follows.follow` takes."""

    object: strawberry.ID = _input("The id of the node to follow.")
    actor_only: bool = _input(
        "Only what it does reaches the viewer's stream, not what is done to it.", default=True
    )
    flag: str = _input('Why it is followed; "" is the plain follow.', default="")
    send_action: bool = _input('Whether to record "started following".', default=True)
    client_mutation_id: str | None = _mutation_id()


@strawberry.type(description="What came of follow.")
class FollowPayload:
    """The follow, new or already there."""

    follow: Follow | None = strawberry.field(default=None, description="The follow.")
    follow_edge: FollowEdge | None = strawberry.field(
        default=None, description="The follow as an edge, to be put in front of a connection."
    )
    object: Node | None = strawberry.field(default=None, description="What is followed.")
    created: bool = strawberry.field(
        default=False, description="False where the viewer followed it already."
    )
    user_errors: list[UserError] = _errors()
    client_mutation_id: str | None = _mutation_id()


@strawberry.input(description="What the viewer is to follow no longer.")
class UnfollowInput:
    """What :func:`server.follows.unfollow` takes."""

    object: strawberry.ID = _input("The id of the node to follow no longer.")
    flag: str | None = _input(
        'Every flag when left out; "": the plain follow alone.', default=None
    )
    send_action: bool = _input('Whether to record "stopped following".', default=False)
    client_mutation_id: str | None = _mutation_id()


@strawberry.type(description="What came of unfollow.")
class UnfollowPayload:
    """The ids that are no more; none where the viewer did not follow it."""

    deleted_follow_ids: list[strawberry.ID] = strawberry.field(
        default_factory=list, description="The ids of the follows that are gone."
    )
    object: Node | None = strawberry.field(default=None, description="What is no longer followed.")
    user_errors: list[UserError] = _errors()
    client_mutation_id: str | None = _mutation_id()
