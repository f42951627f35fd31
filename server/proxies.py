"""What the proxies in front say of a request: whose it is, and by which scheme it came.

They say it in headers that anyone may write, so these count from where proxies stand alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings

from .lifespan import Application

#: By which a proxy says what it knows, with all that begins so.
_SAYING = (b"x-forwarded-", b"forwarded")


def believed(application: Application) -> Application:
    """The application, which has the client's address and scheme in the place of a proxy's."""

    async def behind(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await application(seen(scope) if "headers" in scope else scope, receive, send)

    return behind


def seen(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scope of ASGI as the outermost of our proxies saw the request.

    The last PROXIES entries of X-Forwarded-For are written by proxies of ours, the rest by anyone;
    X-Forwarded-Proto is read in the same way, where HTTPS is on. A request that comes from
    elsewhere is one without such headers.
    """
    if not any(name.startswith(_SAYING) for name, _ in scope["headers"]):
        return scope
    if not is_from_proxy(scope):
        kept = [it for it in scope["headers"] if not it[0].startswith(_SAYING)]
        return {**scope, "headers": kept}
    changed = dict(scope)
    if address := _said(scope, b"x-forwarded-for"):
        changed["client"] = (address, 0)
    scheme = _said(scope, b"x-forwarded-proto")
    if settings.HTTPS and scheme in ("http", "https"):
        changed["scheme"] = (
            scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
        )
    return changed


def is_from_proxy(scope: Mapping[str, Any]) -> bool:
    """Whether a connection is made by a proxy of ours: from its address, or by a Unix socket."""
    if not settings.PROXIES:
        return False
    address, _port = scope.get("client") or ("", 0)
    return not address or _is_within(address, tuple(settings.PROXY_ADDRESSES))


def networks(written: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks, of which each is a text; raises ValueError."""
    return [ip_network(each) for each in written]


def _said(scope: Mapping[str, Any], header: bytes) -> str:
    values = b",".join(value for name, value in scope["headers"] if name == header)
    return values.decode("latin-1").split(",")[-settings.PROXIES :][0].strip()


@lru_cache(maxsize=1024)
def _is_within(address: str, written: tuple[str, ...]) -> bool:
    try:
        found: Any = ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks(written))
