"""Node: everything with a global id, and a GraphQL type for every registered model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, TypeVar

import strawberry
import strawberry_django
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AbstractUser, Group
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.db.models import ForeignKey, Model, QuerySet
from django.utils.module_loading import autodiscover_modules
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryList
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from server import registry
from server.follows import followed_among
from server.objects import ByKey, ByRole
from server.rows import Columns

from . import catalog
from .catalog import OURS, all_models, claim, name_of, node_type, type_name
from .context import Info, Peers, place, together
from .door import behind, shown

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
    refers: ClassVar[Mapping[str, ByRole | ByKey]] = {}
    #: Those of them that the display name is made of.
    named_by: ClassVar[frozenset[str]] = frozenset()
    #: The columns that the display name is made of; None: any, so all of them are loaded.
    named_from: ClassVar[Columns] = None

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
    def namer(cls) -> Callable[[Any], str]:
        """What composes the display name of an instance that names nothing."""
        compositions: Any = (cls.compose, Node.compose)
        if compositions[0].__func__ is not compositions[1].__func__:
            return lambda obj: cls.compose(obj, {})
        if cls.display_name is not Node.display_name:
            return cls.display_name
        model: Any = catalog.model_of(catalog.name_of(cls))
        return _user_namer(model) if issubclass(model, AbstractBaseUser) else str

    @classmethod
    def has_no_rule(cls) -> bool:
        """Whether every viewer may see all of them."""
        rules: Any = (cls.get_queryset, Node.get_queryset)
        return rules[0].__func__ is rules[1].__func__

    @classmethod
    def resolve_type(cls, obj: Any, info: Any, abstract_type: Any) -> str | None:
        return type_name(type(obj))

    @strawberry.field(name="id", description="Opaque, and unique among all nodes.")
    def _id(self, info: Info) -> strawberry.ID:
        return catalog.global_id(self)

    @strawberry.field(
        name="displayName",
        description="How a client shows this node without knowing its type; made of nothing that "
        "the viewer may not see.",
    )
    def _display_name(self, info: Info) -> str:
        def load(peers: list[Any], _: Peers) -> dict[Any, str]:
            composed = node_type(type(peers[0])).named_by
            return shown(info, peers, behind(info, self)[1] if composed else None)

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
        namespace.setdefault("named_from", _named_from(known, cls))
        namespace["is_type_of"] = classmethod(lambda cls, obj, info: catalog.is_of(cls, obj))
        bases = (cls,) if issubclass(cls, Node) else (cls, Node)
        declared: Any = strawberry_django.type(
            known,
            name=graphql_name,
            description=description or f"One {known._meta.verbose_name} of this site.",
        )(type(cls.__name__, bases, namespace))
        claim(known, declared, graphql_name, aliases)
        return declared

    return decorate


@cache
def discover() -> type[Enum]:
    """Load every app's ``nodes.py``, make a type for each registered model that has none.

    Returns the enum NodeType, of one value per registered model. To be called once, when every
    app is ready; what is registered later has no type.
    """
    autodiscover_modules("nodes")
    for model in registry.registered():
        if model not in all_models() and model not in OURS:
            node(model)(type(model.__name__, (), {"__module__": __name__, **_declared(model)}))
    for model in all_models():
        _lead_through_the_door(model, node_type(model))
    named = [
        (OURS.get(model) or name_of(node_type(model)), model) for model in registry.registered()
    ]
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


def global_id(obj: Any) -> strawberry.ID:
    """The id of an object of a registered model, for a site's own code: base64 of TypeName:pk."""
    discover()
    return catalog.global_id(obj)


def extend(field: StrawberryField, model: type[Model] | None = None) -> None:
    """Give a field to Node and every type that implements it, or to one model's type alone.

    Raises ImproperlyConfigured where a type has a field of that name.
    """
    for declared in [node_type(model)] if model else [Node, *map(node_type, all_models())]:
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


