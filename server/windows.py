"""Which part of a stream is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from django.db.models import Q

from .cursors import PageError, Position

DEFAULT_SIZE = 20
MAX_SIZE = 100
#: A filtered page looks at no more rows of each range than this; a count counts no further.
MOST_READ = 10_000


@dataclass(frozen=True)
class Window:
    """In Relay's words, and from when to when.

    ``since`` (inclusive) and ``until`` (exclusive) end the ranges themselves.

    Raises PageError for a size below 0 or above 100, for ``first`` with ``last``, and for a
    cursor that is none of this ``kind``.
    """

    kind: str
    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.first is not None and self.last is not None:
            raise PageError("Ask for first or for last, not for both.")
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 0 <= size <= MAX_SIZE:
                raise PageError(f"{name} is at least 0 and at most {MAX_SIZE}; this is {size}.")
        _ = self.starts_after, self.ends_before  # which are refused here where they are none

    @cached_property
    def starts_after(self) -> Position | None:
        """Where ``after`` stands."""
        return None if self.after is None else Position.parse(self.after, self.kind)

    @cached_property
    def ends_before(self) -> Position | None:
        """Where ``before`` stands."""
        return None if self.before is None else Position.parse(self.before, self.kind)

    @property
    def backward(self) -> bool:
        return self.last is not None

    @property
    def size(self) -> int:
        asked = self.last if self.backward else self.first
        return DEFAULT_SIZE if asked is None else asked

    @property
    def begins_quiet(self) -> bool:
        """Whether the page goes on from where a user's stream was found quiet."""
        start = self.ends_before if self.backward else self.starts_after
        return start is not None and start.quiet

    def beyond(self, last: Position) -> Window:
        """What follows a position, in the direction of the page."""
        cursor = last.cursor(self.kind)
        return replace(self, before=cursor) if self.backward else replace(self, after=cursor)

    def order(self, time: str) -> tuple[str, str]:
        """From where the page begins: from the newest, or from the oldest."""
        return (time, "pk") if self.backward else (f"-{time}", "-pk")

    def between(self, time: str) -> Q:
        """The condition for what is from ``since`` to ``until``."""
        ends = Q() if self.since is None else Q((f"{time}__gte", self.since))
        return ends if self.until is None else ends & Q((f"{time}__lt", self.until))

    def ends(self, time: str, last: Position | None = None) -> Q:
        """The condition for what is between the cursors, too, and not beyond ``last``."""
        ends = self.between(time)
        if self.starts_after is not None:
            ends &= self.starts_after.older(time)
        if self.ends_before is not None:
            ends &= self.ends_before.newer(time)
        if last is not None:
            seek = last.older if self.backward else last.newer
            ends &= seek(time, itself=True)
        return ends
