"""Where a row stands in its stream, as text that a client gives back."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CURSOR = re.compile(r"([a-z]+)1:(-?[0-9]{1,18}):([0-9]{1,19})(:q)?")


class PageError(ValueError):
    """A page was asked for that there is none of; the text is for whoever asked."""


class Position(NamedTuple):
    """Rows stand newest first, the larger id first at the same time."""

    time: datetime
    pk: int
    quiet: bool = False
    """Whether the stream was found quiet here, as ``feeds.py`` means it."""

    @classmethod
    def of(cls, row: Any, time: str) -> Position:
        """Where a row stands whose field ``time`` orders it."""
        return cls(getattr(row, time), row.pk)

    def cursor(self, kind: str) -> str:
        """Its text, among rows of this kind."""
        return written(kind, self.time, self.pk, self.quiet)

    @classmethod
    def parse(cls, cursor: str, kind: str) -> Position:
        """The position that a cursor stands for; PageError if it is none of this kind."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            match = _CURSOR.fullmatch(base64.b64decode(padded, b"-_", validate=True).decode())
            if match and match[1] == kind and int(match[3]) < 2**63:
                time = _EPOCH + int(match[2]) * _MICROSECOND
                return cls(time, int(match[3]), bool(match[4]))
        except (binascii.Error, ValueError, OverflowError):
            pass
        raise PageError(f"{cursor[:40]!r} is no cursor of this stream.")

    # Both databases bound the index range by the first comparison, where (a < b OR a = b AND …)
    # would make them read all that is newer.
    def older(self, time: str, *, itself: bool = False) -> Q:
        """The condition for what stands after this position, or at it too."""
        passed = {time: self.time, "pk__gt" if itself else "pk__gte": self.pk}
        return Q(**{f"{time}__lte": self.time}) & ~Q(**passed)

    def newer(self, time: str, *, itself: bool = False) -> Q:
        """The condition for what stands before this position, or at it too."""
        passed = {time: self.time, "pk__lt" if itself else "pk__lte": self.pk}
        return Q(**{f"{time}__gte": self.time}) & ~Q(**passed)


def written(kind: str, time: datetime, pk: int, quiet: bool = False) -> str:
    """base64url of kind, version, microseconds since 1970, id, and a mark if quiet."""
    text = f"{kind}1:{(time - _EPOCH) // _MICROSECOND}:{pk}{':q' if quiet else ''}"
    # Of these characters, base64 makes nothing that base64url writes otherwise.
    return binascii.b2a_base64(text.encode(), newline=False).decode().rstrip("=")
