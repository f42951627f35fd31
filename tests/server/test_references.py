"""How a row names an object: any key, any inheritance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models

from server import registry
from server.models import Action, action, any_stream, follow, following
from tests.site.models import Article, Finished, Fork, Mirror, Page, Place, Project, Venue

OBJECTS: dict[str, Callable[[], Any]] = {
    "an integer": lambda: Project.objects.create(name="brook"),
    "a UUID": lambda: Article.objects.create(title="On streams"),
    "text": lambda: Page.objects.create(slug="On-Rivers"),
    "text that no slug may be": lambda: Page.objects.create(slug="v1.2 / ß"),
    "a proxy's": lambda: Venue.objects.create(name="Here"),
}


@pytest.fixture(params=OBJECTS)
def thing(request: pytest.FixtureRequest, db: None) -> Any:
    return OBJECTS[request.param]()


def test_an_object_with_any_key_has_roles_and_followers(ada: User, thing: Any) -> None:
    [(_, sent)] = action.send(thing, verb="met", target=thing, action_object=thing)
    follow(ada, thing, send_action=False)
    stored = Action.objects.get()
    assert (stored.actor, stored.target, stored.action_object) == (thing, thing, thing)
    assert list(any_stream(thing)) == [sent]
    assert following(ada) == [thing]
    assert stored.target_object_id == str(thing.pk)


def test_deleting_an_object_with_any_key_takes_its_actions_along(thing: Any, ada: User) -> None:
    [(_, other)] = action.send(ada, verb="joined")
    action.send(ada, verb="met", target=thing)
    thing.delete()
    assert list(Action.objects.all()) == [other]


def test_a_proxy_of_a_registered_model_comes_out_as_the_model(ada: User) -> None:
    finished = Finished.objects.create(name="brook")
    action.send(ada, verb="finished", target=finished)
    stored = Action.objects.get()
    assert type(stored.target) is Project
    assert stored.target == finished
    assert list(finished.target_actions.all()) == [stored]


def test_the_base_of_a_registered_proxy_comes_out_as_the_proxy(ada: User) -> None:
    place = Place.objects.create(name="Here")
    action.send(ada, verb="visited", target=place)
    stored = Action.objects.get()
    assert type(stored.target) is Venue
    assert str(stored.target) == "Here tonight"
    place.delete()
    assert list(Action.objects.all()) == []


def test_a_child_comes_out_as_its_registered_parent(ada: User) -> None:
    fork = Fork.objects.create(name="brook")
    action.send(ada, verb="forked", target=fork)
    stored = Action.objects.get()
    assert type(stored.target) is Project
    assert stored.target.pk == fork.pk
    assert list(fork.target_actions.all()) == [stored]


def test_a_child_with_a_key_of_its_own_is_named_by_its_parents_key(ada: User) -> None:
    mirror = Mirror.objects.create(name="brook")
    [(_, sent)] = action.send(ada, verb="mirrored", target=mirror)
    follow(ada, mirror, send_action=False)
    assert sent.target is mirror
    assert sent.target_object_id == str(mirror.project_id)
    assert Action.objects.get().target == Project.objects.get(pk=mirror.project_id)
    assert list(any_stream(mirror)) == [sent]
    assert following(ada) == [Project.objects.get()]
    mirror.delete()
    assert list(Action.objects.all()) == []
    assert following(ada) == []


def test_a_registered_child_comes_out_as_itself(ada: User, registered: Any) -> None:
    registered(Fork)
    fork = Fork.objects.create(name="brook")
    action.send(ada, verb="forked", target=fork)
    assert type(Action.objects.get().target) is Fork
    fork.delete()
    assert list(Action.objects.all()) == []


def test_deleting_a_child_takes_along_what_names_its_parent(ada: User, registered: Any) -> None:
    fork = Fork.objects.create(name="brook")
    action.send(ada, verb="starred", target=Project.objects.get(pk=fork.pk))
    registered(Fork)
    action.send(ada, verb="forked", target=fork)
    fork.delete()
    assert list(Action.objects.all()) == []


def test_keys_that_differ_in_case_are_different(ada: User) -> None:
    upper, lower = Page.objects.create(slug="River"), Page.objects.create(slug="river")
    [(_, sent)] = action.send(ada, verb="read", target=upper)
    assert list(any_stream(upper)) == [sent]
    assert list(any_stream(lower)) == []


def test_objects_of_two_models_with_the_same_key_are_different(ada: User, brook: Project) -> None:
    twin = Page.objects.create(slug=str(brook.pk))
    [(_, sent)] = action.send(ada, verb="read", target=twin)
    assert list(any_stream(twin)) == [sent]
    assert list(any_stream(brook)) == []


def test_an_object_that_vanished_leaves_a_role_of_none(ada: User, thing: Any) -> None:
    action.send(ada, verb="met", target=thing)
    table = type(thing)._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")
    stored = Action.objects.get()
    assert stored.target is None
    assert stored.target_object_id == str(thing.pk)
    assert str(stored).startswith("ada met ")
    assert [each.target for each in any_stream(ada)] == [None]


@pytest.mark.parametrize("key", ["x", "007", "+7", "9" * 30, "", "\N{SUPERSCRIPT TWO}"])
def test_a_key_that_does_not_fit_its_model_resolves_to_none(ada: User, key: str) -> None:
    action.send(ada, verb="met", target=Project.objects.create(pk=7, name="seven"))
    Action.objects.update(target_object_id=key)
    assert Action.objects.get().target is None
    assert [each.target for each in any_stream(ada)] == [None]


def test_a_model_that_is_gone_resolves_to_none(ada: User, brook: Project) -> None:
    action.send(ada, verb="met", target=brook)
    stale = ContentType.objects.create(app_label="gone", model="gone")
    Action.objects.update(target_content_type=stale)
    assert Action.objects.get().target is None


def test_a_model_that_is_no_longer_registered_resolves_to_none(ada: User, brook: Project) -> None:
    action.send(ada, verb="met", target=brook)
    registry.unregister(Project)
    try:
        assert Action.objects.get().target is None
    finally:
        registry.register(Project)
    assert Action.objects.get().target == brook


def test_naming_another_object_forgets_the_first(
    ada: User, brook: Project, delta: Project
) -> None:
    [(_, sent)] = action.send(ada, verb="met", target=brook)
    sent.target = delta
    assert sent.target == delta
    sent.target_object_id = str(brook.pk)
    assert sent.target == brook
    sent.target = None
    assert (sent.target, sent.target_object_id) == (None, None)


@pytest.mark.postgresql
def test_object_ids_collate_byte_by_byte_on_postgresql(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_name IN ('activity_action', 'activity_follow') "
            "AND column_name LIKE '%object_id' ORDER BY 1"
        )
        assert cursor.fetchall() == [
            ("action_object_object_id", "C"),
            ("actor_object_id", "C"),
            ("object_id", "C"),
            ("target_object_id", "C"),
        ]


def test_primary_keys_of_our_own_are_big_integers() -> None:
    for model in registry.Model.__subclasses__():
        # A session's is what nobody may guess.
        if model._meta.app_label == "activity" and model._meta.model_name != "session":
            assert isinstance(model._meta.pk, models.BigAutoField)
