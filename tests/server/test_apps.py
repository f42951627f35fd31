"""The app: what is in place once a site has started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.test import override_settings

from server.apps import install_manager, manager_class
from server.models import Action
from server.streams import ActionManager
from tests.site.managers import SiteActions

pytestmark = pytest.mark.apart

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_app_is_called_server_and_labelled_activity() -> None:
    config = apps.get_app_config("activity")
    assert (config.name, config.label) == ("server", "activity")


def test_a_site_s_manager_stands_in_the_place_of_ours() -> None:
    assert type(Action.objects) is SiteActions
    assert Action._default_manager is Action.objects
    assert manager_class() is SiteActions


def test_a_site_without_a_manager_has_ours() -> None:
    with override_settings(ACTSTREAM_SETTINGS={}):
        assert manager_class() is ActionManager


def test_installing_a_manager_twice_leaves_one() -> None:
    install_manager(SiteActions)
    assert [manager.name for manager in Action._meta.managers] == ["objects"]
    assert type(Action.objects) is SiteActions


def start(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env=kept | {"DJANGO_SETTINGS_MODULE": "server.settings"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


SETUP = "import django; django.setup(); from django.conf import settings; "


def test_a_site_with_a_broken_manager_starts_so_that_check_can_say_so() -> None:
    done = start(
        "from server import settings as s; s.ACTSTREAM_SETTINGS = {'MANAGER': 'no.such.Manager'}; "
        "import django; django.setup(); from server.models import Action; "
        "print(type(Action.objects).__name__)",
        SECRET_KEY="x",
    )
    assert (done.stdout, done.stderr) == ("ActionManager\n", "")


def test_nothing_starts_without_a_secret_key_unless_in_debug() -> None:
    refused = start(SETUP)
    assert refused.returncode != 0
    assert "SECRET_KEY" in refused.stderr
    assert start(SETUP + "print(settings.DEBUG)", DEBUG="true").stdout == "True\n"


def test_the_settings_are_safe_by_default() -> None:
    shown = start(
        SETUP + "print(settings.DEBUG, settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS, "
        "settings.REDIS_URL, settings.PORT, settings.DATABASES['default']['ENGINE'])",
        SECRET_KEY="x",
    )
    assert shown.stdout == (
        "False ['localhost', '127.0.0.1', '[::1]'] []  8000 django.db.backends.sqlite3\n"
    )


def test_the_settings_come_from_the_environment() -> None:
    shown = start(
        SETUP + "print(settings.DEBUG, settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS, "
        "settings.REDIS_URL, settings.PORT, settings.DATABASES['default']['HOST'])",
        SECRET_KEY="x",
        DEBUG="on",
        ALLOWED_HOSTS="a.test,b.test",
        CSRF_TRUSTED_ORIGINS="https://a.test",
        REDIS_URL="redis://r.test:6379/0",
        PORT="8001",
        DATABASE_URL="postgres://u:p@db.test:5432/brook",
    )
    assert shown.stdout == (
        "True ['a.test', 'b.test'] ['https://a.test'] redis://r.test:6379/0 8001 db.test\n"
    )


def test_the_schema_is_open_to_staff_alone_unless_the_environment_says_otherwise() -> None:
    for given, said in (
        ({}, "staff"),
        ({"DEBUG": "on"}, "everyone"),
        ({"DEBUG": "on", "INTROSPECTION": "nobody"}, "nobody"),
    ):
        shown = start(SETUP + "print(settings.INTROSPECTION)", SECRET_KEY="x", **given)
        assert shown.stdout == f"{said}\n"
    refused = start(SETUP, SECRET_KEY="x", INTROSPECTION="anybody")
    assert "Invalid value: anybody" in refused.stderr


def test_our_apps_import_nothing_of_graphql() -> None:
    done = start(
        "import sys; from server import settings as s; "
        "s.INSTALLED_APPS = [a for a in s.INSTALLED_APPS "
        "if a not in ('schema', 'strawberry_django')]; "
        "import django; django.setup(); import server.models, server.pages, server.checks; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('schema', 'strawberry')))",
        SECRET_KEY="x",
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.sqlite
def test_sqlite_runs_in_wal_mode_and_waits_for_the_other_writer(db: None) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone()[0] >= 10_000
    assert settings.DATABASES["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
