"""Removing what happened long ago: what goes, what stays, and who waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from server import batches, pruning, registry
from server.models import Action, follow
from server.pruning import Pruning
from tests.site.models import Project
from tests.writers import Writers

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2020, 3, 31, 23, 59, 59, 999999, tzinfo=UTC)
LIMIT = datetime(2021, 1, 1, tzinfo=UTC)


@pytest.fixture
def likes() -> Iterator[None]:
    registry.register(Action)
    yield
    registry.unregister(Action)


def did(actor: User, verb: str = "posted", at: datetime = LONG_AGO, **given: Any) -> Action:
    return Action.objects.create(actor=actor, verb=verb, timestamp=at, **given)


def prune(age: str = "2021-01-01", **options: Any) -> str:
    out = StringIO()
    call_command("prune", f"--older-than={age}", stdout=out, **{"pause": 0.0, **options})
    return out.getvalue()


def ignore(kind: str, done: int) -> None:
    """Show no bar."""


def test_what_is_older_goes_public_and_private_and_the_rest_stays(ada: User) -> None:
    did(ada), did(ada, public=False), did(ada, at=LIMIT - timedelta(microseconds=1))
    kept = [did(ada, at=LIMIT), did(ada, at=LIMIT, public=False), did(ada, at=timezone.now())]
    assert "3 actions are deleted" in prune()
    assert list(Action.objects.order_by("pk")) == kept


def test_again_there_is_nothing_to_do(ada: User) -> None:
    did(ada)
    prune()
    assert "0 actions are deleted" in prune()


def test_verbs_that_are_named_go_alone(ada: User) -> None:
    did(ada, "posted"), did(ada, "liked", public=False)
    kept = did(ada, "joined")
    assert "2 actions are deleted" in prune(verbs=["posted", "liked"])
    assert list(Action.objects.all()) == [kept]


def test_an_age_counts_from_now(ada: User) -> None:
    kept = did(ada, at=timezone.now() - timedelta(hours=11))
    did(ada, at=timezone.now() - timedelta(hours=13))
    assert "1 actions are deleted" in prune("12h")
    assert list(Action.objects.all()) == [kept]
    prune("2w")
    assert list(Action.objects.all()) == [kept]


@pytest.mark.parametrize(
    "age", ["0d", "-5d", "180", "d", "1.5d", "2030-13-01", "9999-01-01", "soon", "", "\u0661d"]
)
def test_nonsense_is_refused_by_its_value(ada: User, age: str) -> None:
    kept = did(ada)
    with pytest.raises(CommandError, match=f"--older-than: '{age}' is"):
        prune(age)
    assert list(Action.objects.all()) == [kept]


@pytest.mark.parametrize(
    ("option", "value"),
    [("batch", "0"), ("batch", "-1"), ("batch", "x"), ("pause", "-1"), ("pause", "nan")],
)
def test_a_batch_and_a_pause_are_within_bounds(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"--{option}: '{value}' is no number"):
        call_command("prune", "--older-than=1d", f"--{option}={value}")


def test_a_dry_run_counts_by_verb_and_month_and_deletes_nothing(ada: User) -> None:
    there = [
        did(ada, "posted"),
        did(ada, "posted", public=False),
        did(ada, "posted", at=LONG_AGO + timedelta(microseconds=1)),
        did(ada, "[red]liked"),
        did(ada, "posted", at=LIMIT),
    ]
    said = prune(dry_run=True)
    assert "4 actions from before 2021-01-01 00:00 UTC would be deleted." in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("2020-")]
    assert rows == [
        ["2020-03", "[red]liked", "1"],
        ["2020-03", "posted", "2"],
        ["2020-04", "posted", "1"],
    ]
    assert list(Action.objects.order_by("pk")) == there


def test_what_names_an_old_action_goes_with_it_and_is_counted_before(
    ada: User, bob: User, likes: None
) -> None:
    old, kept = did(ada), did(ada, at=timezone.now())
    liked = did(bob, "liked", at=timezone.now(), target=old)
    did(ada, "thanked", at=timezone.now(), action_object=liked, target=old)
    follow(bob, old, send_action=False)
    said = prune(dry_run=True, verbs=["posted"])
    assert "1 actions from before" in said
    assert "2 others would be" in said
    assert "3 actions are deleted" in prune(verbs=["posted"])
    assert list(Action.objects.all()) == [kept]
    assert list(bob.outgoing_follows.all()) == []


def test_a_thousand_likes_of_an_old_action_go_in_several_transactions(
    ada: User, likes: None
) -> None:
    old = did(ada)
    Action.objects.bulk_create(
        Action(actor=ada, verb="liked", target=old, timestamp=timezone.now()) for _ in range(1_000)
    )
    went = list(batches.remove([old], "default", size=100, pause=0))
    assert went == [100] * 10 + [1]
    assert list(Action.objects.all()) == []


def test_actions_that_name_each_other_go_too(ada: User, likes: None) -> None:
    first = did(ada)
    second = did(ada, target=first)
    Action.objects.filter(pk=first.pk).update(
        action_object_content_type=registry.content_type(Action),
        action_object_object_id=str(second.pk),
    )
    prune()
    assert list(Action.objects.all()) == []


@given(
    times=st.lists(
        st.tuples(st.integers(0, 4), st.booleans(), st.sampled_from("abc")), max_size=40
    ),
    size=st.integers(1, 7),
    verbs=st.sets(st.sampled_from("abc")),
)
def test_what_goes_is_what_a_plain_filter_finds(
    ada: User, times: list[tuple[int, bool, str]], size: int, verbs: set[str]
) -> None:
    Action.objects.all().delete()
    for days, public, verb in times:
        did(ada, verb, at=LIMIT + timedelta(days=days - 2), public=public)
    meant = Action.objects.filter(timestamp__lt=LIMIT)
    meant = meant.filter(verb__in=verbs) if verbs else meant
    kept, number = set(Action.objects.exclude(pk__in=meant)), meant.count()
    work = Pruning(LIMIT, frozenset(verbs), size, pause=0)
    old, others = work.count(ignore)
    work.run(ignore)
    assert (old.total(), others.total(), work.removed) == (number, 0, number)
    assert set(Action.objects.all()) == kept


def test_an_interruption_says_what_is_gone_and_another_run_goes_on(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(7):
        did(ada)
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(batches, "sleep", sleep)
    with pytest.raises(CommandError, match=r"Interrupted\. 6 actions are deleted\.") as stopped:
        prune(batch=3, pause=0.5)
    assert (stopped.value.returncode, slept) == (130, [0.5, 0.5])
    assert "1 actions are deleted" in prune(batch=3)


def test_a_batch_is_one_short_transaction(ada: User) -> None:
    for _ in range(10):
        did(ada)
    with CaptureQueriesContext(connection) as captured:
        Pruning(LIMIT, size=5, pause=0).run(ignore)
    deletes = [q["sql"] for q in captured if q["sql"].startswith("DELETE")]
    assert len(deletes) == 2
    begun = [q["sql"] for q in captured if q["sql"].startswith(("BEGIN", "SAVEPOINT"))]
    assert len(begun) == 2


@pytest.mark.django_db(transaction=True)
def test_others_read_and_write_between_the_batches(
    ada: User, brook: Project, writers: Writers
) -> None:
    for _ in range(20):
        did(ada)
    written: list[Action] = []

    def others(kind: str, done: int) -> None:
        """Another connection, which must not wait: on SQLite there is one writer at a time."""
        if kind == pruning.PUBLIC:
            writer = writers()
            written.append(writer.record(ada, target=brook))
            writer.commit()

    Pruning(LIMIT, size=5, pause=0).run(others)
    assert len(written) >= 4
    assert list(Action.objects.order_by("pk")) == written


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_batch_nor_a_batch_for_them(
    ada: User, brook: Project, writers: Writers
) -> None:
    for _ in range(20):
        did(ada)
    writer = writers()
    written = writer.record(ada, target=brook)  # and its transaction stays open
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
    try:
        Pruning(LIMIT, size=5, pause=0).run(ignore)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    writer.commit()
    assert list(Action.objects.all()) == [written]
