"""Passwords that are tried: how many, and what the answer tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from server import buckets
from server.checks import logins_are_possible

PATHS = ["/login", "/admin/login/"]
REDIS = "redis://127.0.0.1:6379/9"


@pytest.fixture(autouse=True)
def ada(db: None, settings: Any) -> Iterator[User]:
    buckets._buckets.cache_clear()  # nobody has tried anything yet
    settings.LOGIN_ATTEMPTS, settings.LOGIN_ATTEMPTS_PER_ADDRESS = 3, 6
    user = User.objects.create(username="ada", is_staff=True)
    user.set_password("right")
    user.save()
    yield user
    buckets._buckets.cache_clear()


def attempt(
    client: Client,
    path: str = "/login",
    username: str = "ada",
    password: str = "wrong",
    **more: Any,
) -> Any:
    return client.post(path, {"username": username, "password": password}, **more)


def statuses(attempts: int, client: Client, *args: str, **more: Any) -> list[int]:
    return [attempt(client, *args, **more).status_code for _ in range(attempts)]


@pytest.mark.parametrize("path", PATHS)
def test_a_login_by_the_right_password_succeeds(client: Client, path: str) -> None:
    assert attempt(client, path, password="right").status_code == 302
    assert "_auth_user_id" in client.session


@pytest.mark.parametrize("path", PATHS)
def test_so_many_passwords_may_be_tried_and_then_not_even_the_right_one(
    client: Client, path: str
) -> None:
    assert statuses(3, client, path) == [200, 200, 200]
    response = attempt(client, path, password="right")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 200
    assert "Too many passwords were tried from your address" in response.content.decode()
    assert response.headers["Cache-Control"] == "no-store"
    assert "_auth_user_id" not in client.session


def test_both_pages_count_together(client: Client) -> None:
    assert statuses(2, client, "/login") == [200, 200]
    assert statuses(2, client, "/admin/login/") == [200, 429]


def test_another_address_may_still_log_in(client: Client) -> None:
    assert statuses(4, client)[-1] == 429
    assert attempt(client, password="right", REMOTE_ADDR="192.0.2.7").status_code == 302


def test_another_name_may_be_tried_until_the_address_has_tried_enough(client: Client) -> None:
    assert statuses(4, client) == [200, 200, 200, 429]
    assert [attempt(client, username=f"user {n}").status_code for n in range(4)] == [
        200,
        200,
        429,
        429,
    ]


@pytest.mark.parametrize("name", ["ada ", " ada", "\uff41da", "ADA"])
def test_a_name_that_looks_the_same_is_the_same(client: Client, name: str) -> None:
    assert statuses(3, client) == [200, 200, 200]
    assert attempt(client, username=name).status_code == 429


@pytest.mark.parametrize("name", ["", "a" * 100_000, "\0", "a\nb", "%s", "*"])
def test_any_name_is_counted(client: Client, name: str) -> None:
    assert statuses(4, client, username=name) == [200, 200, 200, 429]


def test_a_page_is_shown_as_often_as_one_likes(client: Client) -> None:
    assert statuses(4, client)[-1] == 429
    assert [client.get(path).status_code for path in PATHS] == [200, 200]


def test_attempts_are_regained_one_by_one(client: Client, settings: Any) -> None:
    settings.LOGIN_PERIOD = 3_000_000
    assert statuses(4, client)[-1] == 429
    wait = int(attempt(client).headers["Retry-After"])
    assert 999_000 < wait <= 1_000_000
    settings.LOGIN_PERIOD = 0.000_001  # what was a long time is a short one now
    assert attempt(client, password="right").status_code == 302


def test_a_foreign_form_uses_up_nothing() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert statuses(9, strict) == [403] * 9
    assert attempt(Client(), password="right").status_code == 302


def test_processes_count_together_by_redis(client: Client, settings: Any) -> None:
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping()
    except redis.RedisError:
        pytest.skip("needs Redis: at 127.0.0.1:6379")
    settings.REDIS_URL = REDIS
    name = uuid4().hex
    address = f"2001:db8:{name[:4]}:{name[4:8]}::1"
    assert statuses(2, client, username=name, REMOTE_ADDR=address) == [200, 200]
    buckets._buckets.cache_clear()  # as another process knows nothing of this one
    assert statuses(2, client, username=name, REMOTE_ADDR=address) == [200, 429]


def test_logins_are_counted_when_redis_is_away(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert statuses(4, client) == [200, 200, 200, 429]


class Counting(MD5PasswordHasher):
    """A hasher that counts how often it hashes, which is what takes time in a login."""

    hashed = 0

    def encode(self, password: str, salt: str) -> str:
        Counting.hashed += 1
        return super().encode(password, salt)


def test_an_answer_does_not_tell_whether_there_is_such_a_user(
    client: Client, settings: Any, ada: User
) -> None:
    """In what it says, in how much is hashed, and in what the database is asked."""
    settings.PASSWORD_HASHERS = [f"{__name__}.Counting"]
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 100
    for name in ("idle", "keyless"):
        User.objects.create(username=name, password=ada.password, is_staff=True)
    User.objects.filter(username="idle").update(is_active=False)
    User.objects.filter(username="keyless").update(password="!unusable")

    told = []
    for path in PATHS:
        for name in ("ada", "idle", "keyless", "nobody"):
            Counting.hashed = 0
            with CaptureQueriesContext(
                connection,
            ) as queries:
                page = attempt(client, path, username=name).content.decode()
            shown = re.sub(r'value="[^"]*"', "", page).replace(name, "…")
            told.append((path, shown, Counting.hashed, len(queries)))

    assert len(set(told)) == len(PATHS)
    assert {hashed for *_, hashed, _ in told} == {1}


def test_a_refusal_does_not_tell_whether_there_is_such_a_user(
    client: Client, settings: Any
) -> None:
    settings.LOGIN_ATTEMPTS_PER_ADDRESS = 100
    pages = []
    for name in ("ada", "nobody"):
        statuses(3, client, username=name)
        pages.append(attempt(client, username=name).content)
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", ["LOGIN_ATTEMPTS", "LOGIN_ATTEMPTS_PER_ADDRESS", "LOGIN_PERIOD"])
def test_a_bound_below_one_is_a_fault(settings: Any, name: str) -> None:
    assert logins_are_possible(None) == []
    setattr(settings, name, 0)
    [fault] = logins_are_possible(None)
    assert (fault.id, fault.msg) == ("activity.E005", f"{name} is 0; it is 1 or more.")
