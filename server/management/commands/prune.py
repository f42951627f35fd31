"""``manage.py prune``: remove what happened long ago."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections import Counter
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import ProtectedError, RestrictedError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server import batches
from server.management import bars
from server.management.times import past
from server.pruning import Kind, Pruning

MOST_AT_ONCE, LONGEST_PAUSE = 50_000, 60.0


class Command(BaseCommand):
    help = (
        "Delete the actions from before a time, and with them what names them: follows of them, "
        "and actions, where a site lets these be acted on. In batches, so that nobody waits long; "
        "after an interruption, run it again. There is no way back."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--older-than",
            type=past,
            required=True,
            metavar="AGE",
            help="180d, 12h or 2w; or a date or time: what is from before it goes",
        )
        add(
            "--verb",
            action="append",
            default=[],
            dest="verbs",
            help="actions of this verb alone; give it again for others",
        )
        add("--dry-run", action="store_true", help="delete nothing: count, by verb and month")
        add(
            "--batch",
            type=size,
            default=batches.SIZE,
            metavar="N",
            help="actions in one transaction (default: %(default)s)",
        )
        add(
            "--pause",
            type=pause,
            default=batches.PAUSE,
            metavar="S",
            help="seconds between two transactions (default: %(default)s)",
        )

    def handle(
        self,
        *args: Any,
        older_than: datetime,
        verbs: list[str],
        dry_run: bool,
        batch: int,
        pause: float,
        **options: Any,
    ) -> None:
        console = bars.console(self.stdout)
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        work = Pruning(older_than, frozenset(verbs), batch, pause)
        old, others = Counter[Kind](), Counter[Kind]()
        try:
            with bars.bars(console, work.totals()) as advance:
                if dry_run:
                    old, others = work.count(advance)
                else:
                    work.run(advance)
        except KeyboardInterrupt as error:
            gone = f" {work.removed:,} actions are deleted." * (not dry_run)
            raise CommandError(
                f"Interrupted.{gone} Run the same command again to go on from here.",
                returncode=130,
            ) from error
        except (ProtectedError, RestrictedError) as error:
            raise CommandError(f"Other rows protect what is to go: {error.args[0]}") from error
        before = f"from before {older_than:%Y-%m-%d %H:%M} UTC"
        if not dry_run:
            say(f"{work.removed:,} actions are deleted: those {before}, and what named them.")
            return
        say(f"{old.total():,} actions {before} would be deleted.")
        if others:
            say(f"{others.total():,} others would be, because they name those.")
        if old:
            table(console, old + others)


def table(console: Console, counted: Counter[Kind]) -> None:
    """A row for each month and verb."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("month", no_wrap=True)
    table.add_column("verb")
    table.add_column("actions", justify="right")
    for (month, verb), number in sorted(counted.items()):
        table.add_row(month, Text(verb), f"{number:,}")
    console.print(table)


def size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_AT_ONCE:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_AT_ONCE}")
    return int(text)


def pause(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_PAUSE:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {LONGEST_PAUSE:g}")
    return seconds
