"""Whose tokens count, and by which key they are verified: the settings TOKEN_…."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured

#: What TOKEN_ALGORITHM may be.
ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
#: The settings that hold a key; one of them is set where tokens are taken.
KEYS = ("TOKEN_SECRET", "TOKEN_PUBLIC_KEY", "TOKEN_JWKS_URL")
#: Bytes of TOKEN_SECRET: as many as HS256 hashes to.
SHORTEST_SECRET = 32
#: Seconds that clocks may differ by.
MOST_LEEWAY = 300


@dataclass(frozen=True)
class Issuer:
    """Who mints tokens, and what they must be."""

    secret: str = field(repr=False)
    public_key: str
    jwks_url: str
    private_key: str = field(repr=False)
    algorithm: str
    name: str
    audience: str
    leeway: int
    claim: str
    user_field: str
    create_users: bool

    @classmethod
    def of_settings(cls) -> Self:
        """As the settings are now."""
        return cls(
            settings.TOKEN_SECRET,
            settings.TOKEN_PUBLIC_KEY,
            settings.TOKEN_JWKS_URL,
            settings.TOKEN_PRIVATE_KEY,
            settings.TOKEN_ALGORITHM or ("HS256" if settings.TOKEN_SECRET else "RS256"),
            settings.TOKEN_ISSUER,
            settings.TOKEN_AUDIENCE,
            settings.TOKEN_LEEWAY,
            settings.TOKEN_CLAIM,
            settings.TOKEN_USER_FIELD or get_user_model().USERNAME_FIELD,
            settings.TOKEN_CREATE_USERS,
        )

    @property
    def keys(self) -> list[str]:
        """The names of the settings that hold a key by which tokens are verified."""
        values = (self.secret, self.public_key, self.jwks_url)
        return [name for name, value in zip(KEYS, values, strict=True) if value]

    def check(self) -> None:
        """Raises ImproperlyConfigured with the first fault."""
        for fault in self.faults():
            raise ImproperlyConfigured(fault)

    def faults(self) -> Iterator[str]:
        """What is wrong with the settings: which, and what to do. Nothing, where no key is set."""
        if len(self.keys) > 1:
            yield f"{' and '.join(self.keys)} are set: keep the one that verifies your tokens."
        elif self.keys:
            yield from self._faults_of_key()
            if not self.secret and not (self.name and self.audience):
                # Or else whoever has a token of the issuer's for another service is let in by it.
                yield f"{self.keys[0]} is set: set TOKEN_ISSUER and TOKEN_AUDIENCE too."
            if not 0 <= self.leeway <= MOST_LEEWAY:
                yield f"TOKEN_LEEWAY is {self.leeway}; it is 0 to {MOST_LEEWAY} seconds."
            if not self.claim:
                yield "TOKEN_CLAIM is empty: name the claim that holds the user, such as sub."
            yield from self._faults_of_user()

    def _faults_of_key(self) -> Iterator[str]:
        if self.algorithm not in ALGORITHMS:
            yield f"TOKEN_ALGORITHM is {self.algorithm!r}; it is one of {', '.join(ALGORITHMS)}."
        elif (self.algorithm == "HS256") != bool(self.secret):
            fitting = "TOKEN_SECRET" if self.algorithm == "HS256" else " or ".join(KEYS[1:])
            yield (
                f"TOKEN_ALGORITHM is {self.algorithm}, which goes with {fitting}, but "
                f"{self.keys[0]} is set: change one of them."
            )
        elif self.secret and (length := len(self.secret.encode())) < SHORTEST_SECRET:
            yield (
                f"TOKEN_SECRET has {length} bytes; it has at least {SHORTEST_SECRET}: "
                "openssl rand -base64 48"
            )
        elif self.public_key and (fault := _fault_of_key(self.public_key, self.algorithm)):
            yield f"TOKEN_PUBLIC_KEY is no public key for {self.algorithm}: {fault}"
        elif self.jwks_url and not self.jwks_url.startswith(("https://", "http://")):
            yield f"TOKEN_JWKS_URL is {self.jwks_url!r}; it begins with https://."

    def _faults_of_user(self) -> Iterator[str]:
        model: Any = get_user_model()
        try:
            named = model._meta.pk if self.user_field == "pk" else None
            unique = (named or model._meta.get_field(self.user_field)).unique
        except FieldDoesNotExist:
            unique = False
        if not unique:
            yield (
                f"TOKEN_USER_FIELD is {self.user_field!r}, which is no unique field of "
                f"{model._meta.label}: name one, such as {model.USERNAME_FIELD}."
            )
        elif self.create_users and self.user_field != model.USERNAME_FIELD:
            yield (
                f"TOKEN_CREATE_USERS is on, but TOKEN_USER_FIELD is {self.user_field!r}: a user "
                f"is created by {model.USERNAME_FIELD} alone."
            )


def _fault_of_key(pem: str, algorithm: str) -> str | None:
    method = jwt.get_algorithm_by_name(algorithm)
    try:
        key = method.prepare_key(pem)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        return str(error)
    if hasattr(key, "private_bytes"):
        return "it is a private key, which stays with whoever mints tokens."
    return method.check_key_length(key)
