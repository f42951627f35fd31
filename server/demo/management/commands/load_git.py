"""``manage.py load_git PATH``: real history as actions."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import track
from strawberry.relay import to_base64

from server.demo import git, history
from server.demo.models import Repository


class Command(BaseCommand):
    help = (
        "Turn a git repository's history into actions: commits, merges, releases, mentions of "
        "issues, and who follows whom. Again, it adds what is new; interrupted, it goes on."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="a repository on this machine; a bare one will do")
        parser.add_argument("--branch", help="another one than that which is checked out")

    def handle(self, *args: Any, path: str, branch: str | None, **options: Any) -> None:
        self.stdout.ending = ""  # rich ends its own lines
        console = Console(file=self.stdout)  # type: ignore[arg-type]  # it writes, which is enough
        progress = partial(track, description=f"Loading {path}", console=console)
        try:
            loading = history.load(git.Source(path, branch), progress)
        except git.GitError as error:
            raise CommandError(str(error)) from error
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        repository = loading.repository
        counts = ", ".join(f"{count} {what}" for what, count in loading.new.items() if count)
        say(f"{repository.owner}/{repository}: {counts or 'nothing'} new.")
        object_id = to_base64(Repository.__name__, repository.pk)
        say(f'{{ anyStream(object: "{object_id}") {{ nodes {{ displayName timestamp }} }} }}')
