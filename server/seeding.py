"""A made-up world of users, groups, follows and actions: large, skewed, and always the same.

Every row is a function of the world's numbers and of its own place: what is written is never read
again to go on, and no more of it is in memory than one batch. The world's first action is its
record: its ``data`` has the numbers and how far the writing has come, each step of which is one
transaction. So what was interrupted goes on where it was, and what is complete stays as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, islice
from random import Random
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.db.models import EmailField, Model
from django.utils import timezone

from . import registry
from .bounds import LEEWAY
from .models import Action, Follow

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
#: The first action's.
KEY = VERB = "seeded"
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


@dataclass(frozen=True)
class Example:
    """A user that a benchmark can ask for, by what there is of them."""

    kind: str
    """busy, quiet, dormant, or reader: somebody who follows only active or only dormant people."""
    username: str
    id: str
    actions: int
    active_follows: int
    dormant_follows: int
    group_follows: int
    followers: int


class Seeding:
    """The writing of a world into a database."""

    def __init__(self, world: World, using: str) -> None:
        self.world, self.using = world, using
        self.model: Any = get_user_model()
        self.user_type = registry.content_type(registry.check(self.model), using).pk
        self.group_type = registry.content_type(registry.check(Group), using).pk

    def run(self, advance: Callable[[str, int], object]) -> dict[str, int]:
        """Write what is missing; returns how many rows of each kind that was.

        ``advance`` is told each step: the kind of rows, and how many are there now. Raises
        SeedError where another world, or somebody else's, is in the way.
        """
        before = self.begun()
        made = {}
        self._write_groups()
        for kind, write in (
            ("users", self._write_users),
            ("follows", self._write_follows),
            ("actions", self._write_actions),
        ):
            advance(kind, before[kind])
            there = before[kind]
            for there in write(before[kind]):
                advance(kind, there)
            made[kind] = there - before[kind]
            if kind == "users":
                self._named(0), self._named(-1), self._columns  # in a COPY there are no queries
        if any(made.values()):
            self._analyze()
        return made

    # Whose places and groups are whose rows.

    def name(self, place: int) -> str:
        name = f"seed-{place + 1:07}"
        field = self.model._meta.get_field(self.model.USERNAME_FIELD)
        return f"{name}@example.invalid" if isinstance(field, EmailField) else name

    @staticmethod
    def group_name(group: int) -> str:
        return f"seed-group-{group + 1:04}"

    @cached_property
    def user_keys(self) -> list[Any]:
        """Every user's primary key, by place."""
        names = map(self.name, range(self.world.users))
        return self._keys(self.model, self.model.USERNAME_FIELD, names)

    @cached_property
    def _columns(self) -> list[Any]:
        """The primary keys as a foreign key's column has them: on SQLite a UUID is text."""
        key, connection = self.model._meta.pk, connections[self.using]
        return [key.get_db_prep_save(value, connection) for value in self.user_keys]

    @cached_property
    def group_keys(self) -> list[Any]:
        return self._keys(Group, "name", map(self.group_name, range(self.world.groups)))

    def _keys(self, model: Any, field: str, names: Iterator[str]) -> list[Any]:
        rows = model._base_manager.using(self.using).filter(**{f"{field}__startswith": "seed-"})
        found = dict(rows.values_list(field, "pk").iterator())
        keys = []
        for name in names:
            if name not in found:
                raise SeedError(
                    f"{model._meta.label} {name} is gone, and with it what it did; seed a "
                    "database without users whose names begin with seed-."
                )
            keys.append(found[name])
        return keys

    # The record.

    def begun(self) -> dict[str, int]:
        """How many rows of each kind there are; it refuses what is not this world."""
        record = self._record()
        if record is None:
            rows = self.model._base_manager.using(self.using)
            others = rows.filter(**{f"{self.model.USERNAME_FIELD}__startswith": "seed-"})
            if names := list(others.values_list(self.model.USERNAME_FIELD, flat=True)[:1]):
                raise SeedError(
                    f"There is a user {names[0]} that no seeding has made; rename those whose "
                    "names begin with seed-, or seed another database."
                )
            return {"users": 0, "follows": 0, "actions": 0}
        if record.data["world"] != self.world.numbers():
            there = record.data["world"]
            options = " ".join(f"--{name} {there[name]}" for name in self.world.numbers())
            raise SeedError(
                f"This database has another seeded world, of {options}. Give these to go on "
                "with it; for a new world, seed an empty database."
            )
        return dict(record.data["written"])

    def _record(self, lock: bool = False) -> Action | None:
        rows = Action.objects.using(self.using)
        first = self.model._base_manager.using(self.using).filter(
            **{self.model.USERNAME_FIELD: self.name(0)}
        )
        key = first.values_list("pk", flat=True).first()
        if key is None:
            return None
        if lock:
            rows = rows.select_for_update()
        return rows.filter(
            actor_content_type=self.user_type, actor_object_id=str(key), idempotency_key=KEY
        ).first()

    def _step(self, kind: str, before: int, after: int, write: Callable[[], object]) -> None:
        """Write a batch, and that it is written, or neither."""
        with transaction.atomic(using=self.using):
            record = self._record(lock=True)
            if record is None or record.data["written"][kind] != before:
                raise SeedError("Somebody else seeds this database now, or has emptied it.")
            write()
            record.data["written"][kind] = after
            record.save(update_fields=["data"])

    # The rows.

    def _write_groups(self) -> None:
        names = map(self.group_name, range(self.world.groups))
        Group.objects.using(self.using).bulk_create(
            [Group(name=name) for name in names], ignore_conflicts=True
        )

    def _write_users(self, written: int) -> Iterator[int]:
        # One hash for all: nobody's password, as no password hashes to it.
        values: dict[str, Any] = {"password": UNUSABLE_PASSWORD_PREFIX + "seeded"}
        if any(field.name == "date_joined" for field in self.model._meta.fields):
            values["date_joined"] = self.world.start
        names = self.model.USERNAME_FIELD

        def create(first: int, last: int) -> None:
            self.model._base_manager.using(self.using).bulk_create(
                self.model(**{names: self.name(place)}, **values) for place in range(first, last)
            )

        while written < self.world.users:
            first, written = written, min(written + BATCH, self.world.users)
            if first:
                self._step("users", first, written, lambda: create(first, written))  # noqa: B023
            else:
                with transaction.atomic(using=self.using):
                    create(0, written)
                    self._write_record(written)
            yield written

    def _write_record(self, users: int) -> None:
        key = self.model._base_manager.using(self.using).get(
            **{self.model.USERNAME_FIELD: self.name(0)}
        )
        Action.objects.using(self.using).create(
            actor=key,
            verb=VERB,
            timestamp=self.world.start,
            public=False,
            data={
                "world": self.world.numbers(),
                "written": {"users": users, "follows": 0, "actions": 0},
            },
            idempotency_key=KEY,
        )

    def _write_follows(self, written: int) -> Iterator[int]:
        """In whole users, so that none has half of theirs."""
        follower = total = 0
        degrees = self.world.degrees
        while total < written:
            total += degrees[follower]
            follower += 1
        while written < self.world.follows:
            first, before = follower, written
            while written < min(before + BATCH, self.world.follows):
                written += degrees[follower]
                follower += 1
            rows = chain.from_iterable(map(self.world.followed, range(first, follower)))
            values = map(self._follow, rows)
            columns = ("user", "content_type", "object_id", "actor_only", "flag", "started")
            self._step("follows", before, written, lambda: self._insert(Follow, columns, values))  # noqa: B023
            yield written

    def _follow(self, row: FollowRow) -> tuple[Any, ...]:
        follower, followed, actor_only, started = row
        return self._columns[follower], *self._named(followed), actor_only, "", started

    def _write_actions(self, written: int) -> Iterator[int]:
        columns = (
            "actor_content_type",
            "actor_object_id",
            "target_content_type",
            "target_object_id",
            "action_object_content_type",
            "action_object_object_id",
            "verb",
            "timestamp",
            "public",
        )
        while written < self.world.actions:
            first, written = written, min(written + BATCH, self.world.actions)
            values = map(self._action, self.world.done(first))
            self._step("actions", first, written, lambda: self._insert(Action, columns, values))  # noqa: B023
            yield written

    def _action(self, row: ActionRow) -> tuple[Any, ...]:
        actor, verb, target, action_object, timestamp, public = row
        named = *self._named(actor), *self._named(target), *self._named(action_object)
        return *named, verb, timestamp, public

    def _named(self, place: int | None) -> tuple[int | None, str | None]:
        if place is None:
            return None, None
        if place < 0:
            return self.group_type, str(self.group_keys[-1 - place])
        return self.user_type, str(self.user_keys[place])

    def _insert(
        self, model: type[Model], names: Sequence[str], rows: Iterator[tuple[Any, ...]]
    ) -> None:
        """The fastest way into a table that others use: its indexes stay."""
        connection = connections[self.using]
        quote = connection.ops.quote_name
        fields: list[Any] = [model._meta.get_field(name) for name in names]
        table = f"{quote(model._meta.db_table)} ({', '.join(quote(f.column) for f in fields)})"
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                return
            holes = ", ".join(["%s"] * len(fields))
            times = [n for n, f in enumerate(fields) if f.get_internal_type() == "DateTimeField"]
            adapt = connection.ops.adapt_datetimefield_value

            def adapted() -> Iterator[list[Any]]:
                for row in rows:
                    values = list(row)
                    for n in times:
                        values[n] = adapt(values[n])
                    yield values

            insert: Any = cursor.executemany  # takes any iterable, one row at a time
            insert(f"INSERT INTO {table} VALUES ({holes})", adapted())

    # Who is worth asking about.

    def examples(self) -> list[Example]:
        """Users of every kind, three of each and every reader, with what they have."""
        world = self.world
        places = [("busy", place) for place in world.active[:3]]
        quiet = (place for place in reversed(world.active) if place not in world.readers)
        acted = (place for place in islice(quiet, 200) if self._actions(place))
        places += [("quiet", place) for place in islice(acted, 3)]
        places += [("dormant", place) for place in world.dormants[:3]]
        places += [("reader", place) for place in world.readers]
        dormants = {str(self.user_keys[place]) for place in world.dormants}
        return [self._example(kind, place, dormants) for kind, place in places]

    def _actions(self, place: int) -> int:
        return (
            Action.objects.using(self.using)
            .filter(actor_content_type=self.user_type, actor_object_id=str(self.user_keys[place]))
            .count()
        )

    def _example(self, kind: str, place: int, dormants: set[str]) -> Example:
        key = self.user_keys[place]
        follows = Follow.objects.using(self.using)
        rows = follows.filter(user_id=key).values_list("content_type_id", "object_id")
        users = [text for type_id, text in rows if type_id == self.user_type]
        dormant = sum(text in dormants for text in users)
        return Example(
            kind=kind,
            username=self.name(place),
            id=str(key),
            actions=self._actions(place),
            active_follows=len(users) - dormant,
            dormant_follows=dormant,
            group_follows=len(rows) - len(users),
            followers=follows.filter(content_type=self.user_type, object_id=str(key)).count(),
        )

    def _analyze(self) -> None:
        """Tell the planner; on PostgreSQL, let pages be read from indexes alone as well."""
        connection = connections[self.using]
        models = (self.model, Group, Follow, Action)
        vacuum = connection.vendor == "postgresql" and not connection.in_atomic_block
        with connection.cursor() as cursor:
            for model in models:
                table = connection.ops.quote_name(model._meta.db_table)
                cursor.execute(f"{'VACUUM (ANALYZE)' if vacuum else 'ANALYZE'} {table}")
