"""The user whom a command is about."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db import router

from server import objects


def add_argument(parser: CommandParser) -> None:
    """Let USER name somebody, and --id say that it is a primary key."""
    parser.add_argument("user", help="the user's name, as for a login")
    parser.add_argument(
        "--id", action="store_true", help="USER is a primary key, not the name of a login"
    )


def named(user: str, id: bool, *, gone: bool = False) -> Any:
    """Whom the arguments name, inactive ones as well; CommandError where there is none.

    With ``gone``, a primary key that nobody has stands for a user of that key, not stored.
    """
    model: Any = get_user_model()
    using = router.db_for_write(model)
    key = objects.parse_key(model, user) if id else None
    if id and key is None:
        raise CommandError(f"--id: {user!r} is no primary key of a {model._meta.verbose_name}.")
    asked = {"pk": key} if id else {model.USERNAME_FIELD: user}
    # By the base manager: a site's own may leave out who is inactive.
    found = model._base_manager.using(using).filter(**asked).first()
    if found is None and id and gone:
        found = model(pk=key)
        found._state.db = using
    if found is None:
        raise CommandError(f"There is no user {'of the primary key ' * id}{user!r}.")
    return found
