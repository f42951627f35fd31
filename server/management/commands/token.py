"""``manage.py token``: a bearer token, for development."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from server import tokens
from server.management import users
from server.management.times import duration


class Command(BaseCommand):
    help = "Print a bearer token that names a user, for development."

    def add_arguments(self, parser: CommandParser) -> None:
        users.add_argument(parser)
        parser.add_argument(
            "--expires",
            type=duration,
            default="8h",
            help="after 90s, 15m, 8h (default), 30d or 2w",
        )

    def handle(self, *args: Any, user: str, id: bool, expires: timedelta, **options: Any) -> None:
        found = users.named(user, id)
        try:
            token = tokens.mint(found, expires)
            tokens.user_of(token)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except (tokens.TokenError, tokens.Unavailable) as error:
            raise CommandError(f"The token would be refused: {error}") from error
        self.stdout.write(token)
