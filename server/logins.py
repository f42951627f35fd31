"""Logins: how many passwords may be tried."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from unicodedata import normalize

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from . import addresses, buckets, metrics

Rest = ParamSpec("Rest")
View = Callable[Concatenate[HttpRequest, Rest], HttpResponseBase]


def throttled(view: View[Rest]) -> View[Rest]:
    """A view to which ``username`` and ``password`` are posted; 429 where it is too often.

    Every attempt counts, for whatever name: who is refused learns nothing of who is there.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Any:
        if request.method == "POST" and (wait := _wait(request)):
            metrics.LOGINS.labels("throttled").inc()
            return _refused(request, wait)
        response = view(request, *args, **kwargs)
        if request.method == "POST":
            has_let_in = response.status_code == 302
            metrics.LOGINS.labels("succeeded" if has_let_in else "failed").inc()
        return response

    return guarded


def _wait(request: HttpRequest) -> int:
    """Seconds until one may be tried from here, for this name; 0 if now."""
    address = addresses.client(request)
    # Names that look the same are one to the form; the rest of a name could grow without end.
    name = normalize("NFKC", request.POST.get("username", "")).strip().casefold()
    known = hashlib.sha256(f"{address} {name}".encode(errors="replace")).hexdigest()
    for key, burst in (
        (f"login:{address}", settings.LOGIN_ATTEMPTS_PER_ADDRESS),
        (f"login:{known}", settings.LOGIN_ATTEMPTS),
    ):
        taken = buckets.take(key, 1, burst / settings.LOGIN_PERIOD, burst)
        if taken.wait:
            return math.ceil(taken.wait)
    return 0


def _refused(request: HttpRequest, wait: int) -> HttpResponse:
    context = {"minutes": math.ceil(wait / 60)}
    response = render(request, "registration/throttled.html", context, status=429)
    response.headers["Retry-After"] = str(wait)
    response.headers["Cache-Control"] = "no-store"
    return response
