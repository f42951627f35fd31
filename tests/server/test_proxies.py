"""What proxies say of a request, and who is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from server import checks, proxies

NEAR = "10.0.0.2"


def scope(peer: str | None, *headers: tuple[str, str], kind: str = "http") -> dict[str, Any]:
    return {
        "type": kind,
        "scheme": {"http": "http", "websocket": "ws"}[kind],
        "client": peer and (peer, 1234),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }


def for_(*addresses: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", each) for each in addresses]


@pytest.mark.parametrize(
    ("count", "peer", "said", "expected"),
    [
        (0, NEAR, [], NEAR),
        (0, NEAR, ["198.51.100.7"], NEAR),
        (1, NEAR, ["198.51.100.7"], "198.51.100.7"),
        (1, NEAR, ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (1, NEAR, ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),  # a header of its own
        (2, NEAR, ["203.0.113.9, 198.51.100.7, 192.0.2.2"], "198.51.100.7"),
        (2, NEAR, ["198.51.100.7"], "198.51.100.7"),
        (1, NEAR, [], NEAR),
        (1, NEAR, [""], NEAR),
        (1, NEAR, ["who knows"], "who knows"),  # of whom nobody knows the address
        # From elsewhere, past the proxies:
        (1, "192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        (1, "who knows", ["198.51.100.7"], "who knows"),
        (1, "::ffff:10.0.0.2", ["198.51.100.7"], "198.51.100.7"),
        (1, "fd00::2", ["198.51.100.7"], "198.51.100.7"),
        (1, "2001:db8::2", ["198.51.100.7"], "2001:db8::2"),
    ],
)
def test_an_address_is_what_the_nearest_one_says_who_is_trusted(
    count: int, peer: str, said: list[str], expected: str, settings: Any
) -> None:
    settings.PROXIES = count
    address, _port = proxies.seen(scope(peer, *for_(*said)))["client"]
    assert address == expected


def test_whoever_connects_by_a_unix_socket_is_a_proxy(settings: Any) -> None:
    assert proxies.seen(scope(None, *for_("198.51.100.7")))["client"] is None
    settings.PROXIES = 1
    assert proxies.seen(scope(None, *for_("198.51.100.7")))["client"] == ("198.51.100.7", 0)


def test_proxies_stand_where_the_settings_say(settings: Any) -> None:
    settings.PROXIES, settings.PROXY_ADDRESSES = 1, ["192.0.2.0/24", "203.0.113.5"]
    heard = {
        peer: proxies.is_from_proxy(scope(peer))
        for peer in ("192.0.2.1", "203.0.113.5", "203.0.113.6", "127.0.0.1", NEAR)
    }
    assert heard == {
        "192.0.2.1": True,
        "203.0.113.5": True,
        "203.0.113.6": False,
        "127.0.0.1": False,
        NEAR: False,
    }


@pytest.mark.parametrize(
    ("https", "count", "peer", "said", "expected"),
    [
        (True, 1, NEAR, "https", "https"),
        (True, 1, NEAR, "http", "http"),
        (True, 1, NEAR, "https, http", "http"),
        (True, 2, NEAR, "https, http", "https"),
        (True, 1, NEAR, "gopher", "http"),
        (True, 1, NEAR, "", "http"),
        # Not asked for, not counted, or said by somebody else:
        (False, 1, NEAR, "https", "http"),
        (True, 0, NEAR, "https", "http"),
        (True, 1, "192.0.2.1", "https", "http"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_scheme_is_what_a_proxy_says_where_the_site_is_for_https(
    https: bool, count: int, peer: str, said: str, expected: str, kind: str, settings: Any
) -> None:
    settings.HTTPS, settings.PROXIES = https, count
    found = proxies.seen(scope(peer, ("X-Forwarded-Proto", said), kind=kind))["scheme"]
    assert found == (expected.replace("http", "ws") if kind == "websocket" else expected)


@pytest.mark.parametrize(("peer", "kept"), [(NEAR, True), ("192.0.2.1", False)])
def test_what_others_say_reaches_nobody_who_might_believe_it(
    peer: str, kept: bool, settings: Any
) -> None:
    settings.PROXIES = 1
    forwarded = [("X-Forwarded-Host", "evil.example"), ("Forwarded", "for=192.0.2.9")]
    host = ("Host", "example.com")
    left = proxies.seen(scope(peer, host, *forwarded))["headers"]
    assert [name for name, _ in left] == (
        [b"host", b"x-forwarded-host", b"forwarded"] if kept else [b"host"]
    )


def test_an_application_sees_what_is_believed_and_its_life_as_it_is(settings: Any) -> None:
    settings.PROXIES = 1
    had: list[Any] = []

    async def application(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        had.append(scope.get("client"))

    believed = proxies.believed(application)
    for each in (scope(NEAR, *for_("198.51.100.7")), {"type": "lifespan"}):
        asyncio.run(believed(each, None, None))
    assert had == [("198.51.100.7", 0), None]


def test_an_address_of_proxies_that_is_none_is_an_error_that_names_it(settings: Any) -> None:
    settings.PROXY_ADDRESSES = ["10.0.0.0/8", "the proxy", "10.0.0.1/8"]
    settings.METRICS_NETWORKS = ["::1", "everywhere"]
    assert [(it.id, it.msg.partition(",")[0]) for it in checks.proxies_have_addresses(None)] == [
        ("activity.E008", "PROXY_ADDRESSES has 'the proxy'"),
        ("activity.E008", "PROXY_ADDRESSES has '10.0.0.1/8'"),
        ("activity.E008", "METRICS_NETWORKS has 'everywhere'"),
    ]
