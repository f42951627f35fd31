"""What tests begin with, and what they say at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from hypothesis import HealthCheck, settings

from server import postgresql, registry
from tests.servers import Server, serving, site_of
from tests.site.models import Article, Page, Project
from tests.sites import environment
from tests.writers import Writer, Writers

# Every example is rolled back by the test itself, so one database serves them all.
settings.register_profile(
    "brook",
    deadline=None,
    max_examples=30,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("brook")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("postgresql") and connection.vendor != "postgresql":
            item.add_marker(pytest.mark.skip("needs PostgreSQL: set DATABASE_URL=postgres://…"))
        if item.get_closest_marker("sqlite") and connection.vendor != "sqlite":
            item.add_marker(pytest.mark.skip("is about SQLite"))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what was left out, by what it needs: the reason is "needs …: why"."""
    left_out = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):  # not an expected failure
            needs = report.longrepr[2].removeprefix("Skipped: ").partition(":")[0]
            if needs.startswith("needs "):
                left_out[needs].append(report.nodeid)
    for needs, nodeids in sorted(left_out.items()):
        terminalreporter.section(f"Left out: {needs} ({len(nodeids)})")
        for nodeid in sorted(nodeids):
            terminalreporter.line(nodeid)


@pytest.fixture(autouse=True)
def _nobody_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is no server, whatever it imports: PostgreSQL has no bounds for it."""
    monkeypatch.setattr(postgresql, "_serving", False)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create(username="bob")


@pytest.fixture
def brook(db: None) -> Project:
    return Project.objects.create(name="brook")


@pytest.fixture
def delta(db: None) -> Project:
    return Project.objects.create(name="delta")


@pytest.fixture
def article(db: None) -> Article:
    return Article.objects.create(title="On streams")


@pytest.fixture
def page(db: None) -> Page:
    return Page.objects.create(slug="on-rivers")


@pytest.fixture
def registered() -> Any:
    """Register models for one test."""
    added: list[Any] = []

    def register(*models: Any) -> None:
        new = [model for model in models if registry.lookup(model) is not model]
        registry.register(*new)
        added.extend(new)

    yield register
    registry.unregister(*added)


@pytest.fixture
def writers() -> Iterator[Writers]:
    """Makes writers; those that are left at the end are rolled back, that none is in the way."""
    made: list[Writer] = []

    def writer() -> Writer:
        made.append(Writer())
        return made[-1]

    yield writer
    for each in made:
        each.roll_back()


@pytest.fixture(scope="module")
def slow_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a site with a database, whose requests take as long as a test likes."""
    return site_of(tmp_path_factory.mktemp("site"))


@pytest.fixture
def server(slow_site: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Its server, of two processes, or with the settings that a test gives."""
    for left in ("begun", "enough"):
        (slow_site / left).unlink(missing_ok=True)
    given = getattr(request, "param", {"WEB_CONCURRENCY": "2"})
    # A broker that is away will do.
    settings = {"REDIS_URL": "redis://127.0.0.1:1/0", "RATE_LIMIT": "0"}
    with serving(environment(slow_site, "site_settings") | settings | given, slow_site) as found:
        yield found
