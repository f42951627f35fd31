"""Rows are Django's instances, with the columns that are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_init
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from server import rows
from server.models import Action, Session
from tests.site.models import Project

pytestmark = pytest.mark.django_db


def test_a_row_is_the_instance_that_django_would_make(ada: User) -> None:
    [found] = rows.with_keys(User.objects.all(), [ada.pk])
    wanted = User.objects.get(pk=ada.pk)
    assert (type(found), found, found.__dict__.keys()) == (User, wanted, wanted.__dict__.keys())
    assert {**vars(found), "_state": None} == {**vars(wanted), "_state": None}
    assert (found._state.db, found._state.adding) == ("default", False)


def test_a_row_has_the_columns_that_are_asked_for_and_loads_the_others(
    ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with CaptureQueriesContext(connection) as captured:
        [found] = rows.with_keys(User.objects.all(), [ada.pk], {"username"})
    assert "last_login" not in captured[0]["sql"]
    assert found.get_deferred_fields() >= {"password", "email"}
    with django_assert_num_queries(0):
        assert (found.pk, found.username) == (ada.pk, "ada")
    with django_assert_num_queries(1):
        assert found.email == ada.email


def test_a_row_can_be_saved_and_deleted(ada: User) -> None:
    [found] = rows.with_keys(User.objects.all(), [ada.pk])
    found.first_name = "Ada"
    found.save()
    assert User.objects.get(pk=ada.pk).first_name == "Ada"
    found.delete()
    assert not User.objects.exists()


def test_who_listens_to_the_making_of_instances_hears_of_each(ada: User) -> None:
    heard: list[Any] = []

    def hear(instance: Any, **kwargs: Any) -> None:
        heard.append(instance)

    post_init.connect(hear, sender=User)
    try:
        found = rows.with_keys(User.objects.all(), [ada.pk])
    finally:
        post_init.disconnect(hear, sender=User)
    assert found == heard == [ada]


def test_a_queryset_keeps_its_filters_and_what_else_it_does(
    ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert rows.with_keys(User.objects.exclude(username="ada"), [ada.pk]) == []
    Action.objects.create(actor=ada, verb="posted", target=Project.objects.create(name="brook"))
    actions = Action.objects.public().with_objects()
    keys = [action.pk for action in actions]
    with django_assert_num_queries(2):
        [found] = rows.with_keys(actions, keys)
        assert (found.actor, found.target.name) == (ada, "brook")


def test_more_keys_than_a_statement_takes_are_asked_for_in_several(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [User.objects.create(username=name) for name in "bcd"]
    monkeypatch.setattr(rows, "MOST_KEYS", 2)
    keys = [ada.pk, *(user.pk for user in others), 0]
    assert set(rows.with_keys(User.objects.all(), keys)) == {ada, *others}


def test_who_is_logged_in_takes_one_statement(
    client: Client, ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(ada)
    with django_assert_num_queries(1):
        assert viewer(client) == "ada"


def test_a_session_goes_with_its_user(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert Session.objects.get().user == ada
    client.logout()
    assert not Session.objects.exists()
    client.force_login(ada)
    ada.delete()
    assert not Session.objects.exists()
    assert viewer(client) is None


def test_a_session_of_somebody_who_is_gone_can_be_kept_and_is_nobodys(
    client: Client, ada: User
) -> None:
    client.force_login(ada)
    session = client.session
    User.objects.filter(pk=ada.pk)._raw_delete("default")
    session.cycle_key()
    assert session.session_key
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    assert viewer(client) is None


def test_a_session_is_of_whom_it_says_and_of_nobody_else(
    client: Client, ada: User, bob: User
) -> None:
    """Whatever the row beside it names: what is signed counts."""
    client.force_login(ada)
    Session.objects.update(user=bob)
    assert viewer(client) == "ada"
    Session.objects.update(user=None)
    assert viewer(client) == "ada"


def test_a_session_of_nobody_is_kept(client: Client, ada: User) -> None:
    session = client.session
    session["basket"] = ["bread"]
    session.save()
    assert Session.objects.get().user is None
    client.force_login(ada)
    assert client.session["basket"] == ["bread"]
    assert viewer(client) == "ada"


def test_a_session_ends_when_it_expires(client: Client, ada: User) -> None:
    client.force_login(ada)
    Session.objects.update(expire_date=timezone.now())
    assert viewer(client) is None


def test_a_user_who_may_not_log_in_any_more_is_nobody(client: Client, ada: User) -> None:
    client.force_login(ada)
    User.objects.update(is_active=False)
    assert viewer(client) is None


def test_a_new_password_ends_the_sessions_of_the_old_one(client: Client, ada: User) -> None:
    client.force_login(ada)
    ada.set_password("another")
    ada.save()
    assert viewer(client) is None


def viewer(client: Client) -> str | None:
    body = {"query": "{ viewer { username } }"}
    answer = client.post("/graphql", body, content_type="application/json").json()
    found = answer["data"]["viewer"]
    return found and str(found["username"])
