"""Where a request comes from."""

from __future__ import annotations

from ipaddress import ip_address

from django.http import HttpRequest

#: Whoever has one address of IPv6 has all with the same beginning.
_NETWORK = 64


def client(request: HttpRequest) -> str:
    """The client's address, an IPv6 address without its last 64 bits; "" where nobody knows.

    Behind proxies it is what these say: see ``proxies.py``.
    """
    return counted(request.META.get("REMOTE_ADDR", ""))


def counted(address: str) -> str:
    """An address as that of one client, as :func:`client`."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ip_address(int(found) >> _NETWORK << _NETWORK))
