"""Queries read a replica; everything else reads the primary."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError
from django.test import RequestFactory
from django.utils import timezone

from schema import build, compiled, replicas, subscriptions
from schema.context import Context
from server import replicas as databases
from server import writes
from server.cursors import Position
from server.models import Action
from tests.server.test_replicas import replica

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
__all__ = ["replica"]


class Executor(subscriptions.Executor, replicas.Executor, compiled.Executor):
    pass


SCHEMA = build.Schema(
    query=build.schema.query,
    mutation=build.schema.mutation,
    extensions=build.schema.extensions,
    config=build.schema.config,
    execution_context_class=Executor,
)


@pytest.fixture
def ada() -> User:
    """Somebody who has done one thing here, and another there."""
    for using in ("default", "other"):
        User.objects.using(using).create(pk=7, username="ada")
        type_ = ContentType.objects.db_manager(using).get_for_model(User)
        Action.objects.using(using).create(
            actor_content_type_id=type_.pk, actor_object_id="7", verb=using
        )
    return User.objects.get(pk=7)


def ask(query: str, viewer: Any = None, **given: Any) -> Any:
    request = RequestFactory().post("/graphql")
    request.user = viewer or AnonymousUser()
    return SCHEMA.execute_sync(query, variable_values=given, context_value=Context(request))


def verbs(viewer: Any = None, selected: str = "nodes { verb }") -> list[str]:
    """What the actor's stream shows to a viewer."""
    query = f'{{ actorStream(actor: "VXNlcjo3") {{ {selected} }} }}'
    result = ask(query, viewer)
    assert result.errors is None
    return [node["verb"] for node in result.data["actorStream"]["nodes"]]


POST = 'mutation { createAction(input: {verb: "posted"}) { created userErrors { message } } }'


def test_a_query_reads_a_replica(replica: Any, ada: User) -> None:
    assert verbs() == ["other"]
    assert verbs(ada) == ["other"]
    assert verbs(ada, "nodes { verb actor { displayName } }") == ["other"]


def test_a_query_for_where_to_resume_reads_the_primary(replica: Any, ada: User) -> None:
    assert verbs(None, "resumeCursor nodes { verb }") == ["default"]


@pytest.mark.parametrize(("ago", "read"), [(14, "default"), (16, "other")])
@pytest.mark.parametrize("way", ["after", "before"])
@pytest.mark.parametrize("variable", [True, False])
def test_a_page_that_goes_on_where_a_replica_may_not_be_yet_is_the_primary_s(
    replica: Any, ada: User, settings: Any, ago: int, read: str, way: str, variable: bool
) -> None:
    settings.REPLICA_LAG = 10  # and five
    cursor = Position(timezone.now() - timedelta(seconds=ago), 1).cursor("a")
    given, size = (
        ("$at" if variable else f'"{cursor}"'),
        "first: 1" if way == "after" else "last: 1",
    )
    query = f'{{ actorStream(actor: "VXNlcjo3", {size}, {way}: {given}) {{ nodes {{ verb }} }} }}'
    for using in ("default", "other"):
        hour = timedelta(hours=1 if way == "after" else -1)
        Action.objects.using(using).update(timestamp=timezone.now() - hour)
    result = ask(f"query ($at: String) {query}" if variable else query, at=cursor)
    assert result.errors is None
    assert result.data == {"actorStream": {"nodes": [{"verb": read}]}}


def test_a_mutation_is_the_primary_s_and_who_asked_for_it_reads_it(
    replica: Any, ada: User
) -> None:
    assert ask(POST, ada).data == {"createAction": {"created": True, "userErrors": []}}
    assert Action.objects.using("other").filter(verb="posted").count() == 0
    assert verbs(ada) == ["posted", "default"]
    assert verbs() == ["other"]
    replica.replayed = writes.since(7)
    assert verbs(ada) == ["other"]


def test_what_fails_on_a_replica_is_asked_of_the_primary(replica: Any, ada: User) -> None:
    there = databases.connections["other"]

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        there.errors_occurred = True
        raise OperationalError("canceling statement due to conflict with recovery")

    with there.execute_wrapper(fail):
        assert verbs() == ["default"]
        assert verbs(ada, "nodes { verb actor { displayName } }") == ["default"]
    there.errors_occurred = False
    assert databases.chosen(None) is None, "until it was looked at"


def test_no_statement_is_asked_of_the_primary(
    replica: Any, ada: User, django_assert_num_queries: Any
) -> None:
    verbs(ada)  # the content types
    there = databases.connections["other"]
    with django_assert_num_queries(0), django_assert_num_queries(2, connection=there):
        verbs(ada)
