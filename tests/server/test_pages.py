"""One page of a stream: nothing twice, nothing skipped, bounded work."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import QuerySet
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from server import counts, pages, windows
from server.cursors import PageError, Position
from server.models import Action, follow
from server.pages import Page, Ranges
from server.windows import Window
from tests.site.models import Project

START = datetime(2026, 1, 1, tzinfo=UTC)
KIND = "test"


class Entry(NamedTuple):
    """An action of the histories that hypothesis makes: objects by number, 0 for none."""

    actor: int
    target: int
    action_object: int
    verb: str
    minute: int
    public: bool


#: Few objects, verbs and minutes, so that much is equal.
ENTRIES = st.builds(
    Entry,
    actor=st.integers(1, 3),
    target=st.integers(0, 2),
    action_object=st.integers(0, 2),
    verb=st.sampled_from(["opened", "closed"]),
    minute=st.integers(0, 3),
    public=st.booleans() | st.just(True),
)
HISTORIES = st.lists(ENTRIES, max_size=25)
#: Arrivals between one page and the next.
ARRIVALS = st.lists(st.lists(ENTRIES, max_size=3), max_size=6)
SIZES = st.integers(1, 6)

# Actor 1 is a user, the others and every target and action object are projects of these numbers.
BELONGS: dict[str, Callable[[Entry], bool]] = {
    "actor_stream": lambda entry: entry.actor == 2,
    "target_stream": lambda entry: entry.target == 2,
    "action_object_stream": lambda entry: entry.action_object == 2,
    "any_stream": lambda entry: 2 in (entry.actor, entry.target, entry.action_object),
    "model_stream": lambda entry: entry.actor != 1 or bool(entry.target or entry.action_object),
    "user_stream": lambda entry: entry.actor == 2 or 1 in (entry.target, entry.action_object),
    "mystream": lambda entry: entry.actor == 2 and entry.verb == "opened",
    "project_news": lambda entry: (
        entry.target == 2
        or (entry.verb == "opened" and (entry.action_object == 2 or entry.actor != 1))
    ),
    "involving": lambda entry: 2 in (entry.target, entry.action_object),
    "everything": lambda entry: True,
    "nothing": lambda entry: False,
    "untargeted": lambda entry: entry.actor == 2 and not entry.target,
}


class World:
    """A user and two projects, and what has happened between them."""

    def __init__(self) -> None:
        self.ada = User.objects.create(username="ada")
        self.projects = {n: Project.objects.create(pk=n, name=f"project {n}") for n in (1, 2, 3)}
        follow(self.ada, self.projects[2], send_action=False)
        follow(self.ada, self.projects[1], send_action=False, actor_only=False)
        self.user_type = ContentType.objects.get_for_model(User)
        self.project_type = ContentType.objects.get_for_model(Project)

    def happen(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            by_user = entry.actor == 1
            Action.objects.create(
                actor_content_type=self.user_type if by_user else self.project_type,
                actor_object_id=str(self.ada.pk if by_user else entry.actor),
                target_content_type=self.project_type if entry.target else None,
                target_object_id=str(entry.target) if entry.target else None,
                action_object_content_type=self.project_type if entry.action_object else None,
                action_object_object_id=str(entry.action_object) if entry.action_object else None,
                verb=entry.verb,
                public=entry.public,
                timestamp=START + timedelta(minutes=entry.minute),
            )

    def ranges(self, name: str) -> Ranges:
        reference: Any = {"user_stream": self.ada, "model_stream": Project}.get(
            name, self.projects[2]
        )
        arguments = {"verb": "opened"} if name == "mystream" else {}
        return Action.objects.ranges(Action.objects.streams()[name], reference, **arguments)

    def expected(
        self, name: str, wanted: Callable[[Entry], bool] = lambda entry: True
    ) -> list[int]:
        """The naive reference: every row, in Python."""
        fits = []
        for row in Action.objects.all():
            by_user = row.actor_content_type_id == self.user_type.pk
            entry = Entry(
                actor=1
                if by_user
                else int(row.actor_object_id)
                if row.actor_object_id != "1"
                else 4,
                target=int(row.target_object_id or 0),
                action_object=int(row.action_object_object_id or 0),
                verb=row.verb,
                minute=int((row.timestamp - START) / timedelta(minutes=1)),
                public=row.public,
            )
            if entry.public and BELONGS[name](entry) and wanted(entry):
                fits.append(row)
        fits.sort(key=lambda row: (row.timestamp, row.pk), reverse=True)
        return [row.pk for row in fits]


@contextmanager
def world(history: Sequence[Entry] = ()) -> Iterator[World]:
    """A world for one example, gone after it."""
    with transaction.atomic():
        made = World()
        made.happen(history)
        yield made
        transaction.set_rollback(True)


def ids(page: Page) -> list[int]:
    return [row.pk for row in page.rows]


def nobody() -> None:
    """Nothing happens between one page and the next."""


def forward(
    ranges: Ranges,
    size: int,
    between: Callable[[], None] = nobody,
    narrow: pages.Narrow | None = None,
    **ends: Any,
) -> list[Page]:
    """Every page from the newest on."""
    found = [ranges.page(Window(KIND, first=size, **ends), narrow)]
    while found[-1].has_next_page:
        between()
        after = found[-1].end_cursor
        found.append(ranges.page(Window(KIND, first=size, after=after, **ends), narrow))
        assert len(found) < 200
    return found


def backward(
    ranges: Ranges,
    size: int,
    between: Callable[[], None] = nobody,
    narrow: pages.Narrow | None = None,
    **ends: Any,
) -> list[Page]:
    """Every page from the oldest on, in the order in which they were read."""
    found = [ranges.page(Window(KIND, last=size, **ends), narrow)]
    while found[-1].has_previous_page:
        between()
        before = found[-1].start_cursor
        found.append(ranges.page(Window(KIND, last=size, before=before, **ends), narrow))
        assert len(found) < 200
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("name", BELONGS)
@given(history=HISTORIES, size=SIZES)
def test_pages_hold_what_the_naive_reference_holds_in_both_directions(
    name: str, history: list[Entry], size: int
) -> None:
    with world(history) as made:
        expected = made.expected(name)
        ranges = made.ranges(name)
        onward, back = forward(ranges, size), backward(ranges, size)
        assert [pk for page in onward for pk in ids(page)] == expected
        assert [pk for page in reversed(back) for pk in ids(page)] == expected
        assert all(len(page.rows) == size for page in onward[:-1])
        assert all(len(page.rows) == size for page in back[:-1])
        assert sorted(row.pk for row in ranges.all()) == sorted(expected)
        assert ranges.count(Window(KIND)) == len(expected)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["actor_stream", "any_stream", "project_news", "user_stream"])
@given(history=HISTORIES, size=SIZES, arrivals=ARRIVALS)
def test_a_page_never_repeats_or_skips_what_was_there_when_actions_arrive_in_between(
    name: str, history: list[Entry], size: int, arrivals: list[list[Entry]]
) -> None:
    for walk in (forward, backward):
        with world(history) as made:
            there = made.expected(name)
            waiting = iter(arrivals)

            def arrive(made: World = made, waiting: Iterator[list[Entry]] = waiting) -> None:
                made.happen(next(waiting, []))

            found = walk(made.ranges(name), size, arrive)
            seen = [
                pk for page in found for pk in (ids(page) if walk is forward else ids(page)[::-1])
            ]
            now = made.expected(name)
            assert len(seen) == len(set(seen))
            assert set(there) <= set(seen) <= set(now)
            assert seen == [
                pk for pk in (now if walk is forward else now[::-1]) if pk in set(seen)
            ]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["actor_stream", "any_stream", "project_news", "involving"])
@given(
    history=HISTORIES,
    size=SIZES,
    window=st.integers(1, 5),
    since=st.none() | st.integers(0, 3),
    until=st.none() | st.integers(0, 4),
)
def test_filtered_pages_hold_what_fits_however_little_each_may_look_at(
    name: str, history: list[Entry], size: int, window: int, since: int | None, until: int | None
) -> None:
    def at(minute: int | None) -> datetime | None:
        return None if minute is None else START + timedelta(minutes=minute)

    def wanted(entry: Entry) -> bool:
        return (
            entry.verb == "closed"
            and (since is None or entry.minute >= since)
            and (until is None or entry.minute < until)
        )

    def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(verb="closed")

    with world(history) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MOST_READ", window)
        expected = made.expected(name, wanted)
        ranges = made.ranges(name)
        options: dict[str, Any] = {"since": at(since), "until": at(until), "narrow": narrow}
        onward, back = forward(ranges, size, **options), backward(ranges, size, **options)
        assert [pk for page in onward for pk in ids(page)] == expected
        assert [pk for page in reversed(back) for pk in ids(page)] == expected


@pytest.mark.django_db
@given(
    history=HISTORIES,
    size=SIZES,
    backward=st.booleans(),
    place=st.none() | st.integers(0, 24),
    window=st.integers(1, 5),
    most=st.integers(1, 5),
    filtered=st.booleans(),
)
def test_many_pages_that_are_read_together_are_those_that_are_read_alone(
    history: list[Entry],
    size: int,
    backward: bool,
    place: int | None,
    window: int,
    most: int,
    filtered: bool,
) -> None:
    def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(verb="closed")

    with world(history) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MOST_READ", window)
        patch.setattr(pages, "MOST_ARMS", most)
        patch.setattr(counts, "MOST_COUNTS", most)
        rows = list(Action.objects.all())
        cursor = (
            Position.of(rows[place], "timestamp").cursor(KIND)
            if place is not None and place < len(rows)
            else None
        )
        asked = (
            Window(KIND, last=size, before=cursor)
            if backward
            else Window(KIND, first=size, after=cursor)
        )
        sources = [made.ranges(name) for name in BELONGS]
        less = narrow if filtered else None
        together = pages.pages(sources, asked, less)
        alone = [source.page(asked, less) for source in sources]
        assert [shown(page) for page in together] == [shown(page) for page in alone]
        assert counts.of(sources, asked, less) == [source.count(asked, less) for source in sources]


def shown(page: Page) -> tuple[Any, ...]:
    return (
        list(page.rows),
        page.has_next_page,
        page.has_previous_page,
        page.start_cursor,
        page.end_cursor,
        [page.cursor(row) for row in page.rows],
    )


@pytest.mark.django_db
@given(history=HISTORIES, window=st.integers(1, 5))
def test_a_count_stops_at_its_window(history: list[Entry], window: int) -> None:
    def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(verb="closed")

    with world(history) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MOST_READ", window)
        for name in BELONGS:
            every = len(made.expected(name))
            closed = len(made.expected(name, lambda entry: entry.verb == "closed"))
            ranges = made.ranges(name)
            assert ranges.count(Window(KIND)) == (every if every <= window else None)
            assert ranges.count(Window(KIND), narrow=narrow) == (
                closed if every <= window else None
            )


@pytest.mark.django_db
@given(history=HISTORIES, size=SIZES, place=st.integers(0, 30))
def test_a_cursor_of_each_row_goes_on_from_it(history: list[Entry], size: int, place: int) -> None:
    with world(history) as made:
        expected = made.expected("any_stream")
        if place >= len(expected):
            return
        ranges = made.ranges("any_stream")
        cursor = Position.of(Action.objects.get(pk=expected[place]), "timestamp").cursor(KIND)
        after = ranges.page(Window(KIND, first=size, after=cursor))
        before = ranges.page(Window(KIND, last=size, before=cursor))
        assert ids(after) == expected[place + 1 :][:size]
        assert ids(before) == expected[:place][-size:]
        assert after.has_previous_page is before.has_next_page is True
        assert after.has_next_page is (len(expected) > place + 1 + size)
        assert before.has_previous_page is (place > size)


def history_of(number: int, **values: Any) -> list[Entry]:
    """As many actions of project 2, at one time."""
    entry = Entry(2, 1, 0, "opened", 0, True)._replace(**values)
    return [entry] * number


@pytest.mark.django_db
def test_a_page_has_twenty_rows_unless_told_otherwise() -> None:
    with world(history_of(25)) as made:
        page = made.ranges("actor_stream").page(Window(KIND))
        assert ids(page) == made.expected("actor_stream")[:20]
        assert (page.has_next_page, page.has_previous_page) == (True, False)


@pytest.mark.django_db
def test_a_page_of_no_rows_says_whether_there_are_any() -> None:
    with world(history_of(1)) as made:
        page = made.ranges("actor_stream").page(Window(KIND, first=0))
        assert (list(page.rows), page.has_next_page) == ([], True)
        page = made.ranges("nothing").page(Window(KIND, first=0))
        assert (list(page.rows), page.has_next_page) == ([], False)


@pytest.mark.django_db
def test_a_page_between_two_cursors_holds_what_is_between_them() -> None:
    with world(history_of(9)) as made:
        ranges, expected = made.ranges("any_stream"), made.expected("any_stream")
        start, end = (
            Position.of(Action.objects.get(pk=expected[n]), "timestamp").cursor(KIND)
            for n in (1, 6)
        )
        sizes: list[dict[str, Any]] = [{"first": 9}, {"last": 9}]
        for size in sizes:
            page = ranges.page(Window(KIND, after=start, before=end, **size))
            assert ids(page) == expected[2:6]
            assert (page.has_next_page, page.has_previous_page) == (True, True)
        assert ids(ranges.page(Window(KIND, first=2, after=start, before=end))) == (expected[2:4])
        assert ids(ranges.page(Window(KIND, last=2, after=start, before=end))) == (expected[4:6])


@pytest.mark.django_db
def test_a_deleted_action_s_cursor_still_works() -> None:
    with world(history_of(5)) as made:
        ranges, expected = made.ranges("actor_stream"), made.expected("actor_stream")
        page = ranges.page(Window(KIND, first=2))
        Action.objects.filter(pk__in=expected[:2]).delete()
        assert ids(ranges.page(Window(KIND, first=9, after=page.end_cursor))) == expected[2:]


@pytest.mark.django_db
def test_a_filtered_page_that_finds_too_little_ends_where_it_stopped_looking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "MOST_READ", 4)
    history = [*history_of(1, verb="closed"), *history_of(9)]
    with world(history) as made:
        ranges, expected = made.ranges("actor_stream"), made.expected("actor_stream")

        def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
            return rows.filter(verb="closed")

        first = ranges.page(Window(KIND, first=3), narrow=narrow)
        last_looked_at = Position.of(Action.objects.get(pk=expected[3]), "timestamp")
        assert (ids(first), first.has_next_page) == ([], True)
        assert first.end_cursor == last_looked_at.cursor(KIND)
        found = forward(ranges, 3, narrow=narrow)
        assert [ids(page) for page in found] == [[], [], [expected[-1]]]
        assert found[-1].has_next_page is False


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["actor_stream", "any_stream", "model_stream", "project_news"])
@pytest.mark.parametrize("rows", [1, 20, 100])
def test_a_page_costs_one_statement_and_two_where_it_is_filtered(
    name: str, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with world(history_of(rows)) as made:
        ranges = made.ranges(name)
        with django_assert_num_queries(1):
            ranges.page(Window(KIND, first=100))
        with django_assert_num_queries(2):
            ranges.page(Window(KIND, first=100), narrow=lambda q: q.filter(verb="opened"))
        with django_assert_num_queries(1):
            ranges.count(Window(KIND))
        with django_assert_num_queries(1):
            ranges.count(Window(KIND), narrow=lambda q: q.filter(verb="opened"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"first": -1}, "first is at least 0 and at most 100; this is -1."),
        ({"last": -1}, "last is at least 0 and at most 100; this is -1."),
        ({"first": 101}, "first is at least 0 and at most 100; this is 101."),
        ({"last": 101}, "last is at least 0 and at most 100; this is 101."),
        ({"first": 1, "last": 1}, "Ask for first or for last, not for both."),
        ({"after": "x"}, "'x' is no cursor of this stream."),
        ({"before": ""}, "'' is no cursor of this stream."),
        ({"after": "é" * 100}, f"{'é' * 40!r} is no cursor of this stream."),
    ],
)
def test_a_page_that_there_is_none_of_is_refused_with_the_value(
    asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(PageError) as refusal:
        Window(KIND, **asked)
    assert str(refusal.value) == message


def test_the_largest_and_smallest_pages_are_not_refused() -> None:
    assert [Window(KIND, first=100).size, Window(KIND, last=0).size] == [100, 0]


POSITIONS = st.builds(
    Position,
    st.datetimes(timezones=st.just(UTC)),
    st.integers(0, 2**63 - 1),
)


@given(POSITIONS)
def test_a_cursor_stands_for_its_position(at: Position) -> None:
    cursor = at.cursor(KIND)
    assert Position.parse(cursor, KIND) == at
    assert cursor.isascii()
    with pytest.raises(PageError):
        Position.parse(cursor, "other")


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "test1:0",
        "test2:0:1",
        "test:0:1",
        "test1:0:1:2",
        "test1:0:-1",
        "test1:0:9223372036854775808",
        "test1:999999999999999999:1",
        "test1:-999999999999999999:1",
        "test1:x:1",
        "test1:0:1\n",
        " test1:0:1",
        "test1:\N{ARABIC-INDIC DIGIT ZERO}:\N{ARABIC-INDIC DIGIT ONE}",
    ],
)
def test_a_forged_cursor_is_refused(text: str) -> None:
    with pytest.raises(PageError):
        Position.parse(cursor_of(text), KIND)
    assert Position.parse(cursor_of("test1:0:1"), KIND) == Position(
        datetime(1970, 1, 1, tzinfo=UTC), 1
    )


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode()))
def test_any_other_text_is_refused_as_a_cursor(text: str) -> None:
    with pytest.raises(PageError):
        Position.parse(text, KIND)


@pytest.mark.django_db
@given(at=POSITIONS)
def test_every_position_that_a_cursor_can_stand_for_can_be_sought(at: Position) -> None:
    cursor = at.cursor(KIND)
    with world(history_of(1)) as made:
        for name in ("actor_stream", "any_stream"):
            made.ranges(name).page(Window(KIND, after=cursor))
            made.ranges(name).page(Window(KIND, last=5, before=cursor))


@pytest.mark.django_db
def test_no_streams_have_no_pages_and_no_counts() -> None:
    assert pages.pages([], Window(KIND)) == []
    assert counts.of([], Window(KIND)) == []


@pytest.mark.django_db
@pytest.mark.parametrize("streams", [1, 20, 100])
def test_many_pages_cost_two_statements_and_three_where_they_are_filtered(
    streams: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(verb="opened")

    with world(history_of(3)) as made:
        sources = [made.ranges("any_stream")] * (streams + 1)
        with django_assert_num_queries(2):
            pages.pages(sources, Window(KIND))
        with django_assert_num_queries(3):
            pages.pages(sources, Window(KIND), narrow)
        with django_assert_num_queries(1 + streams // counts.MOST_COUNTS):
            counts.of(sources, Window(KIND), narrow)
