"""Token buckets: how much each may still ask for, in Redis where several processes share them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from functools import cache
from time import monotonic
from typing import Any, NamedTuple

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

#: A process keeps the buckets of so many, those who came last.
MOST_KEPT = 10_000
#: Seconds that Redis has to answer, and for which it is left alone when it did not.
PATIENCE, PAUSE = 0.05, 10.0

PREFIX = "brook:bucket:"

#: A process takes up to this share of a bucket in advance: most requests need no round trip.
ADVANCE = 0.01

#: One bucket, as ``Local.take`` has it, by the clock of Redis; gone when it would be full.
TAKE = """
local function exact(number) return string.format('%.17g', number) end
local rate, burst, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(burst, (kept[1] or burst) + math.max(0, now - (kept[2] or now)) * rate)
if amount > level then
    return {exact((amount - level) / rate), exact(level), '0'}
end
local advance = math.min(tonumber(ARGV[4]), math.floor((level - amount) / 2))
level = level - amount - advance
redis.call('HSET', KEYS[1], 'level', exact(level), 'at', exact(now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - level) / rate * 1000) + 1000)
return {'0', exact(level), exact(advance)}
"""


class Advance(NamedTuple):
    """What was taken in advance, and what was left then."""

    points: float
    left: float


class Taken(NamedTuple):
    """What became of an attempt."""

    wait: float
    """Seconds until there will be enough; 0 if it was taken."""
    left: float


def take(key: str, amount: int, rate: float | None = None, burst: int | None = None) -> Taken:
    """Take so much from somebody's bucket, or nothing where it holds less.

    A bucket holds ``burst`` at most (RATE_BURST) and gains ``rate`` a second (RATE_LIMIT); an
    amount above ``burst`` takes a full one.
    """
    rate = settings.RATE_LIMIT if rate is None else rate
    burst = settings.RATE_BURST if burst is None else burst
    return _buckets(settings.REDIS_URL).take(key, min(amount, burst), float(rate), burst)


def take_here(key: str, amount: int) -> bool:
    """As :func:`take`, where this process has it and needs nobody to be asked; else nothing."""
    return _buckets(settings.REDIS_URL).take_here(
        key, min(amount, settings.RATE_BURST), float(settings.RATE_LIMIT), settings.RATE_BURST
    )


def give_back(key: str, amount: int) -> None:
    """Put back what was taken and not used: into what this process has of the bucket."""
    if settings.RATE_LIMIT:
        _buckets(settings.REDIS_URL).give_back(key, min(amount, settings.RATE_BURST))


@cache
def _buckets(url: str) -> Local | Shared:
    return Shared(url) if url else Local()


class Local:
    """The buckets of one process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, amount: float, rate: float, burst: float) -> Taken:
        now = monotonic()
        with self._lock:
            level, at = self._kept.pop(key, (burst, now))
            level = min(burst, level + (now - at) * rate)
            wait = max(0.0, (amount - level) / rate)
            if not wait:
                level -= amount
            self._kept[key] = level, now
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return Taken(wait, level)

    def take_here(self, key: str, amount: float, rate: float, burst: float) -> bool:
        return not self.take(key, amount, rate, burst).wait

    def give_back(self, key: str, amount: float) -> None:
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept[key] = kept[0] + amount, kept[1]


class Shared:
    """The buckets of all processes, in one round trip; this process's own while Redis is away.

    What a process has taken in advance it gives out without asking. So a bucket may hold a
    hundredth less for another process than it does for this one.
    """

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._script: Any = client.register_script(TAKE)
        self._local = Local()
        self._away_until = 0.0
        self._advances: OrderedDict[str, Advance] = OrderedDict()
        self._lock = threading.Lock()

    def take_here(self, key: str, amount: float, rate: float, burst: float) -> bool:
        with self._lock:
            held, left = self._advances.get(key, (0.0, 0.0))
            if held < amount:
                return False
            self._advances[key] = Advance(held - amount, left)
            self._advances.move_to_end(key)
            return True

    def give_back(self, key: str, amount: float) -> None:
        with self._lock:
            _, left = self._advances.get(key, (0.0, 0.0))
            self._advance(key, amount, left)

    def take(self, key: str, amount: float, rate: float, burst: float) -> Taken:
        with self._lock:
            advance, left = self._advances.pop(key, (0.0, 0.0))
            if advance >= amount:
                self._advance(key, advance - amount, left)
                return Taken(0.0, left + advance - amount)
        needed = amount - advance
        taken = self._ask(key, needed, rate, burst) or self._local.take(key, needed, rate, burst)
        if taken.wait:
            with self._lock:
                self._advance(key, advance, taken.left)
        return taken

    def _advance(self, key: str, points: float, left: float) -> None:
        held, _ = self._advances.pop(key, (0.0, 0.0))  # of a thread that was here meanwhile
        self._advances[key] = Advance(held + points, left)
        if len(self._advances) > MOST_KEPT:
            self._advances.popitem(last=False)

    def _ask(self, key: str, amount: float, rate: float, burst: float) -> Taken | None:
        """What Redis says; None while it is away."""
        if monotonic() < self._away_until:
            return None
        try:
            wait, left, advance = map(
                float,
                self._script(
                    keys=[PREFIX + key], args=[rate, burst, amount, int(burst * ADVANCE)]
                ),
            )
        except (redis.RedisError, OSError) as error:
            if not self._away_until:
                logger.warning("Redis is away, each process limits for itself: %s", error)
            self._away_until = monotonic() + PAUSE
            return None
        if self._away_until:
            logger.info("Redis is back.")
            self._away_until = 0.0
        with self._lock:
            self._advance(key, advance, left)
        return Taken(wait, left + advance)
