"""``make FILE`` fills the site, and ``streams FILE`` says what its streams are, as JSON."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command
from django.db import transaction

django.setup()

from actstream import models  # noqa: E402
from actstream.actions import follow  # noqa: E402
from actstream.models import Action, Follow  # noqa: E402
from actstream.signals import action  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.contrib.contenttypes.models import ContentType  # noqa: E402

from tests.site.models import Article, Diary, Page, Project  # noqa: E402

ACTIONS, FOLLOWS = 100_000, 10_000
USERS, OBJECTS = 1_000, 100
#: So many of each are asked about, and so much of each stream is read.
SAMPLED, MOST_ROWS, PAGE = 100, 200, 20
START = datetime(2025, 1, 1, tzinfo=UTC)
VERBS = ["posted", "starred", "commented on", "kommentierte über", "reached level 60", "👍"]
FLAGS = ["", "", "", "liking"]


def make() -> dict[str, int]:
    """Everything by the package's own functions; each follow sends an action too."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    chance = random.Random(1)
    User.objects.bulk_create(User(username=f"user-{n}") for n in range(USERS))
    Group.objects.bulk_create(Group(name=f"group-{n}") for n in range(OBJECTS))
    Project.objects.bulk_create(Project(name=f"project-{n}") for n in range(OBJECTS))
    Article.objects.bulk_create(Article(title=f"article-{n}") for n in range(OBJECTS))
    Page.objects.bulk_create(Page(slug=f"page-{n}") for n in range(OBJECTS))
    users = list(User.objects.order_by("pk"))
    things: list[Any] = [o for m in (Group, Project, Article, Page) for o in m.objects.all()]

    def somebody() -> Any:
        return users[int(USERS * chance.random() ** 3)]

    with transaction.atomic():
        sent = left_out()
        while Follow.objects.count() < FOLLOWS:
            for _ in range(FOLLOWS - Follow.objects.count()):
                follow(
                    chance.choice(users),
                    chance.choice([somebody(), chance.choice(things)]),
                    actor_only=True,
                    flag=chance.choice(FLAGS),
                    timestamp=START + timedelta(minutes=chance.randrange(500_000)),
                )
        Follow.objects.filter(pk__in=range(1, FOLLOWS, 3)).update(actor_only=False)
        for _ in range(ACTIONS - Action.objects.count()):
            more: dict[str, Any] = {"stars": chance.randrange(9), "tags": ["a", "ü"]}
            action.send(
                somebody(),
                verb=chance.choice(VERBS),
                target=chance.choice([None, *things]),
                action_object=chance.choice([None, *things]),
                description=chance.choice([None, "", "Ein Satz.\nUnd noch einer."]),
                public=chance.random() < 0.95,
                # Many at the same minute.
                timestamp=START + timedelta(minutes=chance.randrange(1000, 60_000)),
                **(more if chance.random() < 0.3 else {}),
            )
    return {"actions": Action.objects.count(), "follows": Follow.objects.count(), "lost": sent}


def left_out() -> int:
    """What Brook has no place for; returns how many rows that are."""
    ada = User.objects.create(username="ada")
    gone = ContentType.objects.create(app_label="gone", model="thing")
    diary = Diary.objects.create()
    for _ in range(3):
        action.send(ada, verb="wrote", target=diary, timestamp=START)
    action.send(ada, verb="wrote", description="x" * 4001, timestamp=START)
    action.send(ada, verb="wrote", much="x" * 20_000, timestamp=START)
    ahead = datetime.now(UTC) + timedelta(days=9)
    action.send(ada, verb="will write", timestamp=ahead, public=False)
    Action.objects.create(
        actor=ada, verb="lost", target_content_type=gone, target_object_id="1", timestamp=START
    )
    return Action.objects.count()


def streams() -> Iterator[tuple[str, str, str, list[Any]]]:
    """(stream, model, primary key, pages of actions) of each; of a model's, without a key."""
    users = list(User.objects.filter(username__startswith="user-").order_by("pk"))
    some: list[Any] = users[:: USERS // SAMPLED]
    for model in (Group, Project, Article, Page):
        some += list(model.objects.order_by("pk")[:: 4 * OBJECTS // SAMPLED])
    for obj in some:
        names = ["actor_stream", "target_stream", "action_object_stream", "any_stream"]
        for name in [*names, *(["user_stream"] if isinstance(obj, User) else [])]:
            found = getattr(models, name)(obj)
            yield name, obj._meta.label, str(obj.pk), pages(found)
    for model in (User, Group, Project, Article, Page):
        yield "model_stream", model._meta.label, "", pages(models.model_stream(model))


def pages(stream: Any) -> list[Any]:
    # Its own prefetch fails where a model is gone.
    found = stream.prefetch_related(None).order_by("-timestamp", "-id")[:MOST_ROWS]
    rows = [said(row) for row in found]
    return [rows[at : at + PAGE] for at in range(0, len(rows), PAGE)]


def said(row: Any) -> dict[str, Any]:
    def named(role: str) -> list[str] | None:
        kind = getattr(row, f"{role}_content_type")
        return kind and [kind.model_class()._meta.label, getattr(row, f"{role}_object_id")]

    return {
        "actor": named("actor"),
        "verb": row.verb,
        "description": row.description,
        "target": named("target"),
        "actionObject": named("action_object"),
        "timestamp": row.timestamp.isoformat(),
        "public": row.public,
        "data": row.data,
    }


if __name__ == "__main__":
    _, command, path = sys.argv
    Path(path).write_text(json.dumps(make() if command == "make" else list(streams())))
