"""What is being answered: under which ids, and what it has taken so far."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any


@dataclass(slots=True)
class Tally:
    """Of a request, or of one of the operations that came by a connection."""

    request: str = field(default_factory=lambda: f"{getrandbits(128):032x}")
    """The id of the request, or of the one that opened the connection."""
    operation: str = ""
    """An operation's id, once there is one: the request's, a hyphen, and its number in it."""
    operations: int = 0
    statements: int = 0
    """How many SQL statements were executed for it."""
    said: dict[str, Any] = field(default_factory=dict)
    """What its line in the log says."""

    def next_operation(self) -> str:
        """The id of one more operation."""
        self.operations += 1
        return f"{self.request}-{self.operations}"

    def of_operation(self) -> Tally:
        """One for an operation alone, among others of a connection."""
        return Tally(self.request, self.next_operation())


_current: ContextVar[Tally | None] = ContextVar("tally", default=None)

#: That of what runs here; None where nothing is answered.
current = _current.get
#: Have what runs here from now on, and the tasks that it makes, counted by a tally.
begin = _current.set
#: Back to what it was before ``begin``.
reset = _current.reset
