"""The users who stand for the authors in git histories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.utils.text import slugify

from .models import Author

User: Any = get_user_model()


def users(since: Mapping[str, datetime], also: Iterable[str] = ()) -> tuple[dict[str, Any], int]:
    """The users who stand for authors, by name, and how many of them are new.

    Whoever of ``since`` is new has joined at the time given there, and cannot log in; whoever of
    ``also`` is not known is left out.
    """
    authors = Author.objects.filter(name__in={*since, *also}).select_related("user")
    found = {author.name: author.user for author in authors}
    new = [name for name in since if name not in found]
    made = User.objects.bulk_create(
        User(
            username=username,
            first_name=name.partition(" ")[0],
            last_name=name.partition(" ")[2],
            password=make_password(None),
            date_joined=since[name],
        )
        for name, username in usernames(new).items()
    )
    by_name = dict(zip(new, made, strict=True))
    Author.objects.bulk_create(Author(name=name, user=user) for name, user in by_name.items())
    return found | by_name, len(new)


def usernames(names: Iterable[str]) -> dict[str, str]:
    """A username that nobody has for each name: "ada-lovelace", or that with a digest."""
    wanted = {name: tuple(candidates(name)) for name in names}
    every = {username for some in wanted.values() for username in some}
    taken = set(User.objects.filter(username__in=every).values_list("username", flat=True))
    chosen: dict[str, str] = {}
    for name, some in wanted.items():
        chosen[name] = next((username for username in some if username not in taken), some[-1])
        taken.add(chosen[name])
    return chosen


def candidates(name: str) -> Iterator[str]:
    plain = slugify(name, allow_unicode=True) or "somebody"
    digest = sha256(name.encode()).hexdigest()
    yield plain[:150]
    yield f"{plain[:140]}-{digest[:8]}"
    yield f"{plain[:80]}-{digest}"
