"""As the documentation of django-activity-stream has it, over the models of the tests' site."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": (
        {"ENGINE": "django.db.backends.sqlite3", "NAME": _url.path[1:]}
        if _url.scheme == "sqlite"
        else {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path.removeprefix("/"),
            "USER": _url.username or "",
            "PASSWORD": unquote(_url.password or ""),
            "HOST": _url.hostname or "",
            "PORT": _url.port or "",
        }
    )
}
SECRET_KEY = "for tests alone"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sites",
    "rest_framework",
    "generic_relations",
    "actstream",
    "tests.verify.older.apps.OlderSite",
]
ACTSTREAM_SETTINGS = {"USE_JSONFIELD": True, "DRF": {"ENABLE": True}}
ROOT_URLCONF = "actstream.urls"
SITE_ID = 1
