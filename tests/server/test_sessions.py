"""Who a session is of, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from server.sessions import Session, SessionStore

NOBODY = AnonymousUser()


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada")


@pytest.fixture
def key(ada: User, client: Client) -> str:
    """Ada's session, which has been read before."""
    client.force_login(ada)
    key = client.session.session_key
    assert key
    assert viewer(key) == ada
    return key


def viewer(key: str) -> Any:
    request = HttpRequest()
    request.session = SessionStore(key)
    return get_user(request)


def test_a_session_that_is_deleted_is_nobodys_at_once(key: str) -> None:
    Session.objects.all().delete()
    assert viewer(key) == NOBODY


def test_a_session_that_has_expired_is_nobodys_at_once(key: str) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert viewer(key) == NOBODY


def test_a_session_is_nobodys_once_the_password_is_another(key: str, ada: User) -> None:
    ada.set_password("another")
    ada.save()
    assert viewer(key) == NOBODY


def test_a_session_is_nobodys_once_the_user_may_not_log_in(key: str) -> None:
    User.objects.update(is_active=False)
    assert viewer(key) == NOBODY


def test_a_session_is_its_keys_alone(key: str, settings: Any) -> None:
    settings.SECRET_KEY = "another"
    assert viewer(key) == NOBODY


def test_a_session_of_an_older_key_counts_as_long_as_that_does(
    key: str, ada: User, settings: Any
) -> None:
    session = Session.objects.get(session_key=key)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert SessionStore().decode(session.session_data)["_auth_user_id"] == str(ada.pk)
    settings.SECRET_KEY_FALLBACKS = []
    assert SessionStore().decode(session.session_data) == {}


def test_a_session_that_was_tampered_with_is_empty_each_time_and_the_log_says_so(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    signed = Session.objects.get(session_key=key).session_data
    for tampered in ("x" + signed[1:], signed[:-1] + ("x" if signed[-1] != "x" else "y"), ""):
        caplog.clear()
        assert [SessionStore().decode(tampered) for _ in range(2)] == [{}, {}]
        assert [record.message for record in caplog.records] == ["Session data corrupted"] * 2
