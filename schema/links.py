"""Where a stream's feed is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse
from strawberry.utils.str_converters import to_camel_case

from .actions import ActionFilter
from .connections import PAGING


def feed_url(name: str, reference: str, given: Mapping[str, Any]) -> str | None:
    """The path of a stream's Atom feed, with the arguments that the stream's field was given.

    None where a site's urls have no feeds.
    """
    try:
        path = reverse("feed", args=[to_camel_case(name), reference, "atom"])
    except NoReverseMatch:
        return None
    texts = list(_texts(given))
    return f"{path}?{urlencode(texts)}" if texts else path


def _texts(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, ActionFilter):
            yield from _texts(vars(value))
        elif name not in PAGING and value is not None:
            for each in value if isinstance(value, list) else [value]:
                yield to_camel_case(name), _text(each)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name
    return value.isoformat() if isinstance(value, datetime) else str(value)
