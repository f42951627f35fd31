"""What is kept of many things is what was wanted last."""

from __future__ import annotations

import pytest

from server.latest import Latest

pytestmark = pytest.mark.apart


def test_who_was_asked_for_stays() -> None:
    latest: Latest[str, int] = Latest(2)
    latest.put("a", 1)
    latest.put("b", 2)
    assert latest.get("a") == 1
    latest.put("c", 3)
    assert [latest.get(key) for key in "abc"] == [1, None, 3]
    assert (len(latest), "b" in latest) == (2, False)


def test_what_is_put_again_is_the_newest() -> None:
    latest: Latest[str, int] = Latest(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        latest.put(key, value)
    assert [latest.get(key) for key in "abc"] == [3, None, 4]
