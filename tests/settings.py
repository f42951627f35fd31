"""A site of the tests' own, written as a user of Brook would write theirs."""

import os
import tempfile
from copy import deepcopy
from pathlib import Path

os.environ.setdefault("SECRET_KEY", "for tests alone")
os.environ.setdefault("DATABASE_URL", f"sqlite:///{tempfile.gettempdir()}/brook-tests.sqlite3")

from server.settings import *  # noqa: F403
from server.settings import BASE_DIR, DATABASES, INSTALLED_APPS

# Databases of this run's own, so that two can run side by side; SQLite's in files, not in memory,
# so that threads meet as they do in production.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
DATABASES["default"]["CONN_MAX_AGE"] = 0
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {
        "NAME": str(Path(tempfile.gettempdir()) / f"brook-{RUN}.sqlite3")
    }
    DATABASES["default"]["OPTIONS"]["timeout"] = 60
else:
    DATABASES["default"]["TEST"] = {"NAME": f"test_brook_{RUN[:8]}"}
    # Nobody needs what a test has written after a power cut.
    DATABASES["default"]["OPTIONS"]["options"] = "-c synchronous_commit=off"

DATABASES["other"] = deepcopy(DATABASES["default"])
NAME = Path(DATABASES["other"]["TEST"]["NAME"])
DATABASES["other"]["TEST"]["NAME"] = str(NAME.with_stem(f"{NAME.stem}-other"))

INSTALLED_APPS = [*INSTALLED_APPS, "tests.site"]
if (BASE_DIR / "server" / "demo" / "apps.py").exists():
    INSTALLED_APPS.append("server.demo")

# Many tests look at the schema.
INTROSPECTION = "everyone"

ACTSTREAM_SETTINGS = {"MANAGER": "tests.site.managers.SiteActions"}
RATE_LIMIT = 0  # a test that is about it has its own
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_ATTEMPTS = 1000  # tests log in again and again
