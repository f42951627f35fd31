"""What "manage.py check --deploy" says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.core import checks
from django.db import connection
from django.test import override_settings

from server.safety import unsafe
from tests.settings import BASE_DIR

#: What deploy/brook.env.example comes to.
SAFE: dict[str, Any] = {
    "ALLOWED_HOSTS": ["brook.example.com"],
    "CSRF_TRUSTED_ORIGINS": ["https://app.example.com"],
    "CORS_ALLOWED_ORIGINS": ["https://app.example.com"],
    "HTTPS": True,
    "INTROSPECTION": "staff",
    "PROXIES": 1,
    "RATE_LIMIT": 2_000,
    "ROLE": "all",
    "TIME_LIMIT": 10.0,
    "TOKEN_PRIVATE_KEY": "",
    "WEB_CONCURRENCY": 1,
}


def said(**unlike: Any) -> list[str]:
    with override_settings(**SAFE | unlike):
        return [f"{it.id}: {it.msg}" for it in unsafe(None)]


def test_it_is_looked_at_before_a_deployment_alone() -> None:
    assert unsafe in set[Any](checks.registry.registry.deployment_checks)
    assert unsafe not in set[Any](checks.registry.registry.registered_checks)


def test_nothing_is_said_of_a_safe_site() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("unlike", "expected"),
    [
        ({"ALLOWED_HOSTS": ["brook.example.com", "*"]}, "W010: ALLOWED_HOSTS has *"),
        (
            {"CSRF_TRUSTED_ORIGINS": ["https://*.example.com"]},
            "W011: CSRF_TRUSTED_ORIGINS has https://*.example.com: all of these",
        ),
        (
            {"CORS_ALLOWED_ORIGINS": ["http://app.example.com"]},
            "W011: CORS_ALLOWED_ORIGINS has http://app.example.com: whoever can change",
        ),
        ({"CORS_ALLOWED_ORIGIN_REGEXES": [".*"]}, "W011: CORS_ALLOWED_ORIGIN_REGEXES has .*"),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, "W011: CORS_ALLOW_ALL_ORIGINS"),
        ({"INTROSPECTION": "everyone"}, "W013: Everyone may read the schema"),
        ({"RATE_LIMIT": 0}, "W014: RATE_LIMIT is 0"),
        ({"TIME_LIMIT": 0}, "W015: TIME_LIMIT is 0"),
        ({"TOKEN_PRIVATE_KEY": "a key"}, "W016: TOKEN_PRIVATE_KEY is set"),
        ({"HTTPS": False}, "W017: HTTPS is off"),
        ({"PROXIES": 0}, "W017: HTTPS is on and PROXIES is 0"),
        ({"PROXY_ADDRESSES": ["0.0.0.0/0"]}, "W018: PROXY_ADDRESSES has 0.0.0.0/0"),
        ({"PROXY_ADDRESSES": ["10.0.0.1", "::/0"]}, "W018: PROXY_ADDRESSES has ::/0"),
    ],
    ids=str,
)
def test_what_is_unsafe_is_said_once_and_named(unlike: dict[str, Any], expected: str) -> None:
    [found] = said(**unlike)
    assert found.startswith(f"activity.{expected}")


@pytest.mark.parametrize("several", [{"WEB_CONCURRENCY": 2}, {"ROLE": "live"}], ids=str)
def test_processes_that_share_an_sqlite_file_are_unsafe(several: dict[str, Any]) -> None:
    found = [it.partition(":")[0] for it in said(**several)]
    assert found == (["activity.W012"] if connection.vendor == "sqlite" else [])


def check_deploy(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=BASE_DIR,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "server.settings",
            "DATABASE_URL": "sqlite:///:memory:",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.apart
def test_the_command_is_silent_on_a_deployment_as_it_should_be() -> None:
    done = check_deploy(
        SECRET_KEY="qW3-" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
        ALLOWED_HOSTS="brook.example.com",
        HTTPS="true",
        PROXIES="1",
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "System check identified no issues (2 silenced).",
    ), done.stderr


@pytest.mark.apart
def test_the_command_names_what_is_unsafe_by_default_or_on_purpose() -> None:
    done = check_deploy(
        DEBUG="true", ALLOWED_HOSTS="*", SECRET_KEY="short", RATE_LIMIT="0", TIME_LIMIT="0"
    )
    named = {
        line.split("(")[1].split(")")[0] for line in done.stderr.splitlines() if "?: (" in line
    }
    assert done.returncode == 1
    assert named >= {f"activity.W0{number}" for number in (10, 13, 14, 15, 17)}
    # Django's own: HSTS, the redirect, the key, both cookies, DEBUG.
    assert named >= {f"security.W0{number}" for number in ("04", "08", "09", "12", "16", "18")}
