"""Two at the same time: nothing is written twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from server import records
from server.models import Action, Follow, follow, send_many, unfollow
from tests.site.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

Answer = TypeVar("Answer")
#: How often each race is run: the loser's path is taken in nearly all of them.
RACES = 5


def race(act: Callable[[int], Answer], runners: int = 2) -> list[Answer]:
    """What each of several threads, set off at once, is answered."""
    start = Barrier(runners)

    def run(number: int) -> Answer:
        try:
            connection.ensure_connection()
            start.wait(timeout=10)
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(runners) as pool:
        return list(pool.map(run, range(runners)))


@pytest.mark.parametrize("runners", [2, 4])
def test_equal_calls_with_one_key_write_one_action_and_all_answer_it(
    ada: User, brook: Project, runners: int
) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> tuple[Action, bool]:
            return records.record(ada, "starred", target=brook, idempotency_key=key)

        answers = race(act, runners)
        stored = Action.objects.get(idempotency_key=key)
        assert [action for action, _ in answers] == [stored] * runners
        assert sorted(new for _, new in answers) == [False] * (runners - 1) + [True]


def test_equal_calls_within_transactions_write_one_action_too(ada: User, brook: Project) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> Action:
            with transaction.atomic():
                return records.record(ada, "starred", target=brook, idempotency_key=key)[0]

        assert race(act) == [Action.objects.get(idempotency_key=key)] * 2


def test_of_different_calls_with_one_key_one_is_stored_and_one_is_a_conflict(ada: User) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> str:
            verb = ("starred", "praised")[number]
            try:
                return records.record(ada, verb, idempotency_key=key)[0].verb
            except ValidationError as refusal:
                return str(refusal.error_dict["idempotency_key"][0].code)

        assert sorted(race(act)) == sorted(
            ["conflict", Action.objects.get(idempotency_key=key).verb]
        )


def test_without_a_key_every_call_is_stored(ada: User) -> None:
    """The control: it is the key that makes the calls one."""
    race(lambda number: records.record(ada, "starred"), 4)
    assert Action.objects.count() == 4


@pytest.mark.parametrize("runners", [2, 4])
@pytest.mark.parametrize("order", ["same", "opposite"])
def test_equal_batches_write_each_action_once_and_all_answer_them(
    ada: User, bob: User, brook: Project, runners: int, order: str
) -> None:
    """In the opposite order, each would have what the other waits for."""
    for run in range(RACES):
        items = [
            {
                "actor": (ada, bob)[at % 2],
                "verb": "starred",
                "target": brook,
                "idempotency_key": f"{run} {at}",
            }
            for at in range(100)
        ]

        def act(number: int, items: list[Any] = items) -> list[tuple[Action, bool]]:
            backwards = order == "opposite" and number % 2
            answers = send_many(items[::-1] if backwards else items)
            return answers[::-1] if backwards else answers

        answers = race(act, runners)
        stored = list(Action.objects.filter(idempotency_key__startswith=f"{run} ").order_by("pk"))
        assert len(stored) == len(items)
        for given in answers:
            assert {action for action, _ in given} == set(stored)
            assert [action for action, _ in given] == [action for action, _ in answers[0]]
        assert sorted(given[0][1] for given in answers) == [False] * (runners - 1) + [True]
        assert sorted({new for _, new in given} == {True} for given in answers) == [False] * (
            runners - 1
        ) + [True]


def test_batches_that_overlap_write_each_action_once(ada: User) -> None:
    for run in range(RACES):

        def act(number: int, run: int = run) -> list[tuple[Action, bool]]:
            if number == 2:
                return [records.record(ada, "woke", idempotency_key=f"{run} 60")]
            return send_many(
                {"actor": ada, "verb": "woke", "idempotency_key": f"{run} {at}"}
                for at in range(50 * number, 50 * number + 100)
            )

        answers = [answer for given in race(act, 3) for answer in given]
        stored = Action.objects.filter(idempotency_key__startswith=f"{run} ")
        assert {action for action, _ in answers} == set(stored)
        assert len([new for _, new in answers if new]) == len(stored) == 150


def test_of_different_batches_with_one_key_one_is_stored_whole_and_the_others_not_at_all(
    ada: User,
) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> list[str]:
            verb = ("starred", "praised")[number]
            items = [{"actor": ada, "verb": verb, "idempotency_key": key}]
            try:
                send_many([{"actor": ada, "verb": verb, "description": key}, *items])
            except ValidationError as refusal:
                return list(refusal.message_dict)
            return []

        assert sorted(race(act)) == [[], ["1.idempotency_key"]]
        kept = Action.objects.get(idempotency_key=key).verb
        assert [each.verb for each in Action.objects.filter(description=key)] == [kept]


def test_following_at_the_same_time_makes_one_follow_and_one_action(
    ada: User, brook: Project
) -> None:
    for flag in map(str, range(RACES)):

        def act(number: int, flag: str = flag) -> Follow:
            return follow(ada, brook, flag=flag)

        assert race(act) == [Follow.objects.get(flag=flag)] * 2
        assert Action.objects.filter(verb=f"started {flag}").count() == 1


def test_unfollowing_at_the_same_time_says_so_once(ada: User, brook: Project) -> None:
    for _ in range(RACES):
        row = follow(ada, brook, send_action=False)
        Action.objects.all().delete()
        answers = race(lambda number: unfollow(ada, brook, send_action=True))
        assert sorted(answers) == [[], [row.pk]]
        assert [each.verb for each in Action.objects.all()] == ["stopped following"]
