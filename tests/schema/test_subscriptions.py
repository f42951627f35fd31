"""Subscriptions: what arrives in a stream is what its query would show."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q
from graphql import get_named_type, parse
from graphql.execution import create_source_event_stream

from schema import nodes
from schema.connections import PAGING
from server import broker, live
from server.erasing import NAMELESS, Erasure
from server.models import Action, follow, send_many, unfollow
from server.records import record
from tests.schema.client import context_of, data, gid, gids, refusals, schema
from tests.schema.connections import FILLED, ROWS, ConnectionField, at
from tests.schema.live import do, looked, run, watching
from tests.site.models import Project
from tests.writers import Writers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

OF_USER = """subscription ($after: String) {
    userStream(after: $after) { cursor node { id actor { displayName } } } }"""


def test_an_action_of_somebody_followed_arrives(ada: User, bob: User, brook: Project) -> None:
    follow(ada, bob)

    async def main() -> None:
        async with watching(OF_USER, ada) as watcher:
            action, _ = await do(record, bob, "starred", target=brook)
            await watcher.has(1)
            assert watcher.ids == [gid(action)]
            assert watcher.edges[0]["node"]["actor"] == {"displayName": "bob"}

    run(main())


PAGES = PAGING.keys() - {"after"}


def ids_of(connection: Any) -> list[str]:
    return [node["id"] for node in connection["nodes"]]


def subscription_of(name: str, arguments: str = "") -> str:
    return f"subscription {{ {name}({arguments}) {{ cursor node {{ id displayName }} }} }}"


def test_what_arrived_while_nobody_looked_is_delivered_first(ada: User, bob: User) -> None:
    follow(ada, bob, send_action=False)
    page = data("{ userStream { resumeCursor nodes { id } } }", ada)["userStream"]
    missed = [record(bob, "posted")[0] for _ in range(3)]

    async def main() -> None:
        async with watching(OF_USER, ada, after=page["resumeCursor"]) as watcher:
            await watcher.has(3)
            live_one, _ = await do(record, bob, "posted")
            await watcher.has(4)
            assert watcher.ids == gids([*missed, live_one])
        last = watcher.edges[-2]["cursor"]
        async with watching(OF_USER, ada, after=last) as watcher:
            await watcher.has(1)
            assert set(watcher.ids) - set(gids(missed)) == {gid(live_one)}

    run(main())


def test_a_backdated_action_arrives_when_it_is_recorded(ada: User, bob: User) -> None:
    follow(ada, bob, send_action=False)
    record(bob, "posted")
    page = data("{ userStream { resumeCursor } }", ada)["userStream"]
    [old] = [record(bob, "posted", timestamp=time)[0] for time in at(1)]

    async def main() -> None:
        async with watching(OF_USER, ada, after=page["resumeCursor"]) as watcher:
            await watcher.has(1)
            [older] = [(await do(record, bob, "posted", timestamp=time))[0] for time in at(0)]
            await watcher.has(2)
            assert watcher.ids == gids([old, older])

    run(main())


@pytest.mark.postgresql
def test_an_action_of_a_transaction_that_ends_late_is_no_gap(
    ada: User, bob: User, writers: Writers
) -> None:
    follow(ada, bob, send_action=False)
    data("{ userStream { resumeCursor } }", ada)  # the process has looked before
    slow = writers()
    late = slow.record(bob)
    soon, _ = record(bob, "posted")
    page = data("{ userStream { resumeCursor nodes { id } } }", ada)["userStream"]
    assert ids_of(page) == [gid(soon)]

    async def main() -> None:
        async with watching(OF_USER, ada, after=page["resumeCursor"]) as watcher:
            later, _ = await do(record, bob, "posted")
            await watcher.until(lambda it: gid(later) in it.ids)
            cursor = watcher.edges[-1]["cursor"]
        await do(slow.commit)
        async with watching(OF_USER, ada, after=cursor) as watcher:
            await watcher.until(lambda it: gid(late) in it.ids)
            assert len(set(watcher.ids)) == len(watcher.ids)

    run(main())


@pytest.mark.postgresql
def test_an_action_of_a_transaction_that_ends_late_arrives_when_it_does(
    ada: User, bob: User, writers: Writers
) -> None:
    follow(ada, bob, send_action=False)
    slow = writers()
    late = slow.record(bob)

    async def main() -> None:
        async with watching(OF_USER, ada) as watcher:
            soon, _ = await do(record, bob, "posted")
            await watcher.has(1)
            await do(slow.commit)
            await watcher.has(2)
            assert watcher.ids == gids([soon, late])

    run(main())


def test_an_unfollow_a_follow_and_a_deletion_count_from_the_next_event_on(
    ada: User, bob: User
) -> None:
    carl = User.objects.create(username="carl")
    follow(ada, bob, send_action=False)

    async def main() -> None:
        async with watching(OF_USER, ada) as watcher:
            first, _ = await do(record, bob, "posted")
            await watcher.has(1)
            await do(unfollow, ada, bob)
            await do(follow, ada, carl, send_action=False)
            await do(record, bob, "posted")
            second, _ = await do(record, carl, "posted")
            await watcher.has(2)
            assert watcher.ids == gids([first, second])

    run(main())


def test_what_is_private_does_not_arrive(ada: User, bob: User) -> None:
    async def main() -> None:
        document = subscription_of("actorStream", f'actor: "{gid(bob)}"')
        async with watching(document, bob) as watcher:
            await do(record, bob, "mused", public=False)
            said, _ = await do(record, bob, "said")
            await watcher.has(1)
            assert watcher.ids == [gid(said)]

    run(main())


def test_many_recorded_at_once_arrive_in_their_order(ada: User, bob: User) -> None:
    async def main() -> None:
        async with watching(subscription_of("actorStream", f'actor: "{gid(bob)}"')) as watcher:
            items = [{"actor": bob, "verb": f"said {number}"} for number in range(30)]
            stored = await do(send_many, items)
            await watcher.has(30)
            assert watcher.ids == gids(action for action, _ in stored)

    run(main())


def test_a_filter_is_that_of_the_query(ada: User, bob: User, brook: Project) -> None:
    wanted = 'filter: {verbs: ["starred"], targetTypes: [PROJECT]}'
    document = subscription_of("actorStream", f'actor: "{gid(bob)}", {wanted}')

    async def main() -> None:
        async with watching(document) as watcher:
            await do(record, bob, "forked", target=brook)
            await do(record, bob, "starred", target=ada)
            found, _ = await do(record, bob, "starred", target=brook)
            await watcher.has(1)
            assert watcher.ids == [gid(found)]

    run(main())


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("subscription { userStream { cursor } }", "UNAUTHENTICATED"),
        ('subscription { actorStream(actor: "x") { cursor } }', "BAD_USER_INPUT"),
        ('subscription { actorStream(actor: "BOB", after: "x") { cursor } }', "BAD_USER_INPUT"),
        ('subscription { wrong(obj: "BOB") { cursor } }', "INTERNAL"),
        ('subscription { userStream(user: "BOB") { cursor } }', "UNAUTHENTICATED"),
        ('subscription { userStream { cursor } nothing(obj: "BOB") { cursor } }', "BAD_REQUEST"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_the_first_event(
    bob: User, document: str, code: str
) -> None:
    async def main() -> None:
        async with watching(document.replace("BOB", gid(bob))) as watcher:
            await watcher.end()
            [answer] = watcher.answers
            assert [error["extensions"]["code"] for error in answer["errors"]] == [code]
            assert answer["data"] is None

    run(main())


def test_anothers_stream_is_forbidden_and_open_to_staff(ada: User, bob: User, root: User) -> None:
    document = subscription_of("userStream", f'user: "{gid(bob)}"')
    follow(bob, ada, send_action=False)

    async def main() -> None:
        async with watching(document, ada) as watcher:
            await watcher.end()
            assert refusals(watcher.answers[0]) == [(["userStream"], "FORBIDDEN")]
        async with watching(document, root) as watcher:
            first, _ = await do(record, ada, "posted")
            await watcher.has(1)
            assert watcher.ids == [gid(first)]
            await do(User.objects.filter(pk=root.pk).update, is_staff=False)
            await do(record, ada, "posted")
            await watcher.end()
            assert watcher.answers[1]["errors"][0]["extensions"]["code"] == "FORBIDDEN"

    run(main())


def test_who_may_not_log_in_any_more_is_told_nothing_more(ada: User, bob: User) -> None:
    follow(ada, bob, send_action=False)

    async def main() -> None:
        async with watching(OF_USER, ada) as watcher:
            await do(User.objects.filter(pk=ada.pk).update, is_active=False)
            await do(record, bob, "posted")
            await watcher.end()
            assert watcher.answers[0]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    run(main())


def test_who_is_erased_is_told_nothing_more_and_others_see_no_name(
    ada: User, bob: User, brook: Project
) -> None:
    follow(ada, brook, send_action=False, actor_only=False)
    follow(bob, brook, send_action=False, actor_only=False)
    follow(bob, ada, send_action=False)

    async def main() -> None:
        async with watching(OF_USER, ada) as erased, watching(OF_USER, bob) as other:
            await do(Erasure(ada, anonymise=True).run, lambda part, done: None)
            await do(record, ada, "posted", target=brook)  # a request that was under way
            await other.has(1)
            name = other.edges[0]["node"]["actor"]["displayName"]
            assert name.startswith(NAMELESS)
            await do(record, brook, "grew", target=brook)
            await other.has(2)
        assert [it for it in erased.answers if "errors" not in it] == []

    run(main())


def test_what_is_hidden_meanwhile_ends_the_stream_or_is_no_name(
    ada: User, bob: User, brook: Project, hide: Any
) -> None:
    of_bob = subscription_of("actorStream", f'actor: "{gid(bob)}"')
    of_brook = subscription_of("targetStream", f'target: "{gid(brook)}"')

    async def main() -> None:
        async with watching(of_bob, ada) as first, watching(of_brook, ada) as second:
            await do(record, bob, "starred", target=brook)
            await first.has(1)
            await second.has(1)
            assert first.edges[0]["node"]["displayName"] == "bob starred brook"
            hide(brook)
            await do(record, bob, "starred", target=brook)
            await first.has(2)
            assert first.edges[1]["node"]["displayName"] == "bob starred"
            await second.end()
            assert second.answers[1]["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"

    run(main())


def test_what_a_site_hides_does_not_arrive(
    ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def visible_to(self: Any, queryset: Any, viewer: Any) -> Any:
        return queryset.filter(Q(verb="said") | Q(actor_object_id=str(viewer and viewer.pk)))

    monkeypatch.setattr(type(Action.objects), "visible_to", visible_to)
    document = subscription_of("actorStream", f'actor: "{gid(bob)}"')

    async def main() -> None:
        async with watching(document, ada) as others, watching(document, bob) as own:
            thought, _ = await do(record, bob, "thought")
            said, _ = await do(record, bob, "said")
            await others.has(1)
            await own.has(2)
            assert (others.ids, own.ids) == ([gid(said)], gids([thought, said]))

    run(main())


def test_nothing_is_left_of_who_has_gone(ada: User, bob: User) -> None:
    async def main() -> None:
        async with watching(OF_USER, ada), watching(OF_USER, bob):
            assert live.Hub.here().size == 2
        assert live.Hub.here().size == 0
        assert live.Hub.here()._running is None
        assert not broker._broker._listeners

    run(main())


def test_a_subscription_is_measured_as_one_edge() -> None:
    deep = "subscription { userStream { node { id %s } } }"
    small = deep % "anyStream(first: 20) { nodes { id } }"
    large = deep % "anyStream(first: 100) { nodes { anyStream(first: 100) { nodes { id } } } }"

    def cost(text: str) -> int:
        nodes: int = schema.documents.read(text).cost(None, {}).nodes
        return nodes

    assert cost(small) == 21
    assert cost(large) > 10_000

    async def main() -> None:
        async with watching(large) as watcher:
            await watcher.end()
            assert refusals(watcher.answers[0]) == [(None, "TOO_COMPLEX")]

    run(main())


def test_a_subscription_has_the_arguments_of_its_query_less_the_pages() -> None:
    kinds: Any = schema._schema.type_map
    assert len(kinds["Subscription"].fields) == len(type(Action.objects).streams())
    for name, field in kinds["Subscription"].fields.items():
        of_query = kinds["Query"].fields[name].args
        expected = {arg: str(of_query[arg].type) for arg in of_query if arg not in PAGES}
        assert {arg: str(it.type) for arg, it in field.args.items()} == expected
        assert str(field.type) == "ActionEdge!"


STREAMS = [it for it in FILLED if it.holder == "Query"]


@pytest.mark.parametrize("field", STREAMS, ids=str)
def test_every_stream_delivers_what_its_query_would_show(
    field: ConnectionField, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "EVERY", 0.05)  # no broker says what is filled in
    of = field.reference_object()
    viewer = of if isinstance(of, User) else None
    start = field.ask(of, viewer, "resumeCursor nodes { id }")
    reference = next(iter(field.definition.args))
    value: Any = f'"{gid(of)}"'
    if get_named_type(field.definition.args[reference].type).name == "NodeType":
        value = next(kind.name for kind in nodes.discover() if kind.value is field.of)

    async def main() -> None:
        document = f"""subscription ($after: String) {{ {field.name}(
            {reference}: {value}, after: $after) {{ node {{ {ROWS["a"]} }} }} }}"""
        missed = await do(field.fill, of, at(0, 1))
        async with watching(document, viewer, after=start["resumeCursor"]) as watcher:
            await watcher.until(lambda it: set(gids(missed)) <= set(it.ids))
            arrived = await do(field.fill, of, at(3, 2))
            await watcher.until(lambda it: set(gids(arrived)) <= set(it.ids))
            page = await do(field.ask, of, viewer, "nodes { id }", first=100)
            assert sorted(watcher.ids) == sorted(set(ids_of(page)) - set(ids_of(start)))

    run(main())


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that live streams ask the database."""
    asked: list[str] = []

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        asked.append(sql)
        return execute(sql, params, many, context)

    run = live.run

    async def noting(work: Any) -> Any:
        def worked() -> Any:
            with connection.execute_wrapper(note):
                return work()

        return await run(worked)

    monkeypatch.setattr(live, "EVERY", 60)
    monkeypatch.setattr(live, "FRESH", 60)
    monkeypatch.setattr(live, "run", noting)
    return asked


