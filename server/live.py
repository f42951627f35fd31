"""Live streams: what arrives, to whoever looks at it.

Each process that has subscribers has one *hub*. It is told by the broker which actions were
recorded, and looks into the database itself every second, so that a message that was lost is no
gap. It loads what has arrived once, asks once to which streams it belongs, and puts it into the
*inbox* of each subscriber who may see it. Whatever asks the database runs in threads of its own,
beside the one for requests.

Arrival is another order than time: see ``watermarks.py``. A subscriber who was away, or whose
inbox ran over, is first given what the stream has beyond a watermark, from the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from contextvars import Context
from dataclasses import dataclass, field
from functools import cached_property, partial
from time import monotonic, time
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.contrib.auth import get_user_model
from django.db.models import Model

from . import broker, memberships, objects, registry, rows, threads, watermarks
from .actions import Action
from .cursors import PageError
from .filters import Filter
from .memberships import Membership
from .pages import Ranges
from .rows import Shared
from .windows import MOST_READ, Window

logger = logging.getLogger(__name__)

#: The database is looked into every so many seconds, whatever the broker says.
EVERY = 1.0
#: An inbox holds at most so many actions; what is more is read from the database later.
MOST_WAITING = 1_000
#: A subscriber who was away is given what he missed among so many actions at most.
MOST_MISSED = 100_000
#: So many of a stream's actions are read at once for who was away.
MOST_AT_ONCE = 500
#: What was read for many subscribers is good for so many seconds.
FRESH = 2.0
#: Threads, each with a connection to the database of its own.
THREADS = 2

Answer = TypeVar("Answer")
Key = Hashable

_threads = ThreadPoolExecutor(THREADS, "live")


async def run(work: Callable[[], Answer]) -> Answer:
    """What work that asks the database answers, done in a thread of ours."""
    return await threads.run(_threads, work)


@dataclass(frozen=True)
class Stream:
    """A stream of the manager, of one object and with its arguments."""

    method: Callable[..., Any]
    reference: Any
    """An object, or a model."""
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def source(self, reference: Any = None) -> Ranges:
        """What is in it now; StreamError if the method returns what is no stream."""
        manager = Action.objects.db_manager(watermarks.database())
        reference = self.reference if reference is None else reference
        return manager.ranges(self.method, reference, **self.arguments)

    @cached_property
    def named(self) -> Any:
        """What it is the stream of."""
        return _named(self.reference)

    @cached_property
    def key(self) -> Key:
        """Equal for the same stream."""
        arguments = [(name, _named(value)) for name, value in sorted(self.arguments.items())]
        return (self.method.__name__, self.named, tuple(arguments))

    @cached_property
    def membership(self) -> Membership:
        """What belongs to it, as far as that can be said once for all."""
        return Membership(self.source())

    @property
    def asks_anew(self) -> bool:
        """Whether it may depend on more than its arguments, as a site's may; ours do not."""
        return bool(self.method.stream.__module__ != f"{__package__}.streams")  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Arrived:
    """Actions that have arrived for one subscriber, in the order of their ids."""

    actions: Sequence[Action]
    before: int
    """All up to this id have been given before these."""
    mark: int
    """All up to this id have been given when these have."""
    viewer: Any = None
    """The subscriber's, as the database has it now; None if there is none any more."""
    shared: Shared | None = None
    since: float | None = None
    """When the first was committed, or a time not long before; None for what was missed."""
    at: float = field(default_factory=monotonic)


@dataclass(frozen=True)
class Event:
    """One action that has arrived."""

    action: Action
    mark: int
    among: Arrived

    @property
    def cursor(self) -> str:
        """For ``after``."""
        return watermarks.cursor(self.mark)

    @property
    def shared(self) -> Shared | None:
        """What has been read for all to whom the action is given, while that is fresh."""
        return self.among.shared if monotonic() - self.among.at < FRESH else None