def leading(name: str, to: type[Node], description: str) -> Any:
    """A field that leads to another node by one of its type's ``refers``."""

    def resolve(self: Any, info: Info) -> Any:
        mine, answers = behind(info, self)
        here = place(info._raw_info.path)
        peers = info.context.peers.get(here)
        if peers is None or peers.loaded_by is not answers:
            distinct = dict.fromkeys(answer[name] for answer in answers.values())
            distinct.pop(None, None)
            info.context.peers[here] = Peers(list(distinct), loaded_by=answers)
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
        key = _relation(model, getattr(field, "django_name", None) or field.python_name)
        to = key and registry.lookup(key.related_model)
        if to is None:
            continue
        if not isinstance(key, ForeignKey) or not key.target_field.primary_key:
            kind = field.type
            if isinstance(kind, StrawberryList) and kind.of_type is node_type(to):
                continue  # narrowed by strawberry-django to what get_queryset leaves
            raise ImproperlyConfigured(
                f"{model._meta.label}.{_field_name(field)} leads to {to._meta.label}, but not by "
                "its primary key, so get_queryset would not be asked who may see what is there. "
                "Leave it out; or, of many, annotate it with a list of the node type."
            )
        name = _field_name(field)
        lead = leading(name, node_type(to), field.description or f"Its {key.verbose_name}.")
        lead.python_name = field.python_name
        definition.fields[at] = lead
        declared.refers = {**declared.refers, name: ByKey(key, to)}


def _relation(model: type[Model], name: str) -> Any:
    """The relation that an attribute of a model's instances leads by, or None."""
    for relation in model._meta.get_fields():
        reverse = getattr(relation, "get_accessor_name", None)
        names = (reverse(),) if reverse else (relation.name, getattr(relation, "attname", None))
        if relation.related_model and name in names:
            return relation
    return None


def _declared(model: type[Model]) -> dict[str, Any]:
    """What the type of a model shows that has no ``nodes.py``: of a user, the user name."""
    if model.__str__ is Group.__str__:
        return {"named_from": ("name",)}
    user: Any = get_user_model()
    if model is not registry.lookup(user) or user.get_email_field_name() == user.USERNAME_FIELD:
        return {}

    def username(self: Any) -> str:
        return _user_name(self)

    description = "The name that the user logs in with, unless it is an e-mail address."
    return {"username": strawberry.field(resolver=username, description=description)}


def _named_from(model: Any, cls: type) -> Columns:
    """The columns that Node's own display name is made of; None where they are not known."""
    if getattr(cls, "display_name", None) not in (None, Node.display_name):
        return None
    ours = (AbstractBaseUser.get_username, AbstractUser.get_full_name)
    if (
        not issubclass(model, AbstractBaseUser)
        or (model.get_username, getattr(model, "get_full_name", ours[1])) != ours
    ):
        return None
    named = (model.USERNAME_FIELD, model.get_email_field_name(), "first_name", "last_name")
    return {f.attname for f in model._meta.concrete_fields if f.name in named}


def _user_name(user: Any) -> str:
    """A user's name, never the e-mail address."""
    name, field = user.get_username(), user.get_email_field_name()
    email = getattr(user, field, None) or ""
    if field != user.USERNAME_FIELD and not _is_email(name, email):
        return str(name)
    full = user.get_full_name().strip() if hasattr(user, "get_full_name") else ""
    return full if full and not _is_email(full, email) else f"{type(user).__name__} {user.pk}"


def _user_namer(model: Any) -> Callable[[Any], str]:
    """As :func:`_user_name`, of many users of a model: most have a name that is no address."""
    fields = model.USERNAME_FIELD, model.get_email_field_name()
    if model.get_username is not AbstractBaseUser.get_username or not hasattr(model, fields[1]):
        return _user_name
    both = attrgetter(*fields)

    def name(user: Any) -> str:
        name, email = both(user)
        if "@" in name or name.casefold() == (email or "").casefold():
            return _user_name(user)
        return str(name)

    return name


def _is_email(name: str, email: str) -> bool:
    if "@" in name:
        with suppress(ValidationError):
            validate_email(name)
            return True
    return name.casefold() == email.casefold()


def _field_name(field: StrawberryField) -> str:
    return field.graphql_name or to_camel_case(field.python_name)
