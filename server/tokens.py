"""Whom a token names: JSON Web Tokens (RFC 7519), verified as the settings TOKEN_… say.

TokenError        a token is refused, in words for whoever sent it
Unavailable       no token can be verified now; the log says why
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ImproperlyConfigured, ValidationError

from . import issuers, replicas
from .issuers import Issuer
from .jwks import KeySet, Unreachable

logger = logging.getLogger(__name__)

#: Characters of a token; one with many claims has 2,000.
LONGEST = 8192

#: The last second that counts, some 285 million years from now.
LAST = 2**53

#: Why a token is refused: PyJWT's exceptions, the more special ones first.
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "The token is expired."),
    (jwt.ImmatureSignatureError, "The token is not yet valid."),
    (jwt.InvalidAudienceError, "The token is for another audience."),
    (jwt.InvalidIssuerError, "The token is from another issuer."),
    (jwt.InvalidSignatureError, "The token's signature does not fit."),
    (jwt.InvalidAlgorithmError, "The token's signature does not fit."),
    (jwt.InvalidTokenError, "The token is malformed."),
    # By a key that cannot be used, or that there is not.
    (Exception, "The token's signature does not fit."),
)
UNKNOWN = "The token names no user of this site."


class TokenError(Exception):
    """A token is refused, in words for whoever sent it."""


class Unavailable(Exception):
    """No token can be verified now; the log says why."""


def user_of(token: str) -> Any:
    """The active user whom a token names; TokenError or Unavailable."""
    return named(token).user


class Named(NamedTuple):
    """Whom a token names, and for how long."""

    user: Any
    until: float
    """Seconds since the epoch."""


def named(token: str) -> Named:
    """As :func:`user_of`, with when the token counts no more."""
    issuer = Issuer.of_settings()
    claims = _claims(token, issuer)
    model: Any = get_user_model()
    named = claims.get(issuer.claim)
    if isinstance(named, bool) or not isinstance(named, str | int):
        raise TokenError(UNKNOWN)
    if not str(named).isprintable() or named == "":  # no database takes a NUL or half a character
        raise TokenError(UNKNOWN)
    try:
        user = model._default_manager.get(**{issuer.user_field: named})
    except (ValueError, ValidationError):  # no key of this model
        raise TokenError(UNKNOWN) from None
    except model.DoesNotExist:
        if not issuer.create_users:
            raise TokenError(UNKNOWN) from None
        user = _created(model, str(named))
    # A database may find more than what is equal; " 7" is the key 7 to some, and ADA is ada.
    if str(getattr(user, issuer.user_field)) != str(named) or not getattr(user, "is_active", True):
        raise TokenError(UNKNOWN)
    return Named(user, min(int(claims["exp"]), LAST) + issuer.leeway)


def mint(user: Any, lifetime: timedelta) -> str:
    """A token that names a user, by TOKEN_SECRET or TOKEN_PRIVATE_KEY; ImproperlyConfigured."""
    issuer = Issuer.of_settings()
    issuer.check()
    key = issuer.secret or issuer.private_key
    if not key:
        raise ImproperlyConfigured(
            "There is no key to sign a token by: set TOKEN_SECRET, or TOKEN_PRIVATE_KEY beside "
            "TOKEN_PUBLIC_KEY. Where TOKEN_JWKS_URL is set, the issuer of its keys mints tokens."
        )
    now = datetime.now(UTC)
    claims = {
        issuer.claim: str(getattr(user, issuer.user_field)),
        "iat": now,
        "exp": now + lifetime,
    }
    claims |= {"iss": issuer.name} if issuer.name else {}
    claims |= {"aud": issuer.audience} if issuer.audience else {}
    try:
        return jwt.encode(claims, key, issuer.algorithm)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            f"TOKEN_PRIVATE_KEY is no private key for {issuer.algorithm}: {error}"
        ) from error


def _claims(token: str, issuer: Issuer) -> dict[str, Any]:
    """What a token says, if all of it holds."""
    if not issuer.keys:
        raise TokenError(f"This site takes no tokens: set one of {', '.join(issuers.KEYS)}.")
    try:
        keys = _keys(issuer)
    except ImproperlyConfigured:
        logger.exception("Tokens cannot be verified")
        raise Unavailable("Tokens are not set up as they should be; the log says why.") from None
    if len(token) > LONGEST or not token.isascii():
        raise TokenError("The token is malformed.")
    try:
        # Before a key is looked for: nothing is fetched for a token that cannot be right.
        header = jwt.get_unverified_header(token)
        if header.get("alg") != issuer.algorithm:
            raise jwt.InvalidAlgorithmError
        return jwt.decode(
            token,
            keys[header.get("kid", "")] if isinstance(keys, KeySet) else keys,
            algorithms=[issuer.algorithm],
            audience=issuer.audience or None,
            issuer=issuer.name or None,
            leeway=issuer.leeway,
            options={"require": ["exp", issuer.claim], "enforce_minimum_key_length": True},
        )
    except Unreachable:
        raise Unavailable("The keys of tokens cannot be fetched; the log says why.") from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenError(f"The token has no claim {error.claim}.") from None
    except (jwt.PyJWTError, KeyError) as error:
        raise TokenError(next(text for kind, text in REASONS if isinstance(error, kind))) from None


@lru_cache(maxsize=8)
def _keys(issuer: Issuer) -> Any:
    """The key, or the set of them; ImproperlyConfigured."""
    issuer.check()
    if issuer.jwks_url:
        return KeySet(issuer.jwks_url)
    return jwt.get_algorithm_by_name(issuer.algorithm).prepare_key(
        issuer.secret or issuer.public_key
    )


def _created(model: Any, name: str) -> Any:
    """The user of a name, made if there is none; without a password."""
    key = model._meta.get_field(model.USERNAME_FIELD)
    try:
        key.clean(name, None)
    except ValidationError:
        raise TokenError(UNKNOWN) from None
    if model.normalize_username(name) != name:  # it looks like another's
        raise TokenError(UNKNOWN)
    user, _ = model._default_manager.get_or_create(
        **{key.name: name}, defaults={"password": make_password(None)}
    )
    replicas.wrote(user.pk)
    return user
