"""A plan answers as graphql-core does, to the byte, or not at all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema import plans, schema
from schema.compiled import Executor
from schema.context import Context
from schema.plans import Fetch, NotNowError, Plan, UnplannedError
from server import feeds, registry
from server.cursors import PageError
from server.latest import Latest
from server.models import Action, Follow
from tests.schema.client import context_of, gid
from tests.schema.conftest import Hide
from tests.schema.connections import START, make
from tests.schema.operations import falsify
from tests.site.models import Article, Page, Project, Venue

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]

WINDOW = "first: $first, after: $after, last: $last, before: $before"
WINDOWED = "$first: Int, $after: String, $last: Int, $before: String"
#: Documents less what is selected, which all have ``$of``.
STREAMS = {
    "actor": f"query ($of: ID!, {WINDOWED}) {{ actorStream(actor: $of, {WINDOW})",
    "target": f"query ($of: ID!, {WINDOWED}) {{ targetStream(target: $of, {WINDOW})",
    "with": f"query ($of: ID!, {WINDOWED}) {{ it: actionObjectStream(actionObject: $of, {WINDOW})",
    "any": f"query ($of: ID!, {WINDOWED}) {{ anyStream(object: $of, {WINDOW})",
    "user": f"query ($of: ID, {WINDOWED}) {{ userStream(user: $of, {WINDOW})",
    "watched": f"query ($of: ID, {WINDOWED}, $flag: String, $own: Boolean! = true)"
    f" {{ userStream(user: $of, followFlag: $flag, withUserActivity: $own, {WINDOW})",
}
ROLES = " ".join(
    f"{role} {{ __typename id displayName }}" for role in ("actor", "target", "actionObject")
)
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
SELECTIONS = [
    f"edges {{ cursor node {{ id verb timestamp {ROLES} }} }}",
    "nodes { displayName }",
    "__typename edges { __typename cursor node { public } }",
    "edges { node { ...Them } } nodes { a: target { id } b: target { __typename } ...Them }",
    "nodes { description data actor { ... on User { id } ... on Project { displayName } } }",
]
FRAGMENT = (
    " fragment Them on Action { who: actor { ... on Article { __typename } displayName } id }"
)

Variables = dict[str, Any]


def planned(document: str, viewer: Any, variables: Variables) -> Plan:
    """The plan for an operation that has just been answered the whole way."""
    context = context_of(viewer)
    result = schema.execute_sync(document, variables, context)
    assert not result.errors, result.errors
    assert context.answered is not None, "it is compiled"
    return Plan(context.document, None, context.answered)


def whole(document: str, viewer: Any, variables: Variables) -> Any:
    """The data that graphql-core alone answers with."""
    schema.execution_context_class = StrawberryGraphQLCoreExecutionContext
    try:
        result = schema.execute_sync(document, variables, context_of(viewer))
    finally:
        schema.execution_context_class = Executor
    assert not result.errors, result.errors
    return result.data


def answer(plan: Plan, viewer: Any, variables: Variables, many: bool = False) -> Any:
    """The data that a plan answers with, by the connection of the test."""
    asked = plan.asked(variables, viewer, many)
    plan.prepare(asked)
    context = Context(None)  # type: ignore[arg-type]
    context.viewer = viewer

    return asyncio.run(plan.answer(asked, context, fetching([]), None))


def fetching(statements: list[str]) -> Fetch:
    """What asks by the connection of the test, and notes what it asks."""
    raw: Any = connection.connection

    async def fetch(sql: str, params: Sequence[str]) -> Sequence[Any]:
        statements.append(sql)
        return psycopg.RawCursor(raw).execute(sql, params).fetchall()

    return fetch


def text(stream: str, selection: str) -> str:
    them = FRAGMENT if "...Them" in selection else ""
    return f"{STREAMS[stream]} {{ {selection} {PAGE_INFO} }} }}{them}"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stream is known to be quiet."""
    monkeypatch.setattr(plans, "_quiet", Latest(100))


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada", email="ada@example.com")


@pytest.fixture
def everything(ada: User) -> list[Any]:
    """One object of each kind; ada herself, and one whose name is an e-mail address."""
    hidden = make(User, username="bob@example.com", email="bob@example.com", first_name="Bob")
    return [ada, hidden, make(Project), make(Article), make(Page), make(Venue)]


