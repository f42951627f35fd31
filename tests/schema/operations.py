"""Operations made up from the schema, answered by compiled code and by graphql-core alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from schema import compiled
from schema.compiled import Executor
from server.models import Action, Follow
from tests.schema.client import ask, gid, schema
from tests.schema.connections import make
from tests.site.models import Article, Page, Project

TYPES: Any = schema._schema.type_map
POSSIBLE = ["User", "Project", "Action", "Follow", "Article", "Page"]
#: What each argument is given; a variable by its name in the world.
GIVEN = {
    "ids": ["[$User, $Page, $Action]", "[$Project, $Project]"],
    "model": ["USER", "PROJECT", "PAGE", "GROUP"],
    "verb": ['"posted"', '"kept"'],
    "flag": ['"watching"', '""'],
    "followFlag": ['"watching"', '""'],
    "withUserActivity": ["true", "$yes"],
    "types": ["[USER, PAGE]", "[]"],
    "after": ["$cursor", "$cursor", "null", '"none"'],
    "before": ["$cursor", "null"],
    "project": ["$Project", "$Project", "$Project", "$User"],
    "user": ["$User", "$User", "$User", "$Action"],
    "filter": ['{verbs: ["posted", "saw"]}', "{actorTypes: [USER]}", "{targetTypes: []}"],
}
#: It fails on purpose, with an id that is another each time.
LEFT_OUT = {"wrong"}

One = TypeVar("One")


@dataclass(frozen=True)
class Operation:
    """A document that the schema has no objection to, and what it is asked with."""

    document: str
    yes: bool
    """The value of ``$yes``; ``$no`` has the other one."""
    logged_in: bool


class Made:
    """An operation in the making; what ``below`` says, a number below another, decides."""

    def __init__(self, below: Callable[[int], int]) -> None:
        self.below = below
        self.fragments: list[str] = []
        self.aliases = 0
        # Most are of what is compiled; one that is not would leave all around it to graphql-core.
        self.plain = bool(below(3))

    def operation(self) -> Operation:
        fields = []
        for _ in range(1 + self.below(2)):
            self.is_below = False
            fields.append(self.field(TYPES["Query"], 5))
        text = " ".join((f"{{ {' '.join(fields)} }}", *self.fragments))
        types = dict.fromkeys(POSSIBLE, "ID!")
        types |= {"yes": "Boolean!", "no": "Boolean!", "cursor": "String"}
        used = ", ".join(f"${name}: {kind}" for name, kind in types.items() if f"${name}" in text)
        document = f"query ({used}) {text}" if used else text
        return Operation(document, bool(self.below(2)), bool(self.below(2)))

    def selections(self, kind: Any, depth: int) -> str:
        parts = [self.selection(kind, depth) for _ in range(1 + self.below(3))]
        return f"{{ {' '.join(parts)} }}"

    def selection(self, kind: Any, depth: int) -> str:
        choice = self.below(12)
        if choice == 0:
            return self.aliased("__typename")
        if choice == 1 and depth:
            return f"... {self.switch()} {self.selections(kind, depth - 1)}"
        if choice == 2 and depth:
            name = f"F{len(self.fragments)}"
            self.fragments.append("")
            at, on = len(self.fragments) - 1, self.on(kind)
            below = self.selections(TYPES[on], depth - 1)
            self.fragments[at] = f"fragment {name} on {on} {below}"
            return f"...{name} {self.switch()}"
        if choice == 3 and depth and isinstance(kind, GraphQLInterfaceType):
            on = self.on(kind)
            return f"... on {on} {self.selections(TYPES[on], depth - 1)}"
        return self.field(kind, depth)

    def field(self, kind: Any, depth: int) -> str:
        fields: dict[str, GraphQLField] = {
            name: field
            for name, field in kind.fields.items()
            if name not in LEFT_OUT
            and (depth or is_leaf_type(get_named_type(field.type)))
            and not (self.plain and self.is_below and (field.args or name == "totalCount"))
        }
        if not fields:
            return "__typename"
        name = self.pick(list(fields))
        self.is_below = True
        definition = fields[name]
        of = get_named_type(definition.type)
        arguments = self.arguments(definition)
        text = f"{name}{arguments} {self.switch()}"
        if not is_leaf_type(of):
            text += self.selections(of, depth - 1)
        # A name of its own where arguments differ; without any, fields of one name merge.
        return self.aliased(text) if arguments or self.below(2) else text

    def arguments(self, definition: GraphQLField) -> str:
        given = []
        for name, argument in definition.args.items():
            required = is_required_argument(argument)
            if name == "first":
                which, size = self.below(30), self.below(6)
                if which < 2:
                    given.append(("first: 1, last: 1", "first: -1")[which])
                elif which < 25:
                    given.append(f"{'last' if which < 8 else 'first'}: {size}")
            elif name == "last":
                continue
            elif str(argument.type).startswith("ID"):
                if required or not self.below(4):
                    ids = GIVEN.get(name, [f"${kind}" for kind in POSSIBLE])
                    given.append(f"{name}: {self.pick(ids)}")
            elif required or not self.below(8):
                given.append(f"{name}: {self.pick(GIVEN[name])}")
        return f"({', '.join(given)})" if given else ""

    def on(self, kind: Any) -> str:
        return self.pick(POSSIBLE) if isinstance(kind, GraphQLInterfaceType) else kind.name

    def switch(self) -> str:
        switches = ("@include(if: $yes)", "@skip(if: $no)", "@include(if: $no)")
        return "" if self.below(6) else self.pick(switches)

    def aliased(self, field: str) -> str:
        self.aliases += 1
        return f"a{self.aliases}: {field}"

    def pick(self, choices: Sequence[One]) -> One:
        return choices[self.below(len(choices))]


def world() -> dict[str, str]:
    """A small world of every type: an id of each, and the cursor of an action."""
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
    stream = ask("{ modelStream(model: USER) { edges { cursor } } }")["data"]["modelStream"]
    return {
        "User": gid(ada),
        "Project": gid(project),
        "Action": gid(rows[0]),
        "Follow": gid(follow),
        "Article": gid(article),
        "Page": gid(page),
        "cursor": stream["edges"][2]["cursor"],
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


def answered(operation: Operation, ids: dict[str, str], ada: User) -> list[str]:
    """The same of an operation about the world."""
    variables = {**ids, "yes": operation.yes, "no": not operation.yes}
    return both(operation.document, ada if operation.logged_in else None, variables)


def ran(answer: str) -> bool:
    """Whether an operation was executed, however it ended, and not refused before."""
    found = json.loads(answer)
    return found["data"] is not None or any("path" in error for error in found["errors"])


def falsify(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have compiled code answer every text with another one."""
    of = compiled.Answer.of

    def wrong(self: compiled.Answer, *asked: Any) -> list[dict[str, Any]]:
        return [
            {name: "?" if isinstance(value, str) else value for name, value in found.items()}
            for found in of(self, *asked)
        ]

    monkeypatch.setattr(compiled.Answer, "of", wrong)
