"""Every model by name, and the streams as functions."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet

from .actions import Action
from .follows import Follow, follow, followers, following, is_following, unfollow
from .records import send_many
from .sessions import Session
from .signals import action

__all__ = [
    "Action",
    "Follow",
    "Session",
    "action",
    "action_object_stream",
    "actor_stream",
    "any_stream",
    "follow",
    "followers",
    "following",
    "is_following",
    "model_stream",
    "send_many",
    "target_stream",
    "unfollow",
    "user_stream",
]


def user_stream(user: Any, *args: Any, **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.user_stream`."""
    return Action.objects.user_stream(user, *args, **kwargs)


def actor_stream(actor: Model, **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.actor_stream`."""
    return Action.objects.actor_stream(actor, **kwargs)


def target_stream(target: Model, **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.target_stream`."""
    return Action.objects.target_stream(target, **kwargs)


def action_object_stream(action_object: Model, **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.action_object_stream`."""
    return Action.objects.action_object_stream(action_object, **kwargs)


def any_stream(object: Model, **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.any_stream`."""
    return Action.objects.any_stream(object, **kwargs)


def model_stream(model: Model | type[Model], **kwargs: Any) -> QuerySet[Action]:
    """:meth:`server.streams.ActionManager.model_stream`."""
    return Action.objects.model_stream(model, **kwargs)
