"""What goes with an object that is deleted, and in how many statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import QuerySet
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from server import registry
from server.models import Action, Follow, action, follow
from tests.site.models import Article, Page, Project


@pytest.fixture(params=["actions take no part", "actions take part"])
def likeable(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether actions can be acted on, as a site may register them."""
    likeable = request.param == "actions take part"
    if likeable:
        registry.register(Action)
    yield likeable
    if likeable:
        registry.unregister(Action)


@pytest.fixture
def likes() -> Iterator[None]:
    registry.register(Action)
    yield
    registry.unregister(Action)


def send(actor: Any, verb: str = "liked", **roles: Any) -> Action:
    sent: list[tuple[Any, Action]] = action.send(actor, verb=verb, **roles)
    return sent[0][1]


def give(project: Project, actor: User, number: int) -> None:
    """Actions that name a project, a third in each role, and follows of it."""
    types = ContentType.objects.get_for_models(User, Project)
    roles = ("actor", "target", "action_object")
    of_actor = {"actor_content_type": types[User], "actor_object_id": str(actor.pk)}
    now = timezone.now()
    Action.objects.bulk_create(
        Action(
            **of_actor
            | {
                f"{roles[n % 3]}_content_type": types[Project],
                f"{roles[n % 3]}_object_id": str(project.pk),
            },
            verb="grew",
            timestamp=now - timedelta(seconds=n),
        )
        for n in range(number)
    )
    for flag in ("", "watching"):
        follow(actor, project, send_action=False, flag=flag)


def deletions(rows: Any) -> list[str]:
    """The statements of a deletion, each as far as its conditions."""
    ContentType.objects.get_for_models(Action, Project)  # Django asks once in a process
    with CaptureQueriesContext(
        connection,
    ) as captured:
        rows.delete()
    return [query["sql"].split("WHERE")[0].strip() for query in captured.captured_queries]


def test_deleting_takes_as_many_statements_with_10_000_actions_as_with_ten(
    ada: User, brook: Project, delta: Project, likeable: bool
) -> None:
    give(brook, ada, 10)
    give(delta, ada, 10_000)
    bystander = send(ada, "joined")
    few, many = deletions(brook), deletions(delta)
    assert len(many) == len(few) <= 12
    assert list(Action.objects.all()) == [bystander]
    assert list(Follow.objects.all()) == []


def test_deleting_many_objects_takes_as_many_statements_as_deleting_one(
    ada: User, brook: Project, likeable: bool
) -> None:
    give(brook, ada, 10)
    one = deletions(Project.objects.filter(pk=brook.pk))
    for n in range(50):
        give(Project.objects.create(name=f"p{n}"), ada, 3)
    many = deletions(Project.objects.all())
    assert many == one
    assert list(Action.objects.all()) == []
    assert list(Follow.objects.all()) == []


def test_deleting_loads_no_action(ada: User, brook: Project, likeable: bool) -> None:
    give(brook, ada, 10)
    assert not [
        sql for sql in deletions(brook) if sql.startswith("SELECT") and "activity_action" in sql
    ]


def test_deleting_leaves_what_names_others(
    ada: User, brook: Project, delta: Project, likeable: bool
) -> None:
    kept = [send(ada, target=delta), send(delta), send(ada, action_object=delta)]
    kept_follow = follow(ada, delta, send_action=False)
    twin = Page.objects.create(slug=str(brook.pk))
    kept.append(send(ada, target=twin))
    send(ada, target=delta, action_object=brook)
    follow(ada, brook, send_action=False)
    brook.delete()
    assert list(Action.objects.order_by("id")) == kept
    assert list(Follow.objects.all()) == [kept_follow]


def test_deleting_in_bulk_takes_along_the_same(ada: User, brook: Project, likeable: bool) -> None:
    send(ada, target=brook)
    follow(ada, brook, send_action=False)
    Project.objects.filter(pk=brook.pk).delete()
    assert list(Action.objects.all()) == []
    assert list(Follow.objects.all()) == []


