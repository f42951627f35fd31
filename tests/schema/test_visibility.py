"""Nothing that a viewer may not see is anywhere in a response."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet

from server.demo.models import Comment, Issue, Repository
from server.models import Action, Follow, action
from tests.schema.client import ask, data, gid, gids, refusals
from tests.schema.conftest import Hide
from tests.schema.connections import CONNECTIONS, make
from tests.site.managers import SiteActions
from tests.site.models import Article, Page, Project, Venue

SECRET = "Xanadu"

#: Everything that can be asked of one node and of the users about it.
FRAGMENTS = """
fragment Whole on Node { __typename id displayName url viewerIsFollowing
  ... on User { username }
  ... on Action { verb data said: description
    actor { id displayName } target { id displayName } actionObject { id displayName } }
  ... on Follow { user { id displayName username } followObject { id displayName } }
  ... on Comment { text author { displayName username } issue { title displayName
    repository { name displayName owner { displayName } } } }
  ... on Issue { title repository { name displayName } }
  ... on Repository { name description owner { displayName username } } }
fragment Actions on ActionConnection { totalCount
  edges { cursor node { id displayName verb
    actor { ...Whole } target { ...Whole } actionObject { ...Whole } } }
  nodes { id displayName url actor { ... on User { username } } } }
fragment Follows on FollowConnection { totalCount
  edges { cursor node { id displayName user { username displayName } followObject { ...Whole } } }
  nodes { id displayName } }
fragment Streams on Node {
  actorStream(first: 5) { ...Actions } targetStream(first: 5) { ...Actions }
  actionObjectStream(first: 5) { ...Actions }
  anyStream(first: 5) { ...Actions } untargeted(first: 5) { ...Actions }
  involving(first: 5) { ...Actions }
  mystream(first: 5) { ...Actions } followers(first: 5) { ...Follows } }
