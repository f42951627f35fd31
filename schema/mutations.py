"""Mutations: one input each; expected refusals come back as userErrors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import strawberry
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from strawberry.utils.str_converters import to_camel_case

from server import follows, models, records, registry
from server.cursors import Position

from .actions import ActionEdge
from .catalog import global_id, type_name
from .context import Info, stand
from .costs import MOST_ACTIONS
from .door import by_id, one_by_id
from .errors import Unauthenticated
from .follows import FollowEdge
from .payloads import (
    ActionInput,
    CreateActionInput,
    CreateActionPayload,
    CreateActionsInput,
    CreateActionsPayload,
    CreatedAction,
    DeleteActionInput,
    DeleteActionPayload,
    ErrorCode,
    FollowInput,
    FollowPayload,
    UnfollowInput,
    UnfollowPayload,
    UserError,
)


def create_action(viewer: Any, info: Info, input: CreateActionInput) -> CreateActionPayload:
    [given] = _given(viewer, info, [input])
    if isinstance(given, ValidationError):
        raise given
    action, created = records.record(**given)
    return CreateActionPayload(**_result(action), created=created)


def create_actions(viewer: Any, info: Info, input: CreateActionsInput) -> CreateActionsPayload:
    if len(input.actions) > MOST_ACTIONS:
        message = f"At most {MOST_ACTIONS} actions at once; these are {len(input.actions)}."
        raise _refusal("actions", message, ErrorCode.TOO_LONG)
    done = records.record_many(_given(viewer, info, input.actions))
    stand(info, (action for action, _ in done), "results", "action")
    stand(info, (action for action, _ in done), "results", "actionEdge", "node")
    return CreateActionsPayload(
        results=[CreatedAction(**_result(action), created=created) for action, created in done]
    )


def delete_action(viewer: Any, info: Info, input: DeleteActionInput) -> DeleteActionPayload:
    action = one_by_id(input.id, info)
    if not isinstance(action, models.Action):
        raise _not_found("id", input.id)
    if action.actor != viewer and not viewer.has_perm("activity.delete_action"):
        message = "You may delete your own actions alone."
        raise _refusal("id", message, ErrorCode.NOT_ALLOWED)
    action.delete()
    return DeleteActionPayload(deleted_action_id=input.id)


def follow(viewer: Any, info: Info, input: FollowInput) -> FollowPayload:
    obj = _object(by_id([input.object], info), "object", input.object)
    row: Any
    row, created = follows.get_or_follow(
        viewer, obj, input.send_action, input.actor_only, input.flag
    )
    edge = FollowEdge(cursor=Position.of(row, "started").cursor("f"), node=row)
    return FollowPayload(follow=row, follow_edge=edge, object=obj, created=created)


def unfollow(viewer: Any, info: Info, input: UnfollowInput) -> UnfollowPayload:
    obj = _object(by_id([input.object], info), "object", input.object)
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
    create_actions = _mutation(
        create_actions,
        CreateActionsInput,
        CreateActionsPayload,
        "Record many actions, or none where one is refused.",
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


def _given(
    viewer: Any, info: Info, inputs: Sequence[ActionInput]
) -> list[dict[str, Any] | ValidationError]:
    """What :func:`server.records.record_many` takes, loaded in one query for each model."""
    roles = (role for each in inputs for role in (each.actor, each.action_object, each.target))
    found = by_id((given for given in roles if given is not None), info)
    may_act_as = viewer.has_perm("activity.act_as")
    given: list[dict[str, Any] | ValidationError] = []
    for each in inputs:
        try:
            given.append(_keywords(viewer, may_act_as, each, found))
        except ValidationError as refusal:
            given.append(refusal)
    return given


def _keywords(
    viewer: Any, may_act_as: bool, input: ActionInput, found: Mapping[str, Any]
) -> dict[str, Any]:
    """What :func:`server.records.record` takes, if the viewer may record it."""
    actor = viewer if input.actor is None else _object(found, "actor", input.actor)
    if actor != viewer and not may_act_as:
        message = "You may record your own actions alone."
        raise _refusal("actor", message, ErrorCode.NOT_ALLOWED)
    if input.timestamp is not None and not may_act_as:
        raise _refusal("timestamp", "You may not choose the time.", ErrorCode.NOT_ALLOWED)
    return {
        "actor": actor,
        "verb": input.verb,
        "action_object": _object(found, "action_object", input.action_object),
        "target": _object(found, "target", input.target),
        "description": input.description,
        "public": input.public,
        "timestamp": input.timestamp,
        "data": input.data,
        "idempotency_key": input.idempotency_key,
    }


def _result(action: Any) -> dict[str, Any]:
    edge = ActionEdge(cursor=Position.of(action, "timestamp").cursor("a"), node=action)
    return {"action": action, "action_edge": edge}


def _object(found: Mapping[str, Any], field: str, given: str | None) -> Any:
    """The node behind an input's id, of those that were found, if it can have a role."""
    if given is None:
        return None
    obj = found.get(given)
    if obj is None:
        raise _not_found(field, given)
    try:
        registry.check(obj)
    except ImproperlyConfigured:
        message = f"Nodes of type {type_name(type(obj))} take no part in streams."
        raise _refusal(field, message, ErrorCode.NOT_REGISTERED) from None
    return obj


def _not_found(field: str, given: str) -> ValidationError:
    message = f"{given[:60]!r} is no id of a node that you may see."
    return _refusal(field, message, ErrorCode.NOT_FOUND)


def _refusal(field: str, message: str, code: ErrorCode) -> ValidationError:
    return ValidationError({field: ValidationError(message, code=code.name)})


def _user_errors(refused: ValidationError) -> list[UserError]:
    path = ["input", "actions"] if isinstance(refused, records.Refusals) else ["input"]
    return [
        UserError(
            field=[*path, *map(to_camel_case, field.split("."))],
            message=message,
            code=ErrorCode.__members__.get((error.code or "").upper(), ErrorCode.INVALID),
        )
        for field, errors in refused.error_dict.items()
        for error in errors
        for message in error.messages
    ]
