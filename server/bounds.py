"""What is too long, too large, too far ahead, or no text.

Each function answers the ValidationError, or None where all is well; its code is "too_long" or
"invalid", its message names the value and the limit.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

VERB_LENGTH = 255
KEY_LENGTH = 255
DESCRIPTION_LENGTH = 4_000
DATA_BYTES = 16 * 1024
#: A caller's clock may be ahead of ours by this much.
LEEWAY = timedelta(minutes=1)

# U+0000 in JSON, unlike a backslash (written as two) before the text "u0000".
_ESCAPED_ZERO = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def text_error(
    what: str, text: str | None, most: int, *, least: int = 0
) -> ValidationError | None:
    """What is wrong with a text of ``least`` to ``most`` characters."""
    if text is None:
        return None
    if len(text) > most:
        return _too_long(f"{what} has at most {most} characters; this one has {len(text)}.")
    if len(text) < least:
        return _invalid(f"{what} has at least {least} character; this one is empty.")
    if not storable(text):
        return _invalid(f"{what} is Unicode text without the character U+0000.")
    return None


def time_error(timestamp: datetime) -> ValidationError | None:
    """What is wrong with the time of an action."""
    try:
        if timestamp.astimezone(UTC) - timezone.now() <= LEEWAY:
            return None
    except OverflowError:
        return _invalid(f"{timestamp.isoformat()} is no time of this calendar in UTC.")
    return _invalid(f"A timestamp is at most a minute ahead; this one is {timestamp.isoformat()}.")


def data_error(data: Any) -> ValidationError | None:
    """What is wrong with the data of an action."""
    if data is None:
        return None
    try:
        text = as_json(data)
    except (TypeError, ValueError, RecursionError):
        return _invalid("Data is JSON: objects, lists, text, finite numbers, true, false, null.")
    if not storable(text) or _ESCAPED_ZERO.search(text):
        return _invalid("Data is JSON whose text is Unicode without the character U+0000.")
    size = len(text.encode())
    if size > DATA_BYTES:
        return _too_long(f"Data has at most {DATA_BYTES} bytes; this has {size}.")
    return None


def as_json(data: Any) -> str:
    """Data as it is stored, its keys in order, so that equal data has equal text."""
    return _ENCODER.encode(data)


_ENCODER = DjangoJSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True)


def _too_long(message: str) -> ValidationError:
    return ValidationError(message, code="too_long")


def _invalid(message: str) -> ValidationError:
    return ValidationError(message, code="invalid")


def by_value(data: Any) -> Any:
    """Data as it compares: PostgreSQL gives 1e22 back as 10000000000000000000000."""

    def number(text: str) -> tuple[Decimal]:  # in a tuple, so that 1 is not true
        return (Decimal(text),)

    return json.loads(as_json(data), parse_int=number, parse_float=number)


def same_value(data: Any, other: Any) -> bool:
    """Whether data compares equal, by :func:`by_value`."""
    return as_json(data) == as_json(other) or by_value(data) == by_value(other)


def storable(text: str) -> bool:
    """Whether PostgreSQL takes it: neither U+0000 nor half a surrogate pair."""
    if text.isascii():
        return "\x00" not in text
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
