"""What the long proofs run on, and the table of what they proved."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from django.conf import settings
from django.db import connection
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from tests.verify.older_site import Sites

HERE = Path(__file__).parent
#: Whether a proof that cannot run here fails, instead of being left out.
ALL = bool(os.environ.get("CI") or os.environ.get("VERIFY_ALL"))

#: How a browser starts that asks for nothing by itself.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]

Proof = Callable[[str, str], None]

#: A process of the server, without the one that looks after it.
UVICORN = [
    *(sys.executable, "-m", "uvicorn", "schema.asgi:application"),
    *("--ws", "websockets-sansio", "--ws-max-size", "131072", "--ws-per-message-deflate", "false"),
]


@dataclass(frozen=True)
class Site:
    """A running site, and who may log in to it."""

    url: str
    username: str
    password: str


# What was proven


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """Enter a row in the table: ``proof("tour, desktop", "8 tabs, 0 errors")``."""

    def enter(what: str, figures: str) -> None:
        request.node.user_properties.append(("proof", (what, figures)))

    return enter


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever stands in this directory is a long proof."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.verify)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    if ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Nothing may be left out here. {reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table; what was left out is listed after it."""
    reports = [
        (report.location, outcome, report)
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if "verify" in report.keywords and (report.when == "call" or outcome != "passed")
    ]
    if not reports:
        return
    table = Table("", "proof", "figures", "seconds", box=box.SIMPLE_HEAD)
    table.columns[-1].justify = "right"
    for _location, outcome, report in sorted(reports, key=lambda it: it[:2]):
        for what, figures in rows(report):
            table.add_row(outcome, escape(what), escape(figures), f"{report.duration:.1f}")
    console = Console(width=110, color_system=None)
    with console.capture() as captured:
        console.print(table)
    terminalreporter.section("What was proven")
    terminalreporter.write(captured.get())


def rows(report: Any) -> list[tuple[str, str]]:
    """A proof's own rows; one that entered none, or failed before, has its name."""
    own = [value for name, value in report.user_properties if name == "proof"]
    return own or [(re.sub(r"^.*::(test_)?", "", report.nodeid).replace("_", " "), "")]


def reason(report: Any) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(said).removeprefix("Skipped: ")


# The demo's site


@dataclass(frozen=True)
class World:
    """The demo's world in a database of its own, and who may log in."""

    directory: Path
    environment: dict[str, str]
    username: str
    password: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One for the tests of a file."""
    directory = tmp_path_factory.mktemp("demo")
    environment = clean_environment(
        DJANGO_SETTINGS_MODULE="server.demo.settings",
        DATABASE_URL=f"sqlite:///{directory / 'brook.sqlite3'}",
        SECRET_KEY=secrets.token_urlsafe(50),
        PORT=str(free_port()),
        RATE_LIMIT="1000000000",  # counted, but never too much
    )

    manage(environment, "migrate", "--verbosity", "0")
    return World(directory, environment, *login(manage(environment, "demo")))


@pytest.fixture(scope="module")
def demo(world: World) -> Iterator[Site]:
    """The demo's site, started as its user starts it; one for the tests of a file."""
    port = int(world.environment["PORT"])
    command = [*UVICORN, "--port", str(port)]
    log = world.directory / "log"
    with serving(command, settings.BASE_DIR, world.environment, log, port) as (url, _):
        yield Site(url, world.username, world.password)


# The browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: it is not installed"
    )
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("needs Chromium: it is not on this machine")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    directory = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def login(said: str) -> tuple[str, str]:
    """Name and password, from what the demo says to whoever starts it."""
    found = re.search(r"log in as (\S+), password (\S+)\.", said)
    assert found, said
    return found[1], found[2]


def log_in(client: httpx.Client, username: str, password: str) -> None:
    """Give a client the session of a user, by the form."""
    page = client.get("/login")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token, page.text
    form = {"csrfmiddlewaretoken": token[1], "username": username, "password": password}
    assert client.post("/login", data=form).status_code == 302


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what pytest, make and the .venv have put there."""
    theirs = {"DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SECRET_KEY", "PORT", "VIRTUAL_ENV"}
    theirs |= {"DEBUG", "HOST", "REDIS_URL", "VENV", "DJANGO", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    theirs |= {name for name in os.environ if name.startswith(("PYTEST_", "PYTHON", "COV_"))}
    kept = {name: value for name, value in os.environ.items() if name not in theirs}
    here = str(Path(sys.executable).parent)
    kept["PATH"] = os.pathsep.join(
        path
        for path in kept["PATH"].split(os.pathsep)
        if path != here or sys.prefix == sys.base_prefix
    )
    return kept | more


def manage(environment: Mapping[str, str], *command: str) -> str:
    """What ``manage.py`` prints in an environment."""
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    ).stdout


@contextmanager
def serving(
    command: list[str], directory: Path, environment: Mapping[str, str], log: Path, port: int
) -> Iterator[tuple[str, int]]:
    """A server's address and process, from when it answers (in three minutes) until the end."""
    url = f"http://127.0.0.1:{port}"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 180
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"No answer in three minutes.\n{log.read_text()}"
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/login", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


# A site of django-activity-stream


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """One, in SQLite, or in PostgreSQL where DATABASE_URL names one."""
    from tests.verify.older_site import Sites

    directory = tmp_path_factory.mktemp("older")
    given = os.environ.get("DATABASE_URL", "")
    if connection.vendor != "postgresql":
        yield Sites(f"sqlite:///{directory}/site.sqlite3", directory)
        return
    name = f"brook_older_{secrets.token_hex(4)}"
    with psycopg.connect(given, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield Sites(f"{given.rpartition('/')[0]}/{name}", directory)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
