"""One door: what is hidden comes out of no field of the schema, whoever asks for everything.

The fields are found by walking the schema. Each must show what is hidden to who may see it; so a
new field fails here until something hidden stands in its way.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models import Model, QuerySet
from django.test.utils import CaptureQueriesContext

from schema import catalog, door, limits, shapes
from server.cursors import Position
from server.models import Action, Follow
from tests.schema.client import ask, gid
from tests.schema.conftest import Hide
from tests.schema.connections import EMPTY, make
from tests.schema.everything import (
    NODE,
    SCHEMA,
    Everything,
    coordinates,
    found_at,
    ids_among,
    sample,
)
from tests.schema.operations import Made
from tests.site.managers import SiteActions
from tests.site.models import Article, Page, Project

SECRET = "xanadu"
NUMBER = 918_273_645
#: Of the actions that are hidden, so that it is found in a cursor.
FIRST_PK = 7_700_000_001
MODELS: list[type[Model]] = [
    model for model in catalog.all_models() if model not in (Action, Follow)
]
VIEWERS = ("nobody", "stranger", "owner", "staff")


@dataclass
class World:
    """Of every model something hidden and something open, named by each other in every way."""

    viewers: dict[str, Any]
    hidden: dict[type[Model], Any] = field(default_factory=dict)
    open: dict[type[Model], list[Any]] = field(default_factory=dict)
    secret_actions: list[Action] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    @property
    def marks(self) -> list[str]:
        """What is in no answer to who may not see."""
        ids = [gid(obj) for obj in (*self.hidden.values(), *self.secret_actions)]
        return [SECRET, str(NUMBER), *ids]

    @property
    def asked_for(self) -> list[Any]:
        """All objects, and rows of every kind."""
        objects = [obj for objs in self.open.values() for obj in objs]
        rows = {kind_of(row): row for row in (*self.rows, *self.secret_actions)}
        return [*self.hidden.values(), *objects, *rows.values()]


@pytest.fixture
def world(db: None, hide: Hide, registered: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    registered(Action, Follow)
    # How much may be asked at once is not what is tried here.
    monkeypatch.setattr(shapes, "MOST", shapes.Shape(*[100_000] * len(shapes.MOST)))
    monkeypatch.setattr(limits, "MOST_POINTS", 1_000_000)
    monkeypatch.setattr(limits, "MOST_NODES", 1_000_000)
    owner = secret(User, {})
    staff = make(User, is_staff=True, is_superuser=True)
    stranger = make(User)
    world = World(dict(zip(VIEWERS, (None, stranger, owner, staff), strict=True)))
    for model in MODELS:
        obj = owner if model is User else secret(model, world.hidden)
        world.hidden[model] = obj
        hide(obj, except_from=[owner, staff])
        monkeypatch.setattr(model, "get_absolute_url", url, raising=False)
    for model in MODELS:
        world.open[model] = [make(model)]
        # Open, but what one of its foreign keys leads to is not.
        for key in model._meta.concrete_fields:
            if isinstance(key, models.ForeignKey) and key.related_model in world.hidden:
                obj = make(model, **{key.name: world.hidden[key.related_model]})
                world.open[model].append(obj)
    world.open[User].append(stranger)
    for model, objs in world.open.items():
        for obj in objs:
            world.rows += between(obj, owner) + between(obj, world.hidden[model])
    for user in world.open[User]:
        world.rows += [
            Follow.objects.create(user=user, follow_object=hidden, actor_only=False)
            for hidden in world.hidden.values()
        ]
    world.open |= {Action: [world.rows[0]], Follow: [follows_of(world)[0]]}
    for row in (world.rows[0], follows_of(world)[0]):
        world.rows += between(row, owner)
    keep_secret(world, monkeypatch)
    return world


def secret(model: type[Model], hidden: dict[type[Model], Any]) -> Any:
    """An object all of whose attributes are to be kept."""
    values: dict[str, Any] = {}
    for number, column in enumerate(model._meta.concrete_fields):
        if isinstance(column, models.ForeignKey) and column.related_model in hidden:
            values[column.name] = hidden[column.related_model]
        elif column.choices or isinstance(column, models.UUIDField):
            continue
        elif isinstance(column, models.CharField | models.TextField):
            values[column.name] = f"{SECRET}-{number}"
        elif isinstance(column, models.IntegerField):
            values[column.name] = NUMBER
    return make(model, **values)


def url(self: Any) -> str:
    return f"/{self.pk}/{self}"


def follows_of(world: World) -> list[Any]:
    return [row for row in world.rows if isinstance(row, Follow)]


def kind_of(row: Any) -> Any:
    """What of a row makes it another kind than the next one: who acts or follows, and how."""
    if isinstance(row, Follow):
        return Follow, row.user.username.startswith(SECRET), row.content_type.model == "action"
    roles = (row.target_object_id is None, row.action_object_object_id is None)
    return row.actor_content_type_id == row.target_content_type_id, row.public, row.verb, roles


def between(obj: Any, hidden: Any) -> list[Any]:
    """Actions and a follow by which an open object and a hidden one name each other."""
    roles: list[dict[str, Any]] = [
        {"actor": obj, "target": hidden},
        {"actor": hidden, "target": obj},
        {"actor": hidden, "action_object": obj},
        {"actor": obj, "action_object": hidden},
        {"actor": obj, "target": obj, "action_object": hidden, "verb": "opened"},
    ]
    rows: list[Any] = [Action.objects.create(**{"verb": "posted"} | each) for each in roles]
    if isinstance(hidden, User):
        flag = f"since {Follow.objects.count()}"
        rows.append(Follow.objects.create(user=hidden, follow_object=obj, flag=flag))
    return rows


def keep_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Actions that the site hides by ``visible_to``, and actions that are not public."""
    owner, staff = world.viewers["owner"], world.viewers["staff"]
    given = {"verb": f"{SECRET} done", "description": SECRET, "data": {SECRET: SECRET}}
    pks = iter(range(FIRST_PK, FIRST_PK + 1000))
    for public in (True, False):
        for actor in (owner, world.open[User][0]):
            world.secret_actions += [
                Action.objects.create(
                    pk=next(pks),
                    actor=actor,
                    target=obj,
                    action_object=obj,
                    public=public,
                    **given,
                )
                for [obj, *_] in world.open.values()
            ]
    for hidden in (world.secret_actions[0], world.secret_actions[-1]):
        liked = Action.objects.create(actor=world.open[User][0], verb="posted", target=hidden)
        follow = Follow.objects.create(user=world.open[User][0], follow_object=hidden)
        world.rows += [liked, follow]

    def visible_to(self: Any, queryset: QuerySet[Action], viewer: Any) -> QuerySet[Action]:
        return queryset if viewer in (owner, staff) else queryset.exclude(verb__contains=SECRET)

    monkeypatch.setattr(SiteActions, "visible_to", visible_to)


