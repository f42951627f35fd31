"""Node: everything with a global id, and the one door through which objects leave."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any, ClassVar, TypeVar

import strawberry
import strawberry_django
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.db.models import ForeignKey, Model, QuerySet
from django.utils.module_loading import autodiscover_modules
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from server import objects, registry
from server.actions import Action
from server.follows import Follow, followed_among
from server.objects import Reference

from .context import Info, Peers, place, together

Type = TypeVar("Type", bound=type)

FlagArgument = Annotated[
    str | None,
    strawberry.argument(description='Any flag when left out; "": the plain follow alone.'),
]


@strawberry.interface(description="Everything with a global id; Relay's Node and more.")
class Node:
    """The interface, and what a type may say of itself.

    A site's types override ``display_name`` and ``get_queryset``.
    """

    #: The fields that lead to another object, and what a row names by each.
    refers: ClassVar[Mapping[str, Callable[[Any], Reference | None]]] = {}
    #: Those of them that the display name is made of.
    named_by: ClassVar[frozenset[str]] = frozenset()

    def display_name(self) -> str:
        """How a client shows an instance; ``self`` is the model's instance."""
        return _user_name(self) if isinstance(self, AbstractBaseUser) else str(self)

    @classmethod
    def compose(cls, obj: Any, names: Mapping[str, str]) -> str:
        """The display name, of the names behind those fields in ``named_by`` that are there."""
        return cls.display_name(obj)

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Info) -> QuerySet[Any]:
        """The visibility rule: those of ``queryset`` that ``info.context.viewer`` may see."""
        return queryset

    @classmethod
    def resolve_type(cls, obj: Any, info: Any, abstract_type: Any) -> str | None:
        return type_name(type(obj))

    @strawberry.field(name="id", description="Opaque, and unique among all nodes.")
    def _id(self, info: Info) -> strawberry.ID:
        return global_id(self)

    @strawberry.field(
        name="displayName",
        description="How a client shows this node without knowing its type; made of nothing that "
        "the viewer may not see.",
    )
    def _display_name(self, info: Info) -> str:
        def load(peers: list[Any], _: Peers) -> dict[Any, str]:
            composed = node_type(type(peers[0])).named_by
            return shown(info, peers, door(info, self)[1] if composed else None)

        return together(info, self, "displayName", load)[0]

    @strawberry.field(name="url", description="Its page on the site, where it has one.")
    def _url(self) -> str | None:
        url = getattr(self, "get_absolute_url", None)
        return url() if url else None

    @strawberry.field(
        name="viewerIsFollowing",
        description="Whether the viewer follows this node; false where nobody is logged in.",
    )
    def _viewer_is_following(self, info: Info, flag: FlagArgument = None) -> bool:
        def load(peers: list[Model], _: Peers) -> dict[Model, bool]:
            named = {peer: registry.reference(peer) for peer in peers}
            followed = followed_among(info.context.viewer, filter(None, named.values()), flag)
            return {peer: reference in followed for peer, reference in named.items()}

        return together(info, self, str(info.path.key), load)[0]