@st.composite
def histories(draw: Any) -> list[tuple[Any, ...]]:
    """What was done: who, to what, with what (numbers of objects), when, and whether in public."""
    role = st.none() | st.integers(0, 5)
    row = st.tuples(st.integers(0, 5), role, role, st.integers(0, 3), st.booleans())
    return draw(st.lists(row, max_size=14))  # type: ignore[no-any-return]


@st.composite
def followings(draw: Any) -> list[tuple[int, str, bool]]:
    row = st.tuples(st.integers(0, 5), st.sampled_from(["", "watching"]), st.booleans())
    return draw(st.lists(row, max_size=5, unique_by=lambda it: it[:2]))  # type: ignore[no-any-return]


def happen(everything: list[Any], done: list[Any], follows: list[Any]) -> None:
    Action.objects.all().delete()
    Follow.objects.all().delete()
    for actor, target, thing, when, public in done:
        Action.objects.create(
            actor=everything[actor],
            verb="did",
            target=None if target is None else everything[target],
            action_object=None if thing is None else everything[thing],
            timestamp=START + timedelta(microseconds=when),
            public=public,
            data={"when": when},
        )
    for followed, flag, actor_only in follows:
        Follow.objects.create(
            user=everything[0],
            follow_object=everything[followed],
            flag=flag,
            actor_only=actor_only,
        )


@given(
    done=histories(),
    follows=followings(),
    stream=st.sampled_from(sorted(STREAMS)),
    selection=st.sampled_from(SELECTIONS),
    of=st.integers(0, 5),
    size=st.integers(0, 4),
    backward=st.booleans(),
    flag=st.sampled_from([None, "", "watching"]),
    many=st.booleans(),
)
def test_page_after_page_is_what_graphql_core_answers(
    monkeypatch: pytest.MonkeyPatch,
    everything: list[Any],
    done: list[Any],
    follows: list[Any],
    stream: str,
    selection: str,
    of: int,
    size: int,
    backward: bool,
    flag: str | None,
    many: bool,
) -> None:
    monkeypatch.setattr(feeds, "LEAST_PROBED", 4)
    monkeypatch.setattr(plans, "_quiet", Latest(100))
    happen(everything, done, follows)
    ada = everything[0]
    is_of_user = stream in ("user", "watched")
    variables: Variables = {"of": (None, gid(ada))[of % 2] if is_of_user else gid(everything[of])}
    variables |= {"flag": flag} if stream == "watched" else {}
    document = text(stream, selection)
    variables["last" if backward else "first"] = size
    plan = planned(document, ada, variables)
    for _ in range(20):
        expected = whole(document, ada, variables)
        assert json.dumps(answer(plan, ada, variables, many)) == json.dumps(expected)
        [found] = expected.values()
        info = found["pageInfo"]
        end = info["startCursor" if backward else "endCursor"]
        if not size or not info["hasPreviousPage" if backward else "hasNextPage"]:
            break
        variables["before" if backward else "after"] = end
    else:
        pytest.fail("There were more pages than actions.")


