"""Mutations: one input each; expected refusals come back as userErrors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, TypeVar

import strawberry
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models as django_models
from django.db import transaction
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from server import actions, follows, models, registry
from server.cursors import Position

from .actions import Action, ActionEdge
from .catalog import global_id, type_name
from .context import Info
from .door import one_by_id
from .errors import Unauthenticated
from .follows import Follow, FollowEdge
from .nodes import Node

Payload = TypeVar("Payload")


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


class Refusal(Exception):
    """Ends a mutation with a user error."""

    def __init__(self, field: str, message: str, code: ErrorCode) -> None:
        self.error = UserError(field=["input", field], message=message, code=code)
        super().__init__(message)


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


@strawberry.input(description="Somebody did something.")
class CreateActionInput:
    """What :func:`server.actions.record` takes."""

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


def create_action(viewer: Any, info: Info, input: CreateActionInput) -> CreateActionPayload:
    may_act_as = viewer.has_perm("activity.act_as")
    actor: Any = viewer if input.actor is None else _object(info, "actor", input.actor)
    if actor != viewer and not may_act_as:
        raise Refusal("actor", "You may record your own actions alone.", ErrorCode.NOT_ALLOWED)
    if input.timestamp is not None and not may_act_as:
        raise Refusal("timestamp", "You may not choose the time.", ErrorCode.NOT_ALLOWED)
    action: Any
    action, created = actions.record(
        actor,
        input.verb,
        action_object=_object(info, "actionObject", input.action_object),
        target=_object(info, "target", input.target),
        description=input.description,
        public=input.public,
        timestamp=input.timestamp,
        data=input.data,
        idempotency_key=input.idempotency_key,
    )
    edge = ActionEdge(cursor=Position.of(action, "timestamp").cursor("a"), node=action)
    return CreateActionPayload(action=action, action_edge=edge, created=created)


def delete_action(viewer: Any, info: Info, input: DeleteActionInput) -> DeleteActionPayload:
    action = one_by_id(input.id, info)
    if not isinstance(action, models.Action):
        raise _not_found("id", input.id)
    if action.actor != viewer and not viewer.has_perm("activity.delete_action"):
        raise Refusal("id", "You may delete your own actions alone.", ErrorCode.NOT_ALLOWED)
    action.delete()
    return DeleteActionPayload(deleted_action_id=input.id)


def follow(viewer: Any, info: Info, input: FollowInput) -> FollowPayload:
    obj: Any = _object(info, "object", input.object)
    row: Any
    row, created = follows.get_or_follow(
        viewer, obj, input.send_action, input.actor_only, input.flag
    )
    edge = FollowEdge(cursor=Position.of(row, "started").cursor("f"), node=row)
    return FollowPayload(follow=row, follow_edge=edge, object=obj, created=created)


def unfollow(viewer: Any, info: Info, input: UnfollowInput) -> UnfollowPayload:
    obj: Any = _object(info, "object", input.object)
    gone = follows.unfollow(viewer, obj, input.send_action, input.flag)
    ids = [global_id(models.Follow(pk=pk)) for pk in gone]
    return UnfollowPayload(deleted_follow_ids=ids, object=obj)


def _mutation(run: Callable[..., Any], takes: Any, gives: Any, description: str) -> Any:
    """A field that runs for the viewer in one transaction, and turns refusals into userErrors."""

    def resolve(info: Info, input: Any) -> Any:
        viewer = info.context.viewer
        if viewer is None:
            raise Unauthenticated("Log in first.")
        try:
            with transaction.atomic():
                payload = run(viewer, info, input)
        except Refusal as refusal:
            payload = gives(user_errors=[refusal.error])
        except ValidationError as refused:
            payload = gives(user_errors=_user_errors(refused))
        payload.client_mutation_id = input.client_mutation_id
        return payload

    argument = strawberry.argument(description="All that the mutation takes.")
    resolve.__annotations__ = {"info": Info, "input": Annotated[takes, argument], "return": gives}
    return strawberry.mutation(
        resolver=resolve, name=to_camel_case(run.__name__), description=description
    )


@strawberry.type(description="What a viewer can change; each in one transaction.")
class Mutation:
    """One input each."""

    create_action = _mutation(
        create_action,
        CreateActionInput,
        CreateActionPayload,
        "Record that somebody did something.",
    )
    delete_action = _mutation(
        delete_action,
        DeleteActionInput,
        DeleteActionPayload,
        "Delete an action: its actor may, and who has the permission activity.delete_action.",
    )
    follow = _mutation(
        follow,
        FollowInput,
        FollowPayload,
        "Follow a node; again changes actorOnly alone.",
    )
    unfollow = _mutation(unfollow, UnfollowInput, UnfollowPayload, "Follow a node no longer.")


def _object(info: Info, field: str, given: str | None) -> django_models.Model | None:
    """The node behind an input's id, if it can have a role."""
    if given is None:
        return None
    obj: Any = one_by_id(given, info)
    if obj is None:
        raise _not_found(field, given)
    try:
        registry.check(obj)
    except ImproperlyConfigured:
        raise Refusal(
            field,
            f"Nodes of type {type_name(type(obj))} take no part in streams.",
            ErrorCode.NOT_REGISTERED,
        ) from None
    return obj  # type: ignore[no-any-return]


def _not_found(field: str, given: str) -> Refusal:
    return Refusal(
        field, f"{given[:60]!r} is no id of a node that you may see.", ErrorCode.NOT_FOUND
    )


def _user_errors(refused: ValidationError) -> list[UserError]:
    return [
        UserError(
            field=["input", to_camel_case(field)],
            message=message,
            code=_CODES.get(error.code or "", ErrorCode.INVALID),
        )
        for field, errors in refused.error_dict.items()
        for error in errors
        for message in error.messages
    ]


_CODES = {"too_long": ErrorCode.TOO_LONG, "conflict": ErrorCode.CONFLICT}
