"""Who sends a request: whose session it carries, if it comes from here."""

from __future__ import annotations

from django.http import HttpRequest

from server import origins

from .errors import Forbidden

#: Methods by which nothing changes.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class ForeignOrigin(Forbidden):
    """A page elsewhere makes a visitor's browser send its session."""

    status = 403


def authenticate(request: HttpRequest) -> None:
    """See that a session is used from here; raises ForeignOrigin."""
    if request.method not in SAFE and not origins.is_from_here(request):
        raise ForeignOrigin(origins.refusal(request))
