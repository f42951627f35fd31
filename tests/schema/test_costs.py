"""What an operation costs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from graphql import FieldNode, FragmentSpreadNode, GraphQLSchema, get_named_type, parse
from hypothesis import given
from hypothesis import strategies as st

from schema.connections import COUNT
from schema.costs import MUTATION, PAGE, Cost, is_node
from schema.parsing import Document, read
from server.models import action
from tests.schema.client import context_of, gids, schema
from tests.site.models import Project

core: GraphQLSchema = schema._schema


def cost(text: str, **variables: Any) -> Cost:
    document = read(core, text)
    assert document.errors == []
    return document.cost(None, variables)


@pytest.mark.parametrize(
    ("document", "nodes", "asked"),
    [
        ("{ __typename }", 0, 0),
        ("{ viewer { id username } }", 1, 0),
        ("{ modelStream(model: USER) { nodes { verb } } }", 20, PAGE),
        ("{ modelStream(model: USER, first: 7) { nodes { verb } } }", 7, PAGE),
        ("{ modelStream(model: USER, last: 7) { nodes { actor { id } } } }", 14, PAGE),
        ("{ modelStream(model: USER, first: 7) { edges { node { actor { id } } } } }", 14, PAGE),
        ("{ modelStream(model: USER, first: 7) { edges { cursor } } }", 7, PAGE),
        ("{ modelStream(model: USER, first: 0) { totalCount } }", 0, PAGE + COUNT),
        (
            "{ modelStream(model: USER, first: 7) { totalCount pageInfo { hasNextPage } } }",
            7,
            PAGE + COUNT,
        ),
        (
            (
                "{ modelStream(model: USER, first: 7) { nodes { actor { followers(first: 3) "
                "{ totalCount nodes { user { id } } } } } } }"
            ),
            7 * (1 + 1 + 3 * 2),
            PAGE + 7 * (PAGE + COUNT),
        ),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 3, 0),
        (
            '{ nodes(ids: ["a", "b"]) { ... on User { followers(first: 3) { totalCount } } } }',
            2 * (1 + 3),
            2 * (PAGE + COUNT),
        ),
        ('mutation { createAction(input: {verb: "woke"}) { created } }', 1, MUTATION),
        (
            (
                'mutation { createActions(input: {actions: [{verb: "a"}, {verb: "b"}]}) '
                "{ results { action { target { id } } } } }"
            ),
            4,
            MUTATION,
        ),
        ("{ __schema { types { name } } }", 0, 1_000),
    ],
)
def test_a_cost_is_the_nodes_and_what_is_asked_besides(
    document: str, nodes: int, asked: int
) -> None:
    assert cost(document) == Cost(nodes, asked)
    assert cost(document).points == nodes + asked


def test_variables_say_the_size_of_pages_and_lists() -> None:
    document = """query ($ids: [ID!]!, $first: Int = 10) { nodes(ids: $ids) { ... on User {
        followers(first: $first) { totalCount nodes { user { id } } } } } }"""
    assert cost(document, ids=["a", "b"]) == Cost(2 * (1 + 20), 2 * (PAGE + COUNT))
    assert cost(document, ids=["a"] * 9, first=3) == Cost(9 * (1 + 6), 9 * (PAGE + COUNT))
    assert cost(document, ids=[], first=3) == Cost()
    assert cost(document, ids=["a"], first="x") == cost(document, ids=["a"], first=20)


#: Selections on each type by depth, their sizes literals or variables.
SIZES = st.sampled_from(["", "(first: 3)", "(last: 4)", "(first: $n)", "(first: $m, last: 2)"])


def on_users(depth: int) -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["id", "displayName", "...OnUser", "viewerIsFollowing"])
    if not depth:
        return leaves
    pages = st.builds(
        "{}: anyStream{} {{ {} }}".format, ALIASES, SIZES, st.deferred(lambda: on_pages(depth - 1))
    )
    return selections(leaves | pages)


def on_actions(depth: int) -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["verb", "id", "...OnAction"])
    if not depth:
        return leaves
    actors = st.builds(
        "{}: actor {{ __typename ... on User {{ {} }} }}".format,
        ALIASES,
        st.deferred(lambda: on_users(depth - 1)),
    )
    return selections(leaves | actors)


def on_pages(depth: int) -> st.SearchStrategy[str]:
    rows = st.builds("{}: nodes {{ {} }}".format, ALIASES, on_actions(depth)) | st.builds(
        "{}: edges {{ cursor node {{ {} }} }}".format, ALIASES, on_actions(depth)
    )
    return selections(
        rows | st.sampled_from(["totalCount", "pageInfo { hasNextPage }", "...OnPage"])
    )


def selections(one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(one, min_size=1, max_size=3).map(" ".join)


ALIASES = st.integers(0, 10**9).map("a{}".format)
FRAGMENTS = """
    fragment OnUser on User { b: anyStream(first: $n) { ...OnPage } username }
    fragment OnAction on Action { c: actor { id } d: target { displayName } }
    fragment OnPage on ActionConnection { totalCount e: nodes { f: actionObject { id } verb } }
