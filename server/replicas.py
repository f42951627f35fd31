"""Which database is read: the primary, or a replica that has what the viewer has written.

A thread of each process looks every second where the primary's log ends, and how far each replica
has replayed it. So it knows of a moment, by this machine's clock, of which a replica has all that
had been written until then. A replica is read as long as that is no more than REPLICA_LAG seconds
ago, by whom has written nothing that it lacks; see ``writes.py``. So it is left alone when it is
behind, or cannot be asked, and also when it is not known.

Only who says so (:func:`reading`) reads a replica: everything else reads the primary.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import cache
from time import monotonic, sleep
from typing import Any
from zlib import crc32

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from . import postgresql, writes
from .deadlines import Expired

logger = logging.getLogger(__name__)

#: Seconds between two looks; and after one that failed, at that replica.
EVERY, PAUSE = 0.5, 5.0
#: Methods by which nothing changes.
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: Where the log ends, as bytes from its beginning: what is on disk, from where replicas have it;
#: and what is surely beyond the last commit.
_WRITTEN = "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn"
_COMMITTED = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
#: Null of a database that is nobody's replica.
_REPLAYED = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END"
)

_reading: ContextVar[str | None] = ContextVar("reading", default=None)


class Router:
    """Reads where :func:`reading` says, and writes to the primary.

    What is of another database stays there. Within a transaction of the primary it is read too.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        chosen = _reading.get()
        if chosen is None or connections[DEFAULT_DB_ALIAS].in_atomic_block:
            chosen = DEFAULT_DB_ALIAS
        return None if _is_elsewhere(hints.get("instance")) else chosen

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        return None if _is_elsewhere(hints.get("instance")) else DEFAULT_DB_ALIAS

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        return None if _is_elsewhere(one) or _is_elsewhere(other) else True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db in settings.REPLICAS else None


def _is_elsewhere(instance: Any) -> bool:
    at = None if instance is None else instance._state.db
    return at is not None and at != DEFAULT_DB_ALIAS and at not in settings.REPLICAS


class Middleware:
    """Has who is logged in read what they changed by a page, as the admin's.

    A view that says so itself has ``tells_writes``.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        view = getattr(request.resolver_match and request.resolver_match.func, "view_class", None)
        if request.method not in SAFE and not getattr(view, "tells_writes", False):
            user: Any = request.user
            if user.is_authenticated:
                wrote(user.pk)
        return response


@contextmanager
def reading(replica: Replica) -> Iterator[None]:
    """Within it, a replica is read."""
    token = _reading.set(replica.alias)
    try:
        yield
    finally:
        _reading.reset(token)


def chosen(viewer: Any) -> Replica | None:
    """A replica for a viewer's key, or for None, anybody; None where only the primary will do.

    One viewer has the same one as long as it can be read, that time does not run backwards.
    """
    good = [replica for replica in _watch(tuple(settings.REPLICAS)).replicas if replica.is_good]
    if not good or viewer is None:
        return random.choice(good) if good else None
    position = writes.since(viewer)
    good = [replica for replica in good if replica.replayed >= position]
    return min(good, key=lambda it: crc32(f"{viewer} {it.alias}".encode()), default=None)


def have(time: datetime) -> bool:
    """Whether each replica that is read has what was recorded until a time."""
    return time <= timezone.now() - timedelta(seconds=writes.duration())


def wrote(viewer: Any) -> None:
    """Have a viewer read the primary until a replica has all that is committed now."""
    if not settings.REPLICAS:
        return
    try:
        position = _position(DEFAULT_DB_ALIAS, _COMMITTED)
    except (DatabaseError, Expired):  # what is committed is not to fail any more
        position = None
    writes.note(viewer, writes.NEVER if position is None else position)


class Replica:
    """What is known of a replica."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.replayed = 0
        """It has the primary's log up to here."""
        self.as_of = float("-inf")
        """It has all that was written until then."""
        self.again_at = 0.0
        """When it is looked at next."""
        self._was_good: bool | None = None

    @property
    def is_good(self) -> bool:
        return monotonic() - self.as_of <= float(settings.REPLICA_LAG)

    def has_failed(self) -> bool:
        """Whether a statement of this thread failed there: then it is left until the next look."""
        connection = connections[self.alias]
        if not connection.errors_occurred:
            return False
        self.as_of = float("-inf")
        connection.close()
        return True

    def look(self, samples: Sequence[tuple[float, int]]) -> None:
        """Ask how far it is; ``samples`` say when the primary's log ended where, newest first."""
        if monotonic() < self.again_at:
            return
        try:
            replayed = _position(self.alias, _REPLAYED)
            why = "it is no replica" if replayed is None else "it is too far behind"
        except DatabaseError as error:
            replayed, why = None, str(error).strip()
        if replayed is None:
            self.as_of, self.again_at = float("-inf"), monotonic() + PAUSE
        else:
            self.replayed = replayed
            has = (at for at, position in samples if position <= replayed)
            self.as_of = next(has, float("-inf"))
        self._say(why)

    def _say(self, why: str) -> None:
        good = self.is_good
        if good != self._was_good:
            if good:
                logger.info("%s is read.", self.alias)
            else:
                logger.warning("%s is left alone, and the primary read: %s", self.alias, why)
            self._was_good = good


class Watch:
    """The replicas of this process, and the thread that looks at them."""

    def __init__(self, aliases: Sequence[str]) -> None:
        self.replicas = [Replica(alias) for alias in aliases]
        self._samples: deque[tuple[float, int]] = deque()
        self._fails = False

    def begin(self) -> None:
        threading.Thread(target=self._go_on, name="replicas", daemon=True).start()

    def look(self) -> None:
        """Ask the primary, then each replica."""
        at = monotonic()
        while self._samples and self._samples[-1][0] < at - settings.REPLICA_LAG:
            self._samples.pop()
        try:
            position = _position(DEFAULT_DB_ALIAS, _WRITTEN)
            assert position is not None
            self._samples.appendleft((at, position))
            self._fails = False
        except DatabaseError as error:
            if not self._fails:
                logger.warning("The primary cannot be asked: %s", error)
            self._fails = True
        for replica in self.replicas:
            replica.look(self._samples)
        writes.settle()

    def _go_on(self) -> None:
        while True:
            try:
                postgresql.refresh()
                self.look()
            except Exception:
                logger.exception("The replicas cannot be looked at; it is tried again.")
            sleep(EVERY)


@cache
def _watch(aliases: tuple[str, ...]) -> Watch:
    watch = Watch(aliases)
    watch.begin()
    return watch


def _position(using: str, sql: str) -> int | None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
        [[position]] = cursor.fetchall()
    return None if position is None else int(position)