def test_a_wrong_answer_would_be_found_out(
    everything: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(everything, [(0, 2, None, 0, True)], [])
    document, variables = text("actor", SELECTIONS[0]), {"of": gid(everything[0])}
    plan = planned(document, None, variables)
    expected = whole(document, None, variables)
    assert answer(plan, None, variables) == expected
    falsify(monkeypatch)
    assert answer(plan, None, variables) != expected


def test_what_a_rule_hides_is_hidden(everything: list[Any], ada: User, hide: Hide) -> None:
    project, article = everything[2:4]
    happen(everything, [(0, 2, 3, 0, True)], [])
    hide(project, except_from=ada)
    hide(article)
    document, variables = (
        text("actor", SELECTIONS[0] + " " + "nodes { displayName }"),
        {"of": gid(ada)},
    )
    plan = planned(document, ada, variables)
    for viewer in (ada, everything[1], None):
        expected = whole(document, viewer, variables)
        assert answer(plan, viewer, variables) == expected
        [edge] = expected["actorStream"]["edges"]
        assert (edge["node"]["target"] is not None) == (viewer == ada)
        assert edge["node"]["actionObject"] is None


def test_a_stream_of_what_is_hidden_is_answered_the_whole_way(
    everything: list[Any], ada: User, hide: Hide
) -> None:
    project = everything[2]
    hide(project, except_from=ada)
    document, variables = text("target", SELECTIONS[0]), {"of": gid(project)}
    plan = planned(document, ada, variables)
    assert answer(plan, ada, variables) == whole(document, ada, variables)
    with pytest.raises(NotNowError, match="no node that the viewer may see"):
        answer(plan, None, variables)
    project.delete()
    with pytest.raises(NotNowError, match="no node that the viewer may see"):
        answer(plan, ada, variables)


def test_an_object_that_no_statement_looks_for_is_answered_the_whole_way(
    everything: list[Any], ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there are more models than one statement looks for."""
    order = registry.registered()
    *others, last = sorted(range(2, 6), key=lambda at: order.index(type(everything[at])))
    happen(everything, [(0, others[0], None, 0, True), (1, last, None, 0, True)], [])
    document = text("actor", SELECTIONS[0])
    monkeypatch.setattr("schema.plans.MOST_MODELS", order.index(type(everything[last])))
    plan = planned(document, None, {"of": gid(ada)})
    assert answer(plan, None, {"of": gid(ada)}) == whole(document, None, {"of": gid(ada)})
    with pytest.raises(NotNowError, match="not read here"):
        answer(plan, None, {"of": gid(everything[1])})
    with pytest.raises(NotNowError):
        answer(plan, None, {"of": gid(everything[last])})


@pytest.mark.parametrize(
    "variables",
    [
        {"of": "nonsense"},
        {"of": ""},
        {"of": None},
        {},
        {"of": 7},
        {"first": "2"},
        {"first": 2.0},
        {"first": True},
        {"first": 101},
        {"first": 1, "last": 1},
        {"last": -1},
        {"after": "nonsense"},
        {"after": ["a"]},
    ],
)
def test_what_is_out_of_the_ordinary_is_answered_the_whole_way(
    ada: User, variables: Variables
) -> None:
    document = text("actor", SELECTIONS[0])
    plan = planned(document, None, {"of": gid(ada)})
    given = {} if variables == {} else {"of": gid(ada), **variables}
    with pytest.raises((NotNowError, PageError)):
        answer(plan, None, given)


def test_nobody_reads_somebody_elses_stream_by_a_plan(ada: User, bob: User, root: User) -> None:
    document = text("user", SELECTIONS[0])
    plan = planned(document, ada, {})
    for viewer, of in ((None, None), (bob, gid(ada)), (None, gid(ada)), (root, gid(ada))):
        with pytest.raises(NotNowError):
            answer(plan, viewer, {"of": of})


def test_who_may_not_see_themselves_is_answered_the_whole_way_by_id(ada: User, hide: Hide) -> None:
    document = text("user", SELECTIONS[0])
    plan = planned(document, ada, {})
    assert answer(plan, ada, {"of": gid(ada)}) == whole(document, ada, {"of": gid(ada)})
    hide(ada)
    assert answer(plan, ada, {}) == whole(document, ada, {})
    with pytest.raises(NotNowError):
        answer(plan, ada, {"of": gid(ada)})


def test_a_table_may_have_any_name(ada: User) -> None:
    """Also that of what a statement calls its page, unless it begins with Brook's own name."""
    plan = planned(text("actor", "nodes { target { id } }"), ada, {"of": gid(ada)})
    asked, statements = plan.asked({"of": gid(ada)}, ada), list[str]()
    plan.prepare(asked)
    context = Context(None)  # type: ignore[arg-type]
    context.viewer = ada
    asyncio.run(plan.answer(asked, context, fetching(statements), None))
    assert set(re.findall(r"(\w+) AS MATERIALIZED", statements[0])) == {"brook_page"}
    assert not re.search(r"\bpage\b", statements[0].replace('"site_page"', ""))


def test_long_texts_are_not_kept(ada: User) -> None:
    document = text("watched", SELECTIONS[0])
    plan = planned(document, ada, {"flag": "watching"})
    assert answer(plan, ada, {"flag": "x" * 255})
    with pytest.raises(NotNowError, match="out of the ordinary"):
        answer(plan, ada, {"flag": "x" * 256})


@pytest.mark.parametrize(
    "document",
    [
        "query ($of: ID!) { a: actorStream(actor: $of) { nodes { id } } __typename }",
        "query ($of: ID!) { ... on Query { actorStream(actor: $of) { nodes { id } } } }",
        "query ($of: ID!) { actorStream(actor: $of) { nodes { id @skip(if: false) } } }",
        "query ($of: ID!) { actorStream(actor: $of) { nodes { id } totalCount } }",
        "query ($of: ID!) { actorStream(actor: $of) { nodes { id } feedUrl } }",
        "query ($of: ID!) { actorStream(actor: $of) { nodes { id } resumeCursor } }",
        "query ($of: ID!) { actorStream(actor: $of) { nodes { url } } }",
        "query ($of: ID!) { mystream(obj: $of) { nodes { id } } }",
        "query ($of: ID!) { node(id: $of) { actorStream { nodes { id } } } }",
    ],
)
def test_there_is_no_plan_for_what_needs_more_than_rows(ada: User, document: str) -> None:
    context = context_of(ada)
    assert not schema.execute_sync(document, {"of": gid(ada)}, context).errors
    if context.answered is not None:
        with pytest.raises(UnplannedError):
            Plan(context.document, None, context.answered)


def test_a_site_that_says_what_is_visible_has_no_plans(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = type(Action.objects)
    monkeypatch.setattr(manager, "visible_to", lambda self, queryset, viewer: queryset)
    with pytest.raises(UnplannedError):
        planned(text("actor", SELECTIONS[0]), ada, {"of": gid(ada)})


def test_a_filter_is_answered_the_whole_way_unless_it_is_null(ada: User) -> None:
    document = f"""query ($of: ID!, $filter: ActionFilter)
        {{ actorStream(actor: $of, filter: $filter) {{ nodes {{ id }} {PAGE_INFO} }} }}"""
    variables: Variables = {"of": gid(ada), "filter": None}
    plan = planned(document, ada, variables)
    assert answer(plan, ada, variables) == whole(document, ada, variables)
    with pytest.raises(NotNowError, match="filter"):
        answer(plan, ada, {**variables, "filter": {"verbs": ["did"]}})


def test_a_lively_page_takes_one_statement_and_a_quiet_one_two(
    everything: list[Any], ada: User
) -> None:
    happen(everything, [(1, 2, 3, number % 4, True) for number in range(6)], [(1, "", True)])
    plan = planned(text("user", SELECTIONS[0]), ada, {})
    asked: list[str] = []
    context = Context(None)  # type: ignore[arg-type]
    context.viewer = ada

    def statements(size: int) -> int:
        it = plan.asked({"first": size}, ada)
        plan.prepare(it)
        asked.clear()
        asyncio.run(plan.answer(it, context, fetching(asked), None))
        return len(asked)

    assert [statements(size) for size in (5, 6, 6, 5)] == [1, 2, 1, 1], (
        "and for a while it is quiet"
    )


def test_a_stream_that_was_quiet_has_the_same_rows_when_it_is_lively(
    everything: list[Any], ada: User
) -> None:
    happen(everything, [(1, 2, 3, 0, True)], [(1, "", True)])
    document = text("user", "nodes { id }")
    plan = planned(document, ada, {"first": 1})
    assert answer(plan, ada, {"first": 1}) == whole(document, ada, {"first": 1})
    happen(everything, [(1, 2, 3, number, True) for number in range(3)], [(1, "", True)])
    [quiet], [lively] = (
        it.values() for it in (answer(plan, ada, {"first": 1}), whole(document, ada, {"first": 1}))
    )
    assert quiet["nodes"] == lively["nodes"]
    assert quiet["pageInfo"]["hasNextPage"]
    rest = {"first": 2, "after": quiet["pageInfo"]["endCursor"]}
    assert answer(plan, ada, rest) == whole(document, ada, rest)


def test_what_plans_keep_is_bounded(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_prepared", Latest(3))
    plan = planned(text("actor", SELECTIONS[2]), ada, {"of": gid(ada)})
    for size in range(10):
        assert answer(plan, ada, {"of": gid(ada), "first": size})
    assert len(plans._prepared) == 3