"""
GIANT = (
    """query ($id: ID!, $ids: [ID!]!, $user: ID!) {
  node(id: $id) { ...Whole ...Streams }
  nodes(ids: $ids) { ...Whole followers(first: 5) { totalCount nodes { displayName } } }
  witness: node(id: $user) { ...Whole ...Streams
    ... on User { following(first: 5) { ...Follows }
    userStream(withUserActivity: true, first: 5) { ...Actions } } }
  users: modelStream(model: USER, first: 5) { ...Actions }
  projects: modelStream(model: PROJECT, first: 5) { ...Actions }
  mystream(obj: $user, first: 5) { ...Actions }
  involving(obj: $user, first: 5) { ...Actions }
  everything(user: $user, first: 5) { ...Actions }
}"""
    + FRAGMENTS
)


@pytest.fixture
def witness(db: None) -> User:
    """Who asks; logged in, and no staff."""
    return User.objects.create(username="witness")


def named(model: Any) -> Any:
    if model is User:
        return User.objects.create(username=SECRET)
    if model is Page:
        return Page.objects.create(slug=SECRET)
    if model is Article:
        return Article.objects.create(title=SECRET)
    if model is Issue:
        return make(Issue, title=SECRET)
    if model is Comment:
        return make(Comment, text=SECRET)
    return make(model, name=SECRET)


def surround(obj: Any, witness: User) -> list[Any]:
    """Actions and follows that name an object in every way; returns their rows."""
    other = make(User)
    rows: list[Any] = [
        action.send(obj, verb="posted", target=witness, action_object=witness)[0][1],
        action.send(witness, verb="posted", target=obj, action_object=witness)[0][1],
        action.send(witness, verb="posted", target=witness, action_object=obj)[0][1],
        action.send(other, verb="posted", target=obj, action_object=obj)[0][1],
        Follow.objects.create(user=witness, follow_object=obj, actor_only=False),
        Follow.objects.create(user=other, follow_object=obj),
    ]
    if isinstance(obj, User):
        rows.append(Follow.objects.create(user=obj, follow_object=witness))
    return rows


def giant(obj: Any, rows: list[Any], witness: User, viewer: Any) -> str:
    ids = [gid(obj), *gids(rows), gid(witness)]
    answer = ask(GIANT, viewer, id=gid(obj), ids=ids, user=gid(witness))
    wrong = [error["extensions"]["code"] for error in answer.get("errors", [])]
    expected = [] if viewer == witness or viewer.is_staff else ["FORBIDDEN"]
    assert wrong == expected, answer["errors"]
    return json.dumps(answer)


EVERY_KIND = [User, Group, Project, Article, Page, Venue, Repository, Issue, Comment]


@pytest.mark.parametrize("model", EVERY_KIND)
def test_a_hidden_object_is_nowhere_in_a_response(
    model: Any, witness: User, hide: Hide, db: None
) -> None:
    obj = named(model)
    rows = surround(obj, witness)
    hide(obj)
    assert SECRET not in giant(obj, rows, witness, witness)


@pytest.mark.parametrize("model", EVERY_KIND)
def test_who_may_see_the_object_sees_it_in_the_same_response(
    model: Any, witness: User, hide: Hide, db: None
) -> None:
    """The negative control of the test above."""
    obj = named(model)
    rows = surround(obj, witness)
    hide(obj, except_from=witness)
    assert giant(obj, rows, witness, witness).count(SECRET) > 20
    assert SECRET not in giant(obj, rows, witness, make(User))


def test_a_hidden_object_is_nowhere_though_it_is_a_site_types_foreign_key(
    witness: User, hide: Hide
) -> None:
    owner = User.objects.create(username=SECRET)
    repository = make(Repository, name="open", owner=owner)
    comment = make(Comment, author=owner, issue=make(Issue, repository=repository))
    rows = [repository, comment, *surround(repository, witness), *surround(comment, witness)]
    assert SECRET in giant(comment, rows, witness, witness)
    hide(owner)
    assert SECRET not in giant(comment, rows, witness, witness)
    document = """query ($id: ID!) { node(id: $id) { ... on Repository { name owner { id } } } }"""
    assert data(document, witness, id=gid(repository))["node"] == {"name": "open", "owner": None}


def test_an_object_hidden_by_a_sites_own_rule_is_nowhere(witness: User) -> None:
    """The demo's rule: a private repository is its owner's and members'."""
    owner = make(User)
    repository = make(Repository, name=SECRET, owner=owner, private=True)
    issue = make(Issue, title=SECRET, repository=repository)
    for obj in (repository, issue, make(Comment, text=SECRET, issue=issue)):
        rows = surround(obj, witness)
        assert SECRET not in giant(obj, rows, witness, witness)
        assert SECRET in giant(obj, rows, witness, owner)


def test_a_hidden_object_is_nowhere_though_actions_are_acted_on(
    witness: User, hide: Hide, registered: Any
) -> None:
    """The name of an action is made of the names of its roles; so is that of an action on it."""
    registered(Action, Follow)
    hidden, open_ = named(Project), make(Project)
    [(_, starred)] = action.send(witness, verb="starred", target=hidden)
    [(_, liked)] = action.send(witness, verb="liked", target=starred, action_object=open_)
    follow = Follow.objects.create(user=witness, follow_object=hidden)
    [(_, noted)] = action.send(witness, verb="noted", target=follow)
    follows = [
        Follow.objects.create(user=witness, follow_object=row) for row in (starred, liked, follow)
    ]
    rows = [starred, liked, follow, noted, *follows]
    assert SECRET in giant(starred, rows, witness, witness)
    hide(hidden)
    for row in rows:
        assert SECRET not in giant(row, rows, witness, witness)


def test_the_name_of_an_action_is_of_the_roles_that_the_viewer_may_see(
    witness: User, hide: Hide
) -> None:
    hidden, brook = named(Project), Project.objects.create(name="brook")
    rows = [
        action.send(witness, verb="starred", target=hidden)[0][1],
        action.send(witness, verb="opened", target=brook, action_object=hidden)[0][1],
        action.send(hidden, verb="thanked", target=witness)[0][1],
    ]
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { displayName } }"
    hide(hidden, except_from=witness)
    assert [node["displayName"] for node in data(document, witness, ids=gids(rows))["nodes"]] == [
        f"witness starred {SECRET}",
        f"witness opened {SECRET} on brook",
        f"{SECRET} thanked witness",
    ]
    assert [node["displayName"] for node in data(document, None, ids=gids(rows))["nodes"]] == [
        "witness starred",
        "witness opened brook",
        "thanked witness",
    ]


