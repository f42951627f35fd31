"""The world that is asked about, in a PostgreSQL database of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from getpass import getuser
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
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
    """A page that is measured: of which stream, and of whom."""

    name: str
    title: str
    stream: str
    user: str


@dataclass(frozen=True)
class World:
    """Where the world is, and what is asked about it."""

    url: str
    secret_key: str
    pages: tuple[Page, ...]
    types: dict[str, int]
    """Content type ids, by the GraphQL name."""

    @property
    def environment(self) -> dict[str, str]:
        """What Brook is told about it."""
        return {
            "DATABASE_URL": self.url,
            "SECRET_KEY": self.secret_key,
            "DJANGO_SETTINGS_MODULE": "server.settings",
        }


def built(url: str, actions: int) -> World:
    """The world, made by ``migrate`` and ``seed`` where it is not there yet."""
    parts = urlsplit(url)
    if not parts.username:
        url = parts._replace(netloc=f"{getuser()}@{parts.netloc}").geturl()
    _create(url)
    environment = World(url, secrets.token_hex(), (), {}).environment
    os.environ.update(environment)
    manage = (sys.executable, ROOT / "manage.py")
    subprocess.run([*manage, "migrate", "--verbosity", "0"], check=True, cwd=ROOT)
    numbers = {"--users": USERS, "--actions": actions, "--follows": FOLLOWS}
    arguments = [str(word) for pair in numbers.items() for word in pair]
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory) / "seed.json"
        subprocess.run([*manage, "seed", *arguments, "--json", said], check=True, cwd=ROOT)
        users = json.loads(said.read_text())["users"]
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT model, id FROM django_content_type WHERE app_label = 'auth'"
        ).fetchall()
    types = {name.title(): number for name, number in rows if name in ("user", "group")}
    return World(url, environment["SECRET_KEY"], _pages(users), types)


def _create(url: str) -> None:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
        parts = urlsplit(url)
        maintenance = parts._replace(path="/postgres").geturl()
        with psycopg.connect(maintenance, autocommit=True) as connection:
            name = sql.Identifier(parts.path.removeprefix("/"))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


#: (title, stream, active follows, dormant follows): of the busiest user where there are none, else
#: of the reader who follows so many of one kind and nobody else.
PAGES = {
    "actor": ("actor", "actor", 0, 0),
    "any": ("any", "any", 0, 0),
    "user-100": ("user, 100 active", "user", 100, 0),
    "user-1000": ("user, 1,000 active", "user", 1_000, 0),
    "dormant-100": ("user, 100 dormant", "user", 0, 100),
    "dormant-1000": ("user, 1,000 dormant", "user", 0, 1_000),
}


def _pages(users: list[dict[str, object]]) -> tuple[Page, ...]:
    def who(active: int, dormant: int) -> str:
        wanted = {"kind": "reader", "active_follows": active, "dormant_follows": dormant}
        if not active and not dormant:
            wanted = {"kind": "busy"}
        return next(str(user["id"]) for user in users if wanted.items() <= user.items())

    return tuple(
        Page(name, title, stream, who(active, dormant))
        for name, (title, stream, active, dormant) in PAGES.items()
    )


def reference(world: World, page: Page) -> list[Row]:
    """The first two pages and a row more, by the plainest SQL that says what the stream is."""
    named = ", ".join(
        f"{role}_content_type_id, {role}_object_id, CASE {role}_content_type_id WHEN %(user_type)s"
        f" THEN (SELECT username FROM auth_user WHERE id = {role}_object_id::int) WHEN"
        f" %(group_type)s THEN (SELECT name FROM auth_group WHERE id = {role}_object_id::int) END"
        for role in ROLES
    )
    if page.stream == "user":
        belongs = " OR ".join(
            f"EXISTS (SELECT 1 FROM activity_follow WHERE user_id = %(user)s::int"
            f" AND content_type_id = {role}_content_type_id AND object_id = {role}_object_id"
            f"{'' if role == 'actor' else ' AND NOT actor_only'})"
            for role in ROLES
        )
    else:
        belongs = " OR ".join(
            f"({role}_content_type_id = %(user_type)s AND {role}_object_id = %(user)s)"
            for role in (ROLES if page.stream == "any" else ROLES[:1])
        )
    text = (
        f"SELECT id, verb, timestamp, {named} FROM (SELECT * FROM activity_action"
        f" WHERE public AND ({belongs}) ORDER BY timestamp DESC, id DESC"
        f" LIMIT {2 * FIRST + 1}) AS found ORDER BY timestamp DESC, id DESC"
    )
    values = {
        "user": page.user,
        "user_type": world.types["User"],
        "group_type": world.types["Group"],
    }
    names = {number: name for name, number in world.types.items()}
    with psycopg.connect(world.url) as connection:
        connection.execute("SET jit = off")
        found = connection.execute(text, values).fetchall()

    def subject(number: int | None, key: str, name: str) -> Subject | None:
        return None if number is None else (names[number], key, name)

    return [
        (str(row[0]), row[1], row[2], subject(*row[3:6]), subject(*row[6:9]), subject(*row[9:12]))
        for row in found
    ]


@contextmanager
def sessions(world: World) -> Iterator[dict[str, str]]:
    """The Cookie header of everybody whose page is asked for, logged in as Django does it."""
    import django

    django.setup()
    from django.contrib.auth import (
        BACKEND_SESSION_KEY,
        HASH_SESSION_KEY,
        SESSION_KEY,
        get_user_model,
    )
    from django.contrib.sessions.backends.db import SessionStore

    stores = {}
    for user in get_user_model().objects.filter(pk__in={page.user for page in world.pages}):
        store = SessionStore()
        store[SESSION_KEY] = str(user.pk)
        store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        store[HASH_SESSION_KEY] = user.get_session_auth_hash()
        store.create()
        store.save()
        stores[str(user.pk)] = store
    try:
        yield {key: f"sessionid={store.session_key}" for key, store in stores.items()}
    finally:
        for store in stores.values():
            store.delete()
