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

# How many passwords may be tried at once for a name from one address, and for all names from it;
# so many are regained in LOGIN_PERIOD seconds, one by one.
LOGIN_ATTEMPTS = env.int("LOGIN_ATTEMPTS", default=10)
LOGIN_ATTEMPTS_PER_ADDRESS = env.int("LOGIN_ATTEMPTS_PER_ADDRESS", default=100)
LOGIN_PERIOD = env.int("LOGIN_PERIOD", default=600)

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

# A request's body: the most bytes, and the most seconds from its first to its last.
MOST_BODY = env.int("MOST_BODY", default=2_621_440)
BODY_SECONDS = env.float("BODY_SECONDS", default=10)

# What streams is cut off where its client takes nothing for so many seconds.
SEND_SECONDS = env.float("SEND_SECONDS", default=30)

# redis://host:6379/0, for what several processes share; none: each process for itself.
REDIS_URL = env.str("REDIS_URL", default="")

CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # The documents that clients have sent with their hashes, for them to name by these.
    "documents": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": "brook:documents",
            "OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2},
        }
        if REDIS_URL
        else {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "documents",
            "OPTIONS": {"MAX_ENTRIES": 1000},
        }
    ),
}

# A manifest of documents, as relay-compiler, GraphQL Code Generator or Apollo write it: clients
# may name them by their ids. With DOCUMENTS_ONLY, no others are answered.
DOCUMENTS = env.str("DOCUMENTS", default="")
DOCUMENTS_ONLY = env.bool("DOCUMENTS_ONLY", default=False)

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
