"""The hub: what arrives is loaded once, and nobody misses anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server import broker, live, watermarks
from server.cursors import PageError
from server.filters import Filter
from server.live import Event, Hub, Look, Subscription
from server.models import Action, follow, send_many, unfollow
from server.records import record
from tests.schema.live import do, looked
from tests.site.models import Project
from tests.writers import Writers

pytestmark = pytest.mark.django_db(transaction=True)


def stream(name: str, reference: Any, **arguments: Any) -> live.Stream:
    return live.Stream(type(Action.objects).streams()[name], reference, arguments)


def subscription(
    name: str, reference: Any, viewer: Any = None, after: int | None = None, **arguments: Any
) -> Subscription:
    return Subscription(stream(name, reference, **arguments), Filter(), viewer, after)


class Resumed(Subscription):
    """One who tells when what was missed has been read."""

    caught_up = False

    async def _missed(self, mark: int) -> AsyncGenerator[live.Arrived, None]:
        async for arrived in super()._missed(mark):
            yield arrived
        self.caught_up = True


class Reader:
    """One who takes what arrives, as soon as told to."""

    def __init__(self, mine: Subscription) -> None:
        self.events: list[Event] = []
        self.may = asyncio.Event()
        self.may.set()
        self.task = asyncio.create_task(self._read(mine))

    async def _read(self, mine: Subscription) -> None:
        async with aclosing(mine.events()) as arriving:
            async for some in arriving:
                self.events += some
                await self.may.wait()

    @property
    def ids(self) -> list[int]:
        return [event.action.pk for event in self.events]

    async def has(self, pk: int) -> None:
        await looked(lambda: pk in self.ids)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def reading(*some: Subscription) -> list[Reader]:
    """Readers for whom everything counts from now on."""
    hub = Hub.here()
    expected = hub.size + len(some)
    readers = [Reader(each) for each in some]
    await looked(lambda: hub.size == expected and hub.has_begun)
    await asyncio.sleep(0)
    return readers


def test_subscribers_of_one_stream_are_one_question(ada: User, bob: User) -> None:
    """However many there are, an action takes the same few statements."""
    action, _ = record(ada, "posted")
    users = User.objects.bulk_create([User(username=f"user{n}") for n in range(500)])
    [page] = send_many([{"actor": bob, "verb": "posted", "target": ada}])

    def statements(name: str, viewers: list[Any]) -> tuple[int, int]:
        looking = live.Group(stream(name, ada))
        some = [subscription(name, ada, viewer) for viewer in viewers]
        stored = {action.pk, page[0].pk}
        Look(0, frozenset(), [(looking, some[:1])])(stored, False)  # finds the content types
        look = Look(0, frozenset(), [(looking, some)])
        with CaptureQueriesContext(connection) as queries:
            look(stored, False)
        return len(look.found), len(queries)

    for name, expected in (("actor_stream", 2), ("any_stream", 2), ("involving", 4)):
        assert statements(name, users) == (500, expected)
        assert statements(name, users[:1]) == (1, expected)
        assert statements(name, [None] * 500) == (500, expected - 1)


def test_what_a_site_hides_from_nobody_in_particular_is_one_question_too(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def visible_to(self: Any, queryset: Any, viewer: Any) -> Any:
        return queryset.exclude(verb="mused")

    monkeypatch.setattr(type(Action.objects), "visible_to", visible_to)
    ids = [record(ada, verb)[0].pk for verb in ("mused", "said")]
    users = User.objects.bulk_create([User(username=f"user{n}") for n in range(500)])
    some = [subscription("actor_stream", ada, user) for user in users]
    listening = [(live.Group(stream("actor_stream", ada)), some)]
    Look(0, frozenset(), listening)(ids, False)  # finds the content types
    look = Look(0, frozenset(), listening)
    with CaptureQueriesContext(connection) as queries:
        look(ids, False)
    assert len(queries) == 3
    given = [[it.pk for it in arrived.actions] for _, arrived in look.found]  # type: ignore[union-attr]
    assert given == [ids[1:]] * 500


def test_users_streams_are_one_question_whoever_follows_whom(ada: User) -> None:
    users = User.objects.bulk_create([User(username=f"user{n}") for n in range(300)])
    for user in users[::3]:
        follow(user, ada, send_action=False)
    action, _ = record(ada, "posted")
    listening = [
        (live.Group(stream("user_stream", user)), [subscription("user_stream", user, user)])
        for user in users
    ]
    Look(0, frozenset(), listening)([action.pk], False)  # finds the content types
    look = Look(0, frozenset(), listening)
    with CaptureQueriesContext(connection) as queries:
        look([action.pk], False)
    assert {it.viewer for it, _ in look.found} == {*users[::3]}
    assert len(queries) == 3  # the action, the follows, the viewers


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message is lost."""
    monkeypatch.setattr(broker, "send", lambda ids: None)
    monkeypatch.setattr(live, "EVERY", 0.05)


