"""Actions: somebody did something, to something, with something."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from . import registry
from .bounds import (
    DESCRIPTION_LENGTH,
    KEY_LENGTH,
    VERB_LENGTH,
    data_error,
    text_error,
    time_error,
)
from .cascades import Dependents
from .references import ROLES, ObjectIdField, Role
from .streams import ActionManager, ActionQuerySet, related


class Action(models.Model):
    """Somebody (actor) did something (verb), to something (target), with something else.

    Times are UTC with microseconds, from the application's clock. ``data`` is any JSON of at most
    16 KiB; dates, decimals and UUIDs in it become text.
    """

    actor_content_type = models.ForeignKey(
        ContentType, models.CASCADE, related_name="+", db_index=False
    )
    actor_object_id = ObjectIdField()
    actor = Role("actor_content_type", "actor_object_id")
    verb = models.CharField(max_length=VERB_LENGTH)
    description = models.TextField(blank=True, null=True)  # noqa: DJ001 - null: none was given
    target_content_type = models.ForeignKey(
        ContentType, models.CASCADE, related_name="+", db_index=False, blank=True, null=True
    )
    target_object_id = ObjectIdField(blank=True, null=True)
    target = Role("target_content_type", "target_object_id")
    action_object_content_type = models.ForeignKey(
        ContentType, models.CASCADE, related_name="+", db_index=False, blank=True, null=True
    )
    action_object_object_id = ObjectIdField(blank=True, null=True)
    action_object = Role("action_object_content_type", "action_object_object_id")
    timestamp = models.DateTimeField(default=timezone.now)
    public = models.BooleanField(default=True)
    data: Any = models.JSONField(blank=True, null=True, encoder=DjangoJSONEncoder)
    idempotency_key = models.CharField(  # noqa: DJ001 - null: none, and so never equal to another
        max_length=KEY_LENGTH, blank=True, null=True
    )

    objects: ClassVar[ActionManager] = ActionManager()

    cascades_in_sql = True

    class Meta:
        ordering = ("-timestamp", "-id")
        permissions = (("act_as", "Can record actions as another actor or at another time"),)
        constraints = (
            models.CheckConstraint(condition=~Q(verb=""), name="activity_action_verb"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{role}_content_type": None, f"{role}_object_id": None})
                    | Q(
                        **{
                            f"{role}_content_type__isnull": False,
                            f"{role}_object_id__isnull": False,
                        }
                    ),
                    name=f"activity_action_{role}_whole",
                )
                for role in ("target", "action_object")
            ),
            models.UniqueConstraint(
                fields=["actor_content_type", "actor_object_id", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="activity_action_idempotency",
            ),
        )
        indexes = (
            # public stands behind, and the index is whole, so that what reads private actions
            # too (cascades, the admin, user.actor_actions.all()) is served by it as well.
            *(
                models.Index(
                    fields=[
                        f"{role}_content_type",
                        f"{role}_object_id",
                        "-timestamp",
                        "-id",
                        "public",
                    ],
                    condition=None
                    if role == "actor"
                    else Q(**{f"{role}_object_id__isnull": False}),
                    name=f"activity_{role}",
                )
                for role in ROLES
            ),
            *(
                models.Index(
                    fields=[f"{role}_content_type", "-timestamp", "-id"],
                    condition=Q(public=True),
                    name=f"activity_{role}_type",
                )
                for role in ROLES
            ),
            models.Index(
                fields=["-timestamp", "-id"], condition=Q(public=True), name="activity_newest"
            ),
        )

    def __str__(self) -> str:
        sentence = self.sentence(
            self.verb,
            actor=_("Somebody") if self.actor is None else str(self.actor),
            target=None if self.target is None else str(self.target),
            action_object=None if self.action_object is None else str(self.action_object),
        )
        return _("%(sentence)s %(time)s ago") % {"sentence": sentence, "time": self.timesince()}

    @staticmethod
    def sentence(
        verb: str,
        actor: str | None = None,
        target: str | None = None,
        action_object: str | None = None,
    ) -> str:
        """ "ada opened issue 3 on brook", of the roles that there are."""
        words = {"verb": verb, "target": target, "action_object": action_object}
        if target and action_object:
            what = _("%(verb)s %(action_object)s on %(target)s") % words
        elif target or action_object:
            what = _("%(verb)s %(object)s") % {"verb": verb, "object": target or action_object}
        else:
            what = verb
        return _("%(actor)s %(what)s") % {"actor": actor, "what": what} if actor else what

    def timesince(self, now: datetime | None = None) -> str:
        """The time since the action, in words of the active language: "2 hours"."""
        return timesince(self.timestamp, now).replace("\xa0", " ")

    def clean(self) -> None:
        """ValidationError by field for what is too long, too large, too far ahead or no text."""
        errors = {
            field: error
            for field, error in (
                ("verb", text_error("A verb", self.verb, VERB_LENGTH, least=1)),
                ("description", text_error("A description", self.description, DESCRIPTION_LENGTH)),
                (
                    "idempotency_key",
                    text_error("An idempotency key", self.idempotency_key, KEY_LENGTH, least=1),
                ),
                ("timestamp", time_error(self.timestamp)),
                ("data", data_error(self.data)),
            )
            if error
        }
        if errors:
            raise ValidationError(errors)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> Any:
        """Delete the action and, where actions take part themselves, all that name it."""
        rows = ActionQuerySet(type(self), using=using or self._state.db)
        return rows.filter(pk=self.pk).delete()


class RoleActions:
    """The attribute by which a registered model's instances have their actions in one role."""

    def __init__(self, role: str) -> None:
        self.role = role

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        manager: Any = related(type(Action.objects), self.role)  # type: ignore[arg-type]
        return manager(Action, instance)


for role in ROLES:
    registry.relate(f"{role}_actions", partial(Dependents, Action, role, RoleActions(role)))
