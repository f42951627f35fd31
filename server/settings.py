"""Every setting, from the environment, with defaults that are safe.

A site's settings module begins with ``from server.settings import *``.
"""

from __future__ import annotations

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
# Each may be in a file that NAME_FILE names instead, as secrets of containers are.
env = environ.FileAwareEnv()

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

# Origins whose pages may read answers, by CORS: https://app.example.com,…; by default none but
# this site's. With a visitor's session only where credentials are allowed, and the origin is
# trusted too.
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOW_CREDENTIALS = env.bool("CORS_ALLOW_CREDENTIALS", default=False)

# Bearer tokens (JSON Web Tokens): refused, all of them, unless one of three is set, by which they
# are verified. A secret of 32 bytes or more, shared with whoever mints them (openssl rand -base64
# 48); a public key, as PEM; or the address at which an issuer publishes its keys.
TOKEN_SECRET = env.str("TOKEN_SECRET", default="").rstrip("\n")  # of a file's last line
TOKEN_PUBLIC_KEY = env.str("TOKEN_PUBLIC_KEY", default="", multiline=True)
TOKEN_JWKS_URL = env.str("TOKEN_JWKS_URL", default="")
# HS256, RS256, ES256 or EdDSA, whatever a token says of itself; none: HS256 with a secret, RS256
# without.
TOKEN_ALGORITHM = env.str("TOKEN_ALGORITHM", default="")
# Who must have minted a token, and for whom (iss and aud). Required unless there is a secret.
TOKEN_ISSUER = env.str("TOKEN_ISSUER", default="")
TOKEN_AUDIENCE = env.str("TOKEN_AUDIENCE", default="")
# Seconds by which clocks may differ.
TOKEN_LEEWAY = env.int("TOKEN_LEEWAY", default=10)
# The claim that names the user, and the unique field of the user model that it holds (none: the
# name by which users log in). The claim must be one that only the issuer sets.
TOKEN_CLAIM = env.str("TOKEN_CLAIM", default="sub")
TOKEN_USER_FIELD = env.str("TOKEN_USER_FIELD", default="")
# Make a user, without a password, of a token that names one who is not there; off: refuse it.
TOKEN_CREATE_USERS = env.bool("TOKEN_CREATE_USERS", default=False)
# Development only: the key by which "manage.py token" signs, where it is not TOKEN_SECRET; as PEM.
TOKEN_PRIVATE_KEY = env.str("TOKEN_PRIVATE_KEY", default="", multiline=True)

# How many passwords may be tried at once for a name from one address, and for all names from it;
# so many are regained in LOGIN_PERIOD seconds, one by one.
LOGIN_ATTEMPTS = env.int("LOGIN_ATTEMPTS", default=10)
LOGIN_ATTEMPTS_PER_ADDRESS = env.int("LOGIN_ATTEMPTS_PER_ADDRESS", default=100)
LOGIN_PERIOD = env.int("LOGIN_PERIOD", default=600)

# Where the server listens: an address of this machine (0.0.0.0 or :: for all) and a port, or
# unix:/run/brook/brook.sock, or fd:3, which whoever starts it has opened.
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)

# What the processes serve, of which "python -m server ROLE" is another way to say it: all, or
# http or live alone, where a proxy tells live connections (WebSockets, text/event-stream) from the
# rest.
ROLE = env.str("ROLE", default="all", choices=("all", "http", "live"))

# How long a server that is told to stop waits for its open requests, in seconds; and a process
# that has made no progress for so long is ended and replaced (0: never).
STOP_SECONDS = env.int("STOP_SECONDS", default=30)
STUCK_SECONDS = env.int("STUCK_SECONDS", default=120)

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
    OPTIONS = {
        "server_side_binding": True,
        "prepare_threshold": 5,
        "application_name": "brook",
        # A server that cannot be reached, or is not there any more, is known as such in seconds.
        "connect_timeout": env.int("DATABASE_CONNECT_SECONDS", default=5),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
    }