# What is asked

#: Of these a test says by itself what they are asked.
BY_ID = {"node", "nodes"}


def about(obj: Any, everything: Everything) -> Iterator[str]:
    """Everything about an object: as a node, and by every field of Query that takes an id."""
    node = f"node(id: $id) {{ __typename {everything.on(catalog.type_name(type(obj)), 2)} }}"
    nodes = f"nodes(ids: [$id]) {everything.of(NODE, 1)}"
    yield everything.document(f"{node} {nodes}", "query ($id: ID!)")
    parts = [
        everything.field(name, definition, 1, {argument: "$id"})
        for name, definition in SCHEMA.query_type.fields.items()
        for argument in ids_among(definition.args)
        if name not in BY_ID | EMPTY
    ]
    yield everything.document(" ".join(parts), "query ($id: ID!)")


def by_themselves(everything: Everything) -> Iterator[str]:
    """What Query has without an id."""
    for name, definition in SCHEMA.query_type.fields.items():
        if name in BY_ID | EMPTY:
            continue
        kinds: list[dict[str, str]] = [{}]
        for argument, of in definition.args.items():
            if str(of.type) == "NodeType!":
                kinds = [{argument: value} for value in SCHEMA.type_map["NodeType"].values]
        for given in kinds:
            selection = everything.field(name, definition, 2 if name == "viewer" else 1, given)
            yield everything.document(selection, "query")


