"""``python -m tests.verify.writing``: a program that records 600 actions beside the servers.

360 in transactions that commit late, 120 backdated, 120 some at once; others are rolled back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - Django is set up
from django.db import connection, transaction  # noqa: E402

from server.models import send_many  # noqa: E402
from server.records import record  # noqa: E402

LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)


def late(users: list[User], random: Random) -> None:
    """Sixty in six transactions, of up to ten seconds each; and some that come to nothing."""
    for turn in range(6):
        with transaction.atomic():
            for _ in range(10):
                praise(users, random)
                time.sleep(random.random() * 0.2 * turn)
        with transaction.atomic():
            praise(users, random)
            transaction.set_rollback(True)


def backdated(users: list[User], random: Random) -> None:
    """Sixty, each some years old."""
    for _ in range(60):
        praise(users, random, timestamp=LONG_AGO + timedelta(random.random() * 3000))
        time.sleep(0.5 * random.random())


def at_once(users: list[User], random: Random) -> None:
    """Sixty, six at once, in transactions that wait before they commit."""
    for _ in range(10):
        with transaction.atomic():
            items = [random.sample(users, 2) for _ in range(6)]
            send_many([{"actor": a, "verb": "praised", "target": b} for a, b in items])
            time.sleep(3 * random.random())


def praise(users: list[User], random: Random, **given: datetime) -> None:
    actor, target = random.sample(users, 2)
    record(actor, "praised", target=target, **given)


def write(number: int, kind: Callable[[list[User], Random], None]) -> None:
    try:
        kind(list(User.objects.order_by("pk")), Random(number))
    finally:
        connection.close()


if __name__ == "__main__":
    kinds = [late] * 6 + [backdated] * 2 + [at_once] * 2
    with ThreadPoolExecutor(len(kinds)) as threads:
        list(threads.map(write, range(len(kinds)), kinds))
