"""What one request may ask for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from graphql import get_introspection_query

from server.models import Action, action
from tests.schema.client import ask, context_of, gid, gids, refusals, schema
from tests.schema.connections import CONNECTIONS
from tests.site.models import Project


def refused(answer: dict[str, Any], *words: str) -> bool:
    """Whether it is refused whole as TOO_COMPLEX, in a message with these words."""
    [error] = answer["errors"]
    assert answer["data"] is None
    assert error["extensions"] == {"code": "TOO_COMPLEX"}
    assert all(word in error["message"] for word in words), error["message"]
    return True


def aliased(number: int, field: str) -> str:
    return " ".join(f"f{at}: {field}" for at in range(number))


def test_ten_thousand_nodes_may_be_asked_for_and_no_more(db: None) -> None:
    page = "modelStream(model: USER, first: 100) { nodes { verb } }"
    assert refusals(ask(f"{{ {aliased(100, page)} }}")) == []
    assert refused(ask(f"{{ {aliased(101, page)} }}"), "10100", "10000")


def test_nesting_multiplies(db: None) -> None:
    document = """{ modelStream(model: USER, first: %s) { nodes {
        actor { anyStream(first: 100) { nodes { target { followers(first: %s) {
            nodes { flag } } } } } } } } }"""
    assert refused(ask(document % (20, 5)), "at most")
    inner = """{ modelStream(model: USER, first: 20) { nodes {
        actor { anyStream(first: 1) { nodes { target { followers(first: 100) {
            nodes { flag } } } } } } } } }"""
    assert refusals(ask(inner)) == []


@pytest.mark.parametrize("name", ["first", "last"])
def test_the_size_of_a_page_is_measured_in_a_variable_too(brook: Project, name: str) -> None:
    page = f"modelStream(model: USER, {name}: ${name}) {{ nodes {{ verb }} }}"
    document = f"query (${name}: Int) {{ {aliased(101, page)} }}"
    assert refusals(ask(document, **{name: 99})) == []
    assert refused(ask(document, **{name: 100}), "10100", "10000")
    assert refused(ask(document, **{name: 100.0}), "10100", "10000")
    default = document.replace(f"${name}: Int)", f"${name}: Int = 100)")
    assert refused(ask(default), "10100", "10000")


def test_a_size_out_of_bounds_is_refused_for_what_it_is(brook: Project) -> None:
    document = "{ modelStream(model: USER, first: 1000000) { nodes { verb } } }"
    assert refusals(ask(document)) == [(["modelStream"], "BAD_USER_INPUT")]


def page_below(connection: str) -> str:
    return f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on User {{ {connection} }} }} }}"


@pytest.mark.parametrize(
    "connection",
    [
        str(c.name)
        for c in CONNECTIONS
        if c.holder == "User" and c.name not in ("wrong", "nothing")
    ],
)
def test_a_connection_below_many_nodes_is_cheap_or_refused(
    connection: str, db: None, root: User, django_assert_max_num_queries: Any
) -> None:
    """A few statements for each of twenty at most; below more, together or not at all."""
    most = 61 if connection == "userStream" else 41  # probe, heads and count
    users = [User.objects.create(username=str(number)) for number in range(40)]
    document = page_below(f"{connection}(first: 3) {{ nodes {{ id }} totalCount }}")
    with django_assert_max_num_queries(most):
        assert refusals(ask(document, root, ids=gids(users[:20]))) == []
    with django_assert_max_num_queries(most):
        answer = ask(document, root, ids=gids(users))
    assert {code for _, code in refusals(answer)} <= {"TOO_COMPLEX"}


def test_a_stream_that_cannot_be_read_together_stands_below_twenty_nodes_at_most(
    db: None,
) -> None:
    users = [User.objects.create(username=str(number)) for number in range(21)]
    document = page_below("involving { totalCount }")
    assert refusals(ask(document, ids=gids(users[:20]))) == []
    answer = ask(document, ids=gids(users))
    assert {code for _, code in refusals(answer)} == {"TOO_COMPLEX"}
    message = answer["errors"][0]["message"]
    assert "21" in message
    assert "20" in message


@pytest.mark.parametrize("width", [2, 10])
def test_fragments_that_spread_each_other_are_measured_once_each(db: None, width: int) -> None:
    """2^60 and 10^60 selections, were each spread followed."""
    depth = 60
    fragments = [
        f"fragment F{at} on Action {{ {f'...F{at + 1} ' * width} }}" for at in range(depth)
    ]
    fragments.append(f"fragment F{depth} on Action {{ verb }}")
    document = "{ modelStream(model: USER) { nodes { ...F0 } } }" + "".join(fragments)
    assert ask(document) == {"data": {"modelStream": {"nodes": []}}}


def test_fragments_that_nest_each_other_twice_are_too_many_nodes(
    ada: User, registered: Any
) -> None:
    """An action on itself: each of fourteen fragments doubles what the response would hold."""
    registered(Action)
    [(_, row)] = action.send(ada, verb="woke")
    Action.objects.filter(pk=row.pk).update(
        target_content_type=ContentType.objects.get_for_model(row), target_object_id=str(row.pk)
    )
    depth = 14
    fragments = [
        f"fragment F{at} on Action {{ a: target {{ ...F{at + 1} }} b: target {{ ...F{at + 1} }} }}"
        for at in range(depth)
    ]
    fragments.append(f"fragment F{depth} on Action {{ verb }}")
    document = "query ($id: ID!) { node(id: $id) { ...F0 } }" + "".join(fragments)
    assert refused(ask(document, id=gid(row)), "10000")


def test_many_tokens_are_refused_before_they_are_read(db: None) -> None:
    answer = ask("{ " + "__typename " * 6_000 + "}")
    assert answer["data"] is None
    [error] = answer["errors"]
    assert error["extensions"]["code"] in ("BAD_REQUEST", "TOO_COMPLEX")
    assert "5000" in error["message"]
    assert refusals(ask(f"{{ {aliased(1_600, '__typename')} }}")) == []


@pytest.mark.parametrize("depth", [400, 1_200, 2_400])
def test_a_query_that_nests_deep_is_a_bad_request(db: None, depth: int) -> None:
    answer = ask("{ a" * depth + "}" * depth)
    assert answer["data"] is None
    assert {error["extensions"]["code"] for error in answer["errors"]} <= {
        "BAD_REQUEST",
        "TOO_COMPLEX",
    }


def test_introspection_does_not_multiply(db: None) -> None:
    """Each level of fields and their types would multiply the response by tens."""
    inner = "name"
    for _ in range(6):
        inner = f"fields {{ type {{ ofType {{ {inner} }} {inner} }} }}"
        if len(inner) > 3_000:
            break
    answer = ask(f"{{ __schema {{ types {{ {inner} }} }} }}")
    assert answer["data"] is None
    assert answer["errors"]


def test_the_introspection_of_tools_is_answered(db: None) -> None:
    assert "errors" not in ask(get_introspection_query())


def test_the_operation_that_runs_is_the_one_that_is_measured(db: None) -> None:
    page = "modelStream(model: USER, first: 100) { nodes { verb } }"
    document = f"query Large {{ {aliased(101, page)} }} query Small {{ {page} }}"

    def codes(name: str) -> list[Any]:
        result = schema.execute_sync(document, operation_name=name, context_value=context_of(None))
        return [error.extensions and error.extensions["code"] for error in result.errors or ()]

    assert codes("Small") == []
    assert codes("Large") == ["TOO_COMPLEX"]