def node(
    model: type[Model],
    *,
    name: str | None = None,
    aliases: Iterable[str] = (),
    description: str | None = None,
) -> Callable[[type], Any]:
    """Make a class the GraphQL type of a registered model: ``@node(Repository)``.

    Fields are declared as with strawberry-django (``name: auto``); a foreign key to a registered
    model leads to that model's node. The type's name is part of every id: keep an old one in
    ``aliases``, and ids with it still load.

    Raises ImproperlyConfigured if the model is not registered or the name is taken.
    """

    def decorate(cls: type) -> Any:
        known = registry.check(model)
        graphql_name = name or cls.__name__
        namespace = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
        namespace["is_type_of"] = classmethod(lambda cls, obj, info: _is(cls, obj))
        bases = (cls,) if issubclass(cls, Node) else (cls, Node)
        declared: Any = strawberry_django.type(
            known,
            name=graphql_name,
            description=description or f"One {known._meta.verbose_name} of this site.",
        )(type(cls.__name__, bases, namespace))
        claim(known, declared, graphql_name, aliases)
        return declared

    return decorate


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
    CreateActionInput CreateActionPayload DeleteActionInput DeleteActionPayload FollowInput
    FollowPayload UnfollowInput UnfollowPayload""".split()  # noqa: SIM905 - a page of quotes
)


@cache
def discover() -> type[Enum]:
    """Load every app's ``nodes.py``, make a type for each registered model that has none.

    Returns the enum NodeType, of one value per registered model. To be called once, when every
    app is ready; what is registered later has no type.
    """
    autodiscover_modules("nodes")
    for model in registry.registered():
        if model not in _types and model not in OURS:
            node(model)(type(model.__name__, (), {"__module__": __name__, **_declared(model)}))
    for model, declared in _types.items():
        _lead_through_the_door(model, declared)
    named = [(OURS.get(model) or _name(_types[model]), model) for model in registry.registered()]
    values = [
        (re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper(), model) for name, model in named
    ]
    enum: Any = Enum  # a functional enum that mypy need not understand
    kinds: Any = strawberry.enum(
        enum("NodeType", values),
        name="NodeType",
        description="The types of node that take part in streams.",
    )
    for value, (name, _) in zip(kinds.__strawberry_definition__.values, named, strict=True):
        value.description = f"Nodes of type {name}."
    return kinds  # type: ignore[no-any-return]


def extend(field: StrawberryField, model: type[Model] | None = None) -> None:
    """Give a field to Node and every type that implements it, or to one model's type alone.

    Raises ImproperlyConfigured where a type has a field of that name.
    """
    for declared in [_types[model]] if model else [Node, *_types.values()]:
        definition = get_object_definition(declared, strict=True)
        if any(_field_name(present) == _field_name(field) for present in definition.fields):
            raise ImproperlyConfigured(
                f"The GraphQL type {definition.name} has a field {_field_name(field)!r} already; "
                "rename it, or the stream of that name."
            )
        definition.fields.append(field)


def added(resolver: Callable[..., Any], of: Any, description: str, name: str = "") -> Any:
    """A nullable field for :func:`extend`, so that its fault leaves its siblings healthy."""
    field = strawberry.field(resolver=resolver, graphql_type=of | None, description=description)
    field.python_name = name or resolver.__name__
    return field


def all_types() -> list[type[Node]]:
    """The types of every registered model, and Action and Follow."""
    return list(_types.values())


def node_type(model: type[Model]) -> type[Node]:
    """The GraphQL type of a model, its proxies and children; KeyError where there is none."""
    return _types[_known(model)]


def type_name(model: type[Model]) -> str | None:
    """The GraphQL name of :func:`node_type`, or None."""
    discover()
    known = _known(model)
    return OURS.get(known) or (_name(_types[known]) if known in _types else None)


Named = Mapping[Any, Mapping[str, Any]]


def shown(
    info: Info, nodes: Iterable[Any], named: Named | None = None, depth: int = 2
) -> dict[Any, str]:
    """The display names of nodes.

    That of an action or a follow is made of the names of what it names, as far as the viewer may
    see it; ``named`` is that, where it is known. So on to a depth, in one query for each model.
    """
    nodes = list(nodes)
    if named is None:
        named = load_named(info, {n: node_type(type(n)).named_by for n in nodes} if depth else {})
    behind = {obj: None for objs in named.values() for obj in objs.values() if obj is not None}
    names = shown(info, behind, depth=depth - 1) if behind else {}
    return {
        node: node_type(type(node)).compose(
            node,
            {name: names[obj] for name, obj in named.get(node, {}).items() if obj is not None},
        )
        for node in nodes
    }


def load_named(info: Info, wanted: Mapping[Any, Iterable[str]]) -> dict[Any, dict[str, Any]]:
    """What nodes name by some fields of their type's ``refers``; None where it is not visible."""
    by = [
        (node, name, node_type(type(node)).refers[name](node))
        for node, names in wanted.items()
        for name in names
    ]
    found = objects.load((r for *_, r in by if r), lambda model: visible(model, info))
    answers: dict[Any, dict[str, Any]] = {node: {} for node in wanted}
    for node, name, reference in by:
        answers[node][name] = found.get(reference) if reference else None
    return answers


def global_id(obj: Any) -> strawberry.ID:
    """base64 of TypeName:pk, as Relay's Global Object Identification has it."""
    key = getattr(obj, registry.pk_name(_known(type(obj))))
    return strawberry.ID(_encode(f"{type_name(type(obj))}:{key}"))


def by_id(ids: Iterable[str], info: Info) -> dict[str, Any]:
    """The objects that the viewer may see behind ids, in one query per type.

    An id that is unknown, malformed or not visible is left out.
    """
    keys: dict[type[Model], dict[str, str]] = {}
    for given in set(ids):
        name, _, key = (_decode(given) or "").partition(":")
        if name in _names:
            keys.setdefault(_names[name][0], {})[given] = key
    found: dict[str, Any] = {}
    for model, wanted in keys.items():
        rows = objects.fetch(visible(model, info), wanted.values())
        found |= {given: rows[key] for given, key in wanted.items() if key in rows}
    return found


