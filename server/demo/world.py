"""A small world that looks lived in: the same people and deeds each time, up to this minute."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from server.models import action, follow

from .models import Comment, Issue, Repository

User: Any = get_user_model()
CAST = tomllib.loads(Path(__file__).with_name("world.toml").read_text(encoding="utf-8"))
SEED = 7
SPAN = timedelta(weeks=6)
#: How often what happens, once everybody is there.
DEEDS = {
    "star": 130,
    "push": 150,
    "open": 55,
    "close": 25,
    "comment": 120,
    "release": 12,
    "post": 80,
    "note": 25,
    "follow_somebody": 110,
    "follow_repository": 50,
    "watch": 25,
}

T = TypeVar("T")


def load(track: Callable[[Sequence[str]], Iterable[str]] = iter) -> bool:
    """Make the world, whole or not at all, unless it is there; returns whether it is new.

    ``track`` passes on the steps that it is given, and may show how far they are.
    """
    with transaction.atomic():
        first = CAST["repositories"][0]
        if Repository.objects.filter(name=first["name"], owner__username=first["owner"]).exists():
            return False
        world = World()
        steps = world.steps()
        end = timezone.now()
        for number, step in enumerate(track(steps), start=1):
            # The nearer to now, the closer together.
            world.now = end - SPAN * (1 - number / len(steps)) ** 2
            getattr(world, step)()
    return True


class World:
    """Who and what there is so far, and all that may happen next."""

    now: datetime

    def __init__(self) -> None:
        self.random = Random(SEED)
        self.people: dict[str, Any] = {}
        self.repositories: list[Repository] = []
        self.issues: list[Issue] = []
        self.starred: set[tuple[Model, Model]] = set()

    def steps(self) -> list[str]:
        """What happens, in order, by the names of the methods below."""
        deeds = [deed for deed, times in DEEDS.items() for _ in range(times)]
        self.random.shuffle(deeds)
        founding = ["join"] * len(CAST["people"]) + ["create"] * len(CAST["repositories"])
        return [*founding, "gather", "settle", *["open"] * 5, *deeds]

    def join(self) -> None:
        name, full_name = list(CAST["people"].items())[len(self.people)]
        first_name, _, last_name = full_name.partition(" ")
        self.people[name], _created = User.objects.get_or_create(
            username=name,
            defaults={
                "first_name": first_name,
                "last_name": last_name,
                "password": make_password(None),
                "date_joined": self.now,
            },
        )
        self.send(self.people[name], "joined")

    def create(self) -> None:
        given = CAST["repositories"][len(self.repositories)]
        owner = self.people[given["owner"]]
        repository = Repository.objects.create(
            owner=owner,
            name=given["name"],
            description=given["description"],
            private=given.get("private", False),
        )
        repository.members.set(self.people[name] for name in given.get("members", ()))
        self.repositories.append(repository)
        self.send(owner, "created", action_object=repository)

    def gather(self) -> None:
        for name, members in CAST["groups"].items():
            group, _created = Group.objects.get_or_create(name=name)
            for member in members:
                self.people[member].groups.add(group)
                self.send(self.people[member], "became a member of", target=group)

    def settle(self) -> None:
        """Ada, as whom the demo logs in, follows enough to have a lively stream."""
        ada, brook = self.people["ada"], self.repositories[0]
        for name in ("grace", "linus", "mei", "yuki", "chloe"):
            self.follow(ada, self.people[name])
        self.follow(ada, brook, actor_only=False)
        self.follow(ada, brook, actor_only=False, flag="watching")
        self.follow(ada, Group.objects.get(name="maintainers"))

    def star(self) -> None:
        person, repository = self.somebody_somewhere()
        if (person, repository) not in self.starred:
            self.starred.add((person, repository))
            self.send(person, "starred", target=repository)

    def push(self) -> None:
        person, repository = self.somebody_somewhere()
        # What a verb does not say goes into the action's data.
        self.send(person, "pushed to", target=repository, commits=self.random.randint(1, 9))

    def open(self) -> None:
        person, repository = self.somebody_somewhere()
        issue = repository.issues.create(
            number=repository.issues.count() + 1, title=self.random.choice(CAST["text"]["issues"])
        )
        self.issues.append(issue)
        self.send(person, "opened", action_object=issue, target=repository)

    def close(self) -> None:
        issue = self.random.choice([issue for issue in self.issues if not issue.closed])
        issue.closed = True
        issue.save()
        person = self.one_of(self.insiders(issue.repository))
        self.send(person, "closed", action_object=issue, target=issue.repository)

    def comment(self) -> None:
        issue = self.random.choice(self.issues)
        author = self.one_of(self.insiders(issue.repository))
        text = self.random.choice(CAST["text"]["comments"])
        comment = Comment.objects.create(issue=issue, author=author, text=text)
        self.send(author, "commented", action_object=comment, target=issue)

    def release(self) -> None:
        """Not only people act."""
        group = Group.objects.get(name="maintainers")
        public = [repository for repository in self.repositories if not repository.private]
        version = f"{self.random.randint(0, 3)}.{self.random.randint(0, 9)}"
        self.send(group, "released", action_object=self.one_of(public), version=version)

    def post(self) -> None:
        self.send(self.somebody(), "posted", description=self.random.choice(CAST["text"]["posts"]))

    def note(self) -> None:
        """For nobody else's eyes."""
        person, repository = self.somebody_somewhere()
        text = self.random.choice(CAST["text"]["notes"])
        self.send(person, "noted", target=repository, description=text, public=False)

    def follow_somebody(self) -> None:
        person, other = self.somebody(), self.somebody()
        if person != other:
            self.follow(person, other)

    def follow_repository(self) -> None:
        """With actor_only=False, what is done to the repository counts as well."""
        self.follow(*self.somebody_somewhere(), actor_only=False)

    def watch(self) -> None:
        """A follow under a flag stands beside the plain one, as a list of its own."""
        self.follow(*self.somebody_somewhere(), actor_only=False, flag="watching")

    def send(self, actor: Model, verb: str, **kwargs: Any) -> None:
        action.send(actor, verb=verb, timestamp=self.now, **kwargs)

    def follow(self, user: Any, obj: Model, **kwargs: Any) -> None:
        row = follow(user, obj, timestamp=self.now, **kwargs)
        row.started = min(row.started, self.now)
        row.save(update_fields=["started"])

    def somebody(self) -> Any:
        return self.one_of(list(self.people.values()))

    def somebody_somewhere(self) -> tuple[Any, Repository]:
        repository = self.one_of(self.repositories)
        return self.one_of(self.insiders(repository)), repository

    def insiders(self, repository: Repository) -> list[Any]:
        """Those who may see a repository."""
        if not repository.private:
            return list(self.people.values())
        return [repository.owner, *repository.members.order_by("pk")]

    def one_of(self, candidates: Sequence[T]) -> T:
        """Any of them, the first more often than the last."""
        weights = [1 / (rank + 3) for rank in range(len(candidates))]
        (chosen,) = self.random.choices(candidates, weights)
        return chosen
