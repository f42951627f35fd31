"""A site that is nothing but files in a directory, run as its owner would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

#: A page's origin that is not the site's own, and may ask by a token.
ELSEWHERE = "https://app.example.com"


def environment(directory: Path, site: str) -> dict[str, str]:
    """That in which the site in a directory runs, and its commands do."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": site,
        "DATABASE_URL": f"sqlite:///{directory}/site.sqlite3",
        "SECRET_KEY": "for tests alone",
        "INTROSPECTION": "everyone",
        "CORS_ALLOWED_ORIGINS": ELSEWHERE,
        "TOKEN_SECRET": "for the clients of tests alone, " * 2,
        "PYTHONPATH": f"{directory}{os.pathsep}{settings.BASE_DIR}",
        "PYTHONWARNINGS": "",
    }


def run(
    directory: Path, *command: str, site: str = "site_settings"
) -> subprocess.CompletedProcess[str]:
    """A Python command in a directory, under the settings of the site in it."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=environment(directory, site),
        capture_output=True,
        text=True,
        timeout=120,
    )


def manage(
    directory: Path, *command: str, site: str = "site_settings"
) -> subprocess.CompletedProcess[str]:
    """``manage.py`` under the settings of the site in a directory."""
    return run(directory, str(settings.BASE_DIR / "manage.py"), *command, site=site)
