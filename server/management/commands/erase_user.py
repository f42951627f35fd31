"""``manage.py erase_user``: remove one person, or make them nobody."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from server.erasing import Blocked, Erasure
from server.management import bars, users


class Command(BaseCommand):
    help = (
        "Erase a user: what they did, what names them, whom they follow and who follows them, "
        "their sessions, and the user. Or, with --anonymise, let nobody in particular have done "
        "what they did. It says first what it will do. Interrupted, run it again. There is no way "
        "back."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        users.add_argument(parser)
        add = parser.add_argument
        add(
            "--anonymise",
            action="store_true",
            help="keep the public actions, without their descriptions and data, and a user "
            "without a name who cannot log in; so the streams of others stay whole",
        )
        add(
            "--keep-text",
            action="store_true",
            help="with --anonymise: keep descriptions and data, where they say nothing of people",
        )
        add("--dry-run", action="store_true", help="say what it would do, and do nothing")
        add("--no-input", action="store_true", help="do not ask whether it is meant")

    def handle(
        self,
        *args: Any,
        user: str,
        id: bool,
        anonymise: bool,
        keep_text: bool,
        dry_run: bool,
        no_input: bool,
        **options: Any,
    ) -> None:
        if keep_text and not anonymise:
            raise CommandError("--keep-text is for --anonymise.")
        found = users.named(user, id, gone=not anonymise)
        console = bars.console(self.stdout)
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        work = Erasure(found, anonymise, keep_text)
        label, name = found._meta.verbose_name, found.get_username() or str(found.pk)
        counts = work.counts()
        if found._state.adding and not any(number for number, _ in counts.values()):
            raise CommandError(f"There is no {label} of the primary key {user!r}, nor a trace.")
        say(f"The {label} {name}, of the primary key {found.pk}:")
        for part, (number, becomes) in counts.items():
            if number:
                say(f"  {part:20} {number:>12,} {becomes}")
        for model, number in work.others().items():
            what = "kept" if anonymise else "as its model says"
            say(f"  {model:20} {number:>12,} {what}")
        try:
            work.check()
            if dry_run:
                return
            self.ask(name, no_input)
            totals = {
                part: number
                for part, (number, becomes) in counts.items()
                if number and becomes != "kept"
            }
            with bars.bars(console, totals) as advance:
                stay = work.run(advance)
        except Blocked as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. Run the same command again to go on from here.", returncode=130
            ) from error
        if anonymise:
            say(f"Nobody knows now who the {label} {found.pk} was.")
        else:
            say(
                f"Erased. Should a request that was under way have left something, “{found.pk} "
                "--id” takes that as well."
            )
        if stay:
            say(f"These columns of the {label} can hold nothing else: {', '.join(stay)}.")
        if settings.TOKEN_CREATE_USERS:
            say("A token of theirs that is still good would make a user of that name anew.")

    def ask(self, name: str, no_input: bool) -> None:
        """Let it be said once more who is meant."""
        if no_input:
            return
        self.stdout.write(f"Type {name} to go on: ")
        self.stdout.flush()
        try:
            typed = input()
        except EOFError:
            raise CommandError("Nobody is there to ask; --no-input does not.") from None
        if typed != name:
            raise CommandError("That is another name. Nothing was done.")
