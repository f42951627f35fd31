"""Actions: how one reads, their order, and what the database holds them to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from server.models import Action, action
from tests.site.models import Project


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        (("page", "brook"), "ada opened on-rivers on brook 2 hours ago"),
        ((None, "brook"), "ada opened brook 2 hours ago"),
        (("page", None), "ada opened on-rivers 2 hours ago"),
        ((None, "page"), "ada opened on-rivers 2 hours ago"),
        ((None, None), "ada opened 2 hours ago"),
    ],
)
def test_an_action_reads_as_a_sentence_of_the_roles_that_there_are(
    ada: User, roles: tuple[str | None, str | None], words: str, request: pytest.FixtureRequest
) -> None:
    action_object, target = (name and request.getfixturevalue(name) for name in roles)
    action.send(
        ada,
        verb="opened",
        action_object=action_object,
        target=target,
        timestamp=timezone.now() - timedelta(hours=2),
    )
    assert str(Action.objects.get()) == words


def test_an_action_whose_actor_is_gone_is_somebodys(ada: User) -> None:
    action.send(ada, verb="joined", timestamp=timezone.now() - timedelta(days=1))
    Action.objects.update(actor_object_id="0")
    assert str(Action.objects.get()) == "Somebody joined 1 day ago"


def test_actions_are_ordered_newest_first_and_by_id_at_the_same_time(ada: User) -> None:
    at = timezone.now()
    first, second = (action.send(ada, verb=verb, timestamp=at)[0][1] for verb in "ab")
    older = action.send(ada, verb="c", timestamp=at - timedelta(microseconds=1))[0][1]
    assert list(Action.objects.all()) == [second, first, older]


def test_the_database_refuses_half_a_role_and_an_empty_verb(ada: User, brook: Project) -> None:
    [(_, stored)] = action.send(ada, verb="starred", target=brook)
    for wrong in ({"target_object_id": None}, {"target_content_type": None}, {"verb": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Action.objects.filter(pk=stored.pk).update(**wrong)


def test_the_indexes_are_those_of_the_design_and_no_others() -> None:
    assert {
        (index.name, tuple(index.fields), index.condition is not None)
        for index in Action._meta.indexes
    } == {
        ("activity_actor", role_index("actor"), False),
        ("activity_target", role_index("target"), True),
        ("activity_action_object", role_index("action_object"), True),
        ("activity_actor_type", ("actor_content_type", "-timestamp", "-id"), True),
        ("activity_target_type", ("target_content_type", "-timestamp", "-id"), True),
        ("activity_action_object_type", ("action_object_content_type", "-timestamp", "-id"), True),
        ("activity_newest", ("-timestamp", "-id"), True),
    }
    assert [field.name for field in Action._meta.fields if field.db_index] == []


def role_index(role: str) -> tuple[str, ...]:
    return (f"{role}_content_type", f"{role}_object_id", "-timestamp", "-id", "public")


def test_actions_have_the_field_names_of_django_activity_stream() -> None:
    assert {field.name for field in Action._meta.get_fields()} >= {
        f"{role}{part}"
        for role in ("actor", "target", "action_object")
        for part in ("", "_content_type", "_object_id")
    } | {"verb", "description", "timestamp", "public", "data"}
    assert isinstance(Action._meta.get_field("data"), models.JSONField)
