"""The keys that an issuer of tokens publishes at an address, as a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic

from jwt import PyJWK, PyJWKClient, PyJWTError

logger = logging.getLogger(__name__)

#: Seconds after which the keys are fetched again.
LIFESPAN = 300
#: Seconds during which they are not, whatever is asked for and however the last attempt ended.
COOLDOWN = 30
#: Seconds for which keys count while they cannot be fetched: an issuer may be down for a day.
STALE = 86_400
#: Seconds for an answer to begin, and for each part of it.
TIMEOUT = 2


class Unreachable(Exception):
    """The keys cannot be fetched, and none are known from before."""


class KeySet:
    """The keys at one address, fetched when they are due; one for all threads of a process.

    Tokens that name unknown keys cause no more than one request in COOLDOWN seconds, so that
    nobody can make this server ask another again and again; a new key may have to wait as long.
    """

    def __init__(self, url: str) -> None:
        # PyJWT's own cache forgets the keys when they expire, also where there are no new ones.
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT)
        self._lock = Lock()
        self._keys: dict[str, PyJWK] = {}
        self._fetched = self._attempted = float("-inf")

    def __getitem__(self, kid: str) -> PyJWK:
        """The key of a name. KeyError: there is none; Unreachable: nobody knows."""
        if self._age() > LIFESPAN or kid not in self._keys:
            self._refresh()
        if self._age() > STALE:
            raise Unreachable(self._client.uri)
        return self._keys[kid]

    def _age(self) -> float:
        return monotonic() - self._fetched

    def _cools_down(self) -> bool:
        return monotonic() - self._attempted < COOLDOWN

    def _refresh(self) -> None:
        if self._keys and self._cools_down():
            return  # without waiting for another thread that fetches
        with self._lock:
            if self._cools_down():
                return
            self._attempted = monotonic()
            try:
                found = self._client.get_signing_keys()
            except (PyJWTError, OSError, ValueError) as error:
                logger.error("The keys at TOKEN_JWKS_URL cannot be fetched: %s", error)  # noqa: TRY400
                return
            self._keys = {key.key_id: key for key in found if key.key_id}
            self._fetched = monotonic()
