"""Which models take part in streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType, ContentTypeManager
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model

#: As much of a primary key as a row can hold.
KEY_LENGTH = 255

# Keyed by the concrete model, because a model and its proxies share rows and content type.
_registered: dict[type[Model], type[Model]] = {}
_relations: dict[str, Callable[[], GenericRelation]] = {}
_related: set[type[Model]] = set()


def relate(name: str, relation: Callable[[], GenericRelation]) -> None:
    """Give every model that is registered from now on a relation called ``name``."""
    _relations[name] = relation


def register(*models_or_labels: type[Model] | str) -> None:
    """Let models take part: as actor, target or action object, and to be followed.

    Call it in ``AppConfig.ready()``. Instances get ``actor_actions``, ``target_actions`` and
    ``action_object_actions``. Registering again changes nothing.

    Raises ImproperlyConfigured for what is no installed concrete model, for a second model over
    the same rows (a proxy beside its base), and where an attribute of the model is in the way.
    """
    for model_or_label in models_or_labels:
        model = _installed(model_or_label)
        concrete = _concrete(model)
        present = _registered.get(concrete)
        if present is model:
            continue
        if present is not None:
            raise ImproperlyConfigured(
                f"{model._meta.label} shares its rows with {present._meta.label}, which is "
                "registered already; register one of them."
            )
        family = [member for member in _family(concrete) if member not in _related]
        for member in family:
            for name in _relations:
                if name in vars(member):
                    raise ImproperlyConfigured(
                        f"{member._meta.label}.{name} is in the way of the relation that "
                        "register() adds; rename it."
                    )
        _registered[concrete] = model
        _related.update(family)
        for member in family:
            for name, relation in _relations.items():
                member.add_to_class(name, relation())


def unregister(*models_or_labels: type[Model] | str) -> None:
    """Take models out again, with the attributes that :func:`register` gave them."""
    for model_or_label in models_or_labels:
        concrete = _concrete(_installed(model_or_label))
        if _registered.pop(concrete, None) is None:
            continue
        for member in _family(concrete):
            if lookup(member):
                continue  # as a child or a parent of the model that was taken out
            _related.discard(member)
            meta: Any = member._meta
            for name in _relations:
                meta.private_fields[:] = [f for f in meta.private_fields if f.name != name]
                delattr(member, name)
            meta._expire_cache()


def registered() -> list[type[Model]]:
    """All models that take part, in the order in which they were registered."""
    return list(_registered.values())


def lookup(model: type[Model]) -> type[Model] | None:
    """The registered model by which rows of ``model`` take part, or None.

    A proxy and its base stand for each other; a multi-table child that is not registered itself
    takes part as its nearest registered parent.
    """
    return _registered.get(model) or next(lineage(model), None)


def lineage(model: type[Model]) -> Iterator[type[Model]]:
    """The registered models as which rows of ``model`` can be named, the nearest first."""
    passed = None
    for ancestor in model.__mro__:
        concrete = getattr(getattr(ancestor, "_meta", None), "concrete_model", None)
        if concrete is not passed and concrete in _registered:
            yield _registered[concrete]
        passed = concrete


def check(model_or_object: type[Model] | Model) -> type[Model]:
    """The registered model of a class or an instance; ImproperlyConfigured where there is none."""
    # By __class__, because type() of a lazy object (request.user) is not that of what it wraps.
    is_class = isinstance(model_or_object, type)
    model: Any = model_or_object if is_class else model_or_object.__class__
    found = lookup(model)
    if found is None:
        label = model._meta.label if issubclass(model, Model) else repr(model)
        raise ImproperlyConfigured(
            f"{label} takes no part in streams. Call server.registry.register({model.__name__}) "
            "in the ready() of its AppConfig."
        )
    return found


def content_type(model: type[Model], using: str | None = None) -> ContentType:
    """The content type under which a registered model is stored."""
    return _content_types(using).get_for_model(model)


def model_of(type_id: int, using: str | None = None) -> type[Model] | None:
    """The registered model that is stored under a content type, or None."""
    try:
        model = _content_types(using).get_for_id(type_id).model_class()
    except ContentType.DoesNotExist:
        return None
    return model and lookup(model)


@cache  # a manager is dear to copy; the copies have their content types in common
def _content_types(using: str | None) -> ContentTypeManager:
    return ContentType.objects.db_manager(using)


def reference(obj: Model, using: str | None = None) -> tuple[int, str] | None:
    """(content type id, object id) of a saved object; None if it cannot be named.

    That is: its model is not registered, or it has no primary key.
    """
    model = lookup(obj.__class__)
    key = None if model is None else getattr(obj, pk_name(model))
    return None if model is None or key is None else (content_type(model, using).pk, str(key))


def require(obj: Model, field: str, using: str) -> tuple[int, str]:
    """As :func:`reference`, of what is to be named in a row of a database.

    Raises ImproperlyConfigured if its model is not registered, and ValidationError, for ``field``,
    if it is not saved or its primary key has more than 255 characters.
    """
    model = check(obj)
    key = getattr(obj, pk_name(model))
    if key is None or obj._state.adding:
        raise ValidationError({field: f"{obj!r} is not saved, so nothing can name it."})
    text = str(key)
    if len(text) > KEY_LENGTH:
        raise ValidationError(
            {
                field: f"The primary key of what is named has at most {KEY_LENGTH} characters as "
                f"text; this one has {len(text)}."
            }
        )
    return content_type(model, using).pk, text


def pk_name(model: type[Model]) -> str:
    """The attribute of an instance, or of a child's, that holds the model's primary key."""
    return str(_concrete(model)._meta.pk.attname)


def _concrete(model: type[Model]) -> Any:
    return model._meta.concrete_model


def _family(concrete: type[Model]) -> list[type[Model]]:
    """The models whose rows are rows of this one too: its proxies and multi-table children."""
    return [model for model in apps.get_models() if issubclass(model, concrete)]


def _installed(model_or_label: type[Model] | str) -> type[Model]:
    try:
        if isinstance(model_or_label, str):
            return apps.get_model(model_or_label)
        if apps.get_model(model_or_label._meta.label) is model_or_label:
            return model_or_label
    except (AttributeError, LookupError, ValueError):
        pass
    raise ImproperlyConfigured(
        f"{model_or_label!r} is no installed model: register() takes concrete model classes of "
        'INSTALLED_APPS or labels such as "auth.Group".'
    )
