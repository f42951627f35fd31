"""The world that is asked about, in a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import django
import psycopg
from django.db import connections
from environ import Env
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent.parent
USERS = 100_000
FOLLOWS = 1_000_000
FIRST = 20
ROLES = ("actor", "target", "action_object")

#: The other one's type, id and name.
Subject = tuple[str, str, str]
#: id, verb, when, and who is named as actor, target and action object.
Row = tuple[str, str, datetime, Subject | None, Subject | None, Subject | None]


@dataclass(frozen=True)
class Page:
    """A page that is measured: of which stream, of whom, and after how many rows."""

    name: str
    title: str
    stream: str
    user: str
    depth: int = 0


class Asked(NamedTuple):
    """What a page is, before it is known whose."""

    title: str
    stream: str
    active: int = 0
    dormant: int = 0
    """Of the reader who follows so many of one kind and nobody else; else of the busiest user."""
    depth: int = 0


_FIRST_PAGES = {
    "actor": Asked("actor", "actor"),
    "any": Asked("any", "any"),
    "user-100": Asked("user, 100 active", "user", active=100),
    "user-1000": Asked("user, 1,000 active", "user", active=1_000),
    "dormant-100": Asked("user, 100 dormant", "user", dormant=100),
    "dormant-1000": Asked("user, 1,000 dormant", "user", dormant=1_000),
}
#: The pages that all sides are compared by.
COMPARED = tuple(_FIRST_PAGES)
DEPTH = 10_000
#: By the first page of the same stream, where it has so many rows.
DEEP = {f"{name}-deep": name for name in ("actor", "any", "user-100", "user-1000")}
PAGES = (
    _FIRST_PAGES
    | {
        "user-5000": Asked("user, 5,000 active", "user", active=5_000),
        "dormant-5000": Asked("user, 5,000 dormant", "user", dormant=5_000),
    }
    | {
        deep: _FIRST_PAGES[name]._replace(
            title=f"{_FIRST_PAGES[name].title}, {DEPTH:,} deep", depth=DEPTH
        )
        for deep, name in DEEP.items()
    }
)


@dataclass(frozen=True)
class World:
    """Where the world is, and what is asked about it."""

    url: str
    actions: int
    secret_key: str
    pages: tuple[Page, ...] = ()
    types: dict[str, int] = field(default_factory=dict)
    """Content type ids, by the GraphQL name."""

    @property
    def environment(self) -> dict[str, str]:
        """What Brook is told about it."""
        return {
            "DATABASE_URL": self.url,
            "SECRET_KEY": self.secret_key,
            "DJANGO_SETTINGS_MODULE": "server.settings",
            "RATE_LIMIT": "1000000000",  # counted, but never too much
        }

    @property
    def connection(self) -> Any:
        """Django's, under the world's own alias."""
        return connections[self.url]


def built(url: str, actions: int, secret_key: str) -> World:
    """The world, made by ``migrate`` and ``seed`` where it is not there yet."""
    url = _created(url)
    world = World(url, actions, secret_key)
    environment = os.environ | world.environment
    manage = (sys.executable, str(ROOT / "manage.py"))
    migrate = [*manage, "migrate", "--verbosity", "0"]
    subprocess.run(migrate, check=True, cwd=ROOT, env=environment)
    numbers = {"--users": USERS, "--actions": actions, "--follows": FOLLOWS}
    arguments = [str(word) for pair in numbers.items() for word in pair]
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory) / "seed.json"
        seed = [*manage, "seed", *arguments, "--json", str(said)]
        subprocess.run(seed, check=True, cwd=ROOT, env=environment)
        users = json.loads(said.read_text())["users"]
    os.environ.update(world.environment)
    django.setup()
    known = connections.databases | {url: Env.db_url_config(url)}
    connections.databases.update(connections.configure_settings(known))
    with world.connection.cursor() as cursor:
        cursor.execute("SELECT model, id FROM django_content_type WHERE app_label = 'auth'")
        types = {name.title(): number for name, number in cursor if name in ("user", "group")}
    return World(url, actions, secret_key, _pages(users), types)


def _created(url: str) -> str:
    """The database's address, with whom PostgreSQL is to take us for."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        Path(str(Env.db_url_config(url)["NAME"])).parent.mkdir(parents=True, exist_ok=True)
        return url
    if not parts.username:
        parts = parts._replace(netloc=f"{getuser()}@{parts.netloc}")
    try:
        psycopg.connect(parts.geturl()).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
        maintenance = parts._replace(path="/postgres").geturl()
        with psycopg.connect(maintenance, autocommit=True) as connection:
            name = sql.Identifier(parts.path.removeprefix("/"))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return parts.geturl()


