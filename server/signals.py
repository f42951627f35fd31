"""The signal by which the rest of a site reports what happened."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.dispatch import Signal


class ActionSignal(Signal):
    """A signal whose sender is the actor: a saved object."""

    def send(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        # Django looks the sender up by its hash, which an unsaved object has not.
        if isinstance(sender, Model) and sender.pk is None:
            raise ValidationError({"actor": f"{sender!r} is not saved, so nothing can name it."})
        return super().send(sender, **named)


#: ``action.send(actor, verb="starred", target=repo)`` stores an action and returns
#: ``[(receiver, Action)]``; see :func:`server.records.store` for the arguments.
action = ActionSignal()
