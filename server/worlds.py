"""A made-up world of users, follows and actions: skewed as people are, and always the same.

Every row is a function of the world's numbers and of its own place.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain
from random import Random
from typing import Any

from django.utils import timezone

from .bounds import LEEWAY

#: From the first action to the last.
SPAN = timedelta(days=365)
#: Dormant users act, and are acted on, in the first of so many parts of the time alone.
TENTH = 10
#: Rows of a transaction. Another number would be another world.
BATCH = 20_000
MOST_USERS = 9_999_999
#: Users who follow exactly so many active people, and as many who follow so many dormant ones.
READERS = (100, 1_000, 5_000)
#: One action in so many is of the rare verb.
RARE = 10_000
RARE_VERB = "founded"
#: A verb, the role of a user, the role of a group, and its share in percent.
VERBS = (
    ("posted in", None, "target", 30),
    ("praised", "target", None, 20),
    ("joined", None, "target", 15),
    ("mentioned", "action_object", "target", 15),
    ("invited", "action_object", "target", 10),
    ("recommended", "target", "action_object", 10),
)
_DRAWN = [
    (verb, user_role, group_role)
    for verb, user_role, group_role, percent in VERBS
    for _ in range(percent)
]
_MICROSECOND = timedelta(microseconds=1)

#: (follower, followed, actor_only, started): a user's place; of a group, its place below zero.
FollowRow = tuple[int, int, bool, datetime]
#: (actor, verb, target, action object, timestamp, public)
ActionRow = tuple[int, str, int | None, int | None, datetime, bool]


class SeedError(Exception):
    """The world cannot be written; the text is for whoever asked for it."""


@dataclass(frozen=True)
class World:
    """The numbers of a world; SeedError names the one that is out of bounds, and its limit."""

    users: int
    actions: int
    follows: int
    dormant: float = 0.1
    private: float = 0.05
    seed: int = 1
    end: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __post_init__(self) -> None:
        most = self.users * (self.users - 1)
        for name, least, limit, of in (
            ("users", 2, MOST_USERS, ""),
            ("actions", 1, 10**12, ""),
            ("follows", 0, most, f", as many as {self.users} users can follow each other"),
            ("dormant", 0, 0.9, ""),
            ("private", 0, 1, ""),
        ):
            value = getattr(self, name)
            if not least <= value <= limit:
                raise SeedError(
                    f"--{name} is at least {least} and at most {limit}{of}; this is {value}."
                )
        if not datetime(1971, 1, 1, tzinfo=UTC) <= self.end <= timezone.now() + LEEWAY:
            raise SeedError(f"--end is from 1971-01-01 until now; this is {self.end.isoformat()}.")

    def numbers(self) -> dict[str, Any]:
        """What makes it this world, as JSON."""
        return asdict(self) | {"end": self.end.isoformat()}

    @property
    def start(self) -> datetime:
        return self.end - SPAN

    @property
    def groups(self) -> int:
        return min(max(self.users // 100, 1), 1_000)

    @cached_property
    def _shuffled(self) -> array[int]:
        """Every user's place, by rank: the busiest first, the dormant last."""
        places = list(range(self.users))
        Random(f"{self.seed} ranks").shuffle(places)
        return array("I", places)

    @cached_property
    def active(self) -> array[int]:
        """Those who act all the time, the busiest first."""
        return self._shuffled[: self.users - int(self.users * self.dormant)]

    @cached_property
    def dormants(self) -> array[int]:
        """Those who have acted in the oldest tenth of the time alone."""
        return self._shuffled[len(self.active) :]

    @cached_property
    def readers(self) -> dict[int, tuple[int, bool]]:
        """The users who follow exactly so many people, and whether these are active.

        They are the quietest of the active; a number that the world is too small for is left out.
        """
        found: dict[int, tuple[int, bool]] = {}
        left, rows = reversed(self.active), self.follows // 2
        for size in READERS:
            for among, is_active in ((len(self.active) - 1, True), (len(self.dormants), False)):
                rest = self.users - len(found) - 1
                if size > min(among, rows) or self.follows - size > rest * (self.users - 1):
                    continue
                found[next(left)] = size, is_active
                rows -= size
        return found

    @cached_property
    def degrees(self) -> array[int]:
        """How many each user follows, by place; the sum is ``follows``.

        All but the readers by a power law of exponent 1/2, whose first has √users times the least.
        """
        degrees = array("I", bytes(4 * self.users))
        for reader, (size, _) in self.readers.items():
            degrees[reader] = size
        rows = self.follows - sum(degrees)
        places = [place for place in range(self.users) if place not in self.readers]
        Random(f"{self.seed} degrees").shuffle(places)
        weights = [int(10**9 / (rank + 1) ** 0.5) for rank in range(len(places))]
        whole, passed, given, over = sum(weights), 0, 0, 0
        for place, weight in zip(places, weights, strict=True):
            passed += weight
            share = rows * passed // whole - given + over
            given = rows * passed // whole
            degrees[place] = min(share, self.users - 1)
            over = share - degrees[place]
        return degrees

    def followed(self, follower: int) -> Iterator[FollowRow]:
        """The follows of the user at a place."""
        degree = self.degrees[follower]
        if not degree:
            return
        rng = Random(self.seed * 10**8 + follower)
        chance, found = rng.random, dict[int, None]()
        active, dormants, ranks = self.active, self.dormants, len(self.active) + 1
        size, only_active = self.readers.get(follower, (0, False))
        if size and not only_active:
            found = dict.fromkeys(rng.sample(dormants, size))
        # Popular people are soon drawn again and again; past this, the rest are by popularity.
        for _ in range(20 * degree):
            if len(found) == degree:
                break
            kind = 1.0 if size else chance()
            if kind < 0.05:
                drawn = -1 - int((self.groups + 1) ** chance() - 1)
            elif kind < 0.15 and dormants:
                drawn = dormants[int(chance() * len(dormants))]
            else:
                drawn = active[int(ranks ** chance() - 1)]
            if drawn != follower:
                found[drawn] = None
        groups = range(-1, -1 - self.groups, -1)
        rest = active if size else chain(active, dormants, groups)
        for place in rest:
            if len(found) >= degree:
                break
            if place != follower:
                found[place] = None
        span = SPAN // _MICROSECOND
        for place in found:
            started = self.start + timedelta(microseconds=int(chance() * span))
            yield follower, place, chance() >= 0.1, started

    def done(self, first: int) -> Iterator[ActionRow]:
        """The actions of the batch that begins with this one, oldest first, but for the record.

        Actors, targets and action objects follow Zipf's law (of exponent 1, by inverting its
        logarithm); one action in thirty is of the same time as the one before it.
        """
        rng = Random(f"{self.seed} actions {first}")
        chance, groups = rng.random, self.groups + 1
        active, dormants, ranks = self.active, self.dormants, len(self.active) + 1
        step, early = SPAN / self.actions / _MICROSECOND, self.actions // TENTH
        start, private = self.start, self.private
        at = None
        for number in range(first or 1, min(first + BATCH, self.actions)):
            if at is None or chance() >= 1 / 30:
                at = start + timedelta(microseconds=int((number + chance()) * step))
            verb, user_role, group_role = _DRAWN[int(chance() * 100)]
            if number % RARE == 1:
                verb, user_role, group_role = RARE_VERB, None, "target"
            actor = active[int(ranks ** chance() - 1)]
            user = active[int(ranks ** chance() - 1)] if user_role else None
            if dormants and number < early:
                if number % 2:  # each in turn, so that as many as possible have acted
                    actor = dormants[number // 2 % len(dormants)]
                if user_role and chance() < 0.1:
                    user = dormants[int(chance() * len(dormants))]
            group = -1 - int(groups ** chance() - 1) if group_role else None
            target, action_object = (group, user) if group_role == "target" else (user, group)
            yield actor, verb, target, action_object, at, chance() >= private
