"""From the tables of django-activity-stream; tests/verify/test_import.py has the real package."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models.signals import post_save
from django.utils import timezone

from server import actstream
from server.models import Action, Follow, action
from tests.site.models import Article, Diary, Fork, Mirror, Project

pytestmark = pytest.mark.django_db(databases=["default", "other"])

AT = datetime(2020, 2, 29, 12, 30, 15, 123456, UTC)


class Older:
    """The tables of a version, in a database."""

    def __init__(self, using: str = "default", data: str | None = "text", flag: bool = True):
        self.using, self.has_data, self.has_flag = using, data is not None, flag
        roles = "".join(
            f"{role}_content_type_id integer, {role}_object_id varchar(400), "
            for role in ("actor", "target", "action_object")
        )
        self.execute(
            f"CREATE TABLE actstream_action (id integer PRIMARY KEY, {roles}"
            "verb varchar(400), description text, timestamp "
            f"{self.time}, public boolean{f', data {data}' if data else ''})"
        )
        self.execute(
            "CREATE TABLE actstream_follow (id integer PRIMARY KEY, user_id integer, "
            f"content_type_id integer, object_id varchar(400), actor_only boolean, "
            f"started {self.time}{', flag varchar(255)' if flag else ''})"
        )

    @property
    def time(self) -> str:
        return {"postgresql": "timestamptz"}.get(connections[self.using].vendor, "datetime")

    def execute(self, sql: str, values: Any = ()) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(sql, values)

    def insert(self, table: str, row: dict[str, Any]) -> None:
        holes = ", ".join(["%s"] * len(row))
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({holes})", [*row.values()])

    def action(self, pk: int, actor: Any, verb: str = "posted", **more: Any) -> None:
        row = {"id": pk, "verb": verb, "timestamp": AT, "public": True, **more}
        for role in ("target", "action_object"):
            if role in row:
                row |= self.named(f"{role}_", row.pop(role))
        row["timestamp"] = self.adapted(row["timestamp"])
        self.insert("actstream_action", {**row, **self.named("actor_", actor)})

    def follow(self, pk: int, user: int, obj: Any, **more: Any) -> None:
        row = {"id": pk, "user_id": user, "actor_only": True, "started": self.adapted(AT), **more}
        self.insert("actstream_follow", {**row, **self.named("", obj)})

    def named(self, prefix: str, obj: Any) -> dict[str, Any]:
        kind = ContentType.objects.db_manager(self.using).get_for_model(obj)
        return {f"{prefix}content_type_id": kind.pk, f"{prefix}object_id": str(obj.pk)}

    def adapted(self, at: datetime) -> Any:
        return connections[self.using].ops.adapt_datetimefield_value(at)


def imported(**options: Any) -> str:
    out = StringIO()
    call_command("import_actstream", stdout=out, **options)
    return " ".join(out.getvalue().split())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actstream, "BATCH", 2)


def test_everything_that_a_row_has_is_kept(ada: User, brook: Project, article: Article) -> None:
    older = Older()
    full = {"target": brook, "action_object": article, "description": "", "public": False}
    older.action(1, ada, "kommentierte 👍", data='{"b": [1, null], "a": "ü"}', **full)
    older.action(2, brook, timestamp=AT - timedelta(days=1), data="")
    older.follow(1, ada.pk, article, actor_only=False, flag="liking")
    older.follow(2, ada.pk, brook, flag="")
    said = imported()
    assert "2 actions read: 2 are new, 0 were there already, 0 are left out." in said
    assert "2 follows read: 2 are new, 0 were there already, 0 are left out." in said
    first, second = Action.objects.order_by("pk")
    assert (first.actor, first.target, first.action_object) == (ada, brook, article)
    assert (first.verb, first.description, first.public) == ("kommentierte 👍", "", False)
    assert (first.timestamp, first.data) == (AT, {"b": [1, None], "a": "ü"})
    assert (second.actor, second.target, second.action_object) == (brook, None, None)
    assert (second.description, second.public, second.data) == (None, True, None)
    assert second.timestamp == AT - timedelta(days=1)
    liking, plain = Follow.objects.order_by("pk")
    assert (liking.user, liking.follow_object, liking.flag) == (ada, article, "liking")
    assert (liking.actor_only, liking.started) == (False, AT)
    assert (plain.follow_object, plain.actor_only, plain.flag) == (brook, True, "")


def test_a_table_without_data_or_flags_is_read_too(ada: User, brook: Project) -> None:
    older = Older(data=None, flag=False)
    older.action(1, ada)
    older.follow(1, ada.pk, brook)
    imported()
    assert (Action.objects.get().data, Follow.objects.get().flag) == (None, "")


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_data_is_read_from_either_of_postgresqls_types(kind: str, ada: User) -> None:
    Older(data=kind).action(1, ada, data='{"a": {"b": 1.5}}')
    imported()
    assert Action.objects.get().data == {"a": {"b": 1.5}}


def test_types_are_found_by_name_in_another_database(ada: User, brook: Project) -> None:
    ContentType.objects.clear_cache()
    ContentType.objects.using("other").all().delete()
    for label in ("gone.gone", "site.project", "auth.user"):
        app, model = label.split(".")
        ContentType.objects.db_manager("other").create(app_label=app, model=model)
    older = Older("other")
    older.action(1, ada, target=brook)
    older.follow(1, ada.pk, brook)
    imported(database="other")
    ContentType.objects.clear_cache()
    assert Action.objects.get().target == brook
    assert Follow.objects.get().follow_object == brook


def test_a_second_run_adds_what_is_new_and_changes_nothing(ada: User, bob: User) -> None:
    older = Older()
    for pk in (2, 4, 6):
        older.action(pk, ada)
    older.follow(2, ada.pk, bob)
    imported()
    Action.objects.filter(idempotency_key="actstream:4").update(verb="edited")
    older.action(3, bob)  # committed late: its id is lower than what was read
    older.action(7, ada)
    older.follow(1, bob.pk, ada)
    said = imported()
    assert "5 actions read: 2 are new, 3 were there already, 0 are left out." in said
    assert "2 follows read: 1 are new, 1 were there already, 0 are left out." in said
    rows = Action.objects.order_by("idempotency_key").values_list("idempotency_key", "verb")
    assert [(str(key).partition(":")[2], verb) for key, verb in rows] == [
        ("2", "posted"),
        ("3", "posted"),
        ("4", "edited"),
        ("6", "posted"),
        ("7", "posted"),
    ]


def test_what_was_interrupted_goes_on(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    older = Older()
    for pk in range(1, 8):
        older.action(pk, ada)
    insert, batches = actstream.insert, iter("ab")

    def interrupted(*args: Any, **kwargs: Any) -> int:
        stored = insert(*args, **kwargs)
        if next(batches, None) is None:  # the third is stored, but not committed
            raise KeyboardInterrupt
        return stored

    monkeypatch.setattr(actstream, "insert", interrupted)
    with pytest.raises(CommandError, match="go on from here"):
        imported()
    monkeypatch.setattr(actstream, "insert", insert)
    assert Action.objects.count() == 4
    assert "7 actions read: 3 are new, 4 were there already" in imported()
    assert Action.objects.count() == 7


def test_what_cannot_be_carried_over_is_told_with_its_reason(ada: User, brook: Project) -> None:
    older = Older()
    gone = ContentType.objects.create(app_label="gone", model="thing")
    older.action(1, ada, target=Diary.objects.create())
    older.action(2, ada, target_content_type_id=gone.pk, target_object_id="1")
    older.action(3, ada, target_content_type_id=10**6, target_object_id="1")
    older.action(4, ada, target_object_id="1")
    older.action(5, ada, target_content_type_id=gone.pk)
    older.action(6, ada, "v" * 256)
    older.action(7, ada, "")
    older.action(8, ada, description="d" * 4001)
    older.action(9, ada, timestamp=timezone.now() + timedelta(days=1))
    older.action(10, ada, data=f'"{"x" * 16 * 1024}"')
    older.action(11, ada, data="{")
    older.action(12, ada, data="NaN")
    older.action(13, ada, target=Mirror.objects.create(name="mirror"))
    older.action(14, User(pk="1" * 256))
    for pk in range(15, 22):
        older.action(pk, ada, "")
    older.follow(1, ada.pk + 1, brook)
    older.follow(2, ada.pk, Diary(pk=1))
    older.follow(3, ada.pk, brook, flag="f" * 248)
    said = imported()
    assert Action.objects.count() == Follow.objects.count() == 0
    assert "21 actions read: 0 are new, 0 were there already, 21 are left out:" in said
    for told in (
        " 1 actions: target: site.diary is not registered here. Their ids there: 1 ",
        " 1 actions: target: this site has no model gone.thing. Their ids there: 2 ",
        " 1 actions: target: there is no content type 1000000. Their ids there: 3 ",
        " 2 actions: the target is named by half. Their ids there: 4, 5 ",
        " 9 actions: verb: out of bounds. A verb has at most 255 characters; this one has 256. ",
        "Their ids there: 6, 7, 15, 16, 17, … ",
        "description: out of bounds. A description has at most 4000 characters; ",
        "timestamp: out of bounds.",
        " 3 actions: data: out of bounds. Data has at most 16384 bytes; this has 16386. Their ids",
        "target: site.mirror takes part as site.project, whose key is another. ",
        "actor: out of bounds.",
        " 1 follows: the user who follows is not here. Their ids there: 1 ",
        " 1 follows: object: site.diary is not registered here. Their ids there: 2 ",
        "flag: out of bounds.",
    ):
        assert told in said, told


def test_an_object_is_named_as_this_site_names_it(ada: User, article: Article) -> None:
    older = Older()
    fork = Fork.objects.create(name="fork")
    older.action(1, ada, target=fork)
    older.action(
        2,
        ada,
        target_content_type_id=older.named("", article)["content_type_id"],
        target_object_id=article.pk.hex,
    )
    older.action(
        3,
        ada,
        target_content_type_id=older.named("", article)["content_type_id"],
        target_object_id="no key",
    )
    imported()
    child, unhyphened, none = Action.objects.order_by("pk")
    assert child.target == Project.objects.get(pk=fork.pk)
    assert unhyphened.target == article
    assert (none.target_object_id, none.target) == ("no key", None)


def test_nobody_is_told(ada: User) -> None:
    Older().action(1, ada)
    heard: list[Any] = []

    def listen(**told: Any) -> None:
        heard.append(told)

    action.connect(listen)
    post_save.connect(listen, sender=Action)
    try:
        imported()
    finally:
        action.disconnect(listen)
        post_save.disconnect(listen, sender=Action)
    assert heard == []


def test_a_database_without_the_tables_is_refused_with_the_way_out() -> None:
    with pytest.raises(CommandError, match=r"no table actstream_action.*IMPORT_DATABASE_URL"):
        imported()
