"""Who follows what."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import IntegrityError, transaction
from django.utils import translation
from pytest_django import DjangoAssertNumQueries

from server.models import (
    Action,
    Follow,
    follow,
    followers,
    following,
    is_following,
    unfollow,
    user_stream,
)
from tests.site.models import Article, Diary, Page, Project

NOBODY: list[Any] = [None, AnonymousUser()]


def said() -> list[tuple[Any, str, Any]]:
    """Every action, the oldest first."""
    return [(each.actor, each.verb, each.target) for each in Action.objects.order_by("id")]


def test_following_returns_the_follow_and_says_so_once(ada: User, brook: Project) -> None:
    first = follow(ada, brook)
    again = follow(ada, brook)
    assert (first.user, first.follow_object, first.flag, first.actor_only) == (
        ada,
        brook,
        "",
        True,
    )
    assert again == first
    assert list(Follow.objects.all()) == [first]
    assert said() == [(ada, "started following", brook)]


def test_following_with_another_actor_only_updates_the_row_and_says_nothing(
    ada: User, brook: Project
) -> None:
    first = follow(ada, brook)
    again = follow(ada, brook, actor_only=False)
    assert (again.pk, again.actor_only) == (first.pk, False)
    assert Follow.objects.get().actor_only is False
    assert len(said()) == 1


def test_following_without_an_action_sends_none(ada: User, brook: Project) -> None:
    follow(ada, brook, send_action=False)
    assert said() == []


def test_a_flag_is_a_follow_of_its_own_and_names_its_action(ada: User, brook: Project) -> None:
    plain, watched = follow(ada, brook), follow(ada, brook, flag="watching")
    assert plain != watched
    assert said() == [(ada, "started following", brook), (ada, "started watching", brook)]


def test_the_verb_of_a_follow_is_the_same_in_every_language(ada: User, brook: Project) -> None:
    with translation.override("de"):
        follow(ada, brook)
        follow(ada, brook, flag="watching")
        unfollow(ada, brook, send_action=True, flag="watching")
    assert [verb for _, verb, _ in said()] == [
        "started following",
        "started watching",
        "stopped watching",
    ]


def test_extra_keywords_of_a_follow_go_with_its_action(ada: User, brook: Project) -> None:
    follow(ada, brook, public=False, source="search")
    stored = Action.objects.get()
    assert (stored.public, stored.data) == (False, {"source": "search"})


def test_the_longest_flag_makes_a_verb_that_fits(ada: User, brook: Project) -> None:
    follow(ada, brook, flag="x" * 247)
    assert Action.objects.get().verb == f"started {'x' * 247}"
    with pytest.raises(ValidationError, match="at most 247 characters; this one has 248"):
        follow(ada, brook, flag="x" * 248)


def test_what_is_not_registered_cannot_be_followed(ada: User, db: None) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"site\.Diary"):
        follow(ada, Diary.objects.create())
    assert list(Follow.objects.all()) == []


@pytest.mark.parametrize("unsaved", [Project(name="new"), Page(slug="new"), Article(title="new")])
def test_what_is_not_saved_cannot_be_followed(ada: User, unsaved: Any) -> None:
    with pytest.raises(ValidationError, match="is not saved, so nothing can name it"):
        follow(ada, unsaved)
    assert list(Follow.objects.all()) == []


@pytest.mark.parametrize("nobody", [*NOBODY, User(username="new")])
def test_nobody_cannot_follow(nobody: Any, brook: Project) -> None:
    with pytest.raises(ValidationError, match="cannot follow"):
        follow(nobody, brook)
    assert list(Follow.objects.all()) == []


def test_a_failing_action_takes_its_follow_back(ada: User, brook: Project) -> None:
    with pytest.raises(ValidationError):
        follow(ada, brook, description="x" * 4001)
    assert list(Follow.objects.all()) == []


def test_unfollowing_ends_every_follow_of_the_object(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    doomed = [follow(ada, brook, send_action=False, flag=flag) for flag in ("", "watching")]
    kept = [
        follow(ada, delta, send_action=False),
        follow(bob, brook, send_action=False),
    ]
    removed = unfollow(ada, brook)
    assert sorted(removed) == [each.pk for each in doomed]
    assert list(Follow.objects.order_by("id")) == kept
    assert said() == []


def test_unfollowing_a_flag_ends_that_follow_alone(ada: User, brook: Project) -> None:
    plain, watched = (follow(ada, brook, False, flag=flag) for flag in ("", "watching"))
    unfollow(ada, brook, flag="")
    assert list(Follow.objects.all()) == [watched]
    assert plain.pk is not None


def test_unfollowing_says_so_only_where_something_ended(ada: User, brook: Project) -> None:
    assert unfollow(ada, brook, send_action=True) == []
    assert said() == []
    follow(ada, brook, send_action=False)
    unfollow(ada, brook, send_action=True)
    assert said() == [(ada, "stopped following", brook)]


@pytest.mark.parametrize("nobody", NOBODY)
def test_nobody_follows_nothing(nobody: Any, brook: Project) -> None:
    assert is_following(nobody, brook) is False
    assert following(nobody) == []
    assert unfollow(nobody, brook, send_action=True) == []
    assert list(user_stream(nobody)) == []
    assert list(user_stream(nobody, with_user_activity=True)) == []


def test_is_following_without_a_flag_means_any_flag(ada: User, bob: User, brook: Project) -> None:
    follow(ada, brook, flag="watching")
    assert is_following(ada, brook) is True
    assert is_following(ada, brook, flag="watching") is True
    assert is_following(ada, brook, flag="") is False
    assert is_following(bob, brook) is False


def test_followers_are_distinct_users(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    follow(ada, brook)
    follow(ada, brook, flag="watching")
    follow(bob, brook, flag="watching")
    follow(bob, delta)
    assert set(followers(brook)) == {ada, bob}
    assert followers(brook).count() == 2
    assert list(followers(brook, flag="")) == [ada]


def test_following_gives_objects_the_newest_follow_first_each_once(
    ada: User, bob: User, brook: Project, page: Page
) -> None:
    for each in (brook, bob, page):
        follow(ada, each)
    follow(ada, brook, flag="watching")
    assert following(ada) == [brook, page, bob]
    assert following(ada, Project, Page) == [brook, page]
    assert following(ada, flag="") == [page, bob, brook]
    assert following(ada, Group) == []
    assert following(bob) == []


def test_following_costs_two_queries(
    ada: User,
    bob: User,
    brook: Project,
    delta: Project,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for each in (brook, delta, bob):
        follow(ada, each, send_action=False)
    with django_assert_num_queries(2):
        following(ada)


def test_following_leaves_out_what_vanished(ada: User, brook: Project) -> None:
    follow(ada, brook, send_action=False)
    Follow.objects.update(object_id="0")
    assert following(ada) == []


def test_for_object_gives_the_follows_that_point_at_it(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    plain = follow(ada, brook)
    watched = follow(bob, brook, flag="watching")
    follow(bob, delta)
    assert list(Follow.objects.for_object(brook)) == [watched, plain]
    assert list(Follow.objects.for_object(brook, flag="watching")) == [watched]


def test_the_database_keeps_a_follow_unique(ada: User, brook: Project) -> None:
    first = follow(ada, brook)
    twin = Follow(user=ada, follow_object=brook)
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()
    assert list(Follow.objects.all()) == [first]


def test_deleting_a_user_ends_what_the_user_followed(ada: User, brook: Project) -> None:
    follow(ada, brook)
    ada.delete()
    assert list(Follow.objects.all()) == []
    assert list(Action.objects.all()) == []


def test_a_follow_reads_as_a_sentence(ada: User, brook: Project) -> None:
    assert str(follow(ada, brook)) == "ada follows brook"


def test_of_a_model_that_is_not_registered_nothing_is_followed(ada: User, brook: Project) -> None:
    follow(ada, brook)
    assert following(ada, Diary) == []
    assert following(ada, Diary, Project) == [brook]