"""


def naive(text: str, variables: dict[str, Any]) -> Cost:
    """By writing every fragment out and walking down, each page and list by itself."""
    document = parse(text)
    by_name = {d.name.value: d for d in document.definitions[1:]}

    def fields(selection_set: Any, parent: Any) -> Any:
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                if selection.name.value != "__typename":
                    yield selection, parent.fields[selection.name.value]
            elif isinstance(selection, FragmentSpreadNode):
                fragment = by_name[selection.name.value]
                on = core.get_type(fragment.type_condition.name.value)
                yield from fields(fragment.selection_set, on)
            else:
                on = core.get_type(selection.type_condition.name.value)
                yield from fields(selection.selection_set, on)

    def size(field: Any) -> int:
        sizes = []
        for argument in field.arguments or ():
            value = argument.value
            if argument.name.value in ("first", "last"):
                sizes.append(
                    int(value.value) if hasattr(value, "value") else variables[value.name.value]
                )
        return max(sizes, default=20)

    def walk(selection_set: Any, parent: Any, rows: int) -> tuple[int, int]:
        """Of one object, whose lists have so many rows."""
        nodes = asked = 0
        for field, definition in fields(selection_set, parent):
            if field.name.value == "totalCount":
                asked += COUNT
            if not field.selection_set:
                continue
            kind = get_named_type(definition.type)
            if "first" in definition.args:
                n, a = walk(field.selection_set, kind, size(field))
                least = size(field) if not n else 0
                nodes, asked = nodes + max(n, least), asked + a + PAGE
            else:
                times = rows if field.name.value in ("edges", "nodes") else 1
                n, a = walk(field.selection_set, kind, 1)
                nodes, asked = nodes + times * (n + is_node(kind)), asked + times * a
        return nodes, asked

    operation: Any = document.definitions[0]
    return Cost(*walk(operation.selection_set, core.query_type, 1))


@given(on_pages(3), SIZES, st.integers(0, 100), st.integers(0, 100))
def test_a_cost_is_what_walking_every_selection_finds(
    page: str, size: str, n: int, m: int
) -> None:
    arguments = f"(model: USER{', ' + size[1:-1] if size else ''})"
    text = f"query ($n: Int, $m: Int) {{ modelStream{arguments} {{ {page} }} }} {FRAGMENTS}"
    variables = {"n": n, "m": m}
    document = Document(core, parse(text), [])
    assert document.cost(None, variables) == naive(text, variables)


def asked_for(document: str, viewer: Any = None, **variables: Any) -> Any:
    """``extensions.cost`` of the answer to a request that wants it."""
    result = schema.execute_sync(
        document,
        variable_values=variables,
        context_value=context_of(viewer),
        operation_extensions={"cost": True},
    )
    return (result.extensions or {}).get("cost")


def test_a_request_may_ask_what_it_cost(ada: User, brook: Project) -> None:
    """Three actions of the twenty that there may be, two of them with a target."""
    action.send(ada, verb="woke")
    action.send(ada, verb="starred", target=brook)
    action.send(ada, verb="forked", target=brook)
    document = "{ modelStream(model: USER) { totalCount nodes { actor { id } target { id } } } }"
    assert asked_for(document) == {
        "requested": 20 * 3 + PAGE + COUNT,
        "actual": 3 * 2 + 2 + PAGE + COUNT,
        "most": 20_000,
    }
    result = schema.execute_sync(document, context_value=context_of(None))
    assert not result.extensions, "who does not ask is not told"


def test_a_selection_that_comes_twice_has_cost_once(ada: User, bob: User) -> None:
    document = """query ($ids: [ID!]!) { nodes(ids: $ids) { ...A ...B } }
        fragment A on Node { ... on User { actorStream(first: 5) { totalCount } } }
        fragment B on Node { ... on User { actorStream(first: 5) { totalCount } id } }"""
    said = asked_for(document, ids=[*gids([ada, bob]), "nobody"])
    assert said["actual"] == 2 * (1 + PAGE + COUNT)
    assert said["requested"] == 3 * (1 + 2 * (5 + PAGE + COUNT))


def test_what_is_left_of_the_rate_is_said_with_the_cost(ada: User, settings: Any) -> None:
    settings.RATE_LIMIT, settings.RATE_BURST, settings.REDIS_URL = 1, 30_000, ""
    said = asked_for("{ viewer { id } }", ada)
    assert said["restored"] == 1
    assert 29_000 < said["left"] < 30_000


def test_what_is_refused_says_its_cost_too(db: None) -> None:
    pages = " ".join(
        f"p{n}: modelStream(model: USER, first: 100) {{ nodes {{ actor {{ id }} }} }}"
        for n in range(51)
    )
    assert asked_for(f"{{ {pages} }}") == {
        "requested": 51 * (200 + PAGE),
        "actual": 0,
        "most": 20_000,
    }
