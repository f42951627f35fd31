"""Streams in GraphQL: those of the manager, as fields of Query and of the nodes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone
from graphql import get_named_type

from server.models import Action, Follow, action
from tests.schema.client import ask, data, gid, gids, refusals, schema
from tests.schema.connections import START, at
from tests.site.managers import SiteActions
from tests.site.models import Article, Page, Project

MYSTREAM = """query ($id: ID!, $verb: String! = "posted") {
    query: mystream(obj: $id, verb: $verb) { nodes { id } }
    node(id: $id) { mystream(verb: $verb) { nodes { id } } } }"""


def sent(actor: Any, verb: str, **given: Any) -> Action:
    [(_, stored)] = action.send(actor, verb=verb, **given)
    assert isinstance(stored, Action)
    return stored


def ids_of(connection: Any) -> list[str]:
    return [node["id"] for node in connection["nodes"]]


@pytest.mark.parametrize("name", sorted(SiteActions.streams()))
def test_every_stream_of_the_manager_is_on_query(name: str) -> None:
    query: Any = schema._schema.type_map["Query"]
    camel = "".join(part.title() if at else part for at, part in enumerate(name.split("_")))
    assert get_named_type(query.fields[camel].type).name == "ActionConnection"


def test_every_stream_of_any_model_is_on_node_and_the_others_where_they_belong() -> None:
    def streams(name: str) -> set[str]:
        kind: Any = schema._schema.type_map[name]
        return {
            field
            for field, definition in kind.fields.items()
            if get_named_type(definition.type).name == "ActionConnection"
        }

    of_any = {
        "actorStream",
        "targetStream",
        "actionObjectStream",
        "anyStream",
        "mystream",
        "involving",
        "nothing",
        "untargeted",
        "wrong",
    }
    assert streams("Node") >= of_any
    assert streams("Page") == streams("Node")
    assert streams("Project") == streams("Node") | {"projectNews"}
    assert streams("User") == streams("Node") | {"userStream", "everything", "privateActions"}
    assert streams("Query") == (streams("User") | {"projectNews", "modelStream"}) - {
        "privateActions"
    }


def test_parameters_have_the_types_and_defaults_of_the_signature() -> None:
    query: Any = schema._schema.type_map["Query"]

    def arguments(name: str) -> dict[str, tuple[str, Any]]:
        paging = ("filter", "first", "after", "last", "before")
        return {
            argument: (str(definition.type), definition.ast_node or definition.default_value)
            for argument, definition in query.fields[name].args.items()
            if argument not in paging
        }

    printed = {name: {k: v[0] for k, v in arguments(name).items()} for name in query.fields}
    assert printed["mystream"] == {"obj": "ID!", "verb": "String!"}
    assert arguments("mystream")["verb"][1] == "posted"
    assert printed["userStream"] == {
        "user": "ID",
        "withUserActivity": "Boolean!",
        "followFlag": "String",
    }
    assert arguments("userStream")["withUserActivity"][1] is False
    assert printed["everything"] == {"user": "ID"}
    assert printed["modelStream"] == {"model": "NodeType!"}
    assert printed["involving"] == {"obj": "ID!"}
    assert printed["projectNews"] == {"project": "ID!", "verb": "String!"}


def test_mystream_answers_alike_everywhere(ada: User, bob: User, brook: Project) -> None:
    first = sent(ada, "commented", target=brook)
    hidden = sent(ada, "commented", target=brook, public=False)
    second = sent(ada, "commented")
    sent(ada, "posted", target=brook)
    sent(bob, "commented", target=ada, action_object=ada)
    wanted = [second, first]
    assert hidden.pk

    assert list(Action.objects.mystream(ada, "commented")) == wanted
    for related in (ada.actor_actions, ada.target_actions, ada.action_object_actions):
        assert list(related.mystream("commented")) == wanted
    answer = data(MYSTREAM, id=gid(ada), verb="commented")
    assert ids_of(answer["query"]) == gids(wanted)
    assert ids_of(answer["node"]["mystream"]) == gids(wanted)


def test_a_parameter_that_is_left_out_has_the_default_of_the_signature(
    ada: User, brook: Project
) -> None:
    posted = sent(ada, "posted", target=brook)
    sent(ada, "commented", target=brook)
    answer = data(MYSTREAM, id=gid(ada))
    assert ids_of(answer["query"]) == ids_of(answer["node"]["mystream"]) == [gid(posted)]


@pytest.mark.parametrize(
    "name", ["actor", "target", "actionObject", "any", "mystream", "involving", "untargeted"]
)
def test_a_stream_is_the_same_on_query_and_on_its_node(
    ada: User, bob: User, brook: Project, name: str
) -> None:
    for actor, target, thing in ((ada, bob, brook), (bob, ada, ada), (ada, None, bob)):
        sent(actor, "posted", target=target, action_object=thing)
    sent(ada, "posted", target=ada, public=False)
    field = name if name in ("mystream", "involving", "untargeted") else f"{name}Stream"
    argument = {"actor": "actor", "target": "target", "actionObject": "actionObject"}.get(
        name, "object" if name == "any" else "obj"
    )
    document = f"""query ($id: ID!) {{
        query: {field}({argument}: $id) {{ nodes {{ id }} totalCount }}
        node(id: $id) {{ page: {field} {{ nodes {{ id }} totalCount }} }} }}"""
    answer = data(document, id=gid(ada))
    assert answer["query"] == answer["node"]["page"]
    assert answer["query"]["nodes"] != []
    python = getattr(
        Action.objects, field if name == field else f"{name.replace('O', '_o')}_stream"
    )
    assert ids_of(answer["query"]) == gids(row for row in python(ada) if row.public)


def test_a_stream_of_any_role_has_each_action_once(ada: User, brook: Project) -> None:
    thrice = sent(ada, "saw", target=ada, action_object=ada)
    document = "query ($id: ID!) { anyStream(object: $id) { nodes { id } totalCount } }"
    assert data(document, id=gid(ada))["anyStream"] == {
        "nodes": [{"id": gid(thrice)}],
        "totalCount": 1,
    }


def test_a_model_stream_is_of_a_node_type(ada: User, brook: Project, article: Article) -> None:
    on_brook, on_article = sent(ada, "saw", target=brook), sent(ada, "saw", action_object=article)
    document = "query ($type: NodeType!) { modelStream(model: $type) { nodes { id } } }"
    assert ids_of(data(document, type="PROJECT")["modelStream"]) == [gid(on_brook)]
    assert ids_of(data(document, type="ARTICLE")["modelStream"]) == [gid(on_article)]
    assert ids_of(data(document, type="USER")["modelStream"]) == gids([on_article, on_brook])
    assert refusals(ask(document, type="DIARY")) == [(None, "BAD_USER_INPUT")]


def test_a_stream_of_one_model_takes_no_other(ada: User, brook: Project, page: Page) -> None:
    news = sent(ada, "opened", target=brook)
    document = "query ($id: ID!) { projectNews(project: $id) { nodes { id } } }"
    assert ids_of(data(document, id=gid(brook))["projectNews"]) == [gid(news)]
    assert refusals(ask(document, id=gid(page))) == [(["projectNews"], "BAD_USER_INPUT")]


def test_a_queryset_stream_shows_public_actions_newest_first(ada: User, brook: Project) -> None:
    old = sent(ada, "saw", target=brook, timestamp=START)
    new = sent(ada, "left", target=brook)
    secret = sent(ada, "saw", target=brook, public=False)
    assert set(Action.objects.involving(brook)) == {old, new, secret}
    document = "query ($id: ID!) { involving(obj: $id) { nodes { id } totalCount } }"
    assert data(document, id=gid(brook))["involving"] == {
        "nodes": [{"id": gid(new)}, {"id": gid(old)}],
        "totalCount": 2,
    }


def test_a_stream_of_no_dicts_is_empty(ada: User) -> None:
    sent(ada, "posted")
    document = "query ($id: ID!) { nothing(obj: $id) { nodes { id } totalCount } }"
    assert data(document, id=gid(ada))["nothing"] == {"nodes": [], "totalCount": 0}


@pytest.mark.parametrize(
    ("returns", "what"),
    [
        (lambda self, obj: self.all()[:5], "a sliced QuerySet"),
        (lambda self, obj: self.all().union(self.all()), "a combined QuerySet"),
        (lambda self, obj: self.values("verb"), "a values() QuerySet"),
        (lambda self, obj: self.values_list("verb"), "a values() QuerySet"),
        (lambda self, obj: User.objects.all(), "QuerySet"),
        (lambda self, obj: [obj], "list"),
        (lambda self, obj: None, "NoneType"),
    ],
    ids=["sliced", "combined", "values", "values_list", "other model", "list", "None"],
)
def test_a_stream_that_cannot_be_paged_is_refused_by_name(
    ada: User, monkeypatch: pytest.MonkeyPatch, returns: Any, what: str
) -> None:
    monkeypatch.setattr(SiteActions.involving, "stream", returns)
    document = """query ($id: ID!) {
        involving(obj: $id) { nodes { id } } healthy: actorStream(actor: $id) { totalCount } }"""
    answer = ask(document, id=gid(ada))
    assert answer["data"] == {"involving": None, "healthy": {"totalCount": 0}}
    [error] = answer["errors"]
    assert "The stream involving returned" in error["message"]
    assert what in error["message"]


def test_a_stream_of_distinct_rows_pages(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QuerySet that joins may need distinct(); it pages as any other."""
    rows = Action.objects.bulk_create(
        [Action(actor=ada, verb="saw", timestamp=time) for time in at(1, 1, 2)]
    )
    monkeypatch.setattr(SiteActions.involving, "stream", lambda self, obj: self.all().distinct())
    document = "query ($id: ID!) { involving(obj: $id, first: 2) { nodes { id } totalCount } }"
    assert data(document, id=gid(ada))["involving"] == {
        "nodes": [{"id": gid(row)} for row in (rows[2], rows[1])],
        "totalCount": 3,
    }