def test_what_is_done_to_an_action_goes_with_it_level_by_level(
    ada: User, bob: User, brook: Project, article: Article, likes: None
) -> None:
    kept = send(ada, target=article)
    level = send(ada, target=brook)
    for role in ("target", "action_object", "target", "target"):
        follow(bob, level, send_action=False)
        named: dict[str, Any] = {role: level}
        level = send(bob, **named)
    kept_like = send(bob, target=kept)
    kept_follow = follow(bob, kept, send_action=False)
    assert Action.objects.get(pk=level.pk).target is not None
    brook.delete()
    assert list(Action.objects.order_by("id")) == [kept, kept_like]
    assert list(Follow.objects.all()) == [kept_follow]


def test_a_deeper_chain_of_actions_takes_no_more_statements(
    ada: User, brook: Project, delta: Project, likes: None
) -> None:
    send(ada, target=brook)
    level = send(ada, target=delta)
    for _ in range(30):
        level = send(ada, target=level)
    assert len(deletions(delta)) == len(deletions(brook))
    assert list(Action.objects.all()) == []


def test_actions_that_name_each_other_can_be_deleted(
    ada: User, brook: Project, likes: None
) -> None:
    first = send(ada, target=brook)
    second = send(ada, target=first)
    Action.objects.filter(pk=first.pk).update(
        action_object_content_type=ContentType.objects.get_for_model(Action),
        action_object_object_id=str(second.pk),
    )
    brook.delete()
    assert list(Action.objects.all()) == []


@pytest.mark.parametrize("of_an_instance", [True, False])
def test_deleting_actions_takes_along_what_names_them(
    ada: User, likes: None, of_an_instance: bool
) -> None:
    first, kept = send(ada, "joined"), send(ada, "left")
    like = send(ada, target=first)
    follow(ada, like, send_action=False)
    doomed: Any = first if of_an_instance else Action.objects.filter(verb="joined")
    assert isinstance(doomed, Action | QuerySet)
    assert doomed.delete() == (2, {"activity.Action": 2})
    assert list(Action.objects.all()) == [kept]
    assert list(Follow.objects.all()) == []


def test_deleting_an_action_deletes_it_alone(ada: User, likeable: bool) -> None:
    first, kept = send(ada, "joined"), send(ada, "left")
    first.delete()
    assert list(Action.objects.all()) == [kept]
    assert Action.objects.none().delete() == (0, {})


@pytest.mark.parametrize("signal", [pre_delete, post_delete])
def test_whoever_listens_to_deletions_of_actions_hears_of_each(
    ada: User, brook: Project, likeable: bool, signal: Any
) -> None:
    heard: list[int] = []

    def hear(instance: Action, **kwargs: Any) -> None:
        heard.append(instance.pk)

    sent = [send(ada, target=brook), send(ada, action_object=brook)]
    if likeable:
        sent.append(send(ada, target=sent[0]))
    expected = {each.pk for each in sent}
    signal.connect(hear, sender=Action)
    try:
        brook.delete()
    finally:
        signal.disconnect(hear, sender=Action)
    assert set(heard) == expected
    assert list(Action.objects.all()) == []


def test_deleting_a_user_takes_along_what_the_user_did_and_what_was_done_to_the_user(
    ada: User, bob: User, brook: Project, likeable: bool
) -> None:
    kept = send(bob, target=brook)
    send(ada, target=brook)
    send(bob, target=ada)
    follow(bob, ada)
    kept_follow = follow(bob, brook, send_action=False)
    ada.delete()
    assert list(Action.objects.all()) == [kept]
    assert list(Follow.objects.all()) == [kept_follow]


def test_deleting_what_was_never_registered_asks_for_no_action(
    db: None, django_assert_num_queries: Any
) -> None:
    from tests.site.models import Diary

    diary = Diary.objects.create()
    with django_assert_num_queries(1):
        diary.delete()
