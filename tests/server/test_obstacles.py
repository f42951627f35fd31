"""What hinders a server from starting."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from server.obstacles import obstacles


@pytest.fixture
def open_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own, which is not to be closed."""
    monkeypatch.setattr(connection, "close", lambda: None)


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.usefixtures("open_connection")
def test_nothing_hinders_a_site_in_order() -> None:
    assert list(obstacles()) == []


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.usefixtures("open_connection")
def test_each_obstacle_is_a_line(settings: Any) -> None:
    settings.WEB_CONCURRENCY = 0
    settings.PROXY_ADDRESSES = ["here\nand there"]
    call_command("migrate", "activity", "0002", verbosity=0, fake=True)
    concurrency, addresses, migrations = obstacles()
    assert concurrency == "WEB_CONCURRENCY is 0; it is 1 or more."
    assert addresses.startswith("PROXY_ADDRESSES has 'here")
    assert migrations.startswith("The database lacks 1 migrations, activity.0003_session first:")
    assert "\n" not in "".join((concurrency, addresses, migrations))