USER_STREAM = (
    """query ($user: ID) { userStream(user: $user) { nodes { id } } healthy: __typename }"""
)
OWN_STREAM = """query ($id: ID!) { node(id: $id) {
    id ... on User { userStream { nodes { id } } } } }"""


@pytest.fixture
def starred(ada: User, bob: User, brook: Project) -> Action:
    """Bob starred brook, and ada follows bob."""
    Follow.objects.create(user=ada, follow_object=bob)
    return sent(bob, "starred", target=brook)


def test_a_user_stream_is_the_viewers_when_no_user_is_named(ada: User, starred: Action) -> None:
    assert ids_of(data(USER_STREAM, ada)["userStream"]) == [gid(starred)]


def test_a_user_stream_is_open_to_its_owner_and_to_staff(
    ada: User, root: User, starred: Action
) -> None:
    for viewer in (ada, root):
        assert ids_of(data(USER_STREAM, viewer, user=gid(ada))["userStream"]) == [gid(starred)]
        assert ids_of(data(OWN_STREAM, viewer, id=gid(ada))["node"]["userStream"]) == [
            gid(starred)
        ]


def test_anothers_user_stream_is_null_and_forbidden(ada: User, bob: User, starred: Action) -> None:
    answer = ask(USER_STREAM, bob, user=gid(ada))
    assert answer["data"] == {"userStream": None, "healthy": "Query"}
    assert refusals(answer) == [(["userStream"], "FORBIDDEN")]
    answer = ask(OWN_STREAM, bob, id=gid(ada))
    assert answer["data"] == {"node": {"id": gid(ada), "userStream": None}}
    assert refusals(answer) == [(["node", "userStream"], "FORBIDDEN")]


