"""What a process serves: all, or of requests and live connections one alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from .lifespan import Application

#: What the rest of a site, and whoever looks after it, asks of every process.
_OF_EVERY = frozenset({"/healthz", "/readyz", "/metrics"})
_WHERE = {"http": "Live connections are", "live": "Everything but live connections is"}


def kept(application: Application) -> Application:
    """The application, which refuses with 421 what another ROLE is there for.

    A proxy in front tells them apart in the same way: see deploy/nginx.conf.
    """
    if settings.ROLE == "all":
        return application

    async def of_a_role(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        of_every = "path" not in scope or scope["path"] in _OF_EVERY
        if of_every or is_live(scope) == (settings.ROLE == "live"):
            await application(scope, receive, send)
        else:
            await _refuse(scope, receive, send)

    return of_a_role


def is_live(scope: Mapping[str, Any]) -> bool:
    """Whether a connection is to stay: a WebSocket, or text/event-stream before all else."""
    if scope["type"] == "websocket":
        return True
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return bool(accept.strip().lower().startswith(b"text/event-stream"))


async def _refuse(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    message = f"{_WHERE[settings.ROLE]} served by other processes; a proxy tells them apart."
    error = {"message": message, "extensions": {"code": "BAD_REQUEST"}}
    prefix = "websocket.http" if scope["type"] == "websocket" else "http"
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": f"{prefix}.response.start", "status": 421, "headers": headers})
    body = json.dumps({"errors": [error]}).encode()
    await send({"type": f"{prefix}.response.body", "body": body})
