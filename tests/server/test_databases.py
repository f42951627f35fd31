"""A second database: whoever names one reads and writes there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import override_settings

from server.models import (
    Action,
    Follow,
    action,
    follow,
    followers,
    following,
    is_following,
    send_many,
    unfollow,
)
from tests.site.models import Project

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@pytest.fixture
def there() -> Iterator[tuple[User, Project]]:
    """A user and a project of the other database, where content types have other ids."""
    ContentType.objects.clear_cache()
    ContentType.objects.using("other").filter(app_label="site").delete()
    ContentType.objects.db_manager("other").create(app_label="gone", model="gone")
    ada = User.objects.using("other").create(username="ada")
    yield ada, Project.objects.using("other").create(name="brook")
    ContentType.objects.clear_cache()


def test_an_action_is_stored_where_its_actor_is(there: tuple[User, Project]) -> None:
    ada, brook = there
    [(_, sent)] = action.send(ada, verb="starred", target=brook)
    assert sent._state.db == "other"
    assert list(Action.objects.all()) == []
    assert list(Action.objects.using("other")) == [sent]
    assert Action.objects.using("other").get().target == brook


def test_a_repeated_key_is_found_where_its_actor_is(there: tuple[User, Project]) -> None:
    ada, _ = there
    first, again = (action.send(ada, verb="joined", idempotency_key="1")[0][1] for _ in "ab")
    assert first == again
    assert Action.objects.using("other").count() == 1


def test_many_are_stored_where_their_actors_are(there: tuple[User, Project]) -> None:
    ada, brook = there
    items = [{"actor": ada, "verb": "starred", "target": brook, "idempotency_key": "1"}]
    [(sent, _)] = send_many(items)
    assert sent._state.db == "other"
    assert list(Action.objects.all()) == []
    assert list(Action.objects.using("other")) == [sent]
    assert Action.objects.using("other").get().target == brook
    assert send_many(items) == [(sent, False)]


def test_many_are_in_one_database(there: tuple[User, Project]) -> None:
    here = User.objects.create(username="bob")
    with pytest.raises(ValueError, match="One transaction is in one database"):
        send_many({"actor": actor, "verb": "joined"} for actor in (here, there[0]))
    assert list(Action.objects.all()) == list(Action.objects.using("other")) == []


def test_streams_read_the_manager_s_database(there: tuple[User, Project]) -> None:
    ada, brook = there
    follow(ada, brook, send_action=False, actor_only=False)
    [(_, sent)] = action.send(ada, verb="posted", target=brook)
    manager = Action.objects.db_manager("other")
    for stream in (
        manager.actor_stream(ada),
        manager.target_stream(brook),
        manager.any_stream(brook),
        manager.model_stream(Project),
        manager.user_stream(ada),
        manager.mystream(ada),
    ):
        assert list(stream) == [sent]
        assert [(each.actor, each.target) for each in stream] == [there]
        assert {each.target._state.db for each in stream} == {"other"}
    assert list(Action.objects.actor_stream(ada)) == []


def test_related_managers_read_their_instance_s_database(there: tuple[User, Project]) -> None:
    ada, brook = there
    [(_, sent)] = action.send(ada, verb="posted", target=brook)
    assert list(ada.actor_actions.all()) == [sent]
    assert list(ada.actor_actions.mystream()) == [sent]
    assert list(brook.target_actions.any_stream()) == [sent]
    assert list(ada.actor_actions.using("default")) == []
    assert list(ada.actor_actions.db_manager("default").all()) == []
    assert list(ada.actor_actions.db_manager("default").mystream()) == []


def test_follows_are_read_where_they_are_written(there: tuple[User, Project]) -> None:
    ada, brook = there
    row = follow(ada, brook)
    assert list(Follow.objects.all()) == []
    assert list(Follow.objects.using("other").for_object(brook)) == [row]
    assert is_following(ada, brook) is True
    assert list(followers(brook)) == [ada]
    assert following(ada) == [brook]
    assert following(ada, Project) == [brook]
    assert unfollow(ada, brook, send_action=True) == [row.pk]
    assert is_following(ada, brook) is False
    assert [each.verb for each in ada.actor_actions.all()] == [
        "stopped following",
        "started following",
    ]


def test_deleting_an_object_takes_its_actions_along_there(there: tuple[User, Project]) -> None:
    ada, brook = there
    [(_, sent)] = action.send(ada, verb="joined")
    action.send(ada, verb="starred", target=brook)
    follow(ada, brook, send_action=False)
    brook.delete()
    assert list(Action.objects.using("other")) == [sent]
    assert list(Follow.objects.using("other")) == []


class Replica:
    """Reads go to one database, writes to another."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "other"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *args: Any, **hints: Any) -> bool:
        return True


def test_what_was_read_from_a_replica_is_written_where_the_router_says() -> None:
    for using in ("default", "other"):
        ContentType.objects.db_manager(using).get_for_models(User, Project)
        User.objects.using(using).create(pk=7, username="ada")
        Project.objects.using(using).create(pk=7, name="brook")
    with override_settings(DATABASE_ROUTERS=["tests.server.test_databases.Replica"]):
        ada, brook = User.objects.get(), Project.objects.get()
        assert ada._state.db == "other"
        follow(ada, brook)
        action.send(ada, verb="starred", target=brook, idempotency_key="1")
        action.send(ada, verb="starred", target=brook, idempotency_key="1")
    assert list(Action.objects.using("other")) == []
    assert [each.verb for each in Action.objects.using("default")] == [
        "starred",
        "started following",
    ]
    assert Follow.objects.using("default").count() == 1