# Connections are kept, one for each thread that asks: one for requests, and two for live streams.
# And as many as SHORTCUT_CONNECTIONS says for pages that are asked for again and again, which the
# event loop answers; 0: it answers none. Without prepare_threshold it does not, either.
SHORTCUT_CONNECTIONS = env.int("SHORTCUT_CONNECTIONS", default=4)
DATABASES["default"] |= {
    "CONN_MAX_AGE": 60,
    "OPTIONS": OPTIONS | DATABASES["default"].get("OPTIONS", {}),
}
# Of a pool instead, at most so many for a process; for a site that serves by many threads. Each
# request takes one, looks whether it is good, and gives it back. 0: no pool.
DATABASE_POOL = env.int("DATABASE_POOL", default=0)
if DATABASE_POOL and DATABASES["default"]["ENGINE"].endswith("postgresql"):
    DATABASES["default"] |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": DATABASE_POOL}

# Streaming replicas of it, each by a URL of its own, separated by commas: queries read them, where
# they have what the viewer has written. Each must be one server, not a name for several.
REPLICAS: list[str] = []
for url in env.list("DATABASE_REPLICA_URLS", default=[]):
    REPLICAS.append(f"replica_{len(REPLICAS) + 1}")
    DATABASES[REPLICAS[-1]] = {
        **DATABASES["default"],
        **env.db_url_config(url),
        "OPTIONS": DATABASES["default"]["OPTIONS"] | env.db_url_config(url).get("OPTIONS", {}),
        "TEST": {"MIRROR": "default"},
    }
DATABASE_ROUTERS = ["server.replicas.Router"] if REPLICAS else []
# Seconds that a replica may be behind, and be read.
REPLICA_LAG = env.float("REPLICA_LAG", default=10)

# Seconds, told to PostgreSQL by the server and not by commands; 0: no limit. That a statement may
# take beside TIME_LIMIT, as of the admin's pages; that it may wait for a lock of somebody else, as
# a migration may too; and that a transaction may stand still.
DATABASE_STATEMENT_SECONDS = env.float("DATABASE_STATEMENT_SECONDS", default=60)
DATABASE_LOCK_SECONDS = env.float("DATABASE_LOCK_SECONDS", default=5)
DATABASE_IDLE_SECONDS = env.float("DATABASE_IDLE_SECONDS", default=60)

# Where "manage.py import_actstream --database import" reads, if not in the database above. Times
# without a zone in it are of TIME_ZONE, unless a site sets DATABASES["import"]["TIME_ZONE"].
if IMPORT_DATABASE_URL := env.str("IMPORT_DATABASE_URL", default=""):
    DATABASES["import"] = env.db("IMPORT_DATABASE_URL")

# A request's body: the most bytes, and the most seconds from its first to its last.
MOST_BODY = env.int("MOST_BODY", default=2_621_440)
BODY_SECONDS = env.float("BODY_SECONDS", default=10)

# Live streams, over WebSocket or as text/event-stream: how many connections an address may have
# to one process, and the most bytes that may wait for a client to take them. Who takes less is let
# go, and resumes where it was; so is who takes nothing for so many seconds.
LIVE_CONNECTIONS = env.int("LIVE_CONNECTIONS", default=500)
LIVE_BUFFER = env.int("LIVE_BUFFER", default=1_048_576)
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

# By which processes tell each other what was recorded, for live streams.
CHANNEL_LAYERS = {
    "default": (
        {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "prefix": "brook:live:",
                "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2}],
            },
        }
        if REDIS_URL
        else {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            "CONFIG": {"capacity": 10_000, "group_expiry": 10**9},
        }
    )
}

# How many processes serve; the server takes it from the environment too. More than one need
# REDIS_URL.
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", default=1)

# A manifest of documents, as relay-compiler, GraphQL Code Generator or Apollo write it: clients
# may name them by their ids. With DOCUMENTS_ONLY, no others are answered; feeds are.
DOCUMENTS = env.str("DOCUMENTS", default="")
DOCUMENTS_ONLY = env.bool("DOCUMENTS_ONLY", default=False)

# What each viewer, and each address of anonymous clients, may ask for: points a second, and
# points at once. A page of twenty costs about 85; docs/limits.md says more. 0 a second: no limit.
RATE_LIMIT = env.int("RATE_LIMIT", default=2_000)
RATE_BURST = env.int("RATE_BURST", default=40_000)

