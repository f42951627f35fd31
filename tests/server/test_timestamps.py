"""Timestamps are those that Django would read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from psycopg.types.datetime import TimestamptzLoader

from server.timestamps import UtcLoader

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]

MOMENTS = (
    "0001-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "2026-01-31 12:30:00",
    "2026-01-31 12:30:00.5",
    "2026-01-31 12:30:00.000001",
    "9999-12-31 23:59:59.999999",
)


@pytest.mark.parametrize("text", MOMENTS)
def test_a_moment_is_read_as_it_was_written(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [f"{text}+00"])
        [[found]] = cursor.fetchall()
    assert (found, found.tzinfo) == (datetime.fromisoformat(f"{text}+00:00"), UTC)


def test_another_time_zone_of_the_session_is_read_as_psycopg_has_it() -> None:
    raw = connection.connection
    plain, ours = TimestamptzLoader(1184, raw), UtcLoader(1184, raw)
    text = b"2026-01-31 12:30:00+05:30"
    assert ours.load(text) == plain.load(text).replace(tzinfo=UTC)


def test_what_is_no_datetime_is_refused_as_psycopg_does() -> None:
    for text in (b"infinity", b"10000-01-01 00:00:00+00", b"0044-03-15 12:00:00+00 BC"):
        with pytest.raises(Exception, match=r"timestamp too (large|small)|can.t parse"):
            UtcLoader(1184, connection.connection).load(text)
