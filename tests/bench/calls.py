"""The load without a network: the application is called in the process that asks."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from time import perf_counter, process_time
from typing import Any

from .load import Load, LoadError, Measured, measured


def prepare(environment: dict[str, str]) -> None:
    """What the process is told before anything of Django is there."""
    os.environ.update(environment)


def drive(load: Load) -> Measured:
    """One request again and again, the next one when the answer is there.

    ``client`` is all that is computed: application, database driver, and SQLite.
    """
    from django.core.wsgi import get_wsgi_application

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    application = get_wsgi_application()
    times: list[float] = []
    answers = 0
    begun = perf_counter()
    counting = worked = 0.0
    while True:
        started = perf_counter()
        body = called(application, load.request)
        now = perf_counter()
        answers += 1
        if body != load.expected:
            raise LoadError(f"Another answer than before: {body[:600]!r}.")
        if counting:
            times.append(now - started)
            if now - counting >= load.seconds:
                busy = (process_time() - worked) / (now - counting)
                return measured(answers, times, now - counting, busy)
        elif now - begun >= load.warm_up:
            counting, worked = now, process_time()


def called(application: Any, request: bytes) -> bytes:
    """The body of an answer; LoadError for any status but 200."""
    head, _, content = request.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    method, path, _ = line.split(" ")
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(content),
        "wsgi.errors": sys.stderr,
    }
    for header in headers:
        name, _, value = header.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
    statuses: list[str] = []
    response = application(environ, lambda status, *_: statuses.append(status))
    body = b"".join(response)
    if hasattr(response, "close"):
        response.close()  # Django ends the request here
    if not statuses[0].startswith("200 "):
        raise LoadError(f"The application said {statuses[0]}: {body[:600]!r}.")
    return body