# How many proxies of yours stand before the server and add to X-Forwarded-For. With one and
# PROXIES=0, all anonymous clients have the proxy's address, and one limit together. With one or
# more, a request's X-Request-ID and traceparent are theirs, and believed.
PROXIES = env.int("PROXIES", default=0)

# From where the nearest of them connects, if not by a Unix socket: addresses and networks,
# separated by commas. What others say in X-Forwarded-… is not heard.
PROXY_ADDRESSES = env.list(
    "PROXY_ADDRESSES",
    default=["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
)

# Browsers reach the site by https:// alone: whoever comes by http:// is sent there, and cookies go
# no other way. A proxy ends TLS and says by X-Forwarded-Proto how a request came, so PROXIES is 1
# or more. Browsers keep to it for so many seconds.
HTTPS = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000) if HTTPS else 0
# Whether other names of the domain keep to it is said by whoever has them.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Seconds that one operation may take, then it is stopped and answered with TIMEOUT. 0: no limit.
# Behind a pooler that gives each transaction another connection, set statement_timeout there.
TIME_LIMIT = env.float("TIME_LIMIT", default=10.0)

# Seconds from which on an operation is logged as slow: what it took and its document's hash, never
# what it asked about. 0: none is.
SLOW_OPERATION = env.float("SLOW_OPERATION", default=1.0)

# Who may read /metrics: whoever brings this token (Authorization: Bearer …), and whoever connects
# from these networks without a proxy in between, 10.0.0.0/8,…; by default nobody.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
METRICS_NETWORKS = env.list("METRICS_NETWORKS", default=[])

# How the log is written: "line" for people, "json" for machines, an object in each line.
LOG_FORMAT = env.str("LOG_FORMAT", default="line", choices=("line", "json"))

# A site's own streams: {"MANAGER": "app.module.ManagerClass"}.
ACTSTREAM_SETTINGS: dict[str, str] = {}

# What the ids in feeds begin with, so that they are the same under every name of the site: a
# domain and a year in which it was yours, example.com,2026. None: the name that is asked for.
FEED_AUTHORITY = env.str("FEED_AUTHORITY", default="")

# Answer plain selections of connections by compiled code; off: by graphql-core alone.
COMPILED = env.bool("COMPILED", default=True)

# Who may read the schema by introspection, and open GraphiQL: everyone, staff or nobody.
INTROSPECTION = env.str(
    "INTROSPECTION",
    default="everyone" if DEBUG else "staff",
    choices=("everyone", "staff", "nobody"),
)

INSTALLED_APPS = [
    "server",
    "schema",
    "corsheaders",
    "strawberry_django",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "schema.headers.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "server.sessions.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if REPLICAS:
    MIDDLEWARE.append("server.replicas.Middleware")
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
# What a browser may do on our pages: load and run what is served from here, and nothing inline.
# GraphiQL's page may have inline styles besides, and an answer that is no page may do nothing.
# A site's own pages differ by the decorators of django-csp.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

ROOT_URLCONF = "schema.urls"
ASGI_APPLICATION = "schema.asgi.application"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "graphql"

# To standard error: a line for each request ("server.access"), what went wrong, and what Django
# and the server say; each with the request's id.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"ids": {"()": "server.logs.Ids"}},
    "formatters": {
        "line": {"()": "server.logs.Line"},
        "json": {"()": "server.logs.Json"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["ids"],
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # It repeats every second that Redis is away; server.broker says so once.
        "channels_redis.pubsub": {"level": "CRITICAL"},
        # What was refused has its line as what was answered; this one has the address besides.
        "django.request": {"level": "ERROR"},
        # As the others, not by handlers of its own; and one line for a request, without addresses.
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"handlers": [], "propagate": False},
    },
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

# What CORS is about: the API and its feeds alone, and what a client of it sends and reads.
CORS_URLS_REGEX = r"^/(graphql$|feeds/)"
CORS_ALLOW_METHODS = ["GET", "POST"]
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type"]
CORS_EXPOSE_HEADERS = ["ETag", "Link", "Retry-After", "WWW-Authenticate", "X-Request-ID"]
