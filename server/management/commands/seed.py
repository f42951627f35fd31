"""``manage.py seed``: a large made-up world, always the same."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from server.management import bars
from server.management.times import time
from server.seeding import Example, Seeding
from server.worlds import SeedError, World

DEFAULTS = {field.name: field.default for field in fields(World)}


class Command(BaseCommand):
    help = (
        "Write users, groups, follows and actions: many, skewed as people are, and for the same "
        "numbers always the same. Run it again to finish what was interrupted; what is complete "
        "stays as it is. The users are named seed-0000001, seed-0000002, … and cannot log in."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--users", type=int, required=True, help="how many people there are, from 2")
        add("--actions", type=int, required=True, help="how much they do, from 1")
        add(
            "--follows",
            type=int,
            required=True,
            help="how many follows, at most users x (users - 1)",
        )
        add(
            "--dormant",
            type=float,
            default=DEFAULTS["dormant"],
            help="the share of users who have acted in the oldest tenth of the time alone, from "
            "0 to 0.9 (default: %(default)s)",
        )
        add(
            "--private",
            type=float,
            default=DEFAULTS["private"],
            help="the share of actions that are private, from 0 to 1 (default: %(default)s)",
        )
        add("--seed", type=int, default=DEFAULTS["seed"], help="which of all such worlds")
        add(
            "--end",
            type=time,
            default=DEFAULTS["end"],
            help="the time of the last action, the first being a year before (default: "
            "%(default)s); not the present, so that the world is the same tomorrow",
        )
        add("--database", default="default", choices=tuple(connections))
        add("--json", type=Path, metavar="FILE", help="write what is printed there as well")

    def handle(self, *args: Any, **options: Any) -> None:
        console = bars.console(self.stdout)
        path: Path | None = options["json"]
        if path and not path.absolute().parent.is_dir():
            raise CommandError(f"--json {path}: there is no directory {path.parent}.")
        try:
            world = World(**{name: options[name] for name in DEFAULTS})
            seeding = Seeding(world, options["database"])
            seeding.begun()  # what is in the way is said before there are bars
            made = self.run(seeding, console)
            examples = seeding.examples()
        except (SeedError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. Run the same command again to go on from here.", returncode=130
            ) from error
        console.print(said(world, made), highlight=False, soft_wrap=True)
        console.print(table(examples))
        if path:
            found = {"world": world.numbers(), "users": [asdict(it) for it in examples]}
            path.write_text(json.dumps(found, indent=2) + "\n")

    def run(self, seeding: Seeding, console: Console) -> dict[str, int]:
        """Write the world beside a progress bar for each kind of rows."""
        kinds = ("users", "follows", "actions")
        totals = {kind: int(getattr(seeding.world, kind)) for kind in kinds}
        with bars.bars(console, totals) as advance:
            return seeding.run(advance)


def said(world: World, made: dict[str, int]) -> str:
    there = (
        f"{world.users:,} users ({len(world.dormants):,} of them dormant), {world.groups:,} "
        f"groups, {world.follows:,} follows and {world.actions:,} actions from "
        f"{world.start:%Y-%m-%d} to {world.end:%Y-%m-%d}"
    )
    if not any(made.values()):
        return f"Nothing to do: {there} are there already."
    added = ", ".join(f"{rows:,} {kind}" for kind, rows in made.items())
    return f"There are now {there}; new are {added}."


def table(examples: list[Example]) -> Table:
    table = Table(title="Whom to ask about", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("who", "user name", "id"):
        table.add_column(heading, no_wrap=True)
    for of in ("actions", "follows\nactive", "follows\ndormant", "follows\ngroups", "followers"):
        table.add_column(of, justify="right")
    for it in examples:
        counts = (it.actions, it.active_follows, it.dormant_follows, it.group_follows)
        table.add_row(
            it.kind, it.username, it.id, *(f"{count:,}" for count in (*counts, it.followers))
        )
    return table