def _pages(users: list[dict[str, object]]) -> tuple[Page, ...]:
    def who(asked: Asked) -> str:
        wanted: dict[str, object] = {"kind": "busy"}
        if asked.active or asked.dormant:
            wanted = {
                "kind": "reader",
                "active_follows": asked.active,
                "dormant_follows": asked.dormant,
            }
        return next(str(user["id"]) for user in users if wanted.items() <= user.items())

    return tuple(
        Page(name, asked.title, asked.stream, who(asked), asked.depth)
        for name, asked in PAGES.items()
    )


class Reference(NamedTuple):
    """What a page shows and the one behind it, and a row more."""

    before: Row | None
    """The row after which the page begins, where it is not the first page."""
    rows: list[Row]


def reference(world: World, page: Page) -> Reference:
    """By the plainest SQL that says what the stream is."""
    named = ", ".join(
        f"{role}_content_type_id, {role}_object_id, CASE {role}_content_type_id WHEN %(user_type)s"
        f" THEN (SELECT username FROM auth_user WHERE id = CAST({role}_object_id AS integer)) WHEN"
        " %(group_type)s THEN (SELECT name FROM auth_group WHERE id ="
        f" CAST({role}_object_id AS integer)) END"
        for role in ROLES
    )
    if page.stream == "user":
        belongs = " OR ".join(
            f"EXISTS (SELECT 1 FROM activity_follow WHERE user_id = CAST(%(user)s AS integer)"
            f" AND content_type_id = {role}_content_type_id AND object_id = {role}_object_id"
            f"{'' if role == 'actor' else ' AND NOT actor_only'})"
            for role in ROLES
        )
    else:
        belongs = " OR ".join(
            f"({role}_content_type_id = %(user_type)s AND {role}_object_id = %(user)s)"
            for role in (ROLES if page.stream == "any" else ROLES[:1])
        )
    before = min(page.depth, 1)
    text = (
        f"SELECT id, verb, timestamp, {named} FROM (SELECT * FROM activity_action"
        f" WHERE public AND ({belongs}) ORDER BY timestamp DESC, id DESC"
        f" LIMIT {2 * FIRST + 1 + before} OFFSET {page.depth - before}) AS found"
        " ORDER BY timestamp DESC, id DESC"
    )
    values = {
        "user": page.user,
        "user_type": world.types["User"],
        "group_type": world.types["Group"],
    }
    names = {number: name for name, number in world.types.items()}
    with world.connection.cursor() as cursor:
        if world.connection.vendor == "postgresql":
            cursor.execute("SET jit = off")
        cursor.execute(text, values)
        found = cursor.fetchall()

    def subject(number: int | None, key: str, name: str) -> Subject | None:
        return None if number is None else (names[number], key, name)

    rows = [
        (
            str(row[0]),
            row[1],
            row[2].replace(tzinfo=UTC),  # which SQLite does not say
            subject(*row[3:6]),
            subject(*row[6:9]),
            subject(*row[9:12]),
        )
        for row in found
    ]
    return Reference(rows[0] if before else None, rows[before:])


#: Which of Django's authentication backends a side has.
OURS, DJANGOS = "server.sessions.Backend", "django.contrib.auth.backends.ModelBackend"
#: By backend and user.
Cookies = dict[tuple[str, str], str]


@contextmanager
def sessions(world: World) -> Iterator[Cookies]:
    """The Cookie headers of everybody whose page is asked for, logged in as Django does it."""
    from django.contrib.auth import (
        BACKEND_SESSION_KEY,
        HASH_SESSION_KEY,
        SESSION_KEY,
        get_user_model,
    )
    from django.contrib.sessions.backends.db import SessionStore as Djangos
    from django.utils.crypto import get_random_string

    from server.sessions import SessionStore

    readers = get_user_model().objects.using(world.url)
    stores = {OURS: SessionStore, DJANGOS: Djangos}
    rows = {
        (backend, str(user.pk)): store(get_random_string(32).lower()).create_model_instance(
            {
                SESSION_KEY: str(user.pk),
                BACKEND_SESSION_KEY: backend,
                HASH_SESSION_KEY: user.get_session_auth_hash(),
            }
        )
        for user in readers.filter(pk__in={page.user for page in world.pages})
        for backend, store in stores.items()
    }
    for row in rows.values():
        row.save(using=world.url)
    try:
        yield {key: f"sessionid={row.session_key}" for key, row in rows.items()}
    finally:
        for row in rows.values():
            row.delete(using=world.url)