@dataclass(eq=False)
class Subscription:
    """One who looks at a stream."""

    stream: Stream
    wanted: Filter
    viewer: Any = None
    after: int | None = None
    """A watermark: what has arrived beyond it comes first. What was given moves it on."""
    _inbox: list[Arrived | Exception] = field(default_factory=list)
    _waiting: int = 0
    _ran_over: int | None = None
    """The watermark before what did not fit into the inbox any more."""
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _given: set[int] = field(default_factory=set)
    """The ids beyond ``after`` that were given."""

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """What was missed, then what arrives, no action twice; close it to let go of everything.

        Raises PageError where more was missed than is read again, and what the stream raises.
        """
        hub = Hub.here()
        try:
            await hub.add(self)
            missed = self.after is not None
            self.after = hub.mark if self.after is None else self.after
            while True:
                if missed:
                    async with aclosing(self._missed(hub.mark)) as found:
                        async for arrived in found:
                            if new := self._new(arrived):
                                yield new
                await self._woken.wait()
                self._woken.clear()
                inbox, ran_over = self._inbox, self._ran_over
                self._inbox, self._waiting, self._ran_over = [], 0, None
                for arrived_or_fault in inbox:
                    if isinstance(arrived_or_fault, Exception):
                        raise arrived_or_fault
                    if new := self._new(arrived_or_fault):
                        yield new
                missed = ran_over is not None
                self.after = max(self.after, ran_over or 0)
        finally:
            hub.remove(self)

    def put(self, arrived: Arrived | Exception) -> None:
        """Put what has arrived into the inbox; what does not fit is read again when it is due."""
        if isinstance(arrived, Arrived) and self._ran_over is None:
            self._waiting += len(arrived.actions)
            if self._waiting > MOST_WAITING:
                self._ran_over = arrived.before
        if isinstance(arrived, Exception) or self._ran_over is None:
            self._inbox.append(arrived)
        self._woken.set()

    def miss(self, before: int) -> None:
        """Have what is beyond a watermark read again: some of it may not have been put in."""
        if self._ran_over is None:
            self._ran_over = before
        self._woken.set()

    def _new(self, arrived: Arrived) -> list[Event]:
        """What of it was not given yet, each with the watermark that holds when it is."""
        before = self.after = max(self.after or 0, arrived.before)
        new = [it for it in arrived.actions if it.pk > before and it.pk not in self._given]
        marks = [max(before, min(arrived.mark, following.pk - 1)) for following in new[1:]]
        self.after = max(before, arrived.mark)
        given = self._given.union(action.pk for action in new)
        self._given = {pk for pk in given if pk > self.after}
        return [
            Event(action, mark, arrived)
            for action, mark in zip(new, [*marks, self.after][: len(new)], strict=True)
        ]

    async def _missed(self, mark: int) -> AsyncGenerator[Arrived, None]:
        """What the stream has beyond ``after``, where all is there up to ``mark``."""
        position = start = self.after or 0
        newest = await run(_newest)
        if newest - start > MOST_MISSED:
            raise PageError(
                f"{newest - start} actions were recorded since this cursor; what was missed is "
                f"given among {MOST_MISSED} at most. Read the stream anew, and go on from its "
                "resumeCursor."
            )
        while position < newest:
            until = min(newest, position + MOST_READ)
            viewer, actions = await run(partial(self._read, position, until))
            position = actions[-1].pk if len(actions) == MOST_AT_ONCE else until
            yield Arrived(actions, start, max(start, min(position, mark)), viewer)
        yield Arrived([], start, max(start, mark), self.viewer)

    def _read(self, after: int, until: int) -> tuple[Any, list[Action]]:
        manager = Action.objects.db_manager(watermarks.database())
        viewer = _viewers([self.viewer]).get(_key(self.viewer))
        asked: Any = self.stream.source().all().filter(pk__gt=after, pk__lte=until)
        times = self.wanted.within(Window("a")).between("timestamp")
        asked = asked.filter(self.wanted.rows(manager.db), times)
        everything = manager.get_queryset()
        visible = manager.visible_to(everything, viewer)
        if visible is not everything:
            asked = asked.filter(pk__in=visible.order_by().values("pk"))
        return viewer, list(asked.order_by("pk")[:MOST_AT_ONCE])


@dataclass(eq=False)
class Group:
    """Those who look at one stream."""

    stream: Stream
    subscriptions: set[Subscription] = field(default_factory=set)

    def membership(self, reference: Any) -> Membership:
        """What belongs to the stream now; what its method raises."""
        if self.stream.asks_anew:
            return Membership(self.stream.source(reference))
        return self.stream.membership