def test_the_name_of_a_follow_is_of_what_the_viewer_may_see(
    ada: User, brook: Project, hide: Hide
) -> None:
    follow = Follow.objects.create(user=ada, follow_object=brook)
    document = "query ($id: ID!) { node(id: $id) { displayName } }"
    assert data(document, id=gid(follow))["node"]["displayName"] == "ada follows brook"
    hide(brook)
    assert data(document, id=gid(follow))["node"]["displayName"] == "ada follows"
    hide(ada)
    assert data(document, id=gid(follow))["node"]["displayName"] == "follows"


HidesActions = Callable[[Any], None]


@pytest.fixture
def hide_actions(monkeypatch: pytest.MonkeyPatch) -> HidesActions:
    """A site's ``visible_to``: the verb is for one viewer."""

    def hidden(viewer: Any) -> None:
        def visible_to(self: Any, queryset: QuerySet[Action], asking: Any) -> QuerySet[Action]:
            return queryset if asking == viewer else queryset.exclude(verb__contains=SECRET)

        monkeypatch.setattr(SiteActions, "visible_to", visible_to)

    return hidden


STREAMS = sorted({c.name for c in CONNECTIONS if c.kind == "a"} - {"wrong", "nothing"})


def test_what_visible_to_drops_is_in_no_stream_no_count_and_no_node(
    ada: User, bob: User, hide_actions: HidesActions
) -> None:
    brook = Project.objects.create(pk=ada.pk + 1000, name="brook")
    seen: dict[str, Any] = {"actor": ada, "target": ada, "action_object": ada}
    verbs = ["posted", "opened", f"{SECRET} posted"]
    rows = [Action.objects.create(**seen, verb=verb) for verb in verbs]
    rows += [Action.objects.create(actor=ada, verb=verb) for verb in verbs]
    rows += [Action.objects.create(actor=brook, target=brook, verb=verb) for verb in verbs]
    rows += [Action.objects.create(actor=ada, verb=verb, public=False) for verb in verbs]
    Follow.objects.create(user=ada, follow_object=ada)
    hide_actions(bob)
    bob.is_staff = True
    document = """query ($ada: ID!, $ids: [ID!]!, $verb: String!, $brook: ID!) {
        nodes(ids: $ids) { displayName ... on Action { verb } }
        node(id: $ada) { anyStream { ...A } actorStream { ...A } targetStream { ...A }
          actionObjectStream { ...A } untargeted { ...A } involving { ...A }
          mystream(verb: $verb) { ...A }
          ... on User { userStream { ...A } privateActions { ...A } everything { ...A } } }
        modelStream(model: USER) { ...A }
        projectNews(project: $brook, verb: $verb) { ...A }
    }
    fragment A on ActionConnection { totalCount nodes { id } edges { node { displayName verb } } }
    """
    variables: dict[str, Any] = {
        "ada": gid(ada),
        "brook": gid(brook),
        "ids": gids(rows),
        "verb": f"{SECRET} posted",
    }
    assert all(name in document for name in STREAMS), "a stream that this test leaves out"
    answer = data(document, ada, **variables)
    assert SECRET not in json.dumps(answer)
    assert answer["nodes"][2] is None
    assert {name: page["totalCount"] for name, page in answer["node"].items()} == {
        "anyStream": 4,
        "actorStream": 4,
        "targetStream": 2,
        "actionObjectStream": 2,
        "untargeted": 2,
        "involving": 2,
        "mystream": 0,
        "userStream": 4,
        "privateActions": 2,
        "everything": 6,
    }
    answer = data(document, bob, **variables)
    assert json.dumps(answer).count(SECRET) > 20
    assert answer["nodes"][2]["verb"] == f"{SECRET} posted"
    assert answer["node"]["anyStream"]["totalCount"] == 6


