"""django-activity-stream 2 with its DRF views, as its documentation sets it up.

Equal: PostgreSQL and its data (in the tables and indexes of its own migrations), users, groups,
the session and whose page it is, Django's usual middlewares, 20 actions a page, newest first,
public ones only, the next page by a cursor.
In its favour: DRF's cursor pagination, which counts nothing, where page numbers would count all;
users and groups with no more than their id and name; granian, and threads that wait for SQL.
Not equal: REST, so that a response has every column of an action, asked for or not; the order is
made whole by the id, which its own streams leave out.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

_url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.removeprefix("/"),
        "USER": _url.username or "",
        "PASSWORD": unquote(_url.password or ""),
        "HOST": _url.hostname or "",
        "PORT": _url.port or "",
        "CONN_MAX_AGE": None,
    }
}
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "actstream",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
REST_FRAMEWORK = {
    "DEFAULT_PAGINATION_CLASS": "pagination.NewestFirst",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
ACTSTREAM_SETTINGS = {
    "DRF": {"MODEL_FIELDS": {"auth.User": ["id", "username"], "auth.Group": ["id", "name"]}},
}