class Hub:
    """What arrives, once for all subscribers of an event loop; it runs while there are some."""

    def __init__(self) -> None:
        self.mark = 0
        """All up to this id have been put into the inboxes."""
        self._seen: set[int] = set()
        """The ids beyond the mark of which that is true too."""
        self._groups: dict[Key, Group] = {}
        self._came: set[Subscription] = set()
        """Those who came since it began to look, and so are not looked for."""
        self._announced: set[int] = set()
        self._since: float | None = None
        """When the first of these was committed."""
        self._due = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None
        self.is_failing = False

    @classmethod
    def here(cls) -> Hub:
        """That of the running event loop."""
        return _hubs.setdefault(asyncio.get_running_loop(), cls())

    @property
    def size(self) -> int:
        """How many subscriptions there are."""
        return sum(len(group.subscriptions) for group in self._groups.values())

    @property
    def has_begun(self) -> bool:
        """Whether what is recorded from now on arrives."""
        return self._begun is not None and self._begun.done()

    async def add(self, subscription: Subscription) -> None:
        """Let somebody have what arrives from now on."""
        stream = subscription.stream
        group = self._groups.setdefault(stream.key, Group(stream))
        group.subscriptions.add(subscription)
        self._came.add(subscription)
        subscription.stream = group.stream  # one for all
        if self._running is None:
            loop = asyncio.get_running_loop()
            self._begun = loop.create_future()
            # It is nobody's part of a request.
            self._running = loop.create_task(self._run(self._begun), context=Context())
        assert self._begun
        await asyncio.shield(self._begun)

    def remove(self, subscription: Subscription) -> None:
        """Let go of somebody; of everything with the last one."""
        self._came.discard(subscription)
        key = subscription.stream.key
        if group := self._groups.get(key):
            group.subscriptions.discard(subscription)
            if not group.subscriptions:
                del self._groups[key]
        if not self._groups and self._running:
            self._running.cancel()
            self._running = None

    async def _run(self, begun: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()

        def heard(ids: list[int], since: float | None) -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._hear, ids, since)

        deaf = broker.listen(heard)
        try:
            self.mark, self._seen = await run(_begin)
            self._announced.clear()
            begun.set_result(None)
            await self._go_on()
        except Exception as error:
            self._running = None
            if not begun.done():
                begun.set_exception(error)
        finally:
            begun.cancel()
            deaf()

    async def _go_on(self) -> None:
        sweep_at, swept = 0.0, time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, sweep_at - monotonic())):
                    await self._due.wait()
            self._due.clear()
            announced, self._announced = self._announced, set()
            since, self._since = self._since, None
            is_sweep, began = monotonic() >= sweep_at, time()
            look = Look(self.mark, frozenset(self._seen), self._listening(), since, swept)
            self._came.clear()
            try:
                await run(partial(look, announced, is_sweep))
            except Exception:
                if not self.is_failing:
                    logger.exception("What has arrived cannot be read; it is tried again.")
                self.is_failing, sweep_at = True, monotonic() + EVERY
                continue
            self.is_failing = False
            if is_sweep:
                swept = began
                sweep_at = 0.0 if look.more else monotonic() + EVERY
            for subscription, arrived in look.found:
                subscription.put(arrived)
            if look.taken:
                for subscription in self._came:
                    subscription.miss(look.before)
            self.mark = look.mark
            self._seen = {pk for pk in self._seen | look.taken if pk > self.mark}

    def _hear(self, ids: list[int], since: float | None) -> None:
        self._announced.update(ids)
        self._since = min(filter(None, (self._since, since)), default=None)
        self._due.set()

    def _listening(self) -> list[tuple[Group, list[Subscription]]]:
        return [(group, list(group.subscriptions)) for group in self._groups.values()]


