"""Watermarks: all up to an id has surely been committed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from server import watermarks
from server.cursors import PageError
from server.models import Action
from server.records import record
from server.watermarks import Watermarks
from tests.writers import Writer, Writers

pytestmark = pytest.mark.django_db(transaction=True)


def ids() -> list[int]:
    return list(Action.objects.order_by("pk").values_list("pk", flat=True))


def test_the_watermark_is_the_newest_id_where_nobody_writes(ada: User) -> None:
    marks = Watermarks("default")
    for _ in range(3):
        action, _new = record(ada, "posted")
        assert marks.current() == action.pk


@pytest.mark.postgresql
def test_it_stays_below_what_a_transaction_may_still_bring(ada: User, writers: Writers) -> None:
    marks = Watermarks("default")
    first, _ = record(ada, "posted")
    assert marks.current() == first.pk
    slow, slower = writers(), writers()
    early = slow.record(ada)
    assert marks.current() < early.pk
    later = slower.record(ada)
    newest, _ = record(ada, "posted")
    assert marks.current() < early.pk < later.pk < newest.pk
    slow.commit()
    assert early.pk <= marks.current() < later.pk
    slower.roll_back()
    assert marks.current() == newest.pk


@pytest.mark.postgresql
def test_it_moves_on_behind_a_transaction_that_lasts(ada: User, writers: Writers) -> None:
    marks = Watermarks("default")
    marks.current()
    lasting = writers()
    held = lasting.record(ada)
    for _ in range(5):
        record(ada, "posted")
        marks.current()
    assert marks.current() < held.pk
    assert len(marks._open) == 1
    lasting.commit()
    assert marks.current() == max(ids())


@pytest.mark.postgresql
def test_many_recorded_at_once_are_waited_for_too(ada: User, writers: Writers) -> None:
    marks = Watermarks("default")
    marks.current()
    slow = writers()
    many = slow.send_many(ada, 3)
    record(ada, "posted")
    assert marks.current() < many[0].pk
    slow.commit()
    assert marks.current() == max(ids())


@pytest.mark.postgresql
def test_a_process_that_looks_for_the_first_time_stays_below_what_runs(
    ada: User, writers: Writers
) -> None:
    for _ in range(3):
        record(ada, "posted")
    slow = writers()
    held = slow.record(ada)
    record(ada, "posted")
    marks = Watermarks("default")
    assert marks.current() < held.pk
    slow.commit()
    assert marks.current() == max(ids())


@pytest.mark.postgresql
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("rrrcx")), max_size=14))
def test_nothing_ever_appears_at_or_below_a_watermark(
    ada: User, writers: Writers, steps: list[tuple[int, str]]
) -> None:
    marks = Watermarks("default")
    marks.current()
    open_: dict[int, Writer] = {}
    there, mark = set(ids()), 0
    try:
        for number, step in steps:
            if step == "r":
                if number and number not in open_:
                    open_[number] = writers()
                (open_[number].record(ada) if number else record(ada, "posted"))
            elif number in open_:
                writer = open_.pop(number)
                writer.commit() if step == "c" else writer.roll_back()
            now = set(ids())
            assert all(pk > mark for pk in now - there)
            mark, there = marks.current(), now
    finally:
        for writer in open_.values():
            writer.roll_back()
    assert marks.current() >= max(ids(), default=0)


def test_a_cursor_says_its_watermark_and_anything_else_is_refused() -> None:
    assert watermarks.parse(watermarks.cursor(7)) == 7
    for text in ("", "7", "=", "é", watermarks.cursor(2**64), watermarks.cursor(7)[:-1] + "\x00"):
        with pytest.raises(PageError, match="is no cursor of an event"):
            watermarks.parse(text)
