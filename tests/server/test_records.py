"""Recording: what is stored, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from server import records
from server.bounds import by_value
from server.models import Action, action, send_many
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
    assert answers == [(records.store, stored)]
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


def record(actor: Any, verb: str = "starred", **kwargs: Any) -> tuple[Action, bool]:
    return records.record(actor, verb, idempotency_key="once", **kwargs)


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


def test_no_verb_at_all_is_refused_as_an_empty_one(ada: User) -> None:
    with pytest.raises(ValidationError) as refused:
        action.send(ada, verb=None)
    assert refused.value.message_dict == {
        "verb": ["A verb has at least 1 character; this one is empty."]
    }
    assert not Action.objects.exists()


# many at once


def refused(items: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What is said of the items, when nothing of them is stored."""
    before = list(Action.objects.all())
    with pytest.raises(records.Refusals) as refusals:
        send_many(items)
    assert list(Action.objects.all()) == before
    return refusals.value.message_dict


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
#: Whatever an item can have, beside its roles.
GIVEN: dict[str, dict[str, Any]] = {
    "nothing more": {},
    "text": {"description": "It is “good”,\n\t\\ and 😀.", "public": False},
    "a time": {"timestamp": AT},
    "a time without a zone": {"timestamp": AT.replace(tzinfo=None)},
    "a key": {"idempotency_key": "once"},
    "lazy text": {"verb": gettext_lazy("Yes"), "description": gettext_lazy("No")},
    "data": {"day": date(2026, 1, 2), "at": AT, "size": Decimal("1.50"), "key": UUID(int=7)},
    "nested data": {"labels": ["bug", None, {"é": True}], "n": 1e22, "zero": "\\u0000"},
    "data of its own name": {"data": [1], "signal": "red"},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_of_many_each_is_stored_as_if_it_were_sent_alone(
    ada: User, bob: User, brook: Project, article: Article, page: Page, given: dict[str, Any]
) -> None:
    items = [
        {"actor": ada, "verb": "cited", "action_object": article, "target": brook, **given},
        {"actor": bob, "verb": "read", "target": page, "timestamp": AT, **given},
    ]
    alone = []
    for item in items:
        signalled = {name: value for name, value in item.items() if name != "signal"}
        [(_, sent)] = action.send(signalled.pop("actor"), **signalled)
        alone.append(sent)
    Action.objects.all().delete()
    many = [stored for stored, new in send_many(items) if new]
    for one, other, stored in zip(alone, many, Action.objects.order_by("pk"), strict=True):
        assert (other.pk, other._state.adding, other._state.db) == (stored.pk, False, "default")
        for name in ("actor", "target", "action_object", "verb", "description", "public"):
            assert getattr(one, name) == getattr(other, name) == getattr(stored, name), name
        assert stored.idempotency_key == one.idempotency_key
        assert stored.timestamp == other.timestamp
        if "timestamp" in given:
            assert stored.timestamp == one.timestamp
        sent_data = {**(stored.data or {})}
        sent_data.pop("signal", None)
        assert by_value(sent_data or None) == by_value(one.data)


def test_many_are_answered_in_their_order_and_have_ids_in_it(ada: User, bob: User) -> None:
    """Of one time, so that their ids decide which is the newer one."""
    items = [
        {
            "actor": (ada, bob)[at % 2],
            "verb": str(at),
            "timestamp": AT,
            "idempotency_key": None if at % 3 == 0 else str(97 * at % 10),
        }
        for at in range(9)
    ]
    answers = send_many(items)
    assert [(stored.verb, new) for stored, new in answers] == [(str(at), True) for at in range(9)]
    assert list(Action.objects.all()) == [stored for stored, _ in reversed(answers)]


def test_none_of_many_is_nothing_to_do(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert send_many([]) == []


@pytest.mark.parametrize("keyed", [False, True])
def test_many_take_the_same_statements_however_many_they_are(
    ada: User, bob: User, brook: Project, keyed: bool
) -> None:
    def statements(number: int, run: int) -> int:
        items = (  # an iterable will do
            {
                "actor": (ada, bob)[at % 2],
                "verb": "starred",
                "target": brook,
                "idempotency_key": f"{run} {at}" if keyed else None,
            }
            for at in range(number)
        )
        with CaptureQueriesContext(connection) as queries:
            send_many(items)
        return len(queries)

    send_many([{"actor": ada, "verb": "woke", "target": brook}])  # finds the content types
    # More would pass what SQLite takes in one statement.
    many = 1000 if connection.vendor == "postgresql" else 80
    few = statements(2, 1)
    assert statements(many, 2) == few
    assert few <= 8
    assert statements(many, 2) == (5 if keyed else few)


@pytest.mark.sqlite
def test_more_than_one_statement_takes_are_stored_too(ada: User) -> None:
    answers = send_many(
        {"actor": ada, "verb": "woke", "idempotency_key": str(at)} for at in range(1000)
    )
    assert [stored.pk for stored, new in answers if new] == sorted(
        Action.objects.values_list("pk", flat=True)
    )


def test_all_that_is_wrong_with_many_is_named_at_once(ada: User, brook: Project) -> None:
    send_many([{"actor": ada, "verb": "woke", "idempotency_key": "used"}])
    said = refused(
        [
            {"actor": ada, "verb": "joined"},
            {"actor": ada, "verb": "", "description": "x" * 4001},
            {"actor": ada, "verb": "met", "target": Project(name="new")},
            {"actor": ada, "verb": "slept", "idempotency_key": "used"},
            {"actor": ada, "verb": "a", "idempotency_key": "1"},
            {"actor": ada, "verb": "b", "idempotency_key": "1"},
        ]
    )
    assert said == {
        "1.verb": ["A verb has at least 1 character; this one is empty."],
        "1.description": ["A description has at most 4000 characters; this one has 4001."],
        "2.target": ["<Project: new> is not saved, so nothing can name it."],
        "3.idempotency_key": ["The key 'used' was used for another action."],
        "5.idempotency_key": ["The key '1' was used for another action."],
    }


def test_what_is_wrong_with_one_of_many_is_a_validation_error_of_its_own(ada: User) -> None:
    with pytest.raises(ValidationError) as refusal:
        send_many([{"actor": ada, "verb": "joined"}, {"actor": ada, "verb": "x" * 256}])
    assert isinstance(refusal.value, records.Refusals)
    [(index, error)] = refusal.value.by_index.items()
    assert index == 1
    assert [each.code for each in error.error_dict["verb"]] == ["too_long"]


def test_a_model_that_is_not_registered_is_refused_for_all(ada: User) -> None:
    items = [
        {"actor": ada, "verb": "joined"},
        {"actor": ada, "verb": "wrote", "target": Diary.objects.create()},
    ]
    with pytest.raises(ImproperlyConfigured, match=r"^site\.Diary"):
        send_many(items)
    assert not Action.objects.exists()


@pytest.mark.parametrize("key", [None, "once"])
def test_what_the_database_refuses_of_many_is_raised(ada: User, key: str | None) -> None:
    items = [{"actor": ada, "verb": "joined", "idempotency_key": key, "public": None}]
    with pytest.raises(IntegrityError), transaction.atomic():
        send_many([{"actor": ada, "verb": "woke"}, *items])
    assert not Action.objects.exists()


def test_the_same_many_again_are_answered_with_the_first_actions(
    ada: User, bob: User, brook: Project, article: Article
) -> None:
    items = [
        {
            "actor": actor,
            "verb": "starred",
            "target": brook,
            "action_object": article,
            "stars": at,
            "idempotency_key": str(at),
        }
        for at in range(3)
        for actor in (ada, bob)
    ]
    first = send_many(items)
    again = send_many(items[::-1])
    assert [new for _, new in first] == [True] * 6
    assert again == [(stored, False) for stored, _ in reversed(first)]
    assert [stored.target for stored, _ in again] == [brook] * 6
    assert Action.objects.count() == 6


def test_of_many_the_new_ones_are_stored_and_the_others_found(ada: User) -> None:
    old, _ = records.record(ada, "woke", idempotency_key="1")
    items = [
        {"actor": ada, "verb": "woke", "idempotency_key": key} for key in ("2", "1", "2", None)
    ]
    answers = send_many(items)
    second, third = Action.objects.exclude(pk=old.pk).order_by("pk")
    assert answers == [(second, True), (old, False), (second, False), (third, True)]


def test_the_key_of_one_of_many_is_its_actors_own(ada: User, bob: User) -> None:
    key = {"verb": "woke", "idempotency_key": "1"}
    assert [new for _, new in send_many([{"actor": ada, **key}, {"actor": bob, **key}])] == [
        True,
        True,
    ]


def test_a_repeated_batch_leaves_the_transaction_around_it_usable(ada: User) -> None:
    items = [{"actor": ada, "verb": "woke", "idempotency_key": "1"}]
    with transaction.atomic():
        [(first, _)] = send_many(items)
        assert send_many(items) == [(first, False)]
        with pytest.raises(records.Refusals):
            send_many([{**items[0], "verb": "slept"}])
        [(later, _)] = send_many([{"actor": ada, "verb": "joined"}])
    assert list(Action.objects.all()) == [later, first]
