"""A site of django-activity-stream beside one in Brook."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from django import VERSION
from django.conf import settings

from tests.verify.conftest import clean_environment

OLDER = Path(__file__).parent / "older"


class Sites:
    """One database, and the two sites that look at it."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.python = directory / "venv" / "bin" / "python"
        run = subprocess.run
        run([sys.executable, "-m", "venv", str(directory / "venv")], check=True, timeout=300)
        django = f"Django=={'.'.join(map(str, VERSION[:2]))}.*"
        install = ["-m", "pip", "install", "--quiet", "-r", str(OLDER / "requirements.txt")]
        run([str(self.python), *install, django], check=True, timeout=600)

    def environment(self, site: str) -> dict[str, str]:
        return clean_environment(
            DJANGO_SETTINGS_MODULE=site,
            DATABASE_URL=self.url,
            SECRET_KEY="for tests alone",
            PYTHONPATH=str(settings.BASE_DIR),
            RATE_LIMIT="0",
        )

    def older(self, *command: str, module: str = "tests.verify.older") -> Any:
        """What the site of django-activity-stream answers to a command."""
        path = self.directory / "answer.json"
        subprocess.run(
            [str(self.python), "-m", module, *command, str(path)],
            cwd=settings.BASE_DIR,
            env=self.environment("tests.verify.older.settings"),
            check=True,
            timeout=1200,
        )
        return json.loads(path.read_text())

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A Python command at the site in Brook."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=settings.BASE_DIR,
            env=self.environment("tests.settings"),
            stdout=subprocess.PIPE,
            text=True,
        )

    def brook(self, *command: str) -> str:
        process = self.start(*command)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
        return said

    def number(self, sql: str) -> int:
        if self.url.startswith("sqlite"):
            with sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60) as database:
                return int(database.execute(sql).fetchone()[0])
        with psycopg.connect(self.url) as there:
            [(found,)] = there.execute(sql).fetchall()  # type: ignore[arg-type,unused-ignore]
            return int(found)
