"""The objects that a page names, one query per model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Model, QuerySet

from . import registry

#: (content type id, object id): how a row names an object.
Reference = tuple[int, str]


def load(
    references: Iterable[Reference],
    narrow: Callable[[type[Model]], QuerySet[Any]] | None = None,
    using: str | None = None,
) -> dict[Reference, Model]:
    """The objects behind references, in one query for each model among them.

    ``narrow`` gives the QuerySet of a model to look among (all rows when left out). What does not
    exist, is not registered, or is no key of its model is left out of the answer.
    """
    keys: dict[int, set[str]] = {}
    for type_id, object_id in references:
        keys.setdefault(type_id, set()).add(object_id)
    found: dict[Reference, Model] = {}
    for type_id, texts in keys.items():
        model = _model(type_id, using)
        if model is None:
            continue
        queryset = narrow(model) if narrow else model._base_manager.all()
        for text, obj in fetch(queryset.using(using), texts).items():
            found[type_id, text] = obj
    return found


def fetch(queryset: QuerySet[Any], texts: Iterable[str]) -> dict[str, Model]:
    """The rows of a QuerySet whose primary keys are written so, in one query."""
    model = queryset.model
    parsed = [key for text in texts if (key := parse_key(model, text)) is not None]
    if not parsed:
        return {}
    name = registry.pk_name(model)
    return {str(getattr(obj, name)): obj for obj in queryset.filter(pk__in=parsed)}


def attach(rows: Sequence[Model], roles: Sequence[str], using: str | None = None) -> None:
    """Fill generic foreign keys of rows, with None where the object is gone."""
    fields: list[Any] = [rows[0]._meta.get_field(role) for role in roles] if rows else []
    named = [(row, field, refers(row, field)) for row in rows for field in fields]
    found = load((reference for *_, reference in named if reference), using=using)
    for row, field, reference in named:
        field.set_cached_value(row, found.get(reference) if reference else None)


def refers(row: Model, field: Any) -> Reference | None:
    """What a generic foreign key of a row names."""
    type_id = getattr(row, f"{field.ct_field}_id")
    object_id = getattr(row, field.fk_field)
    return None if type_id is None or object_id is None else (type_id, str(object_id))


def refers_by_key(row: Model, key: Any, to: type[Model]) -> Reference | None:
    """What a foreign key of a row names, as a reference to the registered model ``to``."""
    value = getattr(row, key.attname)
    return None if value is None else (registry.content_type(to).pk, str(value))


def parse_key(model: type[Model], text: str) -> Any:
    """The primary key that a text names, or None if it is no canonical key of the model.

    Canonical, so that one object has one reference: "007" and "+7" are not 7.
    """
    field: Any = model._meta.pk
    while field.remote_field:  # a one-to-one or parent link: the key is the other model's
        field = field.target_field
    try:
        key = field.to_python(text)
        if isinstance(field, IntegerField):
            field.run_validators(key)  # its range on this database
    except (ValidationError, ValueError, OverflowError):
        return None
    return key if str(key) == text and "\x00" not in text else None


def _model(type_id: int, using: str | None) -> type[Model] | None:
    try:
        model = ContentType.objects.db_manager(using).get_for_id(type_id).model_class()
    except ContentType.DoesNotExist:
        return None
    return model and registry.lookup(model)
