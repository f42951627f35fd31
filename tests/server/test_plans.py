"""What the databases read for a page and a deletion, at 100,000 actions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker

from server import deadlines, pruning, registry, windows
from server.cursors import Position
from server.models import Action, Follow, send_many
from server.pages import Ranges
from server.pruning import Pruning
from server.windows import Window
from tests.site.models import Article, Page, Project

pytestmark = pytest.mark.django_db

ACTIONS = 100_000
#: More than a page of 20 may read of an index, far less than there is.
ROWS = 400
#: SQLite counts the instructions of its virtual machine: a page needs some thousands, a scan or a
#: sort of everything more than half a million.
INSTRUCTIONS = 40_000


class History(NamedTuple):
    """100,000 actions: user 1 did half of them, on project 1 and with article 1 or others."""

    busy: User
    dormant: User
    project: Project
    article: Article
    page: Page


@pytest.fixture(scope="module")
def history(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[History]:
    with django_db_blocker.unblock(), transaction.atomic():
        users = User.objects.bulk_create(User(username=f"user{n}") for n in range(200))
        projects = Project.objects.bulk_create(Project(name=f"p{n}") for n in range(200))
        articles = Article.objects.bulk_create(Article(title=f"a{n}") for n in range(200))
        page = Page.objects.create(slug="rare")
        types = ContentType.objects.get_for_models(User, Project, Article, Page)
        ids = {
            "user": f"CASE WHEN n % 2 = 0 THEN {users[0].pk} ELSE {users[1].pk} + n % 198 END",
            "project": f"CASE WHEN n % 3 = 0 THEN {projects[0].pk} "
            f"ELSE {projects[1].pk} + n % 199 END",
        }
        if connection.vendor == "postgresql":
            series = f"generate_series(1, {ACTIONS}) AS n"
            numbers = ""
            at = "timestamptz '2026-01-01 00:00:00.5+00' + (n / 4) * interval '1 second'"
        else:
            numbers = (
                "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
                f"WHERE n < {ACTIONS}) "
            )
            series = "numbers"
            at = "strftime('%Y-%m-%d %H:%M:%f', '2026-01-01 00:00:00.5', (n / 4) || ' seconds')"
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO activity_action (actor_content_type_id, actor_object_id, "
                "target_content_type_id, target_object_id, action_object_content_type_id, "
                "action_object_object_id, verb, timestamp, public) "
                f"{numbers} SELECT {types[User].pk}, CAST({ids['user']} AS text), "
                f"{types[Project].pk}, CAST({ids['project']} AS text), "
                f"CASE WHEN n % 5 = 0 THEN {types[Project].pk} END, "
                f"CASE WHEN n % 5 = 0 THEN CAST({projects[0].pk} + n % 7 AS text) END, "
                f"CASE WHEN (n / 4) % 4 = 0 THEN 'opened' ELSE 'closed' END, {at}, n % 10 > 0 "
                f"FROM {series}"
            )
        # The rare: what nobody has done for long, and a type that is hardly ever named.
        oldest = Action.objects.order_by("timestamp", "id")[:40].values("pk")
        Action.objects.filter(pk__in=list(oldest.values_list("pk", flat=True)[:30])).update(
            actor_object_id=str(users[199].pk),
            action_object_content_type=types[Article],
            action_object_object_id=str(articles[0].pk),
            public=True,
        )
        some = list(Action.objects.public().values_list("pk", flat=True)[50_000:50_003])
        Action.objects.filter(pk__in=some).update(
            target_content_type=types[Page], target_object_id=page.pk
        )
        Follow.objects.bulk_create(
            Follow(user=user, content_type=types[Project], object_id=str(project.pk))
            for user in users[:50]
            for project in projects
        )
        with connection.cursor() as cursor:
            connection.check_constraints()  # now, not in each test again
            for table in ("activity_action", "activity_follow"):
                cursor.execute(f"ANALYZE {table}")
        yield History(users[0], users[199], projects[0], articles[0], page)
        transaction.set_rollback(True)


STREAMS: dict[str, tuple[str, Callable[[History], Any], dict[str, Any]]] = {
    "actor": ("actor_stream", lambda h: h.busy, {}),
    "dormant actor": ("actor_stream", lambda h: h.dormant, {}),
    "target": ("target_stream", lambda h: h.project, {}),
    "action object": ("action_object_stream", lambda h: h.project, {}),
    "any": ("any_stream", lambda h: h.project, {}),
    "any of a dormant object": ("any_stream", lambda h: h.article, {}),
    "any of a rare object": ("any_stream", lambda h: h.page, {}),
    "model": ("model_stream", lambda h: Project, {}),
    "model of a rare type": ("model_stream", lambda h: Page, {}),
    "tuple of dicts": ("project_news", lambda h: h.project, {"verb": "opened"}),
    "custom dict": ("mystream", lambda h: h.busy, {"verb": "opened"}),
    "everything": ("everything", lambda h: h.busy, {}),
}


def ranges(history: History, name: str) -> Ranges:
    stream, reference, arguments = STREAMS[name]
    return Action.objects.ranges(Action.objects.streams()[stream], reference(history), **arguments)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explain(sql: str, how: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"{how} {sql}")
        return cursor.fetchall()


def read_on_postgresql(sql: str) -> tuple[int, list[str]]:
    """How many rows of actions a statement reads, and whatever it does that it should not."""
    [[plan]] = explain(sql, "EXPLAIN (ANALYZE, FORMAT JSON)")
    plan = plan if isinstance(plan, list) else json.loads(plan)
    read, wrong = 0, []
    for node in nodes(plan[0]["Plan"]):
        rows = (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Index Recheck", 0)
        ) * node["Actual Loops"]
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "activity_action":
            wrong.append("Seq Scan")
        if node["Node Type"] == "Sort" and rows > ROWS:
            wrong.append(f"Sort of {rows}")
        if "Scan" in node["Node Type"] and node["Node Type"] not in ("CTE Scan", "Subquery Scan"):
            read += rows
    return read, wrong


def read_on_sqlite(sql: str) -> tuple[int, list[str]]:
    """How many instructions a statement takes, and whatever it does that it should not."""
    plan = [detail for *_, detail in explain(sql, "EXPLAIN QUERY PLAN")]
    wrong = [detail for detail in plan if re.fullmatch(r"SCAN activity_\w+( AS \w+)?", detail)]
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 100
        return 0

    connection.connection.set_progress_handler(count, 100)
    try:
        explain(sql, "")
    finally:
        deadlines.watch(None, connection)  # who alone may listen otherwise
    return counted, wrong


def assert_bounded(sql: str) -> None:
    if connection.vendor == "postgresql":
        read, wrong = read_on_postgresql(sql)
        assert (wrong, read <= ROWS) == ([], True), (read, sql)
    else:
        read, wrong = read_on_sqlite(sql)
        assert (wrong, read <= INSTRUCTIONS) == ([], True), (read, sql)


def statements(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        act()
    return [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "ROLLBACK"))
    ]


def place(found: Ranges, deep: float) -> str | None:
    """The cursor of the row so far down a stream."""
    rows = found.all().order_by("-timestamp", "-id")
    row = rows[int(rows.count() * deep)]
    return Position.of(row, "timestamp").cursor("test")


@pytest.mark.parametrize("deep", [0, 0.9], ids=["page 1", "deep"])
@pytest.mark.parametrize("name", STREAMS)
def test_a_page_reads_a_bounded_range_of_an_index(
    history: History, name: str, deep: float
) -> None:
    found = ranges(history, name)
    cursor = place(found, deep) if deep else None
    for window in (Window("test", first=20, after=cursor), Window("test", last=20, before=cursor)):
        [statement] = statements(lambda window=window: found.page(window))  # type: ignore[misc]
        assert_bounded(statement)


@pytest.mark.parametrize("deep", [0, 0.9], ids=["page 1", "deep"])
@pytest.mark.parametrize("name", ["any", "model", "tuple of dicts"])
def test_a_page_between_two_times_reads_a_bounded_range_too(
    history: History, name: str, deep: float
) -> None:
    found = ranges(history, name)
    row = found.all().order_by("-timestamp", "-id")[int(found.all().count() * deep) or 50]
    [statement] = statements(lambda: found.page(Window("test", until=row.timestamp)))
    assert_bounded(statement)
    [statement] = statements(lambda: found.page(Window("test", last=5, since=row.timestamp)))
    assert_bounded(statement)


@pytest.mark.parametrize("name", ["actor", "any", "model"])
def test_a_page_of_a_verb_that_nobody_used_looks_no_further_than_its_window(
    history: History, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "MOST_READ", 100)
    found = ranges(history, name)

    def narrow(rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(verb="never")

    for cursor in (None, place(found, 0.5)):
        window = Window("test", first=20, after=cursor)
        for statement in statements(lambda w=window: found.page(w, narrow=narrow)):  # type: ignore[misc]
            assert_bounded(statement)
    # The control: without the horizon, the same page reads everything.
    [unbounded] = statements(
        lambda: list(found.all().filter(verb="never").order_by("-timestamp", "-id")[:21])
    )
    with pytest.raises(AssertionError):
        assert_bounded(unbounded)


def test_the_plain_or_of_the_arms_would_read_too_much(history: History) -> None:
    """The control: what the pages are not."""
    found = ranges(history, "any of a dormant object")
    [statement] = statements(
        lambda: list(
            found.queryset.order_by("timestamp", "id").exclude(verb="opened")[90_000:90_020]
        )
    )
    with pytest.raises(AssertionError):
        assert_bounded(statement)


@pytest.mark.parametrize("take_part", [False, True], ids=["actions as they are", "actions liked"])
@pytest.mark.parametrize("name", ["dormant", "article", "page"])
def test_each_delete_of_a_cascade_uses_an_index(
    history: History, name: str, take_part: bool
) -> None:
    doomed = copy(getattr(history, name))  # which has no key any more when it is deleted
    if take_part:
        registry.register(Action)
    try:
        with transaction.atomic():
            executed = statements(doomed.delete)
            transaction.set_rollback(True)
    finally:
        if take_part:
            registry.unregister(Action)
    deletes = [sql for sql in executed if 'DELETE FROM "activity_' in sql]
    assert len(deletes) >= 4
    for sql in deletes:
        if connection.vendor == "postgresql":
            with transaction.atomic():
                read, wrong = read_on_postgresql(sql)
                transaction.set_rollback(True)
            assert (wrong, read <= ROWS) == ([], True), (read, sql)
        else:
            plan = [detail for *_, detail in explain(sql, "EXPLAIN QUERY PLAN")]
            scans = [each for each in plan if re.match(r"SCAN (activity_|later)", each)]
            assert scans == [], (plan, sql)


@pytest.mark.parametrize("name", ["followers", "following"])
def test_follows_are_read_by_an_index(history: History, name: str) -> None:
    rows = (
        Follow.objects.for_object(history.project)
        if name == "followers"
        else Follow.objects.by(history.busy)
    )
    [statement] = statements(lambda: Ranges(rows, time="started").page(Window("test")))
    if connection.vendor == "postgresql":
        [[plan]] = explain(statement, "EXPLAIN (FORMAT JSON)")
        kinds = {node["Node Type"] for node in nodes(plan[0]["Plan"])}
        assert kinds <= {"Limit", "Index Scan", "Index Only Scan"}, plan
    else:
        assert_bounded(statement)


def test_the_keys_of_many_are_looked_up_in_the_index_of_their_constraint(history: History) -> None:
    items = [
        {"actor": history.busy, "verb": "met", "idempotency_key": str(at)} for at in range(100)
    ]
    send_many(items)
    [lookup] = [sql for sql in statements(lambda: send_many(items)) if "wanted" in sql]
    assert_bounded(lookup)


@pytest.mark.parametrize("verbs", [set(), {"never"}], ids=["any verb", "a verb nobody used"])
@pytest.mark.parametrize("take_part", [False, True], ids=["actions as they are", "actions liked"])
def test_pruning_reads_bounded_ranges_of_indexes_alone(
    history: History, verbs: set[str], take_part: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "RANGE", 300)
    oldest = Action.objects.order_by("timestamp")[1_000].timestamp
    work = Pruning(oldest, frozenset(verbs), size=200, pause=0)
    if take_part:
        registry.register(Action)
    try:
        with transaction.atomic():
            executed = statements(lambda: work.run(lambda kind, done: None))
            transaction.set_rollback(True)
    finally:
        if take_part:
            registry.unregister(Action)
    assert bool(work.removed) == (not verbs)
    # SQLite calls it a scan to look at the first and the last key.
    reads = [sql for sql in executed if sql.startswith("SELECT") and not sql.endswith("LIMIT 1")]
    for sql in reads[:10] + reads[-10:]:
        assert_bounded(sql)
    deletes = [sql for sql in executed if 'DELETE FROM "activity_' in sql]
    for sql in deletes[:4]:
        if connection.vendor == "postgresql":
            with transaction.atomic():
                read, wrong = read_on_postgresql(sql)
                transaction.set_rollback(True)
            assert (wrong, read <= 5 * ROWS) == ([], True), (read, sql)
        else:
            plan = [detail for *_, detail in explain(sql, "EXPLAIN QUERY PLAN")]
            assert [it for it in plan if re.match(r"SCAN (activity_|later)", it)] == [], plan
