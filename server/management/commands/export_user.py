"""``manage.py export_user``: everything about one person, as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from server import persons
from server.management import bars, users


class Command(BaseCommand):
    help = (
        "Write everything that is stored about a user and theirs to read, as JSON: their row "
        "without the password, what they did, what others did to them for anybody to see, whom "
        "they follow and who follows them, their sessions, and what the site keeps besides."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        users.add_argument(parser)
        parser.add_argument(
            "--output",
            default="-",
            metavar="FILE",
            help="a file for its owner alone to read, whole or not at all; -: standard output "
            "(default)",
        )

    def handle(self, *args: Any, user: str, id: bool, output: str, **options: Any) -> None:
        found = users.named(user, id)
        console = bars.console(self.stderr)
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        self.stdout.ending = ""
        counts = {part.name: part.theirs(found).count() for part in persons.parts()}
        totals = {part: number for part, number in counts.items() if number}
        try:
            with (
                bars.bars(console, totals) as advance,
                self.file(output) if output != "-" else _as_it_is(self.stdout) as file,
            ):
                for piece in persons.document(found, advance):
                    file.write(piece)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise CommandError("Interrupted; it is not whole.", returncode=130) from error
        if number := persons.left_out(found):
            say(
                f"{number:,} times others name this user in actions that are not public, or that "
                "the site hides from them; these are left out, as they are theirs."
            )

    @contextmanager
    def file(self, path: str) -> Iterator[TextIO]:
        """A file that is there when it is whole; only its owner may read it."""
        to = Path(path).absolute()
        try:
            # Readable by its owner alone from the first moment on.
            with NamedTemporaryFile("w", encoding="utf-8", dir=to.parent, delete=False) as file:
                try:
                    yield file  # type: ignore[misc]  # it is one, by another name
                    file.flush()
                    os.fsync(file.fileno())
                    os.replace(file.name, to)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            raise CommandError(f"--output {path}: {error.strerror}.") from error


@contextmanager
def _as_it_is(out: Any) -> Iterator[Any]:
    yield out
