"""Times and how long something lasts, as one says them to a command.

Anything else raises ArgumentTypeError, which names it.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from django.utils import timezone

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """``90s``, ``15m``, ``8h``, ``30d`` or ``2w``; nothing else, nor none."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smhdw])", text, re.ASCII)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no duration; say it as 90s, 15m, 8h, 30d or 2w")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def time(text: str) -> datetime:
    """ISO 8601, in UTC where no zone is given."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-01-01") from error
    return timezone.make_aware(at, UTC) if timezone.is_naive(at) else at


def past(text: str) -> datetime:
    """So long ago, or a time that is over."""
    now = timezone.now()
    try:
        at = time(text) if "-" in text.lstrip("-") else now - duration(text)
    except OverflowError:
        raise ArgumentTypeError(f"{text!r} is longer ago than there are dates") from None
    if at > now:
        raise ArgumentTypeError(f"{text!r} is in the future")
    return at
