"""What is counted, for Prometheus: names, labels and meanings, as docs/operations.md has them."""

from __future__ import annotations

import threading
from typing import Any

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from . import ledgers

#: Operations have their names in metrics up to so many of them; clients may invent any.
MOST_NAMES = 100
#: An operation without a name, and one whose name is not among them: no names of GraphQL's.
UNNAMED, OTHERS = "(none)", "(other)"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

disable_created_metrics()

REQUESTS = Counter("brook_requests", "HTTP requests and WebSockets, by their status.", ["status"])
WAITED = Histogram(
    "brook_waited_seconds",
    "How long a request waited for the process's one thread.",
    buckets=SECONDS,
)
OPERATIONS = Counter(
    "brook_operations",
    "GraphQL operations; an outcome is OK, or the code of the first error.",
    ["type", "name", "outcome"],
)
OPERATION_SECONDS = Histogram(
    "brook_operation_seconds", "How long an operation took.", ["type", "name"], buckets=SECONDS
)
OPERATION_STATEMENTS = Histogram(
    "brook_operation_statements",
    "SQL statements of an operation.",
    ["type"],
    buckets=(0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 100),
)
OPERATION_COST = Histogram(
    "brook_operation_cost",
    "Points that an operation was charged for.",
    ["type"],
    buckets=(5, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000),
)
DELIVERY_SECONDS = Histogram(
    "brook_delivery_seconds",
    "From when an action was committed until its event waits for a subscriber to take it; at most "
    "a second too long where the broker did not tell.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
OVERRUNS = Counter(
    "brook_overruns", "Subscribers let go because they took too little.", ["transport"]
)
THROTTLED = Counter("brook_throttled", "Operations and events that were more than a viewer may.")
LOGINS = Counter("brook_logins", "Passwords that were tried, and what came of it.", ["outcome"])
TOKENS_REFUSED = Counter("brook_tokens_refused", "Bearer tokens that were not good.")


def text() -> bytes:
    """What Prometheus reads: of this process, or of all that count in one directory."""
    directory = ledgers.shared()
    if directory is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))
    with ledgers.settled(directory):
        return generate_latest(registry)


class Names:
    """The names of operations that are told apart: some beforehand, then those that come first."""

    def __init__(self, *beforehand: str) -> None:
        self._known = set(beforehand)
        self._most = len(self._known) + MOST_NAMES
        self._lock = threading.Lock()

    def label(self, name: str | None, is_good: bool) -> str:
        """An operation's name as a label; a new one only of an operation that is good."""
        if not name:
            return UNNAMED
        if name in self._known:
            return name
        with self._lock:
            if is_good and len(self._known) < self._most and len(name) <= 100:
                self._known.add(name)
                return name
        return OTHERS


def request(status: str) -> None:
    """Count one."""
    if (found := _of_status.get(status)) is None:
        _of_status[status] = found = REQUESTS.labels(status)
    found.inc()


def operation(
    kind: str, name: str, outcome: str, seconds: float, statements: int, cost: int
) -> None:
    """Count one, and what it took."""
    key = (kind, name, outcome)
    if (found := _children.get(key)) is None:
        _children[key] = found = (
            OPERATIONS.labels(kind, name, outcome),
            OPERATION_SECONDS.labels(kind, name),
            OPERATION_STATEMENTS.labels(kind),
            OPERATION_COST.labels(kind),
        )
    operations, durations, counts, costs = found
    operations.inc()
    durations.observe(seconds)
    counts.observe(statements)
    costs.observe(cost)


#: Those of an operation, and of a request: to find them anew costs more than to count by them.
_children: dict[tuple[str, str, str], tuple[Any, ...]] = {}
_of_status: dict[str, Any] = {}