def test_an_action_takes_as_many_statements_for_fifty_as_for_one(
    ada: User, brook: Project, statements: list[str]
) -> None:
    viewers = [User.objects.create(username=f"user{n}") for n in range(50)]
    document = f"""subscription {{ actorStream(actor: "{gid(ada)}") {{ node {{
        id actor {{ displayName }} target {{ displayName }} }} }} }}"""

    async def taken(viewers: list[User]) -> int:
        async with AsyncExitStack() as stack:
            watchers = [
                await stack.enter_async_context(watching(document, viewer)) for viewer in viewers
            ]
            await do(record, ada, "starred", target=brook)
            for watcher in watchers:
                await watcher.has(1)
            statements.clear()
            await do(record, ada, "starred", target=brook)
            for watcher in watchers:
                await watcher.has(2)
                assert watcher.edges[1]["node"]["target"] == {"displayName": "brook"}
            return len([sql for sql in statements if sql.startswith("SELECT")])

    async def main() -> None:
        assert await taken(viewers[:1]) == await taken(viewers) <= 5

    run(main())


def test_a_stream_is_opened_in_a_thread_without_an_event_loop_too(ada: User, bob: User) -> None:
    """As a transport may, which has a thread for what asks the database."""
    document = parse(
        f'subscription {{ actorStream(actor: "{gid(bob)}") {{ cursor node {{ id }} }} }}'
    )

    def opened() -> Any:
        return schema.execution_context_class.build(
            schema._schema, document, context_value=context_of(ada)
        )

    async def main() -> None:
        executor = await do(opened)
        events: Any = await do(create_source_event_stream, executor)
        coming = asyncio.create_task(anext(events))
        await looked(lambda: live.Hub.here().has_begun)
        action, _ = await do(record, bob, "posted")
        event = await coming
        answer = await do(executor.build_per_event_executor(event).execute_operation)
        assert answer.data["actorStream"]["node"] == {"id": gid(action)}
        await events.aclose()
        assert live.Hub.here().size == 0

    run(main())
