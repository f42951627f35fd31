"""ActivityStreams 2.0, https://www.w3.org/TR/activitystreams-core/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from .catalog import type_name

if TYPE_CHECKING:
    from .feeds import Answer

MEDIA_TYPE = "application/activity+json"

#: The vocabulary has no verb but its classes, and no place for any JSON.
CONTEXT = [
    "https://www.w3.org/ns/activitystreams",
    {
        "verb": "http://activitystrea.ms/spec/1.0/verb",
        "data": {"@id": "http://www.w3.org/1999/02/22-rdf-syntax-ns#value", "@type": "@json"},
    },
]


def collection(answer: Answer) -> bytes:
    """A page as an OrderedCollectionPage; where none was asked for, the OrderedCollection."""
    if answer.given is None:
        said = {
            "type": "OrderedCollection",
            "id": answer.url("json"),
            "totalItems": answer.stream["totalCount"],
            "first": answer.url("json", first=answer.size),
            "last": answer.url("json", last=answer.size),
            "updated": answer.updated,
        }
    else:
        said = {
            "type": "OrderedCollectionPage",
            "id": answer.itself("json"),
            "partOf": answer.url("json"),
            "next": answer.next("json"),
            "prev": answer.previous("json"),
            "orderedItems": [_activity(answer, node) for node in answer.nodes],
        }
    whole = _there({"@context": CONTEXT, "name": answer.title, **said})
    return json.dumps(whole, ensure_ascii=False).encode()


def _activity(answer: Answer, node: Mapping[str, Any]) -> dict[str, Any]:
    description = node["description"] or None
    said = {
        "type": "Activity",
        "id": answer.tag(node["id"]),
        "name": node["displayName"],
        "verb": node["verb"],
        "published": node["timestamp"],
        "actor": _object(answer, node["actor"]),
        "object": _object(answer, node["actionObject"]),
        "target": _object(answer, node["target"]),
        "content": description,
        # Else it would be HTML.
        "mediaType": description and "text/plain",
        "data": node["data"],
    }
    return _there(said)


def _object(answer: Answer, node: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if node is None:
        return None
    kinds = {type_name(get_user_model()): "Person", type_name(Group): "Group"}
    kinds["Action"] = "Activity"
    said = {
        "type": kinds.get(node["__typename"], "Object"),
        "id": answer.tag(node["id"]),
        "name": node["displayName"],
        "url": node["url"] and answer.absolute(node["url"]),
    }
    return _there(said)


def _there(said: Mapping[str, Any]) -> dict[str, Any]:
    """What has a value; null is none in JSON-LD."""
    return {name: value for name, value in said.items() if value is not None}
