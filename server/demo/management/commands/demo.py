"""``manage.py demo``: the demo's world, and how to look at it."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from server.demo import git, history, world
from server.models import user_stream

PASSWORD = Path(settings.BASE_DIR) / ".demo" / "password"
QUERIES = (
    "{ modelStream(model: REPOSITORY, first: 3) { nodes { displayName timestamp } } }",
    "{ userStream(withUserActivity: true) { nodes { displayName timestamp } } }",
    '{ userStream(followFlag: "watching") { nodes { displayName timestamp } } }',
    "{ viewer { following { nodes { flag followObject { id displayName } } } } }",
)


class Command(BaseCommand):
    help = "Load the demo's world, once; then say how to log in and what to try."
    requires_migrations_checks = True

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.ending = ""  # rich ends its own lines
        console = Console(file=self.stdout)  # type: ignore[arg-type]  # it writes, which is enough
        world.load(partial(track, description="Loading the demo's world", console=console))
        load_own_history(console)
        ada = login()
        console.print(stream_of(ada))
        say = partial(console.print, highlight=False, soft_wrap=True)
        say(f"\nOpen [bold]{url()}[/] and log in as [bold]{ada}[/], {secret_of(ada)}.")
        say("\nOr start from a shell, without logging in:")
        say(f"  {curl(QUERIES[0])}", markup=False)
        say("\nMore to try there, logged in:")
        for query in QUERIES[1:]:
            say(f"  {query}", markup=False)


def load_own_history(console: Console) -> None:
    """This project's history too, where it stands in a git checkout of its own."""
    if (Path(settings.BASE_DIR) / ".git").exists():
        # Without git, or with nothing committed yet, there is the world alone.
        with suppress(git.GitError):
            progress = partial(track, description="Loading its own history", console=console)
            history.load(git.Source(settings.BASE_DIR), progress)


def login() -> Any:
    """Ada, who may do everything; she gets a password once, and it is never changed here."""
    ada, _ = get_user_model().objects.get_or_create(
        username="ada", defaults={"password": make_password(None)}
    )
    if not ada.has_usable_password():
        PASSWORD.parent.mkdir(exist_ok=True)
        PASSWORD.touch(mode=0o600)
        PASSWORD.write_text(PASSWORD.read_text() or secrets.token_urlsafe(12))
        ada.set_password(PASSWORD.read_text())
        ada.is_staff = ada.is_superuser = True
        ada.save()
    return ada


def secret_of(user: Any) -> str:
    """The password, in words, where it is still the one that was made here."""
    if PASSWORD.exists() and user.check_password(password := PASSWORD.read_text()):
        return f"password [bold]{password}[/]"
    return "with the password that you gave her"


def stream_of(user: Any) -> Table:
    title = f"userStream of {user}, newest first"
    table = Table("when", "who", "did", "what", "where", title=title)
    for action in user_stream(user, with_user_activity=True)[:10]:
        roles = (action.actor, action.verb, action.action_object, action.target)
        said = (escape("" if it is None else str(it)) for it in roles)
        table.add_row(f"{action.timesince()} ago", *said)
    return table


def url() -> str:
    return f"http://127.0.0.1:{settings.PORT}/graphql"


def curl(query: str) -> str:
    body = json.dumps({"query": query})
    return f"curl {url()} -H 'Content-Type: application/json' -d '{body}'"
