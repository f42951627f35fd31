"""Query, less the streams: who asks."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet

from schema import catalog
from tests.schema.client import ask, data, gid

VIEWER = "{ viewer { id displayName username viewerIsFollowing } }"


def test_the_viewer_is_who_is_logged_in(ada: User) -> None:
    assert data(VIEWER, ada)["viewer"] == {
        "id": gid(ada),
        "displayName": "ada",
        "username": "ada",
        "viewerIsFollowing": False,
    }


def test_the_viewer_is_null_for_an_anonymous_visitor(db: None) -> None:
    assert ask(VIEWER) == {"data": {"viewer": None}}


def test_the_viewer_has_every_stream_of_a_user(ada: User) -> None:
    document = """{ viewer { actorStream { totalCount } userStream { totalCount }
        privateActions { totalCount } following { totalCount } followers { totalCount } } }"""
    shown = data(document, ada)["viewer"]
    assert set(shown) == {
        "actorStream",
        "userStream",
        "privateActions",
        "following",
        "followers",
    }
    assert all(page == {"totalCount": 0} for page in shown.values())


def test_an_inactive_user_still_has_a_name(db: None) -> None:
    user = User.objects.create(username="gone", is_active=False)
    document = "query ($id: ID!) { node(id: $id) { displayName } }"
    assert data(document, id=gid(user))["node"] == {"displayName": "gone"}


def test_a_rule_is_asked_with_the_viewer(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def get_queryset(cls: Any, queryset: QuerySet[User], info: Any) -> QuerySet[User]:
        asked.append(info.context.viewer)
        return queryset

    monkeypatch.setattr(catalog.node_type(User), "get_queryset", classmethod(get_queryset))
    document = "query ($id: ID!) { node(id: $id) { id } }"
    for viewer in (ada, None):
        data(document, viewer, id=gid(ada))
    assert asked == [ada, None]
