"""``python -m tests.verify.newer STREAMS FILE``: the pages of the same streams, by GraphQL."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

MOST_ROWS = 200
PAGE = """nodes {
  actor { id } verb description target { id } actionObject { id } timestamp public data
} pageInfo { hasNextPage endCursor }"""
FIELDS = {
    "user_stream": "userStream(user: $id, after: $after)",
    "actor_stream": "actorStream(actor: $id, after: $after)",
    "target_stream": "targetStream(target: $id, after: $after)",
    "action_object_stream": "actionObjectStream(actionObject: $id, after: $after)",
    "any_stream": "anyStream(object: $id, after: $after)",
    "model_stream": "modelStream(model: $id, after: $after)",
}


def pages(visitor: Client, stream: str, label: str, key: str) -> list[list[Any]]:
    """At most ten, newest first."""
    named = "NodeType!" if stream == "model_stream" else "ID!"
    query = f"query ($id: {named}, $after: String) {{ page: {FIELDS[stream]} {{ {PAGE} }} }}"
    name = label.partition(".")[2]
    if stream == "user_stream":
        visitor.force_login(User.objects.get(pk=key))
        query = query.replace("ID!", "ID")
    given = f"{name}:{key}"
    variables = {
        "id": base64.b64encode(given.encode()).decode() if key else name.upper(),
        "after": None,
    }
    found: list[list[Any]] = []
    while len(found) < MOST_ROWS // 20:
        body = {"query": query, "variables": variables}
        answer = visitor.post("/graphql", body, content_type="application/json").json()
        assert "errors" not in answer, answer
        page = answer["data"]["page"]
        if page["nodes"]:
            found.append([said(node) for node in page["nodes"]])
        if not page["pageInfo"]["hasNextPage"]:
            break
        variables["after"] = page["pageInfo"]["endCursor"]
    return found


def said(node: dict[str, Any]) -> dict[str, Any]:
    """As the older site says it."""
    named = {}
    for role in ("actor", "target", "actionObject"):
        obj = node[role]
        name, _, key = base64.b64decode(obj["id"]).decode().partition(":") if obj else ("",) * 3
        named[role] = obj and [LABELS[name], key]
    return {**node, **named}


LABELS = {model.__name__: model._meta.label for model in apps.get_models()}

if __name__ == "__main__":
    _, streams, path = sys.argv
    visitor = Client(SERVER_NAME="127.0.0.1")
    Path(path).write_text(
        json.dumps(
            [
                (stream, label, key, pages(visitor, stream, label, key))
                for stream, label, key, _ in json.loads(Path(streams).read_text())
            ]
        )
    )
