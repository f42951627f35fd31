"""``python -m server``: the production server, by the environment's settings."""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from multiprocessing import get_context
from traceback import walk_tb
from typing import NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.log import configure_logging


def main() -> None:
    """Serve until told to stop; what hinders that is said in a line each, and ends it with 1."""
    parser = ArgumentParser(prog="python -m server", description="Serve the site.")
    parser.add_argument(
        "role",
        nargs="?",
        choices=("all", "http", "live"),
        help="what to serve; with a proxy in front, live connections and the rest may be apart "
        "(default: ROLE, else all)",
    )
    role = parser.parse_args().role
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
    if role:
        os.environ["ROLE"] = role
    try:
        configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
    except (ImproperlyConfigured, ImportError, OSError, ValueError) as error:
        _end(f"The settings cannot be read: {_of_variable(error)}{error}")
    # In a process of its own: this one only looks after the others, and stays small.
    look = get_context("fork").Process(target=_look)
    look.start()
    look.join()
    if look.exitcode:
        sys.exit(1)

    from . import listening, processes

    try:
        listener = listening.opened(settings.HOST, settings.PORT)
    except (OSError, OverflowError, ValueError) as error:
        _end(f"{listening.named(settings.HOST, settings.PORT)} cannot be listened at: {error}")
    count = settings.WEB_CONCURRENCY
    logging.getLogger(__package__).info(
        "Brook serves %s at %s, by %d process%s.",
        {"all": "all", "http": "requests", "live": "live connections"}[settings.ROLE],
        listening.address(listener),
        count,
        "es" * (count > 1),
    )
    sys.exit(processes.run(listener))


def _look() -> None:
    from .obstacles import obstacles

    if found := list(obstacles()):
        _end("\nbrook: ".join(found))


def _of_variable(error: Exception) -> str:
    """Which one cannot be read, of which django-environ says nothing."""
    frames = [frame for frame, _line in walk_tb(error.__traceback__)]
    names = [frame.f_locals["var"] for frame in frames if "var" in frame.f_locals]
    return f"{names[-1]}: " if names and isinstance(error, ValueError) else ""


def _end(message: str) -> NoReturn:
    sys.exit(f"brook: {message}")


if __name__ == "__main__":
    main()
