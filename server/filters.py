"""Which actions of a stream are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model, Q

from . import registry
from .bounds import storable
from .cursors import PageError
from .windows import Window

Models = Sequence[type[Model]] | None


@dataclass(frozen=True)
class Filter:
    """None asks for all; an empty sequence for none."""

    verbs: Sequence[str] | None = None
    since: datetime | None = None
    """Inclusive; it ends the range of an index, so it costs nothing."""
    until: datetime | None = None
    """Exclusive."""
    actor_types: Models = None
    target_types: Models = None
    action_object_types: Models = None

    def rows(self, using: str | None = None) -> Q:
        """The condition on each row; ``Q()`` where there is none."""
        wanted = Q() if self.verbs is None else Q(verb__in=[*filter(storable, self.verbs)])
        for role, models in self._types:
            if models is not None:
                types = [registry.content_type(model, using) for model in models]
                wanted &= Q(**{f"{role}_content_type__in": types})
        return wanted

    def holds(self, action: Any, using: str | None = None) -> bool:
        """Whether a stored action is wanted: what ``rows`` and ``within`` ask a database."""
        since, until = _utc(self.since), _utc(self.until)
        return (
            (self.verbs is None or action.verb in self.verbs)
            and (since is None or action.timestamp >= since)
            and (until is None or action.timestamp < until)
            and all(
                models is None
                or getattr(action, f"{role}_content_type_id")
                in [registry.content_type(model, using).pk for model in models]
                for role, models in self._types
            )
        )

    @property
    def _types(self) -> tuple[tuple[str, Models], ...]:
        return (
            ("actor", self.actor_types),
            ("target", self.target_types),
            ("action_object", self.action_object_types),
        )

    def within(self, window: Window) -> Window:
        """The window, from ``since`` to ``until``."""
        return replace(window, since=_utc(self.since), until=_utc(self.until))


def _utc(time: datetime | None) -> datetime | None:
    """A time without a zone is one of UTC."""
    if time is None:
        return None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise PageError(f"{time.isoformat()} is no time of this calendar in UTC.") from None