def test_a_user_stream_is_null_and_unauthenticated_for_an_anonymous_visitor(
    ada: User, starred: Action
) -> None:
    for variables in ({}, {"user": gid(ada)}):
        answer = ask(USER_STREAM, None, **variables)
        assert answer["data"] == {"userStream": None, "healthy": "Query"}
        assert refusals(answer) == [(["userStream"], "UNAUTHENTICATED")]


def test_the_user_stream_of_nobody_and_of_another_thing_is_bad_user_input(
    ada: User, root: User, brook: Project, group: Group
) -> None:
    for given in ("?", gid(brook), gid(group)):
        for viewer in (ada, root):
            answer = ask(USER_STREAM, viewer, user=given)
            assert answer["data"] == {"userStream": None, "healthy": "Query"}
            assert refusals(answer) == [(["userStream"], "BAD_USER_INPUT")]


@pytest.fixture
def group(db: None) -> Group:
    return Group.objects.create(name="editors")


def test_the_parameters_of_a_user_stream_arrive(
    ada: User, bob: User, brook: Project, starred: Action
) -> None:
    own = sent(ada, "posted")
    Follow.objects.create(user=ada, follow_object=brook, flag="watching", actor_only=False)
    document = """query ($own: Boolean! = false, $flag: String) {
        userStream(withUserActivity: $own, followFlag: $flag) { nodes { id } } }"""
    assert ids_of(data(document, ada, own=True)["userStream"]) == gids([own, starred])
    assert ids_of(data(document, ada)["userStream"]) == [gid(starred)]
    assert ids_of(data(document, ada, flag="watching")["userStream"]) == [gid(starred)]
    assert ids_of(data(document, ada, flag="liking")["userStream"]) == []
    assert ids_of(data(document, ada, flag="")["userStream"]) == [gid(starred)]


