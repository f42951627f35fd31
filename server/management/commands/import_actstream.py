"""``manage.py import_actstream``: what a site has of django-activity-stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from rich.console import Console

from server.actstream import ACTIONS, FOLLOWS, Carried, Import, Source, SourceError
from server.management import bars

WORDS = {ACTIONS: "actions", FOLLOWS: "follows"}


class Command(BaseCommand):
    help = (
        "Carry over the actions and follows of django-activity-stream 1.x or 2.x, from its tables "
        "in this site's database or in another. Run it again to finish what was interrupted, or "
        "to add what is new; what is there already stays as it is. Nobody is told of anything."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--database",
            default="default",
            choices=tuple(connections),
            help='where its tables are; IMPORT_DATABASE_URL makes the database "import" '
            "(default: %(default)s)",
        )

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        console = bars.console(self.stdout)
        try:
            work = Import(Source(database))
            self.run(work, console)
        except (SourceError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. Run the same command again to go on from here.", returncode=130
            ) from error
        for table, carried in work.carried.items():
            for line in said(WORDS[table], carried):
                console.print(line, highlight=False, markup=False, soft_wrap=True)

    def run(self, work: Import, console: Console) -> None:
        """Carry over beside a progress bar for each table."""
        totals = {words: work.source.count(table) for table, words in WORDS.items()}
        with bars.bars(console, totals) as advance:
            work.run(lambda table, read: advance(WORDS[table], read))


def said(what: str, carried: Carried) -> Iterator[str]:
    """What became of the rows of a table, and each reason why some were left out."""
    yield (
        f"{carried.read:,} {what} read: {carried.new:,} are new, {carried.there:,} were there "
        f"already, {carried.lost:,} are left out{':' if carried.lost else '.'}"
    )
    for why, left in carried.left_out.items():
        ids = ", ".join(map(str, left.ids)) + (", …" if left.rows > len(left.ids) else "")
        detail = f" {left.detail}" if left.detail else ""
        yield f"  {left.rows:,} {what}: {why}.{detail} Their ids there: {ids}"
