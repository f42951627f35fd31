"""Documents by their ids: those that clients have sent, and those registered beforehand."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from .errors import Forbidden, HttpFault, UnknownDocument
from .requests import GraphQLRequest

logger = logging.getLogger(__name__)

#: A longer text is not kept under its hash, in characters.
LONGEST_KEPT = 32 * 1024
#: How long a text is kept, in seconds.
KEPT_FOR = 24 * 60 * 60


def text_of(request: GraphQLRequest) -> str:
    """The text of the document that a request names or brings.

    Raises UnknownDocument for an id that names none, Forbidden for a text that is not among the
    registered ones where these alone are run, HttpFault for a text that its hash is not of.
    """
    known = registered(settings.DOCUMENTS)
    name, text = request.document_id, request.query
    if name and name in known:
        return known[name]
    if settings.DOCUMENTS_ONLY:
        if text is not None and hash_of(text) in known:
            return text
        raise Forbidden("Only registered documents are answered here, and this is none of them.")
    if text is None:
        assert name, "a request has a text or an id"
        if (kept := _kept(name)) is None:
            raise UnknownDocument("PersistedQueryNotFound")  # Apollo's clients look for this text
        return kept
    if name is not None and name != hash_of(text):
        raise HttpFault(400, f"The query's hash is {hash_of(text)}; the request says otherwise.")
    return text


def keep(request: GraphQLRequest) -> None:
    """Keep the text of a request that brought its hash along, and was executed."""
    name, text = request.document_id, request.query
    if name is None or text is None or len(text) > LONGEST_KEPT or settings.DOCUMENTS_ONLY:
        return
    try:
        caches["documents"].set(name, text, KEPT_FOR)
    except Exception:  # a broker that is away: the client will send its text again
        logger.warning("A document could not be kept.", exc_info=True)


def hash_of(text: str) -> str:
    """A document's id by its text."""
    return f"sha256:{sha256(text.encode(errors='replace')).hexdigest()}"


@cache
def registered(path: str) -> Mapping[str, str]:
    """The texts of a manifest, by their ids in it and by their hashes.

    The file is what relay-compiler's ``persistConfig`` and GraphQL Code Generator's
    ``persistedDocuments`` write, ``{id: text}``, or Apollo's persisted query manifest. Raises
    ImproperlyConfigured.
    """
    if not path:
        return {}
    try:
        manifest = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as fault:
        raise ImproperlyConfigured(f"DOCUMENTS names no manifest: {fault}.") from fault
    if isinstance(manifest, dict) and isinstance(manifest.get("operations"), list):
        operations: Any = manifest["operations"]
        manifest = {it.get("id"): it.get("body") for it in operations if isinstance(it, dict)}
    if not isinstance(manifest, dict) or not all(
        isinstance(it, str) for pair in manifest.items() for it in pair
    ):
        raise ImproperlyConfigured(
            f"DOCUMENTS: {path} is neither an object of texts by their ids, as relay-compiler and "
            "GraphQL Code Generator write it, nor Apollo's persisted query manifest."
        )
    return manifest | {hash_of(text): text for text in manifest.values()}


def _kept(name: str) -> str | None:
    try:
        found: str | None = caches["documents"].get(name)
    except Exception:  # as unknown: the client sends its text
        logger.warning("A kept document could not be read.", exc_info=True)
        return None
    return found
