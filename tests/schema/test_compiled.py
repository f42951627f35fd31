"""Compiled selections answer as graphql-core does, to the byte: data, order, and errors."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st

from schema import catalog, compiled, limits
from server.latest import Latest
from server.models import Action
from tests.schema.client import ask, gid
from tests.schema.operations import Made, Operation, answered, both, falsify, ran, world
from tests.site.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What there is to ask for, as much as one likes: some of what is generated costs too much."""
    monkeypatch.setattr(limits, "MOST_POINTS", 10**9)
    monkeypatch.setattr(limits, "MOST_NODES", 10**9)
    return world()


@st.composite
def operations(draw: Any) -> Operation:
    return Made(lambda number: draw(st.integers(0, number - 1))).operation()


@given(operation=operations())
@settings(max_examples=200)
def test_generated_operations_are_answered_alike(
    ids: dict[str, str], operation: Operation
) -> None:
    fast, plain = answered(operation, ids, User.objects.get(username="ada"))
    assert fast == plain
    assert ran(fast)


@pytest.mark.parametrize(
    "stream",
    [
        "actorStream(actor: $id{}) {{ nodes {{ id actor {{ id }} }} }}",
        "anyStream(object: $id{}) {{ nodes {{ id }} }}",
        "targetStream(target: $id{}) {{ totalCount }}",
        "actionObjectStream(actionObject: $id{}) {{ nodes {{ actor {{ viewerIsFollowing }} }} }}",
    ],
)
@pytest.mark.parametrize("window", ["", ", first: -1", ", after: 7", ', after: "x"'])
def test_whose_stream_it_is_is_answered_alike(
    ids: dict[str, str], stream: str, window: str
) -> None:
    """Compiled, it is looked for with the objects of the page alone."""
    document = f"query ($id: ID!) {{ {stream.format(window)} }}"
    gone = User.objects.create(username="gone")
    of_gone = gid(gone)
    gone.delete()
    there = [gid(obj) for obj in (Project.objects.first(), Action.objects.first(), User(pk=1))]
    for named in (*ids.values(), *there, of_gone, "", "x", "VXNlcjowNw==", "VXNlcjp4"):
        fast, plain = both(document, None, {"id": named})
        assert fast == plain


def test_the_rows_of_a_page_are_gone_with_its_answer(ids: dict[str, str]) -> None:
    document = f"""{{ anyStream(object: "{gid(User.objects.get(username="ada"))}") {{
        nodes {{ actor {{ id }} }} edges {{ cursor }} }} }}"""

    def actions() -> list[Action]:
        return [obj for obj in gc.get_objects() if type(obj) is Action]

    gc.collect()
    gc.disable()  # which would find what waits in a cycle
    try:
        others = actions()
        assert ask(document)["data"]["anyStream"]["nodes"]
        assert len(actions()) == len(others)
    finally:
        gc.enable()


def test_whose_stream_it_is_takes_no_statement_of_its_own(
    ids: dict[str, str], django_assert_num_queries: Any
) -> None:
    document = f"""{{ anyStream(object: "{gid(User.objects.get(username="ada"))}") {{
        nodes {{ actor {{ id }} target {{ id }} }} }} }}"""
    ask(document)
    with django_assert_num_queries(2):
        ask(document)


CORPUS = {
    "the page of the README": """{ modelStream(model: USER) { edges { cursor node {
        id verb timestamp description public data url displayName
        actor { __typename id displayName url ... on User { username } }
        target { __typename ...N } actionObject { ...N } } }
        nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }
        fragment N on Node { id displayName }""",
    "fields of one name merge": """{ modelStream(model: USER) { nodes { actor { id } }
        nodes { verb actor { displayName } } } }""",
    "where its feed is": """{ modelStream(model: USER, filter: {verbs: ["a"]}) {
        feedUrl nodes { id actorStream(first: 1) { feedUrl } } } }""",
    "what is not plain": """{ modelStream(model: USER) { nodes { actor {
        viewerIsFollowing followers { totalCount } } } } }""",
    "a fault of the request": "{ modelStream(model: USER, first: -1) { nodes { id } } }",
    "no page": "{ userStream { nodes { id } } }",
    "nothing selected": "{ modelStream(model: USER) { nodes { id @skip(if: true) } } }",
    "nothing selected of a page": "{ modelStream(model: USER) { nodes @skip(if: true) { id } } }",
    "introspected": "{ modelStream(model: USER) { __typename edges { __typename } } }",
}


@pytest.mark.parametrize("document", CORPUS.values(), ids=CORPUS)
def test_a_corpus_is_answered_alike(ids: dict[str, str], document: str) -> None:
    fast, plain = both(document, None, {})
    assert fast == plain


def test_a_plain_page_is_compiled_once_and_one_that_is_not_is_left_alone(
    ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    of = compiled.Answer.of

    def counted(self: Any, *args: Any) -> Any:
        used.append(args)
        return of(self, *args)

    monkeypatch.setattr(compiled.Answer, "of", counted)
    monkeypatch.setattr(compiled, "_kept", Latest(100))
    ask(CORPUS["the page of the README"])
    kept = len(compiled._kept)
    assert used
    assert kept
    ask(CORPUS["the page of the README"])
    assert len(compiled._kept) == kept
    used.clear()
    ask("{ modelStream(model: USER) { nodes { actor { viewerIsFollowing } } } }")
    assert not used


def test_no_more_selections_are_kept_than_the_bound(
    ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_kept", Latest(5))
    for number in range(20):
        ask(f"{{ modelStream(model: USER) {{ nodes {{ a{number}: id }} }} }}")
    assert len(compiled._kept) == 5


def raising(name: str) -> Callable[[Any], str]:
    def display_name(obj: Any) -> str:
        if str(obj).startswith("project"):
            raise ValueError(name)
        return str(obj)

    return display_name


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site's display name that raises."""
    monkeypatch.setattr(
        catalog.node_type(Project), "display_name", raising("projects have no name")
    )


def test_an_exception_is_answered_as_graphql_core_has_it(
    ids: dict[str, str], broken: None
) -> None:
    document = "{ modelStream(model: USER) { nodes { verb target { id displayName } } } }"
    fast, plain = (json.loads(answer) for answer in both(document, None, {}))
    for answer in (fast, plain):
        for error in answer["errors"]:
            del error["message"], error["extensions"]["id"]
    assert fast == plain
    assert fast["errors"]


def test_the_comparison_can_fail(ids: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: what answers something else is found out."""
    falsify(monkeypatch)
    fast, plain = both("{ modelStream(model: USER) { nodes { id } } }", None, {})
    assert fast != plain
