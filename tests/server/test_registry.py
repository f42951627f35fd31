"""Which models take part."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models.signals import post_delete, pre_delete
from django.utils.functional import SimpleLazyObject

from server import registry
from server.models import (
    Action,
    Follow,
    action,
    actor_stream,
    any_stream,
    follow,
    followers,
    is_following,
    model_stream,
)
from tests.site.models import (
    Article,
    Clashing,
    Dated,
    Diary,
    Finished,
    Fork,
    Page,
    Place,
    Project,
    Venue,
)


def test_the_project_registers_users_and_groups_by_itself() -> None:
    assert {User, Group} <= set(registry.registered())


def test_a_site_registers_by_label_or_by_class(registered: Any) -> None:
    registered(Diary)
    assert registry.registered()[-1] is Diary
    assert {Project, Article, Page, Venue} <= set(registry.registered())


def test_registering_again_changes_nothing() -> None:
    before = registry.registered(), Project._meta.private_fields[:]
    registry.register(Project, "site.Project")
    assert (registry.registered(), Project._meta.private_fields) == before


def test_registering_after_unregistering_gives_everything_back(ada: User, brook: Project) -> None:
    action.send(ada, verb="starred", target=brook)
    follow(ada, brook, send_action=False)
    registry.unregister(Project)
    try:
        assert not hasattr(brook, "target_actions")
        assert not hasattr(brook, "incoming_follows")
    finally:
        registry.register(Project)
    assert [each.verb for each in brook.target_actions.all()] == ["starred"]
    brook.delete()
    assert list(Action.objects.all()) == []
    assert list(Follow.objects.all()) == []


def test_unregistering_what_is_not_registered_changes_nothing() -> None:
    before = registry.registered()
    registry.unregister(Diary)
    assert registry.registered() == before


@pytest.mark.parametrize("model", [object, Dated, "site.Nothing", "nothing", None, 7, "site"])
def test_what_is_no_installed_concrete_model_is_refused(model: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="is no installed model"):
        registry.register(model)


def test_an_attribute_in_the_way_is_named_and_nothing_is_registered() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"Clashing\.actor_actions is in the way"):
        registry.register(Clashing)
    assert registry.lookup(Clashing) is None
    assert not hasattr(Clashing, "target_actions")


def test_a_proxy_beside_its_base_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"shares its rows with site\.Project"):
        registry.register(Finished)


def test_check_names_the_model_and_the_fix() -> None:
    for diary in (Diary, Diary(text="dear")):
        with pytest.raises(ImproperlyConfigured, match=r"^site\.Diary .*\.register\(Diary\) in"):
            registry.check(diary)
    with pytest.raises(ImproperlyConfigured, match="AnonymousUser"):
        registry.check(AnonymousUser())  # type: ignore[arg-type]


def test_check_answers_the_registered_model() -> None:
    assert registry.check(Project) is Project
    assert registry.check(Project()) is Project


def test_proxies_and_children_take_part_as_what_was_registered() -> None:
    assert registry.check(Finished) is Project
    assert registry.check(Fork) is Project
    assert registry.check(Place) is Venue


def test_a_lazy_object_takes_part_as_what_it_wraps(ada: User, brook: Project) -> None:
    viewer: Any = SimpleLazyObject(lambda: User.objects.get(pk=ada.pk))
    assert registry.check(viewer) is User
    assert registry.reference(viewer) == registry.reference(ada)
    [(_, starred)] = action.send(viewer, verb="starred", target=brook)
    assert list(actor_stream(viewer)) == [starred]
    assert starred.actor == ada
    lazily: Any = SimpleLazyObject(lambda: brook)
    assert follow(viewer, lazily).follow_object == brook
    assert is_following(viewer, brook)


def test_instances_have_their_actions_in_each_role(ada: User, brook: Project) -> None:
    [(_, starred)] = action.send(ada, verb="starred", target=brook)
    [(_, hid)] = action.send(ada, verb="hid", action_object=brook, public=False)
    assert list(ada.actor_actions.all()) == [hid, starred]
    assert list(ada.actor_actions.public()) == [starred]
    assert list(ada.actor_actions.filter(verb="hid")) == [hid]
    assert list(brook.target_actions.all()) == [starred]
    assert list(brook.action_object_actions.all()) == [hid]
    assert list(brook.actor_actions.all()) == []


def test_an_unsaved_instance_has_no_actions(db: None) -> None:
    assert list(Project(name="new").target_actions.all()) == []


def test_the_relation_on_the_class_is_no_manager() -> None:
    assert not hasattr(Project.actor_actions, "all")


def test_streams_and_follows_of_an_unregistered_model_are_empty(
    ada: User, registered: Any
) -> None:
    diary = Diary.objects.create()
    assert list(actor_stream(diary)) == []
    assert list(any_stream(diary)) == []
    assert list(model_stream(Diary)) == []
    assert list(model_stream(diary)) == []
    assert list(followers(diary)) == []
    assert is_following(ada, diary) is False
    assert list(Follow.objects.for_object(diary)) == []


def test_registering_connects_no_receiver_to_the_deletion_of_every_model() -> None:
    assert not [each for each in pre_delete.receivers if "server" in repr(each)]
    assert not pre_delete.has_listeners(Project)
    assert not post_delete.has_listeners(Project)


def test_what_is_not_saved_or_has_too_long_a_key_cannot_be_named(db: None) -> None:
    with pytest.raises(ValidationError, match="is not saved, so nothing can name it"):
        registry.require(Project(name="never"), "target", "default")
    page = Page.objects.create(slug="x" * 100)
    page.slug = "y" * 256
    with pytest.raises(ValidationError) as refused:
        registry.require(page, "target", "default")
    assert refused.value.messages == [
        "The primary key of what is named has at most 255 characters as text; this one has 256."
    ]
    page.slug = "z" * 255
    assert registry.require(page, "target", "default")[1] == "z" * 255
