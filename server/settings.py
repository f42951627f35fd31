"""Every setting, from the environment, with defaults that are safe.

A site's settings module begins with ``from server.settings import *``.
"""

from __future__ import annotations

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Development only: tracebacks in the browser, and a secret key of no worth.
DEBUG = env.bool("DEBUG", default=False)

# Signs sessions and cookies. Required unless DEBUG; 50 random characters, kept secret.
SECRET_KEY = (
    env.str("SECRET_KEY", default="insecure-" + "-" * 50) if DEBUG else env.str("SECRET_KEY")
)

# The names by which browsers reach the site, separated by commas.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

# Other origins whose pages may post with a visitor's session: https://app.example.com,…
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# The port of "make serve" and "make demo".
PORT = env.int("PORT", default=8000)

# postgres://user:password@host:5432/name, or an SQLite file.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'brook.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Readers and one writer work side by side; a second writer waits for the first, from the
    # beginning of its transaction on, instead of failing in the middle of it.
    OPTIONS = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    # Statements that come again are prepared. Behind a pooler that gives each transaction another
    # connection (PgBouncer's transaction mode), a site sets prepare_threshold to None.
    OPTIONS = {"server_side_binding": True, "prepare_threshold": 5}
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "OPTIONS": OPTIONS | DATABASES["default"].get("OPTIONS", {}),
}

# redis://host:6379/0, for what several processes share; none: each process for itself.
REDIS_URL = env.str("REDIS_URL", default="")

# What each viewer, and each address of anonymous clients, may ask for: points a second, and
# points at once. A page of twenty costs about 85; docs/limits.md says more. 0 a second: no limit.
RATE_LIMIT = env.int("RATE_LIMIT", default=2_000)
RATE_BURST = env.int("RATE_BURST", default=40_000)

# How many proxies of yours stand before the server and add to X-Forwarded-For. With one and
# PROXIES=0, all anonymous clients have the proxy's address, and one limit together.
PROXIES = env.int("PROXIES", default=0)

# Seconds that one operation may take, then it is stopped and answered with TIMEOUT. 0: no limit.
# Behind a pooler that gives each transaction another connection, set statement_timeout there.
TIME_LIMIT = env.float("TIME_LIMIT", default=10.0)

# A site's own streams: {"MANAGER": "app.module.ManagerClass"}.
ACTSTREAM_SETTINGS: dict[str, str] = {}

# Answer plain selections of connections by compiled code; off: by graphql-core alone.
COMPILED = env.bool("COMPILED", default=True)

INSTALLED_APPS = [
    "server",
    "schema",
    "strawberry_django",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "server.sessions.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ROOT_URLCONF = "schema.urls"
ASGI_APPLICATION = "schema.asgi.application"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "graphql"

# To standard error: what went wrong, and what Django and the server say.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Django's sessions, users and permissions, of which one statement finds who is logged in.
SESSION_ENGINE = "server.sessions"
AUTHENTICATION_BACKENDS = ["server.sessions.Backend"]

# Served by the application itself, from where each app keeps them.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
