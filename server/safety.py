"""What is unsafe, as ``manage.py check --deploy`` says it beside what Django itself looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.apps.config import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connection

from . import proxies


class Unsafe(NamedTuple):
    """What is, and what to do."""

    number: int
    message: str
    hint: str


def unsafe(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """activity.W010 to W018."""
    return [
        checks.Warning(message, hint=hint, id=f"activity.W{number:03}")
        for found in (_hosts(), _origins(), _processes(), _api(), _proxies())
        for number, message, hint in found
    ]


def _hosts() -> Iterator[Unsafe]:
    if "*" in settings.ALLOWED_HOSTS:
        yield Unsafe(
            10,
            "ALLOWED_HOSTS has *: whoever asks says by what name links and origins go.",
            "Name the hosts by which browsers reach the site.",
        )


def _origins() -> Iterator[Unsafe]:
    named = {
        "CSRF_TRUSTED_ORIGINS": settings.CSRF_TRUSTED_ORIGINS,
        "CORS_ALLOWED_ORIGINS": settings.CORS_ALLOWED_ORIGINS,
        "CORS_ALLOWED_ORIGIN_REGEXES": getattr(settings, "CORS_ALLOWED_ORIGIN_REGEXES", ()),
    }
    for name, origins in named.items():
        for origin in map(str, origins):
            if "*" in origin:
                why = "all of these may act for a visitor who is logged in, or read for them"
            elif origin.startswith("http://"):
                why = "whoever can change what is sent on the way has its rights"
            else:
                continue
            yield Unsafe(11, f"{name} has {origin}: {why}.", "Name single origins, by https://.")
    if getattr(settings, "CORS_ALLOW_ALL_ORIGINS", False):
        yield Unsafe(
            11,
            "CORS_ALLOW_ALL_ORIGINS: the pages of every site may read answers.",
            "Name them in CORS_ALLOWED_ORIGINS.",
        )


def _processes() -> Iterator[Unsafe]:
    several = settings.WEB_CONCURRENCY > 1 or settings.ROLE != "all"
    if several and connection.vendor == "sqlite":
        yield Unsafe(
            12,
            "Several processes write to one SQLite file: they wait for each other, and all lose "
            "it with this machine.",
            "Set DATABASE_URL=postgres://…",
        )


def _api() -> Iterator[Unsafe]:
    if settings.INTROSPECTION == "everyone":
        yield Unsafe(
            13, "Everyone may read the schema, and open GraphiQL.", "Set INTROSPECTION=staff."
        )
    if settings.RATE_LIMIT <= 0:
        yield Unsafe(
            14, "RATE_LIMIT is 0: one client can take all there is.", "Set points a second."
        )
    if settings.TIME_LIMIT <= 0:
        yield Unsafe(15, "TIME_LIMIT is 0: an operation may run for ever.", "Set seconds.")
    if settings.TOKEN_PRIVATE_KEY:
        yield Unsafe(
            16,
            "TOKEN_PRIVATE_KEY is set: whoever reads this server's settings can be anyone.",
            "Leave it with whoever mints tokens; the server needs the public key alone.",
        )


def _proxies() -> Iterator[Unsafe]:
    if not settings.HTTPS:
        yield Unsafe(
            17,
            "HTTPS is off: sessions, passwords and tokens may go over plain connections.",
            "Have a proxy end TLS, and set HTTPS=true and PROXIES=1.",
        )
    elif not settings.PROXIES:
        yield Unsafe(
            17,
            "HTTPS is on and PROXIES is 0: that a request came by https:// can be said by nobody, "
            "and each is sent there again.",
            "Set PROXIES to the number of proxies in front, which say so by X-Forwarded-Proto.",
        )
    for each in settings.PROXY_ADDRESSES if settings.PROXIES else ():
        try:
            [network] = proxies.networks((each,))
        except ValueError:
            continue  # E008 says it
        if not network.prefixlen:
            yield Unsafe(
                18,
                f"PROXY_ADDRESSES has {each}: everyone's X-Forwarded-For is believed, by which "
                "limits are got around.",
                "Name the addresses of the proxies.",
            )
