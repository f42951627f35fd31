"""What ``manage.py check`` says of streams and of who takes part."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps.config import AppConfig
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from . import apps, broker, proxies, registry
from .issuers import Issuer


def user_model_takes_part(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E001: the user model is not registered."""
    if registry.lookup(get_user_model()):
        return []
    return [
        Error(
            f"The user model {settings.AUTH_USER_MODEL} takes no part in streams.",
            hint="Do not unregister it: users act, follow and are followed.",
            id="activity.E001",
        )
    ]


def manager_is_usable(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E002: the manager cannot be imported or is no ActionManager."""
    try:
        apps.manager_class()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="activity.E002")]
    return []


def stream_parameters_have_types(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.W001: a stream's parameter that GraphQL leaves out; W002: its type is unknown."""
    return list(_untyped())


def email_is_no_name(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """activity.W003: the user name is the e-mail address, which is never shown."""
    model: Any = get_user_model()
    if model.get_email_field_name() != model.USERNAME_FIELD:
        return []
    return [
        checks.Warning(
            f"{model._meta.label}.USERNAME_FIELD is the e-mail address, which Brook never shows: "
            "a user's displayName is the full name, else the model's name and the id.",
            hint="Give the user model's node type a display_name of its own.",
            id="activity.W003",
        )
    ]


def tokens_can_be_verified(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E004: a setting TOKEN_… is wrong; W004: the keys come over a plain connection."""
    issuer = Issuer.of_settings()
    found: list[CheckMessage] = [Error(fault, id="activity.E004") for fault in issuer.faults()]
    if issuer.jwks_url.startswith("http://"):
        found.append(
            checks.Warning(
                f"TOKEN_JWKS_URL is {issuer.jwks_url}: whoever can change what is sent on the way "
                "can mint tokens for anyone.",
                hint="Use https://, except for this machine's own addresses.",
                id="activity.W004",
            )
        )
    return found


def logins_are_possible(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E005: a bound of logins that lets nobody in."""
    names = ("LOGIN_ATTEMPTS", "LOGIN_ATTEMPTS_PER_ADDRESS", "LOGIN_PERIOD")
    bounds = {name: getattr(settings, name) for name in names}
    return [
        Error(f"{name} is {value}; it is 1 or more.", id="activity.E005")
        for name, value in bounds.items()
        if value < 1
    ]


def processes_hear_each_other(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E006: several processes without a broker."""
    several = {"WEB_CONCURRENCY": settings.WEB_CONCURRENCY > 1, "ROLE": settings.ROLE != "all"}
    if not broker.is_in_memory():
        return []
    return [
        Error(
            f"{name} is {getattr(settings, name)}, and REDIS_URL is not set: what one process "
            "records, the live streams of the others would not be told.",
            hint=f"Set REDIS_URL=redis://…, or {name}={'1' if name != 'ROLE' else 'all'}.",
            id="activity.E006",
        )
        for name, are_several in several.items()
        if are_several
    ]


def replicas_can_be_read(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E007: replicas of, or in, what is not PostgreSQL; or by which nothing is read."""
    named = ["default", *settings.REPLICAS] if settings.REPLICAS else []
    found: list[CheckMessage] = [
        Error(
            f"{name} is {settings.DATABASES[name]['ENGINE']}: DATABASE_REPLICA_URLS names "
            "streaming replicas of PostgreSQL, at DATABASE_URL.",
            id="activity.E007",
        )
        for name in named
        if not settings.DATABASES[name]["ENGINE"].endswith("postgresql")
    ]
    if named and "server.replicas.Router" not in settings.DATABASE_ROUTERS:
        found.append(
            Error(
                "DATABASE_REPLICA_URLS is set, and DATABASE_ROUTERS lacks server.replicas.Router.",
                hint="Write DATABASE_ROUTERS = [yours, *DATABASE_ROUTERS].",
                id="activity.E007",
            )
        )
    return found


def proxies_have_addresses(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """activity.E008: from where proxies connect, or who may read metrics, is no address."""
    found: list[CheckMessage] = []
    for name in ("PROXY_ADDRESSES", "METRICS_NETWORKS"):
        for each in getattr(settings, name):
            try:
                proxies.networks((each,))
            except ValueError as error:
                fault = f"{name} has {each!r}, which is no address and no network: {error}."
                found.append(Error(fault, id="activity.E008"))
    return found


def refuse_deaf_processes() -> None:
    """Raise ImproperlyConfigured, as a server starts, for what E006 is about."""
    for error in processes_hear_each_other(None):
        raise ImproperlyConfigured(f"{error.msg} {error.hint}")


def _untyped() -> Iterator[CheckMessage]:
    try:
        streams = apps.manager_class().streams()
    except ImproperlyConfigured:
        return  # E002 says it
    for name, method in streams.items():
        _self, *parameters = inspect.signature(method.stream).parameters.values()  # type: ignore[attr-defined]
        for parameter in parameters[1:]:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if parameter.annotation is parameter.empty and parameter.default is parameter.empty:
                yield checks.Warning(
                    f"The parameter {parameter.name!r} of the stream {name!r} has neither "
                    "annotation nor default, so the stream's GraphQL fields cannot have it.",
                    hint=f"Annotate it: {parameter.name}: str",
                    id="activity.W001",
                )


CHECKS = (
    user_model_takes_part,
    manager_is_usable,
    stream_parameters_have_types,
    email_is_no_name,
    tokens_can_be_verified,
    logins_are_possible,
    processes_hear_each_other,
    replicas_can_be_read,
    proxies_have_addresses,
)
