"""Two at the same time: nothing is written twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from server import actions
from server.models import Action, Follow, follow, unfollow
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
            return actions.record(ada, "starred", target=brook, idempotency_key=key)

        answers = race(act, runners)
        stored = Action.objects.get(idempotency_key=key)
        assert [action for action, _ in answers] == [stored] * runners
        assert sorted(new for _, new in answers) == [False] * (runners - 1) + [True]


def test_equal_calls_within_transactions_write_one_action_too(ada: User, brook: Project) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> Action:
            with transaction.atomic():
                return actions.record(ada, "starred", target=brook, idempotency_key=key)[0]

        assert race(act) == [Action.objects.get(idempotency_key=key)] * 2


def test_of_different_calls_with_one_key_one_is_stored_and_one_is_a_conflict(ada: User) -> None:
    for key in map(str, range(RACES)):

        def act(number: int, key: str = key) -> str:
            verb = ("starred", "praised")[number]
            try:
                return actions.record(ada, verb, idempotency_key=key)[0].verb
            except ValidationError as refusal:
                return str(refusal.error_dict["idempotency_key"][0].code)

        assert sorted(race(act)) == sorted(
            ["conflict", Action.objects.get(idempotency_key=key).verb]
        )


def test_without_a_key_every_call_is_stored(ada: User) -> None:
    """The control: it is the key that makes the calls one."""
    race(lambda number: actions.record(ada, "starred"), 4)
    assert Action.objects.count() == 4


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
