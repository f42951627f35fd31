"""``manage.py token``: a bearer token, for development."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from server import tokens

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def lifetime(text: str) -> timedelta:
    """``90s``, ``15m``, ``8h`` or ``30d``."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if not found:
        raise CommandError(f"--expires is {text!r}; say it as 90s, 15m, 8h or 30d.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    help = "Print a bearer token that names a user, for development."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="the user's name, as for a login")
        parser.add_argument("--expires", default="8h", help="after 90s, 15m, 8h (default) or 30d")

    def handle(self, *args: Any, **options: Any) -> None:
        model: Any = get_user_model()
        try:
            user = model._default_manager.get(**{model.USERNAME_FIELD: options["user"]})
        except model.DoesNotExist:
            raise CommandError(f"There is no user {options['user']!r}.") from None
        try:
            token = tokens.mint(user, lifetime(options["expires"]))
            tokens.user_of(token)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        except (tokens.TokenError, tokens.Unavailable) as error:
            raise CommandError(f"The token would be refused: {error}") from error
        self.stdout.write(token)
