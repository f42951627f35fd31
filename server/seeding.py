"""Writing a made-up world, in batches.

What is written is never read again to go on, and no more of it is in memory than one batch. The
world's first action is its record: its ``data`` has the numbers and how far the writing has come,
each step of which is one transaction. So what was interrupted goes on where it was, and what is
complete stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.db.models import EmailField

from . import registry, worlds
from .inserts import analyze, insert
from .models import Action, Follow
from .worlds import ActionRow, FollowRow, SeedError, World

#: The first action's.
KEY = VERB = "seeded"


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
                (
                    self._named(0),
                    self._named(-1),
                    self._columns,
                )  # in a COPY there are no queries
        if any(made.values()):
            analyze((self.model, Group, Follow, Action), self.using)
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
            first, written = written, min(written + worlds.BATCH, self.world.users)
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
            while written < min(before + worlds.BATCH, self.world.follows):
                written += degrees[follower]
                follower += 1
            rows = chain.from_iterable(map(self.world.followed, range(first, follower)))
            values = map(self._follow, rows)
            columns = ("user", "content_type", "object_id", "actor_only", "flag", "started")
            self._step(
                "follows", before, written, partial(insert, Follow, columns, values, self.using)
            )
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
            first, written = written, min(written + worlds.BATCH, self.world.actions)
            values = map(self._action, self.world.done(first))
            self._step(
                "actions", first, written, partial(insert, Action, columns, values, self.using)
            )
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
