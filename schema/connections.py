"""Connections, as the Relay specification has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from server import watermarks
from server.objects import Reference
from server.pages import Page
from server.rows import Columns

from .context import Info, Peers, below, stand, together

Row = TypeVar("Row")

First = Annotated[
    int | None,
    strawberry.argument(
        description="At most this many from the start: 0 to 100; 20 when left out."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Only what follows the edge of this cursor.")
]
Last = Annotated[
    int | None, strawberry.argument(description="At most this many from the end: 0 to 100.")
]
Before = Annotated[
    str | None, strawberry.argument(description="Only what precedes the edge of this cursor.")
]
#: What it costs to look at up to 10,000 rows.
COUNT = 50

#: The arguments of every connection, by name.
PAGING = {"first": First, "after": After, "last": Last, "before": Before}


@strawberry.type(description="Where a page stands among all pages.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(
        description="Whether more follows; ask after endCursor."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether something precedes; true after a cursor."
    )
    start_cursor: str | None = strawberry.field(
        description="The cursor before which to ask for the previous page."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor after which to ask for the next page."
    )


@strawberry.type(description="A node and its place in a connection.")
class Edge(Generic[Row]):
    """One row of a page."""

    cursor: str = strawberry.field(description="Opaque; good for after and before.")
    node: Row = strawberry.field(description="What stands here.")


@dataclass
class Supposed:
    """An object of which it is not known yet whether it is there and may be seen."""

    reference: Reference | None
    check: Callable[[], None]
    """Raises what is to be said where it is not."""


@dataclass
class Batch:
    """Connections whose pages are read together, when they are first looked at."""

    info: Info
    size: int
    read: Callable[[Columns], Sequence[Page]]
    """The pages, one for each; their rows have at least the columns that are given."""
    count: Callable[[], Sequence[int | None]]
    of: type[Connection[Any]] | None = None
    """Their class, where it is another than Connection."""
    feed_url: Callable[[int], str | None] = lambda at: None
    """Where the feed of each is; nowhere unless it is a stream's."""
    needs: Columns = None
    answers: dict[Any, Sequence[Any] | None] = field(default_factory=dict)
    """What the response has of them, by what is selected; see ``compiled.py``."""
    supposed: Supposed | None = None
    """Whose pages they are; whoever looks at them finds that out."""

    @property
    def connections(self) -> list[Connection[Any]]:
        # Not kept: they hold the batch, so its rows would have to wait for the garbage collector.
        return [(self.of or Connection)(batch=self, at=at) for at in range(self.size)]

    @cached_property
    def mark(self) -> int:
        """A watermark: the pages, which are read later, have everything up to it."""
        return watermarks.current()

    @cached_property
    def pages(self) -> Sequence[Page]:
        if any("resumeCursor" in selected for _, selected in below(self.info)):
            _ = self.mark
        found = self.read(self.needs)
        if self.needs is None:  # what is not compiled is resolved row by row
            rows = [row for page in found for row in page.rows]
            stand(self.info, rows, "edges", "node")
            stand(self.info, rows, "nodes")
        return found

    @cached_property
    def counts(self) -> Sequence[int | None]:
        return self.count()


@strawberry.type(description="One page of a list, newest first, and how to go on from it.")
class Connection(Generic[Row]):
    """One page, and the count that is taken only if it is asked for."""

    batch: strawberry.Private[Batch]
    at: strawberry.Private[int]

    @property
    def page(self) -> Page:
        return self.batch.pages[self.at]

    @strawberry.field(description="The nodes with their cursors.")
    def edges(self) -> list[Edge[Row]]:
        return [Edge(cursor=self.page.cursor(row), node=row) for row in self.page.rows]

    @strawberry.field(description="The nodes alone.")
    def nodes(self) -> list[Row]:
        return list(self.page.rows)

    @strawberry.field(description="Where this page stands.")
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.page.has_next_page,
            has_previous_page=self.page.has_previous_page,
            start_cursor=self.page.start_cursor,
            end_cursor=self.page.end_cursor,
        )

    @strawberry.field(
        description="How many there are in all; null beyond 10,000, and where that is not found "
        "by looking at 10,000 of them.",
        metadata={"cost": COUNT},
    )
    def total_count(self) -> int | None:
        return self.batch.counts[self.at]


def for_each(
    info: Info, source: Any, read: Callable[[list[Any]], list[Connection[Any]]]
) -> Connection[Any]:
    """The connection of one node, read together with those of its peers."""

    def load(peers: list[Any], _: Peers) -> dict[Any, Connection[Any]]:
        return dict(zip(peers, read(peers), strict=True))

    return together(info, source, str(info.path.key), load)[0]
