"""Who has just written, and up to which position of the primary's log.

All processes must know, so it is kept in Redis; without Redis there is one process. It is kept for
KEPT seconds longer than a replica may be behind: every replica that is read after that has it. It
is not left to a cookie, because who sends tokens keeps none. Whoever cannot say answers NEVER, a
position that no replica reaches.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from functools import cache
from time import monotonic
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

NEVER = 2**63
#: Seconds on top of REPLICA_LAG: for commits that PostgreSQL has not written to its log yet.
KEPT = 5.0
#: A process without Redis keeps so many, those who wrote last.
MOST_KEPT = 100_000
#: Seconds that Redis has to say who wrote, and to be told; for which it is left alone when it
#: did not.
PATIENCE, PATIENCE_TO_TELL, PAUSE = 0.05, 1.0, 1.0

PREFIX = "brook:wrote:"
#: Says that Redis remembers; and that for a while everybody counts as one who has just written.
MEMORY, EVERYBODY = "brook:writes-are-kept", "brook:everybody-wrote"

#: The larger position counts, whichever process comes last.
TELL = """
local kept = redis.call('GET', KEYS[1])
local position = (kept and tonumber(kept) > tonumber(ARGV[1])) and kept or ARGV[1]
redis.call('SET', KEYS[1], position, 'PX', ARGV[2])
"""


def note(viewer: Any, position: int) -> None:
    """Keep that a viewer has written all up to a position; never raises."""
    _writes(settings.REDIS_URL).note(str(viewer), position)


def since(viewer: Any) -> int:
    """The position that a viewer must be able to see; 0: any will do."""
    return _writes(settings.REDIS_URL).since(str(viewer))


def settle() -> None:
    """Tell Redis what it could not be told; to be called now and then."""
    _writes(settings.REDIS_URL).settle()


def duration() -> float:
    """Seconds for which a write is kept."""
    return float(settings.REPLICA_LAG) + KEPT


@cache
def _writes(url: str) -> Local | Shared:
    return Shared(url) if url else Local()


class Local:
    """The writes that one process knows of."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._everybody_until = 0.0
        self._lock = threading.Lock()

    def note(self, viewer: str, position: int) -> None:
        with self._lock:
            before, _ = self._kept.pop(viewer, (0, 0.0))
            self._kept[viewer] = max(before, position), monotonic() + duration()
            if len(self._kept) > MOST_KEPT:
                _, (_, self._everybody_until) = self._kept.popitem(last=False)

    def since(self, viewer: str) -> int:
        now = monotonic()
        if now < self._everybody_until:
            return NEVER
        position, until = self._kept.get(viewer, (0, 0.0))
        return position if now < until else 0

    def settle(self) -> None:
        pass


class Shared:
    """The writes that all processes know of, by Redis.

    While Redis is away, nobody is known not to have written. What it was not told meanwhile, or
    has forgotten, everybody may have written: so it is told that when it is back.
    """

    def __init__(self, url: str) -> None:
        self._client, teller = (
            redis.Redis.from_url(
                url,
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                retry=Retry(NoBackoff(), 0),
            )
            for seconds in (PATIENCE, PATIENCE_TO_TELL)
        )
        self._tell: Any = teller.register_script(TELL)
        self._away_until = 0.0
        self._owes = False

    def note(self, viewer: str, position: int) -> None:
        try:
            self._tell(keys=[PREFIX + viewer], args=[position, int(duration() * 1000)])
        except (redis.RedisError, OSError) as error:
            self._owes = True
            self._is_away(error)

    def since(self, viewer: str) -> int:
        if self._owes or monotonic() < self._away_until:
            return NEVER
        try:
            position, remembers, everybody = self._client.mget(PREFIX + viewer, MEMORY, EVERYBODY)
            if remembers is None:
                self._suspect_everybody()
        except (redis.RedisError, OSError) as error:
            self._is_away(error)
            return NEVER
        if self._away_until:
            logger.info("Redis is back.")
            self._away_until = 0.0
        return NEVER if everybody or remembers is None else int(position or 0)

    def settle(self) -> None:
        if self._owes:
            try:
                self._suspect_everybody()
                self._owes = False
            except (redis.RedisError, OSError) as error:
                self._is_away(error)

    def _suspect_everybody(self) -> None:
        with self._client.pipeline(transaction=True) as both:
            both.set(EVERYBODY, 1, px=int(duration() * 1000))
            both.set(MEMORY, 1)
            both.execute()

    def _is_away(self, error: Exception) -> None:
        if not self._away_until:
            logger.warning("Redis is away, so viewers read the primary: %s", error)
        self._away_until = monotonic() + PAUSE
