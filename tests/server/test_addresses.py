"""Where a request comes from."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from server.addresses import client


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("who knows", ""),
        ("", ""),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_address_is_one_of_a_client(remote: str, expected: str) -> None:
    headers = {"X-Forwarded-For": "198.51.100.7"}  # which anyone may write
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    assert client(request) == expected