def nested() -> str:
    """The pages of what is named on a page."""
    everything = Everything(plain=True)
    pages = [
        everything.field(name, field, 1)
        for name, field in NODE.fields.items()
        if "first" in field.args and name not in EMPTY
    ]
    named = f"{{ __typename ... on Node {{ {' '.join(pages)} }} }}"
    roles = " ".join(f"{role} {named}" for role in ("actor", "target", "actionObject"))
    page = f"anyStream(first: 3) {{ __typename nodes {{ __typename {roles} }} }}"
    return everything.document(f"node(id: $id) {{ __typename {page} }}", "query ($id: ID!)")


def mutations() -> Iterator[str]:
    """Every mutation, once with ``$id`` for each id that it takes."""
    for name, definition in SCHEMA.mutation_type.fields.items():
        [takes] = definition.args.values()
        for given in ids_among(definition.args):
            everything = Everything()
            literal = sample(takes.type, {given: "$id"})
            selection = everything.field(name, definition, 1, {"input": literal})
            yield everything.document(selection, "mutation ($id: ID!)")


def answered(document: str, viewer: Any, given: str) -> Any:
    """The answer; what it changed is undone."""
    with transaction.atomic():
        answer = ask(document, viewer, **({"id": given} if given else {}))
        transaction.set_rollback(True)
    codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
    assert codes <= {"BAD_USER_INPUT", "FORBIDDEN", "UNAUTHENTICATED"}, answer["errors"]
    return answer


def shown(answer: Any, world: World, *given: str) -> list[str]:
    """The marks that are anywhere in an answer, but where it says again what it was given."""
    text = json.dumps(answer, default=str)
    for message in re.findall(r'"message": "((?:[^"\\]|\\.)*)"', text):
        cleaned = message
        for known in filter(None, given):
            cleaned = cleaned.replace(known, "…")
        text = text.replace(message, cleaned)
    # But of resumeCursor, see OF_ALL.
    for cursor in re.findall(r'(?<!resumeC)ursor": "([\w-]+)"', text):
        text += urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    marks = [*world.marks, *(f":{action.pk}" for action in world.secret_actions)]
    return [mark for mark in marks if mark in text]


def try_the_door(
    world: World, root: Any, who_may: str, asked: Iterable[tuple[str, str]]
) -> set[str]:
    """Ask as who may not see, and as who may; returns where the hidden came out to the latter."""
    reached: set[str] = set()
    for given, document in asked:
        for viewer in ("nobody", "stranger"):
            answer = answered(document, world.viewers[viewer], given)
            assert shown(answer, world, given) == [], (viewer, document, answer)
        answer = answered(document, world.viewers[who_may], given)
        reached |= found_at(answer["data"], world.marks, root.name)
    return reached


@pytest.mark.parametrize(("who_may", "plain"), [("owner", False), ("staff", True)])
def test_what_is_hidden_comes_out_of_no_field_of_a_query(
    world: World, who_may: str, plain: bool
) -> None:
    everything = Everything(plain=plain)
    asked = [("", document) for document in by_themselves(everything)]
    for obj in world.asked_for:
        asked += [(gid(obj), document) for document in about(obj, everything)]
    reached = try_the_door(world, SCHEMA.query_type, who_may, asked)
    assert coordinates(SCHEMA.query_type) - reached == set(), "nothing hidden is in their way"


@pytest.mark.parametrize("window", ["last", "filter"])
def test_what_is_hidden_comes_out_of_no_page_however_it_is_asked_for(
    world: World, window: str
) -> None:
    everything = Everything(window)
    asked = [
        (gid(objs[0]), document)
        for model, objs in world.open.items()
        if model in (User, Project, Action)
        for document in about(objs[0], everything)
    ]
    reached = try_the_door(world, SCHEMA.query_type, "owner", asked)
    assert {"ActionConnection.nodes", "FollowConnection.nodes"} <= reached


def test_what_is_hidden_comes_out_of_no_page_within_a_page(world: World) -> None:
    asked = [(gid(world.open[model][0]), nested()) for model in (User, Project)]
    reached = try_the_door(world, SCHEMA.query_type, "owner", asked)
    assert {"User.anyStream", "Project.followers", "ActionEdge.node"} <= reached


def test_what_is_hidden_comes_out_of_no_mutation(world: World) -> None:
    hidden = [*world.hidden.values(), world.secret_actions[0], world.secret_actions[-1]]
    asked = [(gid(obj), document) for obj in hidden for document in mutations()]
    reached = try_the_door(world, SCHEMA.mutation_type, "staff", asked)
    expected = coordinates(SCHEMA.mutation_type) - coordinates(SCHEMA.query_type)
    assert expected - reached == set(), "nothing hidden is in their way"