def one_by_id(given: str, info: Info) -> Any:
    """As :func:`by_id`, for one id; None where it is left out."""
    return by_id([given], info).get(given)


def visible(model: type[Model], info: Info) -> QuerySet[Any]:
    """The rows of a model that the viewer may see."""
    return _types[model].get_queryset(model._default_manager.all(), info)


def door(info: Info, source: Any) -> tuple[Mapping[str, Any], Named]:
    """The objects that ``source`` names by its type's ``refers``, each if it is visible.

    Loaded for all peers, and for all fields that are selected of them, in one query per model.
    Returns what ``source`` names, and what each of its peers does.
    """
    declared = node_type(type(source))

    def load(peers: list[Any], group: Peers) -> dict[Any, dict[str, Any]]:
        wanted = set(declared.refers)
        if group.selected is not None:
            named_by = declared.named_by if "displayName" in group.selected else frozenset()
            wanted &= group.selected | named_by
        return load_named(info, dict.fromkeys(peers, wanted))

    return together(info, source, "refers", load)


def leading(name: str, to: type[Node], description: str) -> Any:
    """A field that leads to another node by one of its type's ``refers``."""

    def resolve(self: Any, info: Info) -> Any:
        mine, answers = door(info, self)
        here = place(info._raw_info.path)
        peers = info.context.peers.get(here)
        if peers is None or peers.loaded_by is not answers:
            behind = dict.fromkeys(answer[name] for answer in answers.values())
            behind.pop(None, None)
            info.context.peers[here] = Peers(list(behind), loaded_by=answers)
        return mine[name]

    return strawberry.field(
        resolver=resolve, name=name, description=description, graphql_type=to | None
    )


def _lead_through_the_door(model: type[Model], declared: type[Node]) -> None:
    """Let the foreign keys among a type's fields lead to nodes, by the one door."""
    definition = get_object_definition(declared, strict=True)
    for at, field in enumerate(definition.fields):
        if field.base_resolver:
            continue
        try:
            key = model._meta.get_field(getattr(field, "django_name", None) or field.python_name)
        except FieldDoesNotExist:
            continue
        if not isinstance(key, ForeignKey) or not key.target_field.primary_key:
            continue
        to = registry.lookup(key.related_model)
        if to is None:
            continue
        name = _field_name(field)
        lead = leading(name, _types[to], field.description or f"Its {key.verbose_name}.")
        lead.python_name = field.python_name
        definition.fields[at] = lead
        declared.refers = {**declared.refers, name: partial(objects.refers_by_key, key=key, to=to)}


def _declared(model: type[Model]) -> dict[str, Any]:
    """What the type of a model shows that has no ``nodes.py``: of a user, the user name."""
    user: Any = get_user_model()
    if model is not registry.lookup(user) or user.get_email_field_name() == user.USERNAME_FIELD:
        return {}

    def username(self: Any) -> str:
        return _user_name(self)

    description = "The name that the user logs in with, unless it is an e-mail address."
    return {"username": strawberry.field(resolver=username, description=description)}


def _user_name(user: Any) -> str:
    """A user's name, never the e-mail address."""
    name = user.get_username()
    if user.get_email_field_name() != user.USERNAME_FIELD and not _is_email(user, name):
        return str(name)
    full = user.get_full_name().strip() if hasattr(user, "get_full_name") else ""
    return full if full and not _is_email(user, full) else f"{type(user).__name__} {user.pk}"


def _is_email(user: Any, name: str) -> bool:
    email = getattr(user, user.get_email_field_name(), None) or ""
    try:
        validate_email(name)
    except ValidationError:
        return name.casefold() == email.casefold()
    return True


def _known(model: type[Model]) -> type[Model]:
    """The model whose type an instance of ``model`` has: itself, for Action and Follow."""
    return model if model in _types else registry.lookup(model) or model


def _name(declared: type[Node]) -> str:
    name: str | None = get_object_definition(declared, strict=True).name
    return str(name)


def _field_name(field: StrawberryField) -> str:
    return field.graphql_name or to_camel_case(field.python_name)


def _is(declared: type[Node], obj: Any) -> bool:
    return isinstance(obj, Model) and _types.get(_known(type(obj))) is declared


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(given: str) -> str | None:
    """What an id says, or None if it is no id that we would write."""
    try:
        text = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text if _encode(text) == given else None
