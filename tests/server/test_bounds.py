"""What is too long, too large, too far ahead, or no text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from server.bounds import DATA_BYTES, by_value, data_error, text_error, time_error
from server.models import Action, action


def said(error: ValidationError | None) -> tuple[str, str] | None:
    return error and (error.code, error.message)  # type: ignore[return-value]


def test_a_text_that_is_too_long_is_told_the_limit_and_its_length() -> None:
    assert said(text_error("A verb", "x" * 256, 255)) == (
        "too_long",
        "A verb has at most 255 characters; this one has 256.",
    )


def test_a_text_that_is_too_short_is_told_so() -> None:
    assert said(text_error("A verb", "", 255, least=1)) == (
        "invalid",
        "A verb has at least 1 character; this one is empty.",
    )


def test_no_text_and_text_within_the_limits_are_right() -> None:
    assert text_error("A verb", None, 255) is None
    assert text_error("A verb", "β" * 255, 255, least=1) is None


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_postgresql_cannot_store_is_refused(text: str) -> None:
    assert said(text_error("A verb", text, 255)) == (
        "invalid",
        "A verb is Unicode text without the character U+0000.",
    )


def test_a_time_is_at_most_a_minute_ahead() -> None:
    ahead = timezone.now() + timedelta(seconds=62)
    assert said(time_error(ahead)) == (
        "invalid",
        f"A timestamp is at most a minute ahead; this one is {ahead.isoformat()}.",
    )
    assert time_error(timezone.now() + timedelta(seconds=55)) is None
    assert time_error(timezone.now() - timedelta(days=10_000)) is None


def test_data_is_measured_in_bytes_and_told_its_size() -> None:
    fits = {"text": "x" * (DATA_BYTES - len('{"text": ""}'))}
    assert data_error(fits) is None
    assert said(data_error({"text": fits["text"] + "x"})) == (
        "too_long",
        "Data has at most 16384 bytes; this has 16385.",
    )
    assert said(data_error("β" * DATA_BYTES)) == (
        "too_long",
        "Data has at most 16384 bytes; this has 32770.",
    )


NESTED: list[Any] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    "data",
    [{1, 2}, object(), float("nan"), float("inf"), {(1, 2): 3}, NESTED],
    ids=["set", "object", "nan", "inf", "tuple as key", "endless"],
)
def test_data_that_is_no_json_is_refused(data: Any) -> None:
    assert said(data_error(data)) == (
        "invalid",
        "Data is JSON: objects, lists, text, finite numbers, true, false, null.",
    )


@pytest.mark.parametrize("data", ["\x00", {"\x00": 1}, ["\ud800"]])
def test_data_with_text_that_postgresql_cannot_store_is_refused(data: Any) -> None:
    assert said(data_error(data)) == (
        "invalid",
        "Data is JSON whose text is Unicode without the character U+0000.",
    )


@pytest.mark.parametrize("data", [None, 0, "", [], {}, r"\u0000", {"\\": "\\\\u0000"}, False])
def test_data_that_is_json_is_right(data: Any) -> None:
    assert data_error(data) is None


KEYS = st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)


class DataOfAnyShape(TestCase):
    """Whatever the bounds let through is stored."""

    @given(text=st.text(st.characters(), max_size=20), data=JSON)
    def test_what_is_not_refused_is_stored_and_read_back(self, text: str, data: Any) -> None:
        if text_error("A verb", text, 255, least=1) or data_error(data):
            return
        ada = User.objects.create(username="ada")
        action.send(ada, verb=text, data=data)
        stored = Action.objects.get()
        assert (stored.verb, by_value(stored.data)) == (text, by_value({"data": data}))
