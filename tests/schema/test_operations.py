"""What an event is answered, once for all who ask the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory

from schema import operations, requests
from schema.actions import ActionEdge
from server import live
from server.models import Action, action
from server.rows import Shared

NEWS = """subscription News($after: String, $named: Boolean = true) {
  modelStream(model: USER, after: $after) {
    node { verb ...Named @include(if: $named) actor { displayName } }
  }
}
fragment Named on Action { displayName }
"""


class Asking:
    """Subscribers to whom one action is given at one moment."""

    def __init__(self, shared: Shared, recorded: Action, viewer: Any = None) -> None:
        arrived = live.Arrived(
            actions=[recorded], mark=recorded.pk, before=0, shared=shared, viewer=viewer
        )
        node: Any = recorded
        self.edge: Any = ActionEdge(cursor="x", node=node)
        self.edge.event = live.Event(recorded, recorded.pk, arrived)
        self.viewer = viewer

    def answer(self, query: str = NEWS, host: str = "localhost", **variables: Any) -> Any:
        request = RequestFactory().post("/graphql", headers={"Host": host})
        request.user = self.viewer or AnonymousUser()
        asked = requests.parameters({"query": query, "variables": variables})
        return operations._of_event(asked, request, self.edge)


@pytest.fixture
def recorded(ada: User) -> Action:
    [(_, recorded)] = action.send(ada, verb="sang")
    assert isinstance(recorded, Action)
    return recorded


@pytest.mark.usefixtures("db")
def test_who_asks_the_same_is_answered_once(recorded: Action) -> None:
    asking = Asking(Shared(), recorded)
    first = asking.answer(after="one cursor")
    node = {"verb": "sang", "displayName": "ada sang", "actor": {"displayName": "ada"}}
    assert (first.data, first.errors) == ({"modelStream": {"node": node}}, None)
    assert asking.answer(after="another") is first
    assert asking.answer(after="one cursor", named=False).data["modelStream"]["node"].keys() == {
        "verb",
        "actor",
    }


def test_who_asks_otherwise_is_answered_otherwise(recorded: Action, bob: User) -> None:
    shared = Shared()
    asking = Asking(shared, recorded)
    first = asking.answer()
    assert asking.answer(NEWS.replace("verb", "v: verb")) is not first
    assert asking.answer(host="127.0.0.1") is not first
    assert Asking(shared, recorded, bob).answer() is not first
    assert Asking(Shared(), recorded).answer() is not first


def test_an_error_is_nobody_elses(recorded: Action) -> None:
    asking = Asking(Shared(), recorded)
    wrong = "subscription { modelStream(model: NOTHING) { cursor } }"
    assert asking.answer(wrong).errors
    assert asking.answer(wrong) is not asking.answer(wrong)
