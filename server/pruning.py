"""Removing what happened long ago."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import router
from django.db.models import QuerySet
from django.utils import timezone

from . import batches
from .actions import Action
from .streams import ActionQuerySet

#: An action's month, "2026-01" in UTC, and its verb.
Kind = tuple[str, str]
#: Ids among which private actions are looked for at once.
RANGE = 20_000

PUBLIC, PRIVATE = "public actions", "ids for private ones"
Advance = Callable[[str, int], object]


@dataclass
class Pruning:
    """The actions from before a time, of some verbs or of any; and with them what names them.

    The public ones are found by the index of their times. Private ones have none, as pages never
    ask for them so, and are few: they are looked for along the primary key, in bounded ranges.
    """

    before: datetime
    verbs: frozenset[str] = frozenset()
    size: int = batches.SIZE
    pause: float = batches.PAUSE
    removed: int = field(default=0, init=False)
    """How many actions are gone, those that named others included."""

    def __post_init__(self) -> None:
        self.using = router.db_for_write(Action)

    def totals(self) -> dict[str, int]:
        """How much there is to look at: so many public actions, and ids for private ones."""
        first, last = self._ids()
        return {PUBLIC: self._old().count(), PRIVATE: last - first}

    def run(self, advance: Advance) -> None:
        """Remove them; ``advance`` is told how much of what was looked at."""
        for doomed in self._batches(advance):
            for went in batches.remove(doomed, self.using, size=self.size, pause=self.pause):
                self.removed += went

    def count(self, advance: Advance) -> tuple[Counter[Kind], Counter[Kind]]:
        """How many actions would be removed; and how many others because they name those."""
        old, others, counted = Counter[Kind](), Counter[Kind](), set[int]()
        for doomed in self._batches(advance):
            old.update(map(_kind, doomed))
            new = set(batches.naming([it.pk for it in doomed], self.using)) - counted
            for start in range(0, len(new), batches.SIZE):
                keys = sorted(new)[start : start + batches.SIZE]
                fresh = [it for it in self._actions().filter(pk__in=keys) if not self._meant(it)]
                others.update(map(_kind, fresh))
                counted |= {it.pk for it in fresh}
        return old, others

    def _batches(self, advance: Advance) -> Iterator[Sequence[Action]]:
        """The actions that are meant."""
        seen = 0
        for some in batches.read(self._old(), time="timestamp", size=self.size):
            if doomed := [action for action in some if self._meant(action)]:
                yield doomed
            seen += len(some)
            advance(PUBLIC, seen)
        first, last = self._ids()
        private = self._actions().filter(public=False, timestamp__lt=self.before)
        for start in range(first, last, RANGE):
            end = min(start + RANGE, last)
            found = private.filter(pk__gt=start, pk__lte=end).order_by("pk")
            if doomed := [action for action in found if self._meant(action)]:
                yield doomed
            advance(PRIVATE, end - first)

    def _ids(self) -> tuple[int, int]:
        """The id before the first, and the last; equal where there are none."""
        keys = self._actions().values_list("pk", flat=True)
        first, last = keys.order_by("pk").first(), keys.order_by("-pk").first()
        return (first - 1, last) if first and last else (0, 0)

    def _old(self) -> QuerySet[Action]:
        return self._actions().filter(public=True, timestamp__lt=self.before)

    def _meant(self, action: Action) -> bool:
        return action.timestamp < self.before and (not self.verbs or action.verb in self.verbs)

    def _actions(self) -> QuerySet[Action]:
        return ActionQuerySet(Action, using=self.using).only("timestamp", "verb")


def _kind(action: Action) -> Kind:
    return f"{timezone.localtime(action.timestamp, UTC):%Y-%m}", action.verb