def test_private_actions_are_in_no_stream_and_no_count(
    ada: User, bob: User, brook: Project, root: User, starred: Action
) -> None:
    Follow.objects.create(user=ada, follow_object=brook, actor_only=False)
    sent(bob, "starred", target=brook, action_object=ada, public=False)
    document = """query ($bob: ID!, $brook: ID!, $ada: ID!) {
        userStream(user: $ada) { nodes { id } totalCount }
        actorStream(actor: $bob) { nodes { id } totalCount }
        targetStream(target: $brook) { nodes { id } totalCount }
        actionObjectStream(actionObject: $ada) { nodes { id } totalCount }
        anyStream(object: $brook) { nodes { id } totalCount }
        modelStream(model: PROJECT) { nodes { id } totalCount }
        involving(obj: $brook) { nodes { id } totalCount }
        everything(user: $ada) { nodes { id } totalCount }
    }"""
    seen = {"nodes": [{"id": gid(starred)}], "totalCount": 1}
    for viewer in (ada, root):
        answer = data(document, viewer, bob=gid(bob), brook=gid(brook), ada=gid(ada))
        assert answer.pop("actionObjectStream") == {"nodes": [], "totalCount": 0}
        assert answer == dict.fromkeys(answer, seen)


def test_a_filter_chooses_by_verb_time_and_type(
    ada: User, brook: Project, article: Article
) -> None:
    now = timezone.now()
    rows = [
        sent(ada, "opened", target=brook, timestamp=now - timedelta(days=3)),
        sent(ada, "closed", target=brook, timestamp=now - timedelta(days=2)),
        sent(ada, "read", target=article, action_object=brook, timestamp=now - timedelta(days=1)),
        sent(brook, "thanked", target=ada, timestamp=now),
    ]
    document = """query ($filter: ActionFilter) {
        modelStream(model: PROJECT, filter: $filter) { nodes { id } totalCount } }"""

    def found(**wanted: Any) -> list[Action]:
        answer = data(document, filter=wanted)["modelStream"]
        assert answer["totalCount"] == len(answer["nodes"])
        return [row for row in rows if gid(row) in ids_of(answer)]

    assert found() == rows
    assert found(verbs=None) == rows
    assert found(verbs=[]) == []
    assert found(verbs=["opened", "read", "opened"]) == [rows[0], rows[2]]
    assert found(since=rows[1].timestamp.isoformat()) == rows[1:]
    assert found(until=rows[1].timestamp.isoformat()) == rows[:1]
    assert found(actorTypes=["PROJECT"]) == rows[3:]
    assert found(targetTypes=["ARTICLE", "USER"]) == rows[2:]
    assert found(actionObjectTypes=["PROJECT"]) == [rows[2]]
    assert found(actionObjectTypes=[]) == []
    assert found(verbs=["closed", "read"], targetTypes=["PROJECT"]) == [rows[1]]


