"""Compiled selections answer as graphql-core does, to the byte: data, order, and errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from graphql import (
    GraphQLInterfaceType,
    GraphQLNonNull,
    get_named_type,
    is_leaf_type,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema import catalog, compiled, nodes
from schema.compiled import Executor
from server.models import Action, Follow
from tests.schema.client import ask, gid, schema
from tests.schema.connections import make
from tests.site.models import Article, Page, Project

pytestmark = pytest.mark.django_db

TYPES: Any = schema._schema.type_map
POSSIBLE = ["User", "Project", "Action", "Follow", "Article", "Page"]


@pytest.fixture
def ids() -> dict[str, str]:
    """A small world of every type, and an id of each."""
    ada, bob = make(User, username="ada"), make(User, username="bob")
    project, article, page = make(Project), make(Article), make(Page)
    rows = [
        Action.objects.create(
            actor=actor, verb=verb, target=target, action_object=thing, data=data
        )
        for actor, verb, target, thing, data in (
            (ada, "posted", project, article, {"a": [1, None]}),
            (bob, "opened", project, None, None),
            (ada, "saw", None, page, "text"),
            (project, "posted", ada, bob, None),
            (ada, "kept", page, None, None),
        )
    ]
    Action.objects.create(actor=ada, verb="noted", public=False)
    for followed in (project, bob, ada):
        Follow.objects.create(user=ada, follow_object=followed)
    follow = Follow.objects.create(user=bob, follow_object=project, flag="watching")
    return {
        "User": gid(ada),
        "Project": gid(project),
        "Action": gid(rows[0]),
        "Follow": gid(follow),
        "Article": gid(article),
        "Page": gid(page),
    }


def both(document: str, viewer: Any, variables: dict[str, Any]) -> list[str]:
    """The answer of each executor, as the bytes of a response would be."""
    answers = []
    for executor in (Executor, StrawberryGraphQLCoreExecutionContext):
        schema.execution_context_class = executor
        try:
            answers.append(json.dumps(ask(document, viewer, **variables)))
        finally:
            schema.execution_context_class = Executor
    return answers


class Documents:
    """Random operations against the real schema: what it has, this asks for."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.fragments: list[str] = []

    def operation(self) -> str:
        fields = [f"node(id: ${self.pick(POSSIBLE)}) {self.below(TYPES['Node'], 5)}"]
        fields += [f"viewer {self.below(TYPES['User'], 5)}"] * self.draw(st.booleans())
        fields += [f"modelStream(model: USER) {self.below(TYPES['ActionConnection'], 5)}"]
        variables = " ".join(f"${name}: ID!" for name in POSSIBLE)
        selections = " ".join(self.aliased(field) for field in fields)
        head = f"query ({variables} $yes: Boolean!, $no: Boolean!)"
        return f"{head} {{ {selections} }} {' '.join(self.fragments)}"

    def below(self, kind: Any, depth: int) -> str:
        parts = [self.selection(kind, depth) for _ in range(self.draw(st.integers(1, 4)))]
        return "{ " + " ".join(parts) + " }"

    def selection(self, kind: Any, depth: int) -> str:
        choice = self.draw(st.integers(0, 11))
        if choice == 0:
            return self.aliased("__typename")
        if choice == 1 and depth:
            return f"... {self.switch()} {self.below(kind, depth - 1)}"
        if choice == 2 and depth:
            name = f"F{len(self.fragments)}"
            self.fragments.append("")
            at = len(self.fragments) - 1
            on = self.on(kind)
            self.fragments[at] = f"fragment {name} on {on} {self.below(TYPES[on], depth - 1)}"
            return f"...{name} {self.switch()}"
        if choice == 3 and depth and isinstance(kind, GraphQLInterfaceType):
            on = self.on(kind)
            return f"... on {on} {self.below(TYPES[on], depth - 1)}"
        return self.field(kind, depth)

    def field(self, kind: Any, depth: int) -> str:
        fields = {
            name: field
            for name, field in kind.fields.items()
            if (depth or is_leaf_type(get_named_type(field.type)))
            and not any(
                isinstance(arg.type, GraphQLNonNull) and arg.default_value is None
                for arg in field.args.values()
            )
            and name not in ("wrong", "lent")
        }
        if not fields:
            return "__typename"
        name = self.pick(sorted(fields))
        field, of = fields[name], get_named_type(fields[name].type)
        arguments = ""
        if "first" in field.args:
            size = self.draw(st.integers(-1, 3))
            arguments = f"({self.pick(['first', 'last'])}: {size})"
        text = f"{name}{arguments} {self.switch()}"
        return self.aliased(text if is_leaf_type(of) else f"{text} {self.below(of, depth - 1)}")

    def on(self, kind: Any) -> str:
        return self.pick(POSSIBLE) if isinstance(kind, GraphQLInterfaceType) else kind.name

    def switch(self) -> str:
        return self.pick(["", "", "", "@include(if: $yes)", "@skip(if: $no)", "@include(if: $no)"])

    def aliased(self, field: str) -> str:
        # A name of its own each time: fields of one name would have to merge.
        self.number = getattr(self, "number", 0) + 1
        return field if field == "__typename" else f"a{self.number}: {field}"

    def pick(self, choices: list[str]) -> str:
        return self.draw(st.sampled_from(choices))  # type: ignore[no-any-return]


@st.composite
def documents(draw: Any) -> str:
    return Documents(draw).operation()


@given(document=documents(), switched=st.booleans(), logged_in=st.booleans())
@settings(max_examples=int(os.environ.get("GENERATED_OPERATIONS", "200")))
def test_generated_operations_are_answered_alike(
    ids: dict[str, str], document: str, switched: bool, logged_in: bool
) -> None:
    viewer = User.objects.get(username="ada") if logged_in else None
    fast, plain = both(document, viewer, {**ids, "yes": switched, "no": not switched})
    assert fast == plain


CORPUS = {
    "the page of the README": """{ modelStream(model: USER) { edges { cursor node {
        id verb timestamp description public data url displayName
        actor { __typename id displayName url ... on User { username } }
        target { __typename ...N } actionObject { ...N } } }
        nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }
        fragment N on Node { id displayName }""",
    "fields of one name merge": """{ modelStream(model: USER) { nodes { actor { id } }
        nodes { verb actor { displayName } } } }""",
    "what is not plain": """{ modelStream(model: USER) { nodes { actor {
        viewerIsFollowing followers { totalCount } } } } }""",
    "a fault of the request": "{ modelStream(model: USER, first: -1) { nodes { id } } }",
    "no page": "{ userStream { nodes { id } } }",
    "nothing selected": "{ modelStream(model: USER) { nodes { id @skip(if: true) } } }",
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
    compiled._kept.clear()
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
    monkeypatch.setattr(compiled, "MOST_KEPT", 5)
    compiled._kept.clear()
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
    """The negative control: a column that answers something else is found out."""
    wrong = {
        **compiled._LEAVES,
        compiled._function(nodes.Node, "_id"): lambda objects, *_: ["?"] * len(objects),
    }
    monkeypatch.setattr(compiled, "_LEAVES", wrong)
    compiled._kept.clear()
    fast, plain = both("{ modelStream(model: USER) { nodes { id } } }", None, {})
    compiled._kept.clear()
    assert fast != plain