def test_a_hidden_action_is_nowhere_though_it_is_acted_on(
    ada: User, bob: User, brook: Project, hide_actions: HidesActions, registered: Any
) -> None:
    registered(Action)
    [(_, hidden)] = action.send(ada, verb=SECRET, target=brook)
    [(_, liked)] = action.send(ada, verb="liked", target=hidden)
    rows = [hidden, liked, Follow.objects.create(user=ada, follow_object=hidden)]
    hide_actions(bob)
    assert SECRET not in giant(hidden, rows, ada, ada)
    bob.is_staff = True
    assert SECRET in giant(hidden, rows, ada, bob)


PRIVATE = "query ($id: ID!) { node(id: $id) { id displayName } }"


def test_a_private_action_is_visible_by_id_to_its_actor_and_to_staff(
    ada: User, bob: User, root: User
) -> None:
    [(_, secret)] = action.send(ada, verb="wrote", target=bob, public=False)
    for viewer in (ada, root):
        assert data(PRIVATE, viewer, id=gid(secret))["node"]["id"] == gid(secret)
    for stranger in (bob, None):
        assert ask(PRIVATE, stranger, id=gid(secret)) == {"data": {"node": None}}


def test_a_private_action_that_is_acted_on_is_a_null_role(
    ada: User, bob: User, registered: Any
) -> None:
    registered(Action)
    [(_, secret)] = action.send(ada, verb=SECRET, public=False)
    action.send(ada, verb="liked", target=secret)
    document = """query ($id: ID!) { actorStream(actor: $id) {
        nodes { displayName target { displayName } } } }"""
    assert data(document, bob, id=gid(ada))["actorStream"]["nodes"] == [
        {"displayName": "ada liked", "target": None}
    ]
    mine = data(document, ada, id=gid(ada))["actorStream"]["nodes"]
    assert mine[0]["target"] == {"displayName": f"ada {SECRET}"}


def test_a_hidden_users_stream_is_as_unknown(ada: User, bob: User, hide: Hide) -> None:
    hide(bob)
    document = """query ($id: ID!) {
        actorStream(actor: $id) { totalCount } userStream(user: $id) { totalCount } }"""
    hidden, unknown = ask(document, ada, id=gid(bob)), ask(document, ada, id="VXNlcjo5OTk5OTk=")
    shapes = [
        (answer["data"], refusals(answer), answer["errors"][0]["message"].replace(given, "…"))
        for answer, given in ((hidden, gid(bob)), (unknown, "VXNlcjo5OTk5OTk="))
    ]
    assert shapes[0] == shapes[1]


def test_a_vanished_object_is_a_null_role(ada: User, brook: Project) -> None:
    action.send(ada, verb="starred", target=brook)
    Project.objects.filter(pk=brook.pk)._raw_delete("default")
    document = """query ($id: ID!) { actorStream(actor: $id) {
        nodes { displayName actor { id } target { id } } } }"""
    assert data(document, id=gid(ada))["actorStream"]["nodes"] == [
        {"displayName": "ada starred", "actor": {"id": gid(ada)}, "target": None}
    ]


def test_healthy_fields_stand_beside_a_forbidden_one(ada: User, bob: User) -> None:
    document = """query ($ada: ID!, $bob: ID!) {
        node(id: $ada) { displayName ... on User { userStream { totalCount }
            privateActions { totalCount } following { totalCount } } }
        userStream(user: $bob) { totalCount }
        bad: anyStream(object: "?") { totalCount } }"""
    answer = ask(document, bob, ada=gid(ada), bob=gid(bob))
    none = {"totalCount": 0}
    assert answer["data"] == {
        "node": {
            "displayName": "ada",
            "userStream": None,
            "privateActions": None,
            "following": none,
        },
        "userStream": none,
        "bad": None,
    }
    assert sorted(refusals(answer), key=str) == [
        (["bad"], "BAD_USER_INPUT"),
        (["node", "privateActions"], "FORBIDDEN"),
        (["node", "userStream"], "FORBIDDEN"),
    ]
