"""The objects that a page names, one query per model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, itemgetter
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Model, QuerySet

from . import registry, rows
from .rows import Columns

#: (content type id, object id): how a row names an object.
Reference = tuple[int, str]


@dataclass(frozen=True)
class ByRole:
    """How a row names an object by a generic foreign key."""

    field: Any

    def __call__(self, row: Model) -> Reference | None:
        type_id, object_id = self._named(row)
        return None if type_id is None or object_id is None else (type_id, str(object_id))

    @property
    def columns(self) -> tuple[str, str]:
        return (f"{self.field.ct_field}_id", self.field.fk_field)

    @cached_property
    def held(self) -> itemgetter[tuple[Any, Any]]:
        """The same of what a row holds that has these columns; (None, None) for none."""
        return itemgetter(*self.columns)

    @cached_property
    def _named(self) -> attrgetter[tuple[Any, Any]]:
        return attrgetter(*self.columns)


@dataclass(frozen=True)
class ByKey:
    """How a row names an object of a registered model by a foreign key."""

    key: Any
    to: type[Model]

    def __call__(self, row: Model) -> Reference | None:
        value = getattr(row, self.key.attname)
        return None if value is None else (registry.content_type(self.to).pk, str(value))

    @property
    def columns(self) -> Columns:
        return (self.key.attname,)


def load(
    references: Iterable[Reference],
    narrow: Callable[[type[Model]], QuerySet[Any]] | None = None,
    using: str | None = None,
    only: Callable[[type[Model]], Columns] = lambda model: None,
) -> dict[Reference, Any]:
    """The objects behind references, in one query for all models that are read as they are.

    ``narrow`` gives the QuerySet of a model to look among (all rows when left out): one that asks
    for more than conditions on the model's own table takes a query of its own. ``only`` gives the
    columns that are needed of a model. What does not exist, is not registered, or is no key of its
    model is left out of the answer.
    """
    keys: dict[int, list[str]] = {}
    for type_id, object_id in set(references):
        keys.setdefault(type_id, []).append(object_id)
    found: dict[Reference, Any] = {}
    together: dict[str, list[tuple[int, rows.Wanted]]] = {}
    for type_id in sorted(keys):  # as few different statements as can be, for each is prepared
        model = registry.model_of(type_id, using)
        if model is None:
            continue
        queryset = narrow(model) if narrow else model._base_manager.all()
        if using:
            queryset = queryset.using(using)
        parsed = _parsed(queryset.model, keys[type_id])
        part = rows.wanted(queryset, parsed, only(model)) if parsed else None
        if part:
            together.setdefault(queryset.db, []).append((type_id, part))
        elif parsed:
            found |= _named(type_id, queryset.model, rows.with_keys(queryset, parsed))
    for parts in together.values():
        made = rows.together([part for _, part in parts])
        for (type_id, part), those in zip(parts, made, strict=True):
            found |= _named(type_id, part.read.model, those)
    return found


def _named(type_id: int, model: type[Model], made: list[Any]) -> dict[Reference, Any]:
    name = registry.pk_name(model)
    return {(type_id, str(getattr(obj, name))): obj for obj in made}


def fetch(queryset: QuerySet[Any], texts: Iterable[str], only: Columns = None) -> dict[str, Model]:
    """The rows of a QuerySet whose primary keys are written so, in one query."""
    parsed = _parsed(queryset.model, texts)
    if not parsed:
        return {}
    name = registry.pk_name(queryset.model)
    return {str(getattr(obj, name)): obj for obj in rows.with_keys(queryset, parsed, only)}


def _parsed(model: type[Model], texts: Iterable[str]) -> list[Any]:
    return [key for text in texts if (key := parse_key(model, text)) is not None]


def attach(found: Sequence[Model], roles: Sequence[str], using: str | None = None) -> None:
    """Fill generic foreign keys of rows, with None where the object is gone."""
    by = [ByRole(found[0]._meta.get_field(role)) for role in roles] if found else []
    named = [(row, refer.field, refer(row)) for row in found for refer in by]
    objects = load((reference for *_, reference in named if reference), using=using)
    for row, field, reference in named:
        field.set_cached_value(row, objects.get(reference) if reference else None)


def refers(row: Model, field: Any) -> Reference | None:
    """What a generic foreign key of a row names."""
    return ByRole(field)(row)


def parse_key(model: type[Model], text: str) -> Any:
    """The primary key that a text names, or None if it is no canonical key of the model.

    Canonical, so that one object has one reference: "007" and "+7" are not 7.
    """
    field: Any = model._meta.pk
    if type(field) in rows.PLAIN_KEYS and _PLAIN_KEY.fullmatch(text) and not field._validators:
        return int(text)
    while field.remote_field:  # a one-to-one or parent link: the key is the other model's
        field = field.target_field
    try:
        key = field.to_python(text)
        if isinstance(field, IntegerField):
            field.run_validators(key)  # its range on this database
    except (ValidationError, ValueError, OverflowError):
        return None
    return key if str(key) == text and "\x00" not in text else None


#: A number that every one of these fields has, on any database.
_PLAIN_KEY = re.compile("[1-9][0-9]{0,8}", re.ASCII)