class Look:
    """A look into the database at what has arrived, and for whom."""

    def __init__(
        self,
        mark: int,
        seen: frozenset[int],
        listening: list[tuple[Group, list[Subscription]]],
        since: float | None = None,
        swept: float | None = None,
    ) -> None:
        self.before = self.mark = mark
        self.seen = seen
        self.listening = listening
        self.since = since
        """When the first of what is announced was committed."""
        self.swept = swept
        """Since when there may be something of which nobody told."""
        self.manager = Action.objects.db_manager(watermarks.database())
        self.taken: set[int] = set()
        self.more = False
        self.found: list[tuple[Subscription, Arrived | Exception]] = []

    def __call__(self, announced: Iterable[int], is_sweep: bool) -> None:
        if is_sweep:
            newest = watermarks.current()  # before the ids are read
            ids = _beyond(self.before, MOST_AT_ONCE + 1 + len(self.seen))
            new = [pk for pk in ids if pk not in self.seen]
            self.more, new = len(new) > MOST_AT_ONCE, new[:MOST_AT_ONCE]
            self.mark = max(self.before, min(newest, new[-1]) if self.more else newest)
        else:
            new = [pk for pk in announced if pk > self.before and pk not in self.seen]
        if not {*new} <= {*announced}:
            self.since = self.swept
        if new:
            self._take(new)

    def _take(self, ids: Sequence[int]) -> None:
        read = rows.reader(Action, None, self.manager.db)
        actions = sorted(read.by_key(ids), key=lambda action: action.pk)
        self.taken = {action.pk for action in actions}
        wanted: list[tuple[Subscription, list[Action]]] = []
        for subscriptions, pks in self._belonging(actions):
            belonging = [action for action in actions if action.pk in pks]
            for subscription in subscriptions:
                holds, using = subscription.wanted.holds, self.manager.db
                if some := [action for action in belonging if holds(action, using)]:
                    wanted.append((subscription, some))
        viewers = _viewers(subscription.viewer for subscription, _ in wanted)
        visible = self._visible([subscription.viewer for subscription, _ in wanted], viewers)
        shared = Shared()
        for subscription, some in wanted:
            key = _key(subscription.viewer)
            seen = visible.get(key)
            some = some if seen is None else [action for action in some if action.pk in seen]
            if some:
                viewer = viewers.get(key)
                arrived = Arrived(some, self.before, self.mark, viewer, shared, self.since)
                self.found.append((subscription, arrived))

    def _belonging(self, actions: Sequence[Action]) -> list[tuple[list[Subscription], set[int]]]:
        """For those who look at each stream, the ids of the actions that belong to it."""
        if not actions:
            return []
        asking = [group for group, _ in self.listening if group.stream.asks_anew]
        now = self._as_they_are([group.stream.reference for group in asking])
        able: list[tuple[list[Subscription], Membership]] = []
        for group, subscriptions in self.listening:
            reference = group.stream.reference
            if group.stream.asks_anew and (reference := now.get(group.stream.named)) is None:
                continue  # it is gone
            try:
                able.append((subscriptions, group.membership(reference)))
            except Exception as error:
                self._fail(subscriptions, error)
        try:
            found = memberships.among([membership for _, membership in able], actions)
        except Exception:
            return self._one_by_one(able, actions)
        return [(mine, pks) for (mine, _), pks in zip(able, found, strict=True) if pks]

    def _as_they_are(self, references: Iterable[Any]) -> dict[Any, Any]:
        """Objects, each as the database has it now; models as they are."""
        using = self.manager.db
        found: dict[Any, Any] = {_named(it): it for it in references if not isinstance(it, Model)}
        named = {registry.reference(it, using) for it in references if isinstance(it, Model)}
        loaded = objects.load([it for it in named if it], using=using)
        return found | {_named(it): it for it in loaded.values()}

    def _one_by_one(
        self, able: list[tuple[list[Subscription], Membership]], actions: Sequence[Action]
    ) -> list[tuple[list[Subscription], set[int]]]:
        """The same, where one of the streams asks what no database can answer."""
        found = []
        for subscriptions, membership in able:
            try:
                found.append((subscriptions, memberships.among([membership], actions)[0]))
            except Exception as error:
                self._fail(subscriptions, error)
        return found

    def _fail(self, subscriptions: Iterable[Subscription], error: Exception) -> None:
        self.found += [(subscription, error) for subscription in subscriptions]

    def _visible(self, wanting: Iterable[Any], viewers: Mapping[Any, Any]) -> dict[Any, set[int]]:
        """For each viewer from whom a site hides something, the ids that are left."""
        everything = self.manager.get_queryset()
        asked = {}
        for key in {_key(viewer) for viewer in wanting}:
            visible = self.manager.visible_to(everything, viewers.get(key))
            if visible is not everything:
                asked[key] = visible.filter(pk__in=self.taken)
        return dict(zip(asked, memberships.asking(list(asked.values())), strict=True))


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def subscribers() -> int:
    """How many subscriptions this process has."""
    return sum(hub.size for hub in tuple(_hubs.values()))


def is_failing() -> bool:
    """Whether what arrives cannot be read."""
    return any(hub.is_failing for hub in tuple(_hubs.values()))


def _begin() -> tuple[int, set[int]]:
    mark = watermarks.current()
    return mark, set(_beyond(mark))


def _beyond(mark: int, most: int | None = None) -> list[int]:
    """The first ids beyond a mark."""
    stored = Action._base_manager.using(watermarks.database()).filter(pk__gt=mark)
    return list(stored.order_by("pk").values_list("pk", flat=True)[:most])


def _newest() -> int:
    stored = Action._base_manager.using(watermarks.database()).order_by("-pk")
    return stored.values_list("pk", flat=True).first() or 0


def _viewers(some: Iterable[Any]) -> dict[Any, Any]:
    """Users as they are now, by primary key; without those who may not log in any more."""
    keys = {_key(viewer) for viewer in some} - {None}
    users = get_user_model()._default_manager.all()
    found = rows.with_keys(users, list(keys)) if keys else []
    return {user.pk: user for user in found if user.is_active}


def _key(viewer: Any) -> Any:
    return None if viewer is None else viewer.pk


def _named(value: Any) -> Any:
    """A value by which two streams can be told apart."""
    if isinstance(value, Model):
        model = registry.lookup(value.__class__) or type(value)
        return model._meta.label, str(getattr(value, registry.pk_name(model)))
    if isinstance(value, list | tuple):
        return tuple(map(_named, value))
    return value if isinstance(value, Hashable) else id(value)
