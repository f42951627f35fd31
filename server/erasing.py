"""Erasing a person: nothing stored names them any more, or what names them has no name.

In an order that may be broken off anywhere and begun again: first the person can log in no more,
last goes what tells who it was.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import (
    PROTECT,
    RESTRICT,
    CharField,
    EmailField,
    Field,
    ProtectedError,
    QuerySet,
    RestrictedError,
    TextField,
)

from . import batches, persons
from .models import Session
from .persons import Advance, Part

#: What the name of somebody anonymous begins with.
NAMELESS = "erased-"


class Blocked(Exception):
    """The user's row cannot be deleted; the text says what is in the way."""


@dataclass
class Erasure:
    """The erasing of a user, or the making anonymous."""

    user: Any
    anonymise: bool = False
    keep_text: bool = False
    """Of somebody anonymous, keep the descriptions and data of public actions."""

    def __post_init__(self) -> None:
        self.model, self.using, self.key = type(self.user), self.user._state.db, self.user.pk

    def counts(self) -> dict[str, tuple[int, str]]:
        """How many rows of each part there are, and what becomes of them."""
        words: dict[str, tuple[int, str]] = {}
        for part in persons.parts():
            left = self._left(part)
            becomes = "deleted" if left is None else "emptied" if left else "kept"
            words[part.name] = part.of(self.user).count(), becomes
        return words

    def others(self) -> dict[str, int]:
        """How many rows of other models refer to the user, by the label of the model."""
        known = {part.of(self.user).model for part in persons.parts()}
        own = {field.remote_field.through for field in self.model._meta.many_to_many}
        found: dict[str, int] = {}
        for relation in self._relations():
            model = relation.related_model
            number = 0 if model in known | own else self._referring(relation).count()
            if number:
                found[model._meta.label] = found.get(model._meta.label, 0) + number
        return found

    def check(self) -> None:
        """Raise Blocked, before anything is done, where other rows protect the user's."""
        covered = {part.of(self.user).model for part in persons.parts()}
        for relation in () if self.anonymise else self._relations():
            protects = getattr(relation, "on_delete", None) in (PROTECT, RESTRICT)
            meant = protects and relation.related_model not in covered
            if meant and self._referring(relation).exists():
                raise Blocked(_blocked(relation.related_model._meta.label))

    def run(self, advance: Advance) -> list[str]:
        """Do it; returns the columns of the user that could not be emptied.

        ``advance`` is told how many rows of a part are done. Raises Blocked. Begun again it goes
        on; it ends when nothing is left.
        """
        self.check()
        self._shut_out()
        done: dict[str, int] = {}
        try:
            # What a request that was under way has added is taken in another round.
            while self._round(done, advance):
                pass
            stay = self._take_name() if self.anonymise else self._delete()
            while self._round(done, advance):
                pass
        except (ProtectedError, RestrictedError, IntegrityError) as error:
            raise Blocked(_blocked(str(error.args[0]))) from error
        return stay

    def _round(self, done: dict[str, int], advance: Advance) -> int:
        """All parts, a batch at a time; returns how many rows were deleted."""
        deleted = 0
        for part in persons.parts():
            left = self._left(part)
            seen = done.get(part.name, 0) if left is None else 0
            for rows in () if left == {} else part.batches(part.of(self.user)):
                if left is None:
                    deleted += sum(batches.remove(rows, self.using))
                else:
                    batches.change(rows, left, self.using)
                seen = done[part.name] = seen + len(rows)
                advance(part.name, seen)
        return deleted

    def _left(self, part: Part) -> persons.Values | None:
        if not self.anonymise:
            return part.erased
        return {} if self.keep_text and part.name == "actions" else part.anonymised

    def _shut_out(self) -> None:
        """From now on nobody logs in as the user, nor is logged in."""
        fields = {field.name for field in self.model._meta.concrete_fields}
        values = {"password": make_password(None), "is_active": False}
        with transaction.atomic(using=self.using):
            self._row().update(**{name: it for name, it in values.items() if name in fields})
            QuerySet(Session, using=self.using).filter(user_id=self.key).delete()

    def _delete(self) -> list[str]:
        with transaction.atomic(using=self.using):
            self._row().delete()
        return []

    def _take_name(self) -> list[str]:
        values, stay = nameless(self.model)
        with transaction.atomic(using=self.using):
            for field in self.model._meta.many_to_many:
                getattr(self.user, field.name).clear()
            self._row().update(**values)
        return stay

    def _row(self) -> QuerySet[Any]:
        # Not by a manager of the site's, which may leave out who is inactive.
        return QuerySet(self.model, using=self.using).filter(pk=self.key)

    def _relations(self) -> list[Any]:
        fields = self.model._meta.get_fields(include_hidden=True)
        return [it for it in fields if it.auto_created and (it.one_to_many or it.one_to_one)]

    def _referring(self, relation: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = QuerySet(relation.related_model, using=self.using)
        return rows.filter(**{relation.field.name: self.user})


def nameless(model: Any) -> tuple[dict[str, Any], list[str]]:
    """The columns of nobody in particular, and the names of those that have to stay."""
    name = NAMELESS + secrets.token_hex(8)
    values: dict[str, Any] = {"password": make_password(None)}
    stay = []
    for field in model._meta.concrete_fields:
        if field.primary_key or getattr(field.remote_field, "parent_link", False):
            continue
        for value in _candidates(field, name, field.name == model.USERNAME_FIELD):
            values.setdefault(field.name, value)
        if field.name not in values:
            stay.append(field.name)
    return values, stay


def _candidates(field: Field[Any, Any], name: str, names: bool) -> Iterator[Any]:
    """What a column may hold of nobody, the best first."""
    is_text = isinstance(field, CharField | TextField)
    if field.name in ("is_active", "is_staff", "is_superuser"):
        yield False
    if is_text and (names or (field.unique and not field.null)):
        name = f"{name}@erased.invalid" if isinstance(field, EmailField) else name
        yield name[: field.max_length]
    if field.null:
        yield None
    if field.has_default():
        yield field.get_default()
    if field.empty_strings_allowed and not field.unique:
        yield ""


def _blocked(what: str) -> str:
    return (
        f"Other rows protect the user: {what}. Delete these first, have them kept by "
        "server.persons.keep(), or make the user anonymous: --anonymise."
    )
