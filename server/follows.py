"""Who follows what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.utils import timezone

from . import objects, registry
from .bounds import storable, text_error
from .cascades import Dependents
from .references import ObjectIdField, Role
from .signals import action

#: A flag is at most this long, so that "started <flag>" is never longer than a verb (255).
FLAG_LENGTH = 247


class FollowQuerySet(models.QuerySet["Follow"]):
    """Follows, by the words that chain."""

    def flagged(self, flag: str | None) -> FollowQuerySet:
        """Those with this flag; None means any flag, and "" the plain follow."""
        if flag is None:
            return self
        return self.filter(flag=flag) if storable(flag) else self.none()

    def for_object(self, obj: models.Model, flag: str | None = None) -> FollowQuerySet:
        """Those that point at an object; none where its model is not registered."""
        rows = self._beside(obj)
        named = registry.reference(obj, rows.db)
        if named is None:
            return self.none()
        return rows.filter(content_type=named[0], object_id=named[1]).flagged(flag)

    def by(self, user: Any, flag: str | None = None) -> FollowQuerySet:
        """Those of a user; none for None, an anonymous or an unsaved one."""
        if not may_follow(user, flag):
            return self.none()
        return self._beside(user).filter(user_id=user.pk).flagged(flag)

    def of(self, wanted: Sequence[type[models.Model]] | None) -> FollowQuerySet:
        """Those that point at objects of these models; None means of any."""
        if wanted is None:
            return self
        types = [registry.content_type(model, self.db) for model in wanted]
        return self.filter(content_type__in=types)

    def _beside(self, obj: models.Model) -> FollowQuerySet:
        """In the database that was chosen, else in that of an object."""
        chosen: str | None = getattr(self, "_db", None)
        return self.using(chosen or router.db_for_read(Follow, instance=obj))


def may_follow(user: Any, flag: str | None = None) -> bool:
    """Whether a user can have follows: not None, an anonymous or an unsaved one.

    Nor has anybody one with a flag that no row can hold.
    """
    is_somebody = getattr(user, "is_authenticated", False) and user.pk is not None
    return is_somebody and (flag is None or storable(flag))


class Follow(models.Model):
    """A user follows an object, once under each flag."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="outgoing_follows",
        db_index=False,
    )
    content_type = models.ForeignKey(ContentType, models.CASCADE, related_name="+", db_index=False)
    object_id = ObjectIdField()
    follow_object = Role("content_type", "object_id")
    actor_only = models.BooleanField(
        default=True,
        help_text="Only what the object does, not also what is done to it.",
    )
    flag = models.CharField(max_length=FLAG_LENGTH, blank=True, default="")
    started = models.DateTimeField(default=timezone.now)

    objects = models.Manager.from_queryset(FollowQuerySet)()

    class Meta:
        ordering = ("-started", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=["user", "content_type", "object_id", "flag"], name="activity_follow_once"
            ),
        )
        indexes = (
            models.Index(
                fields=["content_type", "object_id", "-started", "-id"],
                name="activity_follow_object",
            ),
            models.Index(fields=["user", "-started", "-id"], name="activity_follow_user"),
            models.Index(
                fields=["user", "content_type", "object_id", "flag"],
                condition=models.Q(actor_only=False),
                name="activity_follow_reaching",
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} follows {self.follow_object}"


registry.relate("incoming_follows", partial(Dependents, Follow, "follow_object"))


def follow(
    user: Any,
    obj: models.Model,
    send_action: bool = True,
    actor_only: bool = True,
    flag: str = "",
    **kwargs: Any,
) -> Follow:
    """Let a user follow an object; returns the Follow.

    The first time it also sends "started following" (or "started <flag>") with ``kwargs``. Again,
    it returns the same row and sends nothing; a different ``actor_only`` updates the row.

    Raises ImproperlyConfigured for an object whose model is not registered, ValidationError for
    an unsaved one, for an anonymous or unsaved user, and for a flag of more than 247 characters.
    """
    return get_or_follow(user, obj, send_action, actor_only, flag, **kwargs)[0]


def get_or_follow(
    user: Any,
    obj: models.Model,
    send_action: bool = True,
    actor_only: bool = True,
    flag: str = "",
    **kwargs: Any,
) -> tuple[Follow, bool]:
    """As :func:`follow`; returns the Follow, and whether it is new."""
    if getattr(user, "pk", None) is None:
        raise ValidationError({"user": f"{user!r} is no saved user, so it cannot follow."})
    using = router.db_for_write(Follow, instance=user)
    named = registry.require(obj, "object", using)
    if error := text_error("A flag", flag, FLAG_LENGTH):
        raise ValidationError({"flag": error})
    with transaction.atomic(using=using):
        row, created = Follow.objects.using(using).get_or_create(
            user=user,
            content_type_id=named[0],
            object_id=named[1],
            flag=flag,
            defaults={"actor_only": actor_only},
        )
        if row.actor_only != actor_only:
            row.actor_only = actor_only
            row.save(update_fields=["actor_only"])
        row.follow_object = obj
        if created and send_action:
            action.send(user, verb=f"started {flag or 'following'}", target=obj, **kwargs)
    return row, created


def unfollow(
    user: Any, obj: models.Model, send_action: bool = False, flag: str | None = None
) -> list[int]:
    """End what a user follows of an object; returns the ids of the follows removed.

    ``flag=None`` ends every follow of it, "" the plain one alone. With ``send_action``,
    "stopped following" (or "stopped <flag>") is sent for each follow that was removed.
    """
    if getattr(user, "pk", None) is None:
        return []
    using = router.db_for_write(Follow, instance=user)
    with transaction.atomic(using=using):
        rows = Follow.objects.using(using).by(user).for_object(obj, flag)
        doomed = list(rows.select_for_update().values_list("pk", "flag"))
        rows.filter(pk__in=[pk for pk, _ in doomed]).delete()
        if send_action:
            for _, was in doomed:
                action.send(user, verb=f"stopped {was or 'following'}", target=obj)
    return [pk for pk, _ in doomed]


def is_following(user: Any, obj: models.Model, flag: str | None = None) -> bool:
    """Whether a user follows an object; False for None and an anonymous user."""
    return Follow.objects.by(user).for_object(obj, flag).exists()


def followed_among(
    user: Any, references: Iterable[objects.Reference], flag: str | None = None
) -> set[objects.Reference]:
    """Those references that a user follows, in one query."""
    keys: dict[int, list[str]] = {}
    for type_id, object_id in references:
        keys.setdefault(type_id, []).append(object_id)
    rows = Follow.objects.by(user).flagged(flag)
    if not keys or rows.query.is_empty():
        return set()
    among = reduce(or_, (models.Q(content_type=t, object_id__in=ids) for t, ids in keys.items()))
    return set(rows.filter(among).order_by().values_list("content_type_id", "object_id"))


def followers(obj: models.Model, flag: str | None = None) -> models.QuerySet[Any]:
    """The users who follow an object, each once."""
    rows = Follow.objects.for_object(obj, flag)
    return get_user_model()._default_manager.using(rows.db).filter(pk__in=rows.values("user"))


def following(user: Any, *models_: type[models.Model], flag: str | None = None) -> list[Any]:
    """The objects that a user follows, newest follow first, each once.

    With models, those of these models alone; of one that is not registered, none. Two queries.
    """
    taking_part = [model for model in map(registry.lookup, models_) if model]
    rows = Follow.objects.by(user, flag).of(taking_part if models_ else None)
    found = list(rows)
    objects.attach(found, ["follow_object"], using=rows.db)
    return list({row.follow_object: None for row in found if row.follow_object is not None})
