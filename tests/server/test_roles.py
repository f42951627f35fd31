"""What a process of each role serves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server import roles

REQUEST: dict[str, Any] = {"type": "http", "path": "/graphql", "headers": []}
EVENTS = {**REQUEST, "headers": [(b"accept", b"text/event-stream, multipart/mixed")]}
# Every request of urql's names streams, after all else.
URQL = {**REQUEST, "headers": [(b"accept", b"application/json, text/event-stream")]}
SOCKET = {"type": "websocket", "path": "/graphql", "headers": []}
HEALTH = {**REQUEST, "path": "/healthz"}
LIFE = {"type": "lifespan"}


@pytest.mark.parametrize(
    ("role", "served"),
    [
        ("all", [REQUEST, EVENTS, URQL, SOCKET, HEALTH, LIFE]),
        ("http", [REQUEST, URQL, HEALTH, LIFE]),
        ("live", [EVENTS, SOCKET, HEALTH, LIFE]),
    ],
)
def test_a_process_serves_what_its_role_is_and_refuses_the_rest(
    role: str, served: list[Any], settings: Any
) -> None:
    settings.ROLE = role
    answered: list[Any] = []
    refused: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answered.append(scope)

    async def send(message: Any) -> None:
        refused.append((message["type"], message.get("status")))

    kept = roles.kept(application)
    for scope in (REQUEST, EVENTS, URQL, SOCKET, HEALTH, LIFE):
        asyncio.run(kept(scope, None, send))
    assert answered == served
    assert {status for _, status in refused} <= {421, None}
    assert len(refused) == 2 * (6 - len(served))
