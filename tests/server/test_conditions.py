"""Conditions as SQL are what Django's filters are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Q
from django.db.models.query import QuerySet
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server import conditions
from server.models import Action, Follow

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = [START + timedelta(microseconds=n) for n in range(3)]

plain = st.one_of(
    st.tuples(st.just("verb"), st.sampled_from(["a", "b", "it's %s"])),
    st.tuples(st.just("public"), st.booleans()),
    st.tuples(st.just("actor_object_id"), st.sampled_from(["1", "2"])),
    st.tuples(st.just("target_object_id"), st.sampled_from(["1", "2"])),
    st.tuples(
        st.sampled_from(["timestamp", "timestamp__lt", "timestamp__lte", "timestamp__gte"]),
        st.sampled_from(TIMES),
    ),
    st.tuples(st.sampled_from(["verb__gt", "verb__exact"]), st.just("a")),
)


def combined(inner: st.SearchStrategy[Q]) -> st.SearchStrategy[Q]:
    return st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
        st.builds(lambda a, b: Q(a, b, _connector=Q.OR), inner, inner),
    )


wanted = st.recursive(
    st.just(Q()) | st.builds(lambda pair: Q(pair), plain), combined, max_leaves=5
)


@pytest.fixture
def rows() -> QuerySet[Action]:
    kind = ContentType.objects.get_for_model(ContentType)
    for n in range(12):
        Action.objects.create(
            actor_content_type=kind,
            actor_object_id=str(n % 3),
            target_content_type=kind if n % 2 else None,
            target_object_id=str(n % 5) if n % 2 else None,
            verb=["a", "b", "it's %s"][n % 3],
            public=n % 4 > 0,
            timestamp=TIMES[n % 3],
        )
    return Action.objects.order_by("pk")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(wanted, min_size=1, max_size=3))
@example(wanted=[Q(Q(verb="a"), Q(Q(), Q(), _connector=Q.OR), _connector=Q.OR)])
def test_a_condition_holds_of_the_rows_that_a_filter_finds(
    rows: QuerySet[Action], wanted: list[Q]
) -> None:
    found = conditions.of(rows, *wanted)
    assert found is not None
    assert held(found) == list(rows.filter(*wanted).values_list("pk", flat=True))


def held(condition: conditions.Statement) -> list[int]:
    sql, params = condition
    # RawSQL's own way to say which rows: no column of it is made by Django.
    return list(
        Action.objects.extra(where=[sql], params=list(params))
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@pytest.mark.parametrize(
    "asked",
    [
        Q(actor_content_type__model="contenttype"),
        Q(target_content_type__app_label="contenttypes") & ~Q(verb="a"),
    ],
    ids=str,
)
def test_what_asks_other_tables_is_left_to_django(rows: QuerySet[Action], asked: Q) -> None:
    assert conditions.of(rows, asked) is None
    wanted = rows.filter(asked)
    assert held(conditions.among(wanted)) == list(wanted.values_list("pk", flat=True))


@pytest.mark.parametrize(
    "asked",
    [
        Q(verb=F("actor_object_id")),
        Q(verb__in=["a", "b"]),
        Q(data__kind="b"),
        Q(idempotency_key=None),
        ~Q(target_object_id="1"),
        Q(verb="a") ^ Q(public=True),
    ],
    ids=str,
)
def test_what_is_no_plain_comparison_is_compiled_by_django(
    rows: QuerySet[Action], asked: Any
) -> None:
    found = conditions.of(rows, asked)
    assert found is not None
    assert held(found) == list(rows.filter(asked).values_list("pk", flat=True))


def test_a_condition_that_nothing_meets_is_known(rows: QuerySet[Action]) -> None:
    assert conditions.of(rows.none()) is conditions.NONE
    assert conditions.of(rows, Q(verb__in=[])) is conditions.NONE
    assert conditions.of(Follow.objects.all()) == conditions.ALL
