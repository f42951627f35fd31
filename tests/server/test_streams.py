"""Streams: which actions belong, in which order, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model, QuerySet
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

import server.models
from server import streams
from server.models import (
    Action,
    action,
    action_object_stream,
    actor_stream,
    any_stream,
    follow,
    model_stream,
    target_stream,
    user_stream,
)
from tests.site.managers import SiteActions
from tests.site.models import Article, Finished, Fork, Page, Project

BUILT_IN = (
    "user_stream",
    "actor_stream",
    "target_stream",
    "action_object_stream",
    "any_stream",
    "model_stream",
)


def send(actor: Model, verb: str, **kwargs: Any) -> Action:
    sent: list[tuple[Any, Action]] = action.send(actor, verb=verb, **kwargs)
    return sent[0][1]


def verbs(actions: Iterable[Action]) -> list[str]:
    return [each.verb for each in actions]


def test_the_six_streams_are_functions_and_methods_of_the_same_name(
    ada: User, brook: Project
) -> None:
    follow(ada, brook)
    send(brook, "grew", target=brook, action_object=brook)
    references: dict[str, Any] = dict.fromkeys(BUILT_IN, brook) | {"user_stream": ada}
    for name in BUILT_IN:
        by_function = getattr(server.models, name)(references[name])
        by_method = getattr(Action.objects, name)(references[name])
        assert list(by_function) == list(by_method) != []
        assert isinstance(by_function, QuerySet)


def test_a_role_s_stream_holds_what_has_the_object_in_that_role(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    did = send(ada, "joined")
    done_to = send(bob, "praised", target=ada)
    done_with = send(bob, "showed", action_object=ada, target=brook)
    send(bob, "left", target=delta)
    assert list(actor_stream(ada)) == [did]
    assert list(target_stream(ada)) == [done_to]
    assert list(action_object_stream(ada)) == [done_with]
    assert list(any_stream(ada)) == [done_with, done_to, did]


def test_any_stream_holds_each_action_once(ada: User) -> None:
    all_roles = send(ada, "met", target=ada, action_object=ada)
    assert list(any_stream(ada)) == [all_roles]
    assert any_stream(ada).count() == 1


def test_a_model_s_stream_holds_what_has_its_objects_in_any_role(
    ada: User, brook: Project, delta: Project, article: Article
) -> None:
    first = send(ada, "starred", target=brook)
    second = send(ada, "cited", target=article, action_object=delta)
    third = send(brook, "grew")
    send(ada, "read", target=article)
    for model in (Project, brook, Fork, Finished):
        assert list(model_stream(model)) == [third, second, first]


def test_streams_are_newest_first_and_by_id_at_the_same_time(ada: User, brook: Project) -> None:
    at = timezone.now()
    follow(ada, brook, send_action=False)
    first, second = (send(brook, verb, target=brook, timestamp=at) for verb in "ab")
    older = send(brook, "c", target=brook, timestamp=at - timedelta(days=1))
    for stream in (actor_stream(brook), any_stream(brook), model_stream(brook), user_stream(ada)):
        assert list(stream) == [second, first, older]
        assert list(stream.reverse()) == [older, first, second]


def test_streams_hold_public_actions_alone(ada: User, bob: User, brook: Project) -> None:
    follow(bob, ada, send_action=False, actor_only=False)
    send(ada, "hid", target=brook, action_object=brook, public=False)
    for stream in (
        actor_stream(ada),
        target_stream(brook),
        action_object_stream(brook),
        any_stream(brook),
        model_stream(Project),
        user_stream(bob),
        user_stream(ada, with_user_activity=True),
    ):
        assert list(stream) == []
    assert verbs(ada.actor_actions.all()) == ["hid"]


def test_streams_can_be_filtered_and_sliced_further(ada: User, brook: Project) -> None:
    for verb in ("opened", "closed", "opened"):
        send(ada, verb, target=brook)
    for stream in (actor_stream, any_stream):
        assert verbs(stream(ada).filter(verb="closed")) == ["closed"]
        assert verbs(stream(ada).exclude(verb="opened")) == ["closed"]
        assert verbs(stream(ada)[1:2]) == ["closed"]
        assert verbs(stream(ada, verb="closed")) == ["closed"]
        assert stream(ada).filter(verb="opened").count() == 2
    assert verbs(model_stream(Project, verb__in=["closed"])) == ["closed"]
    follow(ada, brook, send_action=False, actor_only=False)
    assert verbs(user_stream(ada, verb="closed")) == ["closed"]


def test_a_user_s_stream_holds_what_the_followed_do(ada: User, bob: User, brook: Project) -> None:
    follow(ada, bob, send_action=False)
    did = send(bob, "joined", target=brook)
    send(brook, "praised", target=bob)
    send(brook, "showed", action_object=bob)
    assert list(user_stream(ada)) == [did]


def test_a_user_s_stream_holds_what_is_done_to_the_followed_unless_actor_only(
    ada: User, bob: User, brook: Project, delta: Project
) -> None:
    follow(ada, brook, send_action=False, actor_only=False)
    follow(ada, delta, send_action=False)
    to = send(bob, "starred", target=brook)
    using = send(bob, "cited", action_object=brook)
    did = send(brook, "grew")
    send(bob, "starred", target=delta)
    assert list(user_stream(ada)) == [did, using, to]


def test_a_user_s_own_actions_come_with_user_activity_alone(ada: User, bob: User) -> None:
    follow(ada, bob, send_action=False)
    hers, his = send(ada, "joined"), send(bob, "joined")
    assert list(user_stream(ada)) == [his]
    assert list(user_stream(ada, with_user_activity=True)) == [his, hers]


def test_an_action_that_fits_twice_is_in_a_user_s_stream_once(
    ada: User, bob: User, brook: Project
) -> None:
    for each in (bob, brook):
        follow(ada, each, send_action=False, actor_only=False)
        follow(ada, each, send_action=False, actor_only=False, flag="watching")
    both = send(bob, "starred", target=brook)
    assert list(user_stream(ada, with_user_activity=True)) == [both]


def test_a_user_s_stream_can_be_of_one_flag(ada: User, bob: User, brook: Project) -> None:
    follow(ada, bob, send_action=False)
    follow(ada, brook, send_action=False, flag="watching")
    his, its = send(bob, "joined"), send(brook, "grew")
    assert list(user_stream(ada)) == [its, his]
    assert list(user_stream(ada, follow_flag="")) == [his]
    assert list(user_stream(ada, follow_flag="watching")) == [its]


def test_a_user_who_follows_nothing_has_an_empty_stream(ada: User, bob: User) -> None:
    send(bob, "joined")
    assert list(user_stream(ada)) == []
    for nobody in (None, AnonymousUser(), User(username="new")):
        assert list(user_stream(nobody, with_user_activity=True)) == []


def test_a_user_s_stream_never_holds_what_only_others_follow(ada: User, bob: User) -> None:
    follow(bob, ada, send_action=False)
    send(ada, "joined")
    assert list(user_stream(ada)) == []


def test_a_custom_stream_is_called_alike_from_everywhere(ada: User, brook: Project) -> None:
    commented = send(ada, "commented", target=brook)
    send(ada, "opened", target=brook)
    send(brook, "commented", target=ada)
    hidden = send(ada, "commented", public=False)
    expected = [commented]
    assert list(Action.objects.mystream(ada, "commented")) == expected
    assert list(Action.objects.mystream(obj=ada, verb="commented")) == expected
    for related in (ada.actor_actions, ada.target_actions, ada.action_object_actions):
        assert list(related.mystream("commented")) == expected
        assert list(related.mystream(verb="commented")) == expected
    assert list(ada.actor_actions.all()) != expected
    assert hidden in ada.actor_actions.filter(verb="commented")


def test_a_custom_stream_has_its_defaults(ada: User) -> None:
    posted = send(ada, "posted")
    send(ada, "opened")
    assert list(Action.objects.mystream(ada)) == [posted]
    assert list(ada.actor_actions.mystream()) == [posted]


def test_the_built_in_streams_are_called_on_related_managers_too(
    ada: User, bob: User, brook: Project
) -> None:
    follow(ada, bob, send_action=False)
    his = send(bob, "starred", target=brook)
    assert list(ada.actor_actions.user_stream()) == [his]
    assert list(brook.actor_actions.any_stream()) == [his]
    assert list(brook.actor_actions.model_stream()) == [his]


def test_a_tuple_of_dicts_holds_what_fits_any_of_them(
    ada: User, brook: Project, delta: Project
) -> None:
    to = send(ada, "starred", target=brook)
    opened = send(ada, "opened", action_object=brook)
    by_any = send(delta, "opened")
    both = send(delta, "opened", target=brook, action_object=brook)
    send(ada, "closed", action_object=brook)
    send(delta, "grew")
    send(ada, "opened", target=delta)
    assert list(Action.objects.project_news(brook)) == [both, by_any, opened, to]
    assert list(brook.target_actions.project_news()) == [both, by_any, opened, to]
    assert list(Action.objects.project_news(brook).filter(verb="starred")) == [to]


def test_a_query_set_is_kept_as_it_is(ada: User, brook: Project) -> None:
    hidden = send(ada, "hid", target=brook, public=False)
    assert list(Action.objects.involving(brook)) == [hidden]
    assert list(brook.actor_actions.involving(public=True)) == []


def test_extra_keywords_of_a_custom_stream_become_filters(ada: User, brook: Project) -> None:
    first = send(ada, "posted", target=brook)
    send(ada, "posted")
    assert list(Action.objects.mystream(ada, target_object_id=str(brook.pk))) == [first]
    assert list(ada.actor_actions.mystream(target_object_id=str(brook.pk))) == [first]


def test_an_empty_dict_holds_everything_public_and_an_empty_tuple_nothing(
    ada: User, brook: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sent = [send(ada, verb, target=brook) for verb in ("starred", "watched", "left")]
    send(ada, "hid", public=False)
    with django_assert_num_queries(2):
        assert [each.target for each in Action.objects.everything(ada)] == [brook] * 3
    assert list(Action.objects.everything(ada)) == sent[::-1]
    assert list(Action.objects.nothing(ada)) == []


def test_a_role_of_none_in_a_dict_means_that_there_is_none(ada: User, brook: Project) -> None:
    send(ada, "starred", target=brook)
    bare = send(ada, "joined")
    assert list(Action.objects.untargeted(ada)) == [bare]


def test_a_stream_of_an_unsaved_object_is_empty(db: None) -> None:
    assert list(actor_stream(User(username="new"))) == []
    assert list(any_stream(Project(name="new"))) == []


def test_what_is_no_stream_s_answer_is_refused_by_name(ada: User) -> None:
    with pytest.raises(TypeError, match="The stream wrong returned list; a stream returns"):
        Action.objects.wrong(ada)


def test_the_streams_of_a_manager_are_known_in_order() -> None:
    assert list(SiteActions.streams()) == [
        *BUILT_IN,
        "mystream",
        "project_news",
        "involving",
        "everything",
        "nothing",
        "untargeted",
        "wrong",
    ]
    assert list(streams.ActionManager.streams()) == list(BUILT_IN)


def test_a_subclass_can_take_a_stream_over() -> None:
    class Quiet(streams.ActionManager):
        @streams.stream
        def actor_stream(self, actor: Model) -> Any:
            return {"actor": actor, "verb": "spoke"}

    assert list(Quiet.streams()) == list(BUILT_IN)
    assert Quiet.streams()["actor_stream"] is Quiet.actor_stream


@pytest.mark.parametrize(
    "stream",
    [
        lambda ada: actor_stream(ada),
        lambda ada: any_stream(ada),
        lambda ada: model_stream(User),
        lambda ada: Action.objects.mystream(ada),
        lambda ada: user_stream(ada, with_user_activity=True),
    ],
)
@pytest.mark.parametrize("rows", [1, 20, 100])
def test_a_stream_with_its_objects_costs_two_statements(
    ada: User,
    brook: Project,
    page: Page,
    stream: Callable[[User], QuerySet[Action]],
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(rows):
        send(ada, "posted", target=brook, action_object=page)
    with django_assert_num_queries(2):
        shown = [str(each) for each in stream(ada)]
    assert shown == ["ada posted on-rivers on brook 0 minutes ago"] * rows


def test_query_words_chain(ada: User) -> None:
    posted = send(ada, "posted")
    send(ada, "posted", public=False)
    assert list(Action.objects.public().filter(verb="posted")) == [posted]
    assert list(Action.objects.public(verb="opened")) == []
    assert list(Action.objects.filter(verb="posted").public()) == [posted]


class Unpageable(streams.ActionManager):
    """Streams of which no page can be cut."""

    @streams.stream
    def sliced(self, obj: Model) -> QuerySet[Action]:
        return self.all()[:3]

    @streams.stream
    def combined(self, obj: Model) -> QuerySet[Action]:
        return self.order_by().union(self.order_by())

    @streams.stream
    def valued(self, obj: Model) -> Any:
        return self.all().values("verb")


@pytest.mark.parametrize(
    ("name", "what"),
    [("sliced", "a sliced"), ("combined", "a combined"), ("valued", r"a values\(\)")],
)
def test_a_query_set_of_which_no_page_can_be_cut_is_refused_by_name(
    ada: User, name: str, what: str
) -> None:
    manager = Unpageable()
    manager.model = Action
    with pytest.raises(TypeError, match=f"The stream {name} returned {what} QuerySet"):
        manager.ranges(Unpageable.streams()[name], ada)
    assert list(getattr(manager, name)(ada)) == []
