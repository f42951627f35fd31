"""The tour: the tabs with which GraphiQL opens on the demo."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model
from strawberry.relay import to_base64

from server.demo.models import Repository

#: What a visitor sees first who is not logged in: the first step that needs no login.
PUBLIC = "2-any-stream"


def tabs() -> list[dict[str, str | bool | None]]:
    """Each .graphql file beside this one, in order of name, with variables that fit the world."""
    values = variables()
    return [
        {
            "query": path.read_text(encoding="utf-8"),
            "variables": json.dumps(values[path.stem], indent=2) if path.stem in values else None,
            "headers": None,
            "public": path.stem == PUBLIC,
        }
        for path in sorted(Path(__file__).parent.glob("*.graphql"))
    ]


def variables() -> dict[str, dict[str, Any]]:
    """By the tab's name; an object that is gone leaves null, for the visitor to fill in.

    The same each time, since a step whose variables differ is taken for the visitor's own.
    """
    ada = node_id(get_user_model(), username="ada")
    tomas = node_id(get_user_model(), username="tomas")
    brook = node_id(Repository, name="brook")
    lantern = node_id(Repository, name="lantern")
    quill = node_id(Repository, name="quill")
    people = get_user_model()._default_manager.filter(username="ada")
    beginning = people.values_list("date_joined", flat=True).first()
    return {
        "1-user-stream": {"after": None},
        "2-any-stream": {"object": brook},
        "3-custom-streams": {"obj": ada, "repository": brook},
        "4-create-action": {
            "input": {
                "verb": "praised",
                "target": lantern,
                "description": "A friendly face indeed.",
                "data": {"hearts": 3},
                "idempotencyKey": "my-first-action",
            }
        },
        "5-follow": {"user": tomas, "repository": quill},
        "7-filters": {"since": beginning and (beginning + timedelta(weeks=5)).isoformat()},
    }


def node_id(model: type[Model], **name: str) -> str | None:
    """The global id of the object of that name."""
    key = model._default_manager.filter(**name).values_list("pk", flat=True).first()
    return None if key is None else to_base64(model.__name__, key)
