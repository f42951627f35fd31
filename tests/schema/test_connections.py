"""What every connection of the schema promises; a new one is covered the moment it exists."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from graphql import GraphQLInterfaceType, get_named_type
from hypothesis import given, settings
from hypothesis import strategies as st

from server import registry
from server.models import Action, Follow
from tests.schema.client import ask, data, gids, refusals, schema
from tests.schema.connections import (
    CONNECTIONS,
    FILLED,
    ONCE,
    START,
    WINDOW,
    WINDOW_VARIABLES,
    ConnectionField,
    at,
    cursor,
    make,
)
from tests.site.models import Article, Project

every_connection = pytest.mark.parametrize("connection", CONNECTIONS, ids=str)
each_connection_once = pytest.mark.parametrize("connection", ONCE, ids=str)
every_filled_connection = pytest.mark.parametrize("connection", FILLED, ids=str)

CURSORS = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
PLAIN = "nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"

# Statements of one page whose rows name a user, a project and an article each (or, of follows, a
# user and a project): as it is, and with totalCount and viewerIsFollowing of each of these.
# Loading the reference object is one of them, where that is not done with the others.
# docs/performance.md has these numbers.
STATEMENTS = {
    "Query.userStream": (3, 7),
    "Query.actorStream": (2, 7),
    "Query.targetStream": (2, 7),
    "Query.actionObjectStream": (2, 7),
    "Query.anyStream": (2, 7),
    "Query.modelStream": (2, 6),
    "Query.mystream": (3, 7),
    "User.privateActions": (3, 7),
    "User.following": (3, 6),
    "Project.followers": (3, 6),
}


@pytest.fixture(autouse=True)
def whole_world(registered: Any) -> None:
    """Actions and follows can be acted on and followed, so that their connections have rows."""
    registered(Action, Follow)


@pytest.fixture
def of(connection: ConnectionField, db: None) -> Any:
    return connection.reference_object()


@pytest.fixture
def viewer(of: Any, db: None) -> User:
    return of if isinstance(of, User) else make(User)


def test_the_walk_finds_the_connections_that_there_are() -> None:
    """The negative control of all that follow: the walk is not empty."""
    found = {str(connection) for connection in CONNECTIONS}
    assert found >= {
        *STATEMENTS,
        "Project.projectNews",
        "Article.followers",
        "Action.targetStream",
        "Follow.anyStream",
        "Page.mystream",
    }


@every_connection
def test_every_connection_takes_the_arguments_of_relay(connection: ConnectionField) -> None:
    taken = {name: str(argument.type) for name, argument in connection.definition.args.items()}
    wanted = {"first": "Int", "after": "String", "last": "Int", "before": "String"}
    assert {name: taken.get(name) for name in wanted} == wanted
    assert [connection.definition.args[name].default_value is None for name in wanted] == (
        [False] * 4
    )  # Undefined, so that the printed schema has no "= null"


@every_connection
def test_every_connection_is_nullable_and_whole(connection: ConnectionField) -> None:
    kind = get_named_type(connection.definition.type)
    assert str(connection.definition.type) == kind.name
    row = kind.name.removesuffix("Connection")
    assert {name: str(field.type) for name, field in kind.fields.items()} == {
        "edges": f"[{row}Edge!]!",
        "nodes": f"[{row}!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int",
        **({"resumeCursor": "String!", "feedUrl": "String"} if row == "Action" else {}),
    }


def test_what_is_tried_once_is_every_field_and_every_type() -> None:
    assert {c.name for c in ONCE} == {c.name for c in FILLED}
    assert len({c.holder for c in ONCE}) > 8


def test_a_connection_of_node_is_one_of_every_type() -> None:
    interface = schema._schema.type_map["Node"]
    assert isinstance(interface, GraphQLInterfaceType)
    of_node = {name for name, field in interface.fields.items() if "Connection" in str(field.type)}
    kinds = [kind.name for kind in schema._schema.get_possible_types(interface)]
    found = {str(connection) for connection in CONNECTIONS}
    assert {f"{kind}.{name}" for kind in kinds for name in of_node} <= found


@every_filled_connection
def test_every_connection_refuses_a_page_that_there_is_none_of(
    connection: ConnectionField, of: Any, viewer: User
) -> None:
    foreign = cursor("f1:0:1" if connection.kind == "a" else "a1:0:1")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"first": -1}, "first is at least 0 and at most 100; this is -1."),
        ({"first": 101}, "first is at least 0 and at most 100; this is 101."),
        ({"last": -1}, "last is at least 0 and at most 100; this is -1."),
        ({"last": 101}, "last is at least 0 and at most 100; this is 101."),
        ({"first": 1, "last": 1}, "Ask for first or for last, not for both."),
        ({"after": "garbage"}, "'garbage' is no cursor of this stream."),
        ({"before": ""}, "'' is no cursor of this stream."),
        ({"after": foreign}, f"{foreign!r} is no cursor of this stream."),
        ({"before": foreign}, f"{foreign!r} is no cursor of this stream."),
    ]
    for window, said in refused:
        answer = ask(connection.document(PLAIN), viewer, id=gids([of])[0], **window)
        assert connection.page(answer["data"]) is None
        [error] = answer["errors"]
        assert (error["message"], error["extensions"]) == (said, {"code": "BAD_USER_INPUT"})


@pytest.mark.parametrize(
    "text",
    [
        "a1:0",
        "a1:0:",
        "a1:0:-1",
        "a1:0:1:1",
        "a2:0:1",
        "1:0:1",
        "A1:0:1",
        "a1:0:9223372036854775808",
        "a1:999999999999999999:1",
        "a1: 0:1",
        "a1:٣:1",
        "a1:0:1\n",
    ],
)
def test_a_cursor_is_validated_whole(db: None, text: str) -> None:
    document = "query ($after: String) { modelStream(model: USER, after: $after) { totalCount } }"
    assert refusals(ask(document, after=cursor(text))) == [(["modelStream"], "BAD_USER_INPUT")]


def test_a_cursor_that_is_right_is_taken(db: None) -> None:
    """The negative control of the cursors above."""
    document = "query ($after: String) { modelStream(model: USER, after: $after) { totalCount } }"
    assert ask(document, after=cursor("a1:0:9223372036854775807")) == {
        "data": {"modelStream": {"totalCount": 0}}
    }


@given(text=st.text(max_size=40))
def test_no_text_as_a_cursor_is_a_fault(db: None, text: str) -> None:
    document = "query ($after: String) { modelStream(model: USER, after: $after) { totalCount } }"
    assert refusals(ask(document, after=text)) == [(["modelStream"], "BAD_USER_INPUT")]


@every_filled_connection
def test_every_connection_pages_both_ways_over_equal_times(
    connection: ConnectionField, of: Any, viewer: User
) -> None:
    rows = connection.ordered(connection.fill(of, at(0, 1, 1, 1, 1, 2, 2)))
    ids = gids(rows)

    forward: list[str] = []
    after = None
    for _ in range(4):
        page = connection.ask(of, viewer, PLAIN, first=2, after=after)
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        forward += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        assert page["pageInfo"]["hasNextPage"] is (len(forward) < 7)
    assert forward == ids

    backward: list[str] = []
    before = None
    for _ in range(4):
        page = connection.ask(of, viewer, PLAIN, last=2, before=before)
        assert page["pageInfo"]["hasNextPage"] is (before is not None)
        backward = [node["id"] for node in page["nodes"]] + backward
        before = page["pageInfo"]["startCursor"]
        assert page["pageInfo"]["hasPreviousPage"] is (len(backward) < 7)
    assert backward == ids


@each_connection_once
def test_every_connection_has_twenty_rows_where_no_size_is_asked_for(
    connection: ConnectionField, of: Any, viewer: User
) -> None:
    rows = connection.ordered(connection.fill(of, at(*range(21))))
    page = connection.ask(of, viewer)
    assert [node["id"] for node in page["nodes"]] == gids(rows[:20])
    assert [edge["node"]["id"] for edge in page["edges"]] == gids(rows[:20])
    assert page["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": page["edges"][0]["cursor"],
        "endCursor": page["edges"][-1]["cursor"],
    }
    assert page["totalCount"] == 21


@pytest.mark.parametrize("connection", [c for c in CONNECTIONS if c.name != "wrong"], ids=str)
def test_every_connection_may_be_empty(connection: ConnectionField, of: Any, viewer: User) -> None:
    assert connection.ask(of, viewer) == {
        "edges": [],
        "nodes": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
        "totalCount": 0,
    }


@every_filled_connection
def test_a_page_of_size_nought_says_whether_there_is_more(
    connection: ConnectionField, of: Any, viewer: User
) -> None:
    connection.fill(of, at(0))
    page = connection.ask(of, viewer, PLAIN, first=0)
    assert page["nodes"] == []
    assert page["pageInfo"]["hasNextPage"] is True


def statements(
    connection: ConnectionField, of: Any, viewer: User, size: int, selection: str = ""
) -> int:
    """How many a page of so many rows takes, the content types known as they are in a server."""
    ContentType.objects.clear_cache()
    for model in registry.registered():
        registry.content_type(model)
    with CaptureQueriesContext(database) as captured:
        page = connection.ask(of, viewer, selection, first=size)
    assert len(page["edges"]) == size
    return len(captured)


@each_connection_once
def test_every_connection_takes_the_same_statements_for_1_20_and_100_rows(
    connection: ConnectionField, of: Any, viewer: User
) -> None:
    connection.fill(of, at(*range(101)))
    counts = {size: statements(connection, of, viewer, size) for size in (1, 20, 100)}
    assert len(set(counts.values())) == 1, counts


@pytest.mark.parametrize("connection", [c for c in CONNECTIONS if str(c) in STATEMENTS], ids=str)
def test_a_page_takes_as_many_statements_as_is_written(
    connection: ConnectionField, db: None
) -> None:
    pinned = {
        "targetStream": "target",
        "actionObjectStream": "action_object",
        "modelStream": "target",
        "followers": "target",
    }.get(connection.name, "actor")
    roles = {"actor": User, "target": Project, "action_object": Article}
    of = make(roles[pinned])
    viewer = of if isinstance(of, User) else make(User)
    if connection.row is Action:
        connection.fill(of, [])
        rows = [
            Action(
                **{role: make(model) for role, model in roles.items()} | {pinned: of},
                verb="posted",
                timestamp=time,
                public=connection.name != "privateActions",
            )
            for time in at(*range(101))
        ]
        Action.objects.bulk_create(rows)
    else:
        connection.fill(of, at(*range(101)))
    bare = "edges { cursor node { id displayName } } pageInfo { endCursor }"
    named = (
        bare,
        connection.whole_page,
    )
    for size in (1, 20, 100):
        found = tuple(statements(connection, of, viewer, size, selection) for selection in named)
        assert found == STATEMENTS[str(connection)]


def statements_table() -> str:
    """The numbers as docs/performance.md has them."""
    lines = ["| a page of | statements | with counts and follows |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {bare} | {whole} |" for name, (bare, whole) in STATEMENTS.items()]
    return "\n".join(lines)


def moments(most: int) -> Any:
    return st.lists(st.integers(0, 3), max_size=most)


PAGED = [
    connection
    for connection in FILLED
    if connection.holder == "Query" or str(connection) in STATEMENTS
]


@pytest.mark.parametrize("connection", PAGED, ids=str)
@settings(max_examples=15)
@given(
    present=moments(12),
    arriving=st.lists(moments(3), max_size=8),
    leaving=st.lists(st.integers(0, 30), max_size=8),
    size=st.integers(1, 4),
    forward=st.booleans(),
)
def test_a_page_neither_repeats_nor_skips_what_arrives_or_goes_in_between(
    connection: ConnectionField,
    db: None,
    present: list[int],
    arriving: list[list[int]],
    leaving: list[int],
    size: int,
    forward: bool,
) -> None:
    """Each page is what a naive reference says at its moment: the next rows past the last one."""
    with transaction.atomic():
        of = connection.reference_object()
        viewer = of if isinstance(of, User) else make(User)
        rows = connection.fill(of, at(*present)) if present else []
        passed: list[tuple[datetime, int]] = []
        reached: str | None = None
        for turn in range(40):
            window = (
                {"first": size, "after": reached} if forward else {"last": size, "before": reached}
            )
            page = connection.ask(of, viewer, PLAIN, **window)
            reference = [key(connection, row) for row in connection.ordered(rows)]
            reference = reference if forward else reference[::-1]
            ahead = [
                place
                for place in reference
                if not passed or (place < passed[-1] if forward else place > passed[-1])
            ]
            wanted = ahead[:size]
            by_id = {pair[0]: pair[1] for pair in zip(gids(rows), rows, strict=True)}
            found = [key(connection, by_id[node["id"]]) for node in page["nodes"]]
            assert (found if forward else found[::-1]) == wanted
            more = page["pageInfo"]["hasNextPage" if forward else "hasPreviousPage"]
            assert more is (len(ahead) > size)
            passed += wanted
            if not wanted:
                break
            reached = page["pageInfo"]["endCursor" if forward else "startCursor"]
            if turn < len(arriving) and arriving[turn]:
                rows += connection.fill(of, at(*arriving[turn]))
            if turn < len(leaving) and leaving[turn] < len(rows):
                gone = rows.pop(leaving[turn])
                type(gone).objects.filter(pk=gone.pk).delete()
        assert len(passed) == len(set(passed))
        transaction.set_rollback(True)


def key(connection: ConnectionField, row: Any) -> tuple[datetime, int]:
    return getattr(row, connection.time), row.pk


@pytest.mark.parametrize("connection", PAGED, ids=str)
def test_a_window_between_two_cursors_holds_what_lies_between(
    connection: ConnectionField, db: None
) -> None:
    of = connection.reference_object()
    viewer = of if isinstance(of, User) else make(User)
    rows = connection.ordered(connection.fill(of, at(0, 0, 1, 1, 2)))
    cursors = [edge["cursor"] for edge in connection.ask(of, viewer, CURSORS)["edges"]]
    between = connection.ask(of, viewer, PLAIN, first=5, after=cursors[0], before=cursors[4])
    assert [node["id"] for node in between["nodes"]] == gids(rows[1:4])
    assert between["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": True,
        "startCursor": cursors[1],
        "endCursor": cursors[3],
    }
    last = connection.ask(of, viewer, PLAIN, last=2, after=cursors[0], before=cursors[4])
    assert [node["id"] for node in last["nodes"]] == gids(rows[2:4])


def test_the_microsecond_of_a_cursor_counts(db: None) -> None:
    ada = make(User)
    connection = next(c for c in CONNECTIONS if str(c) == "Query.actorStream")
    rows = connection.fill(ada, [START + timedelta(microseconds=n) for n in (0, 1, 999_999)])
    edges = connection.ask(ada, ada, CURSORS)["edges"][::-1]
    assert [
        connection.ask(ada, ada, PLAIN, first=1, after=edge["cursor"])["nodes"] for edge in edges
    ] == [[], [{"id": gids(rows)[0]}], [{"id": gids(rows)[1]}]]


BELOW = [connection for connection in ONCE if connection.holder != "Query"]


@pytest.mark.parametrize("connection", BELOW, ids=str)
@pytest.mark.parametrize(
    "window",
    [{}, {"first": 2}, {"last": 2}, {"first": 0}, {"first": 2, "after": "middle"},
     {"last": 1, "before": "middle"}],
    ids=str,
)  # fmt: skip
def test_a_connection_below_a_list_answers_as_it_does_alone(
    connection: ConnectionField, db: None, root: User, window: dict[str, Any]
) -> None:
    objects = [connection.reference_object() for _ in range(4)]
    for number, obj in enumerate(objects[:3]):
        connection.fill(obj, at(*range(number + 2), 1))
    if connection.row is Action and connection.name not in ("userStream", "privateActions"):
        # An action that stands below two parents.
        first, second = objects[:2]
        Action.objects.create(
            actor=first, verb="posted", target=second, action_object=first, timestamp=START
        )
    middle = cursor(f"{connection.kind}1:{int(at(1)[0].timestamp()) * 10**6}:{2**62}")
    window = {name: middle if size == "middle" else size for name, size in window.items()}
    document = f"""query ($ids: [ID!]!, {WINDOW_VARIABLES}) {{ nodes(ids: $ids) {{
        ... on {connection.holder} {{ page: {connection.name}({WINDOW}) {{
            {connection.whole_page} }} }} }} }}"""
    together = data(document, root, ids=gids(objects), **window)["nodes"]
    alone = [connection.ask(obj, root, **window) for obj in objects]
    assert [node["page"] for node in together] == alone
    assert window.get("first") == 0 or any(page["nodes"] for page in alone)


@pytest.mark.parametrize("filtered", ['verbs: ["b"]', 'since: "2026-01-01T00:01:00Z"'])
def test_a_filtered_stream_below_a_list_answers_as_it_does_alone(
    db: None, root: User, filtered: str
) -> None:
    users = [make(User) for _ in range(3)]
    for user in users:
        rows = zip("abcb", at(0, 1, 1, 2), strict=True)
        Action.objects.bulk_create(
            [Action(actor=user, target=users[0], verb=v, timestamp=t) for v, t in rows]
        )
    page = f"anyStream(first: 2, filter: {{ {filtered} }}) {{ {PLAIN} totalCount }}"
    together = data(
        f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {page} }} }}", root, ids=gids(users)
    )["nodes"]
    alone = [
        data(f"query ($id: ID!) {{ node(id: $id) {{ {page} }} }}", root, id=given)["node"]
        for given in gids(users)
    ]
    assert together == alone
    assert alone[1]["anyStream"]["totalCount"] > 1


def test_a_stream_that_is_not_open_is_null_below_its_own_node_alone(ada: User, bob: User) -> None:
    Action.objects.create(actor=bob, verb="woke")
    Follow.objects.create(user=ada, follow_object=bob)
    document = """query ($ids: [ID!]!) { nodes(ids: $ids) {
        ... on User { userStream { nodes { verb } } privateActions { totalCount } } } }"""
    for ids in ([bob, ada], [ada, bob], [bob, ada, bob]):
        answer = ask(document, ada, ids=gids(ids))
        shown = {"userStream": {"nodes": [{"verb": "woke"}]}, "privateActions": {"totalCount": 0}}
        hidden = {"userStream": None, "privateActions": None}
        assert answer["data"]["nodes"] == [shown if user == ada else hidden for user in ids]
        assert {code for _, code in refusals(answer)} == {"FORBIDDEN"}
