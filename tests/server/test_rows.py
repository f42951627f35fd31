"""Rows are Django's instances, with the columns that are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from server import rows
from server.models import Action
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
