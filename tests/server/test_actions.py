"""Actions: what is stored, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from server import actions
from server.models import Action, action
from tests.site.models import Article, Diary, Page, Project


def test_sending_an_action_stores_it_and_answers_it(
    ada: User, brook: Project, article: Article
) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    answers = action.send(
        ada,
        verb="cited",
        action_object=article,
        target=brook,
        description="In the introduction.",
        public=False,
        timestamp=at,
        page=7,
    )
    stored = Action.objects.get()
    assert answers == [(actions.store, stored)]
    assert (stored.actor, stored.action_object, stored.target) == (ada, article, brook)
    assert (stored.verb, stored.description, stored.public, stored.timestamp, stored.data) == (
        "cited",
        "In the introduction.",
        False,
        at,
        {"page": 7},
    )


def test_an_action_is_public_of_now_and_bare_by_default(ada: User) -> None:
    before = timezone.now()
    action.send(ada, verb="joined")
    stored = Action.objects.get()
    assert before <= stored.timestamp <= timezone.now()
    assert (stored.public, stored.description, stored.data, stored.idempotency_key) == (
        True,
        None,
        None,
        None,
    )


def test_a_naive_timestamp_is_of_the_current_time_zone(ada: User) -> None:
    with timezone.override("Europe/Vienna"):
        action.send(ada, verb="joined", timestamp=datetime(2026, 1, 1, 12))  # noqa: DTZ001
    assert Action.objects.get().timestamp == datetime(2026, 1, 1, 11, tzinfo=UTC)


def test_a_lazy_verb_is_stored_untranslated(ada: User) -> None:
    with translation.override("de"):
        assert str(gettext_lazy("Yes")) == "Ja"
        action.send(ada, verb=gettext_lazy("Yes"), description=gettext_lazy("No"))
    stored = Action.objects.get()
    assert (stored.verb, stored.description) == ("Yes", "No")


def test_dates_decimals_and_uuids_in_data_become_text(ada: User) -> None:
    action.send(
        ada,
        verb="measured",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        day=date(2026, 1, 2),
        size=Decimal("1.50"),
        key=UUID(int=7),
    )
    assert Action.objects.get().data == {
        "at": "2026-01-02T03:04:05Z",
        "day": "2026-01-02",
        "size": "1.50",
        "key": "00000000-0000-0000-0000-000000000007",
    }


@pytest.mark.parametrize("role", ["actor", "target", "action_object"])
@pytest.mark.parametrize("unsaved", [Project(name="new"), Page(slug="new"), Article(title="new")])
def test_an_unsaved_object_can_have_no_role(ada: User, role: str, unsaved: Any) -> None:
    roles = {"actor": ada} | {role: unsaved}
    with pytest.raises(ValidationError, match="is not saved") as refusal:
        action.send(roles.pop("actor"), verb="met", **roles)
    assert list(refusal.value.message_dict) == [role]
    assert list(Action.objects.all()) == []


def test_a_deleted_object_can_have_no_role(ada: User, brook: Project) -> None:
    brook.delete()
    with pytest.raises(ValidationError, match="is not saved"):
        action.send(ada, verb="met", target=brook)


@pytest.mark.parametrize("role", ["actor", "target", "action_object"])
def test_every_role_must_be_registered(ada: User, role: str) -> None:
    roles: dict[str, Any] = {"actor": ada} | {role: Diary.objects.create()}
    with pytest.raises(ImproperlyConfigured, match=r"^site\.Diary"):
        action.send(roles.pop("actor"), verb="met", **roles)
    assert list(Action.objects.all()) == []


@pytest.mark.parametrize("nobody", [None, AnonymousUser()])
def test_nobody_can_act(nobody: Any, db: None) -> None:
    with pytest.raises(ImproperlyConfigured, match="takes no part"):
        action.send(nobody, verb="joined")


@pytest.mark.parametrize("verb", ["", "x" * 256])
def test_an_empty_or_over_long_verb_is_refused(ada: User, verb: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        action.send(ada, verb=verb)
    assert list(refusal.value.message_dict) == ["verb"]
    assert list(Action.objects.all()) == []


def test_every_bound_that_is_passed_is_named_at_once(ada: User) -> None:
    with pytest.raises(ValidationError) as refusal:
        action.send(
            ada,
            verb="x" * 256,
            description="x" * 4001,
            timestamp=timezone.now() + timedelta(minutes=2),
            idempotency_key="",
            text="x" * 16384,
        )
    assert set(refusal.value.message_dict) == {
        "verb",
        "description",
        "timestamp",
        "idempotency_key",
        "data",
    }


def test_what_is_just_within_the_bounds_is_stored(ada: User) -> None:
    action.send(
        ada,
        verb="x" * 255,
        description="x" * 4000,
        timestamp=timezone.now() + timedelta(seconds=55),
        idempotency_key="x" * 255,
        text="x" * (16384 - len('{"text": ""}')),
    )
    assert Action.objects.get().verb == "x" * 255


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


def record(actor: Any, verb: str = "starred", **kwargs: Any) -> tuple[Action, bool]:
    return actions.record(actor, verb, idempotency_key="once", **kwargs)


DATA = {
    "key order": ({"b": 1, "a": [{"d": 2, "c": 3}]}, {"a": [{"c": 3, "d": 2}], "b": 1}),
    "a date": ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"at": "2026-01-01T00:00:00Z"}),
    "numbers as keys": ({1: "a", 10: "b", 2: "c"}, {"1": "a", "2": "c", "10": "b"}),
    "large numbers": ({"n": 1e22, "m": -0.0}, {"n": 1e22, "m": -0.0}),
    "small numbers": ({"n": 1e-7, "m": 1.10}, {"n": 0.0000001, "m": 1.1}),
    "a list": ([1, 2.5, None, True, "x"], [1, 2.5, None, True, "x"]),
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_an_equal_call_with_the_same_key_answers_the_first_action(
    ada: User, brook: Project, data: tuple[Any, Any]
) -> None:
    first, new = record(ada, target=brook, data=data[0], description="It is good.")
    again, new_again = record(ada, target=brook, data=data[1], description="It is good.")
    assert (new, new_again) == (True, False)
    assert again == first
    assert record(ada, target=brook, data=data[0], description="It is good.") == (first, False)
    assert list(Action.objects.all()) == [first]
    assert again.target is brook


@pytest.mark.parametrize(
    "other",
    [
        {"verb": "praised"},
        {"target": None},
        {"description": "It is bad."},
        {"public": False},
        {"data": {"stars": 2}},
        {"data": {"stars": True}},
        {"timestamp": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_another_call_with_the_same_key_is_a_conflict(
    ada: User, brook: Project, other: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"verb": "starred", "target": brook, "data": {"stars": 1}}
    first, _ = record(ada, **given)
    with pytest.raises(ValidationError, match="'once' was used for another action") as refusal:
        record(ada, **given | other)
    assert [each.code for each in refusal.value.error_dict["idempotency_key"]] == ["conflict"]
    assert list(Action.objects.all()) == [first]


def test_a_given_time_counts_only_where_it_is_given(ada: User) -> None:
    at = timezone.now() - timedelta(days=1)
    first, _ = record(ada, timestamp=at)
    assert record(ada, timestamp=at) == (first, False)
    assert record(ada) == (first, False)


def test_a_key_is_an_actors_own(ada: User, bob: User) -> None:
    assert [record(ada)[1], record(bob)[1]] == [True, True]


def test_actions_without_a_key_are_all_stored(ada: User) -> None:
    action.send(ada, verb="starred")
    action.send(ada, verb="starred")
    assert Action.objects.count() == 2


def test_a_repeated_key_leaves_the_transaction_around_it_usable(ada: User) -> None:
    with transaction.atomic():
        record(ada)
        record(ada)
        [(_, later)] = action.send(ada, verb="joined")
    assert Action.objects.get(verb="joined") == later


def test_a_signal_with_a_key_is_stored_once(ada: User) -> None:
    [(_, first)] = action.send(ada, verb="joined", idempotency_key="once")
    [(_, again)] = action.send(ada, verb="joined", idempotency_key="once")
    assert again == first


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


def test_no_verb_at_all_is_refused_as_an_empty_one(ada: User) -> None:
    with pytest.raises(ValidationError) as refused:
        action.send(ada, verb=None)
    assert refused.value.message_dict == {
        "verb": ["A verb has at least 1 character; this one is empty."]
    }
    assert not Action.objects.exists()
