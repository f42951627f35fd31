"""What could be reached: ASGI, psycopg, the best SQL and orjson; no GraphQL, no sessions.

``GET /actor/17``, ``/any/17`` or ``/user/17``, with ``?after=`` and a cursor.
"""

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import psycopg

DATABASE_URL = os.environ["DATABASE_URL"]
CONNECTIONS = 8
FIRST = 20
#: A cursor before everything.
START = 2**52, 0

NUMBERS: dict[str, int] = {}
TYPES: dict[int, str] = {}
SQL: dict[str, bytes] = {}
idle: asyncio.LifoQueue[psycopg.AsyncConnection] = asyncio.LifoQueue()


async def connect() -> None:
    for _ in range(CONNECTIONS):
        connection = await psycopg.AsyncConnection.connect(
            DATABASE_URL,
            autocommit=True,
            prepare_threshold=0,
            cursor_factory=psycopg.AsyncRawCursor,
        )
        idle.put_nowait(connection)
    rows = await connection.execute(
        "SELECT model, id FROM django_content_type WHERE app_label = 'auth'"
    )
    NUMBERS.update(await rows.fetchall())
    TYPES.update({NUMBERS["user"]: "User", NUMBERS["group"]: "Group"})
    directory = Path(__file__).parent.parent / "sql"
    named = (directory / "named.sql").read_text()
    for name in ("user", "group"):
        named = named.replace(f"{{{name}}}", str(NUMBERS[name]))
    for name in ("actor", "any", "probe", "heads"):
        SQL[name] = named.replace("{page}", (directory / f"{name}.sql").read_text()).encode()


async def page(stream: str, key: str, after: tuple[int, int]) -> list[tuple[Any, ...]]:
    connection = await idle.get()
    try:
        cursor = connection.cursor(binary=True)
        if stream == "user":
            await cursor.execute(SQL["probe"], (int(key), *after))
            rows = await cursor.fetchall()
            if len(rows) > FIRST:
                return rows
            await cursor.execute(SQL["heads"], (int(key), *after))
        else:
            await cursor.execute(SQL[stream], (NUMBERS["user"], key, *after))
        return await cursor.fetchall()
    finally:
        idle.put_nowait(connection)


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def subject(number: int | None, key: str, name: str) -> dict[str, str] | None:
    if number is None:
        return None
    kind = TYPES[number]
    return {"__typename": kind, "id": encoded(f"{kind}:{key}"), "displayName": name}


def body(rows: Sequence[tuple[Any, ...]]) -> bytes:
    edges = [
        {
            "cursor": encoded(f"a1:{row[3]}:{row[0]}"),
            "node": {
                "id": encoded(f"Action:{row[0]}"),
                "verb": row[1],
                "timestamp": row[2],
                "actor": subject(*row[4:7]),
                "target": subject(*row[7:10]),
                "actionObject": subject(*row[10:13]),
            },
        }
        for row in rows[:FIRST]
    ]
    page_info = {
        "hasNextPage": len(rows) > FIRST,
        "endCursor": edges[-1]["cursor"] if edges else None,
    }
    return orjson.dumps({"data": {"stream": {"edges": edges, "pageInfo": page_info}}})


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await connect()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    _, stream, key = scope["path"].split("/")
    after = START
    if scope["query_string"]:
        _, microseconds, number = b64decode(scope["query_string"][len("after=") :]).split(b":")
        after = int(microseconds), int(number)
    content = body(await page(stream, key, after))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