def test_a_time_without_a_zone_in_a_filter_is_utc(ada: User) -> None:
    rows = [sent(ada, "saw", timestamp=time) for time in at(0, 1)]
    document = """query ($since: DateTime) {
        modelStream(model: USER, filter: {since: $since}) { nodes { id } } }"""
    since = rows[1].timestamp.replace(tzinfo=None).isoformat()
    assert ids_of(data(document, since=since)["modelStream"]) == [gid(rows[1])]


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"]
)
def test_a_time_at_the_end_of_the_calendar_is_no_fault_of_ours(ada: User, time: str) -> None:
    document = """query ($time: DateTime) {
        a: modelStream(model: USER, filter: {since: $time}) { totalCount }
        b: modelStream(model: USER, filter: {until: $time}) { totalCount } }"""
    assert {code for _, code in refusals(ask(document, time=time))} <= {"BAD_USER_INPUT"}


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800"])
def test_text_that_no_database_stores_matches_nothing(ada: User, text: str) -> None:
    Follow.objects.create(user=ada, follow_object=ada)
    sent(ada, "posted")
    document = """query ($id: ID!, $text: String!) {
        verbs: actorStream(actor: $id, filter: {verbs: [$text]}) { totalCount }
        parameter: mystream(obj: $id, verb: $text) { totalCount }
        flag: userStream(followFlag: $text) { totalCount }
        node(id: $id) { followers(flag: $text) { totalCount } viewerIsFollowing(flag: $text)
            ... on User { following(flag: $text) { totalCount } } }
    }"""
    none = {"totalCount": 0}
    assert ask(document, ada, id=gid(ada), text=text) == {
        "data": {
            "verbs": none,
            "parameter": none,
            "flag": none,
            "node": {"followers": none, "viewerIsFollowing": False, "following": none},
        }
    }


def test_a_count_stops_at_ten_thousand(ada: User) -> None:
    row = {"actor": ada, "verb": "saw", "timestamp": START}
    Action.objects.bulk_create([Action(**row) for _ in range(10_000)], batch_size=5_000)
    document = """query ($id: ID!) { actorStream(actor: $id, first: 0) { totalCount } }"""
    assert data(document, id=gid(ada))["actorStream"]["totalCount"] == 10_000
    Action.objects.create(**row)
    assert data(document, id=gid(ada))["actorStream"]["totalCount"] is None


def test_a_filtered_page_looks_at_ten_thousand_rows_and_goes_on_from_the_last(ada: User) -> None:
    wanted = Action.objects.create(actor=ada, verb="rare", timestamp=START)
    Action.objects.bulk_create(
        [Action(actor=ada, verb="saw", timestamp=time) for time in at(*range(1, 10_001))],
        batch_size=5_000,
    )
    document = """query ($id: ID!, $after: String) {
        actorStream(actor: $id, filter: {verbs: ["rare"]}, after: $after) {
            nodes { id } pageInfo { hasNextPage endCursor } } }"""
    page = data(document, id=gid(ada))["actorStream"]
    assert page["nodes"] == []
    assert page["pageInfo"]["hasNextPage"] is True
    page = data(document, id=gid(ada), after=page["pageInfo"]["endCursor"])["actorStream"]
    assert ids_of(page) == [gid(wanted)]
    assert page["pageInfo"]["hasNextPage"] is False
