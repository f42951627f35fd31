"""The objects that a page names, in one query."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from pytest_django import DjangoAssertNumQueries

from server import objects, registry
from server.models import Action, Follow, action, any_stream, follow
from tests.site.models import Article, Page, Project


def references(*things: Model) -> list[objects.Reference]:
    return [named for thing in things if (named := registry.reference(thing))]


def test_load_takes_one_query_for_all_models(
    ada: User,
    brook: Project,
    delta: Project,
    article: Article,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    wanted = references(ada, brook, delta, article, brook)
    with django_assert_num_queries(1):
        found = objects.load(wanted)
    assert found == dict(zip(wanted, [ada, brook, delta, article, brook], strict=True))


def test_a_model_whose_rows_are_more_than_its_table_takes_a_query_of_its_own(
    ada: User, brook: Project, article: Article, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def narrow(model: type[Model]) -> QuerySet[Model]:
        queryset = model._default_manager.all()
        return queryset.prefetch_related("groups") if model is User else queryset

    wanted = references(ada, brook, article)
    with django_assert_num_queries(3):
        found = objects.load(wanted, narrow)
    assert found == dict(zip(wanted, [ada, brook, article], strict=True))


def test_objects_that_are_loaded_together_are_whole(
    ada: User, brook: Project, article: Article
) -> None:
    for found in objects.load(references(ada, brook, article)).values():
        meant = type(found)._base_manager.get(pk=found.pk)
        assert {**vars(found), "_state": None} == {**vars(meant), "_state": None}


def test_load_of_nothing_takes_no_query(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert objects.load([]) == {}


def test_load_leaves_out_what_narrow_hides(brook: Project, delta: Project) -> None:
    def narrow(model: type[Model]) -> QuerySet[Model]:
        return model._default_manager.exclude(pk=brook.pk)

    assert objects.load(references(brook, delta), narrow) == {references(delta)[0]: delta}


def test_load_leaves_out_what_does_not_exist(brook: Project) -> None:
    type_id, _ = references(brook)[0]
    assert objects.load([(type_id, "0"), (type_id, "x"), (0, "1")]) == {}


def test_load_leaves_out_models_that_are_not_registered(brook: Project) -> None:
    wanted = references(brook)
    registry.unregister(Project)
    try:
        assert objects.load(wanted) == {}
    finally:
        registry.register(Project)
    assert objects.load(wanted) == {wanted[0]: brook}


@pytest.mark.parametrize("rows", [1, 20, 100])
def test_a_stream_costs_the_same_statements_however_many_rows_it_has(
    ada: User,
    brook: Project,
    article: Article,
    rows: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(rows):
        action.send(ada, verb="cited", target=brook, action_object=article)
    with django_assert_num_queries(2):
        found = [(each.actor, each.target, each.action_object) for each in any_stream(ada)]
    assert found == [(ada, brook, article)] * rows


def test_attach_fills_the_roles_of_any_rows(
    ada: User, brook: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    follow(ada, brook, send_action=False)
    rows = list(Follow.objects.all())
    objects.attach(rows, ["follow_object"])
    with django_assert_num_queries(0):
        assert [row.follow_object for row in rows] == [brook]


def test_attach_of_no_rows_takes_no_query(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        objects.attach([], ["actor"])


def test_values_and_slices_of_a_stream_are_as_they_were_asked_for(
    ada: User, brook: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    action.send(ada, verb="starred", target=brook)
    action.send(ada, verb="opened", target=brook)
    with django_assert_num_queries(1):
        assert list(any_stream(ada).values_list("verb", flat=True)) == ["opened", "starred"]
    with django_assert_num_queries(2):
        assert [each.target for each in any_stream(ada)[:1]] == [brook]
    with django_assert_num_queries(1):
        assert any_stream(ada).count() == 2


def test_an_integer_out_of_range_is_no_key() -> None:
    assert objects.parse_key(Project, str(2**63)) is None
    assert objects.parse_key(Project, "-5") == -5
    assert objects.parse_key(Article, "no-uuid") is None
    assert objects.parse_key(Page, "a\x00b") is None
    assert objects.parse_key(Page, "v1.2") == "v1.2"


def test_roles_are_empty_where_none_was_given(ada: User) -> None:
    action.send(ada, verb="joined")
    stored = Action.objects.get()
    assert (stored.target, stored.action_object) == (None, None)
