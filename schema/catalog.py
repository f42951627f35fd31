"""Which GraphQL type the objects of a model have, and the ids that name them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import strawberry
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from strawberry.types import get_object_definition

from server import registry
from server.actions import Action
from server.follows import Follow

if TYPE_CHECKING:
    from .nodes import Node


def claim(
    model: type[Model], declared: type[Node], name: str, aliases: Iterable[str] = ()
) -> None:
    """Make a type the one of a model, and names those of its ids."""
    for wanted in (name, *aliases):
        owner = _names.get(wanted)
        if owner or wanted in RESERVED:
            other = owner[0]._meta.label if owner else "Brook itself"
            raise ImproperlyConfigured(
                f"The GraphQL name {wanted!r} of {model._meta.label} is taken by {other}; rename "
                f'one of them: @node({model.__name__}, name="…").'
            )
    if model in _types:
        raise ImproperlyConfigured(f"{model._meta.label} has two node types; keep one.")
    for wanted in (name, *aliases):
        _names[wanted] = (model, declared)
    _types[model] = declared


#: The types that ``actions.py`` and ``follows.py`` claim.
OURS: dict[type[Model], str] = {Action: "Action", Follow: "Follow"}

_types: dict[type[Model], type[Node]] = {}
_names: dict[str, tuple[type[Model], type[Node]]] = {}

RESERVED = frozenset(
    """Node NodeType PageInfo Query Mutation Subscription Boolean DateTime Float ID Int JSON String
    ActionConnection ActionEdge ActionFilter FollowConnection FollowEdge UserError ErrorCode
    ActionInput CreateActionInput CreateActionPayload CreateActionsInput CreateActionsPayload
    CreatedAction DeleteActionInput DeleteActionPayload FollowInput FollowPayload UnfollowInput
    UnfollowPayload""".split()  # noqa: SIM905 - a page of quotes
)


def all_models() -> list[type[Model]]:
    """Every model that has a type."""
    return list(_types)


def node_type(model: type[Model]) -> type[Node]:
    """The GraphQL type of a model, its proxies and children; KeyError where there is none."""
    return _types[known_model(model)]


def model_of(name: str) -> type[Model] | None:
    """The model whose objects have the GraphQL type of this name, or None."""
    return _names[name][0] if name in _names else None


def type_name(model: type[Model]) -> str | None:
    """The GraphQL name of :func:`node_type`, or None."""
    known = known_model(model)
    return OURS.get(known) or (name_of(_types[known]) if known in _types else None)


def global_id(obj: Any) -> strawberry.ID:
    """base64 of TypeName:pk, as Relay's Global Object Identification has it."""
    return strawberry.ID(ids_of(str(type_name(type(obj))))([obj])[0])


@cache
def ids_of(name: str) -> Callable[[Sequence[Any]], list[str]]:
    """What makes the ids of objects that have the GraphQL type of this name."""
    key, written = attrgetter(registry.pk_name(_names[name][0])), binascii.b2a_base64
    return lambda objects: [
        written(f"{name}:{key(obj)}".encode(), newline=False).decode() for obj in objects
    ]


def parse_id(given: str) -> tuple[type[Model], str] | None:
    """The model and the primary key that an id names, or None if it is no id of ours."""
    name, _, key = (_decode(given) or "").partition(":")
    return (_names[name][0], key) if name in _names else None


def known_model(model: type[Model]) -> type[Model]:
    """The model whose type an instance of ``model`` has: itself, for Action and Follow."""
    return model if model in _types else registry.lookup(model) or model


def is_of(declared: type[Node], obj: Any) -> bool:
    """Whether an object is of a type, and of no other."""
    return isinstance(obj, Model) and _types.get(known_model(type(obj))) is declared


def name_of(declared: type[Node]) -> str:
    """The GraphQL name of a type."""
    name: str | None = get_object_definition(declared, strict=True).name
    return str(name)


def _encode(text: str) -> str:
    return binascii.b2a_base64(text.encode(), newline=False).decode()


def _decode(given: str) -> str | None:
    """What an id says, or None if it is no id that we would write."""
    try:
        text = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text if _encode(text) == given else None
