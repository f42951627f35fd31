"""What one request may ask for, measured before anything is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from server import addresses, buckets, metrics

from .context import Context
from .costs import Cost
from .errors import Throttled, TooComplex

#: At most this many nodes, by the page sizes that are asked for.
MOST_NODES = 10_000
MOST_POINTS = 20_000
#: What it costs to have a document read that has not been read lately.
READING = 50
#: What every request costs at least.
LEAST = 5
#: So much of a subscription's event is paid for by what the subscription itself costs.
PLAIN_EVENT = 50


@dataclass
class Limits:
    """What one operation, or one event, is charged for; raises TooComplex, Throttled."""

    context: Context
    is_of_event: bool
    cost: Cost | None = None
    left: float | None = None

    def charge_reading(self) -> None:
        """For a document that has to be read; events have paid for it."""
        if not self.is_of_event:
            self._take(READING)

    def charge(self, cost: Cost) -> None:
        """For what is asked."""
        points = self.points(cost)
        if not self.is_of_event:
            self._take(points)
        elif cost.points > PLAIN_EVENT:
            self._take(cost.points - PLAIN_EVENT)

    def points(self, cost: Cost) -> int:
        """What is charged for a query; raises TooComplex."""
        self.cost, self.context.cost = cost, cost.points
        if cost.nodes > MOST_NODES:
            raise TooComplex(
                f"The query may return {cost.nodes} nodes; at most {MOST_NODES} are allowed."
            )
        if cost.points > MOST_POINTS:
            raise TooComplex(
                f"The query costs {cost.points} points; at most {MOST_POINTS} are allowed."
            )
        return max(LEAST, cost.points)

    def said(self, name: str | None, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """``extensions.cost`` of the answer; nothing before it is known what is asked."""
        if not self.cost:
            return {}
        actual = self.context.document.actual_cost(name, data)
        said: dict[str, Any] = {
            "requested": self.cost.points,
            "actual": actual.points,
            "most": MOST_POINTS,
        }
        if self.left is not None:
            said |= {"left": int(self.left), "restored": settings.RATE_LIMIT}
        return {"cost": said}

    def _take(self, points: int) -> None:
        if settings.RATE_LIMIT:
            taken = buckets.take(_payer(self.context), points)
            if taken.wait:
                metrics.THROTTLED.inc()
                raise Throttled(taken.wait)
            self.left = taken.left


def _payer(context: Context) -> str:
    if context.viewer is not None:
        return payer(context.viewer, "")
    return payer(None, addresses.client(context.request))


def payer(viewer: Any, address: str) -> str:
    """Whose bucket it is: a viewer's, else an address's."""
    return f"address:{address}" if viewer is None else f"user:{viewer.pk}"