@pytest.mark.usefixtures("silent")
def test_a_message_that_is_lost_is_no_gap(ada: User) -> None:
    async def main() -> None:
        [reader] = await reading(subscription("actor_stream", ada))
        stored = [(await do(record, ada, "posted"))[0].pk for _ in range(3)]
        await looked(lambda: reader.ids == stored)
        made = await do(Action.objects.create, actor=ada, verb="made")
        await looked(lambda: reader.ids == [*stored, made.pk])
        await reader.end()

    asyncio.run(main())


def test_who_is_slow_misses_nothing_and_its_inbox_stays_small(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_WAITING", 5)
    monkeypatch.setattr(live, "MOST_AT_ONCE", 7)

    async def main() -> None:
        mine = subscription("actor_stream", ada)
        [reader] = await reading(mine)
        reader.may.clear()
        stored = [(await do(record, ada, "posted"))[0].pk for _ in range(40)]
        await looked(lambda: Hub.here().mark >= stored[-1])
        assert len(mine._inbox) <= 5
        reader.may.set()
        await looked(lambda: len(reader.ids) >= 40)
        more, _ = await do(record, ada, "posted")
        await looked(lambda: reader.ids[-1] == more.pk)
        assert reader.ids == [*stored, more.pk]
        await reader.end()

    asyncio.run(main())


def test_many_at_once_are_taken_a_part_at_a_time(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AT_ONCE", 7)
    some = [Action(actor=ada, verb="made") for _ in range(50)]

    async def main() -> None:
        [reader] = await reading(subscription("actor_stream", ada))
        made = await do(Action.objects.bulk_create, some)
        await looked(lambda: len(reader.ids) == 50)
        assert reader.ids == [it.pk for it in made]
        await reader.end()

    asyncio.run(main())


def test_too_much_that_was_missed_is_refused_with_the_way_out(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_MISSED", 2)
    first, _ = record(ada, "posted")
    for _ in range(3):
        record(ada, "posted")

    async def main() -> None:
        reader = Reader(subscription("actor_stream", ada, after=first.pk))
        await asyncio.wait([reader.task])
        with pytest.raises(PageError, match=r"3 actions .* 2 at most.* resumeCursor"):
            reader.task.result()
        assert Hub.here().size == 0

    asyncio.run(main())


def test_a_stream_that_fails_fails_alone(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = type(Action.objects).streams()["mystream"]
    monkeypatch.setattr(method, "stream", method.stream)
    function = method.stream

    def failing(self: Any, obj: Any, verb: str = "posted") -> Any:
        if verb == "boom":
            raise ZeroDivisionError
        if verb == "bad":
            return self.extra(where=["1 / no_such_column = 1"])
        return function(self, obj, verb)

    monkeypatch.setattr(method, "stream", failing)

    async def main() -> None:
        readers = await reading(
            subscription("mystream", ada, verb="boom"),
            subscription("mystream", ada, verb="bad"),
            subscription("mystream", ada, verb="posted"),
        )
        action, _ = await do(record, ada, "posted")
        await looked(lambda: readers[2].ids == [action.pk])
        await asyncio.wait([it.task for it in readers[:2]])
        assert isinstance(readers[0].task.exception(), ZeroDivisionError)
        assert isinstance(readers[1].task.exception(), Exception)
        assert Hub.here().size == 1
        await readers[2].end()

    asyncio.run(main())


def test_a_database_that_is_away_for_a_while_is_no_gap(
    ada: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "EVERY", 0.05)
    taken = Look._take
    failed: list[bool] = []

    def take(self: Look, ids: Any) -> None:
        if len(failed) < 3:
            failed.append(True)
            raise OperationalError
        taken(self, ids)

    monkeypatch.setattr(Look, "_take", take)

    async def main() -> None:
        [reader] = await reading(subscription("actor_stream", ada))
        action, _ = await do(record, ada, "posted")
        await looked(lambda: reader.ids == [action.pk])
        await reader.end()

    with caplog.at_level(logging.ERROR, "server.live"):
        asyncio.run(main())
    assert len(caplog.records) == 1


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["act", "act", "act", "backdate", "hide", "follow", "unfollow", "delete"]),
        st.integers(0, 2),
    ),
    max_size=12,
)


@pytest.fixture
def cast(db: None) -> tuple[User, list[User]]:
    return User.objects.create(username="me"), [
        User.objects.create(username=f"user{number}") for number in range(3)
    ]


@example(acts=[("act", 0), ("act", 1), ("follow", 1), ("act", 1)], cut=2)
@example(acts=[("act", 0), ("act", 1), ("follow", 1), ("act", 1)], cut=3)
@given(acts=ACTS, cut=st.integers(0, 12))
@settings(max_examples=12)
def test_whatever_happens_a_subscriber_has_what_the_stream_showed_as_new(
    cast: tuple[User, list[User]], acts: list[tuple[str, int]], cut: int
) -> None:
    """Through a lost connection, too: what came before and after it, each action once."""
    me, users = cast
    Action.objects.all().delete()
    me.outgoing_follows.all().delete()
    follow(me, users[0], send_action=False)
    shown: set[int] = set()

    def do_one(act: str, number: int) -> Action | None:
        user = users[number]
        if act in ("act", "hide", "backdate"):
            time = {"timestamp": datetime(2020, 1, 1, tzinfo=UTC)} if act == "backdate" else {}
            return record(user, "posted", public=act != "hide", **time)[0]
        if act == "follow":
            follow(me, user, send_action=False)
        elif act == "unfollow":
            unfollow(me, user)
        elif oldest := Action.objects.order_by("pk").first():
            oldest.delete()
        return None

    def page() -> set[int]:
        return {it.pk for it in Action.objects.user_stream(me)}

    async def main() -> None:
        nonlocal shown
        mine, everybodys = subscription("user_stream", me, me), subscription("model_stream", User)
        [reader, witness] = await reading(mine, everybodys)
        given: list[int] = []
        for at, (act, number) in enumerate(acts):
            if at == cut and reader.events:
                await reader.end()
                given += reader.ids
                after = watermarks.parse(reader.events[-1].cursor)
                shown |= {pk for pk in await do(page) if pk > after}
                again = Resumed(stream("user_stream", me), Filter(), me, after)
                [reader] = await reading(again)
                await looked(partial(attrgetter("caught_up"), again))
            action = await do(do_one, act, number)
            if action is None:
                continue
            if action.pk in await do(page):
                shown.add(action.pk)
                await reader.has(action.pk)
            elif action.public:  # it is not taken before the next act, which may show it
                await witness.has(action.pk)
        assert set(given + reader.ids) == shown
        assert len(reader.ids) == len(set(reader.ids))
        await reader.end()
        await witness.end()

    asyncio.run(main())


@pytest.mark.postgresql
def test_whoever_resumes_at_any_event_misses_nothing_of_transactions_that_overlap(
    ada: User, writers: Writers
) -> None:
    async def main() -> None:
        [reader] = await reading(subscription("actor_stream", ada))
        slow, slower = await do(writers), await do(writers)
        stored = []
        for _ in range(3):
            stored.append((await do(slow.record, ada)).pk)
            stored.append((await do(record, ada, "posted"))[0].pk)
            stored.append((await do(slower.record, ada)).pk)
            await looked(lambda: stored[-2] in reader.ids)
        await do(slow.commit)
        stored.append((await do(record, ada, "posted"))[0].pk)
        await looked(lambda: stored[-1] in reader.ids and stored[0] in reader.ids)
        await do(slower.commit)
        await looked(lambda: len(reader.ids) == len(stored))
        assert sorted(reader.ids) == sorted(stored)
        await reader.end()
        for at, event in enumerate(reader.events):
            [again] = await reading(subscription("actor_stream", ada, after=event.mark))
            rest = set(reader.ids[at + 1 :])
            await looked(partial(lambda again, rest: rest <= set(again.ids), again, rest))
            assert len(again.ids) == len(set(again.ids))
            await again.end()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _no_hub_is_left() -> Iterator[None]:
    yield
    assert not broker._broker._listeners


def test_a_project_that_is_gone_has_no_stream_any_more(ada: User, brook: Project) -> None:
    async def main() -> None:
        news = subscription("project_news", brook)
        [reader, other] = await reading(news, subscription("actor_stream", ada))
        first, _ = await do(record, ada, "starred", target=brook)
        await looked(lambda: reader.ids == other.ids == [first.pk])
        await do(brook.delete)
        second, _ = await do(record, ada, "posted")
        await looked(lambda: other.ids == [first.pk, second.pk])
        assert reader.ids == [first.pk]
        await reader.end()
        await other.end()

    asyncio.run(main())