def test_a_door_that_stands_open_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: of the rule for objects, and of that for actions."""
    project = world.open[Project][0]
    [document, _] = about(project, Everything())
    assert shown(answered(document, None, gid(project)), world) == []
    with monkeypatch.context() as patch:
        patch.setattr(door, "visible", lambda model, info: model._default_manager.all())
        marks = shown(answered(document, None, gid(project)), world)
        assert {SECRET, gid(world.hidden[User])} <= set(marks)
    monkeypatch.setattr(SiteActions, "visible_to", lambda self, queryset, viewer: queryset)
    marks = shown(answered(document, None, gid(project)), world)
    assert any(f":{action.pk}" in marks for action in world.secret_actions)


@pytest.mark.parametrize("viewer", ["nobody", "stranger"])
def test_what_is_hidden_is_as_what_has_vanished(world: World, viewer: str) -> None:
    """Not a count, a cursor or the end of a page tells that it is there."""
    everything = Everything()
    asked = [
        (gid(obj), document)
        for obj in world.asked_for
        if obj not in world.hidden.values() and obj not in world.secret_actions
        for document in about(obj, everything)
    ]

    def ask_all() -> list[Any]:
        return [answered(document, world.viewers[viewer], given) for given, document in asked]

    hidden = ask_all()
    with transaction.atomic():
        for row in (*world.secret_actions, *world.hidden.values()):
            type(row)._base_manager.filter(pk=row.pk)._raw_delete("default")
        vanished = ask_all()
        transaction.set_rollback(True)
    for (_, document), one, other in zip(asked, hidden, vanished, strict=True):
        assert one == other, document


@pytest.mark.parametrize("viewer", ["nobody", "stranger"])
def test_what_is_hidden_is_answered_as_what_never_was(world: World, viewer: str) -> None:
    """By the same words, and by as many statements: neither tells that it is there."""
    documents = [*each_by_id(), *mutations()]
    for obj in (*world.hidden.values(), world.secret_actions[0], world.secret_actions[-1]):
        never = gid(type(obj)(pk=unheard(obj)))
        for document in documents:
            told = []
            for given in (never, gid(obj), never):  # permissions are looked up once
                with CaptureQueriesContext(connection) as statements:
                    answer = answered(document, world.viewers[viewer], given)
                told.append((json.dumps(answer).replace(given, "…"), len(statements)))
            assert told[1] == told[2], document


def each_by_id() -> Iterator[str]:
    """Each field of Query that takes an id."""
    everything = Everything()
    for name, definition in SCHEMA.query_type.fields.items():
        for argument in ids_among(definition.args) if name not in EMPTY else ():
            value = "[$id]" if str(definition.args[argument].type).startswith("[") else "$id"
            selection = everything.field(name, definition, 1, {argument: value})
            yield everything.document(selection, "query ($id: ID!)")


def unheard(obj: Any) -> Any:
    """A primary key of which there is no object."""
    key = obj._meta.pk
    while isinstance(key, models.OneToOneField):
        key = key.target_field
    if isinstance(key, models.UUIDField):
        return uuid4()
    return f"no-{SECRET}" if isinstance(key, models.CharField) else obj.pk + 1_000


def test_what_is_hidden_comes_out_of_no_generated_operation(world: World) -> None:
    some = {"User": User, "Project": Project, "Article": Article, "Page": Page}
    for number in range(300):
        random = Random(number)
        operation = Made(random.randrange).operation()
        objects = {
            name: random.choice([world.hidden[model], *world.open[model]])
            for name, model in some.items()
        }
        objects["Action"] = random.choice([*world.secret_actions, world.open[Action][0]])
        objects["Follow"] = world.open[Follow][0]
        ids = {name: gid(obj) for name, obj in objects.items()}
        variables = {
            **ids,
            "cursor": Position.of(objects["Action"], "timestamp").cursor("a"),
            "yes": operation.yes,
            "no": not operation.yes,
        }
        viewer = world.viewers["stranger" if operation.logged_in else "nobody"]
        answer = ask(operation.document, viewer, **variables)
        assert shown(answer, world, *ids.values()) == [], (operation, answer)
