"""Migrations lock no table that is large already."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.core.management import call_command
from django.db import OperationalError, connection, connections, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.test import override_settings

from server.indexes import AddIndexGently
from server.models import Action, follow
from tests.writers import Writers

LABEL = "activity"
#: What is over in a moment however large a table is, or in nobody's way.
GENTLE = (
    AddIndexGently,
    RemoveIndexConcurrently,
    AddConstraintNotValid,  # of rows to come; then, of those that are there:
    ValidateConstraint,
    migrations.AddField,  # see is_plain
    migrations.RemoveField,
    migrations.RemoveConstraint,
    migrations.RenameField,
    migrations.RenameIndex,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
)
#: Others that somebody has looked at, by migration and model: why nothing is locked for long.
LOOKED_AT: dict[tuple[str, str], str] = {}

MIGRATIONS = {
    name: migration
    for (label, name), migration in sorted(MigrationLoader(None).disk_migrations.items())
    if label == LABEL
}
LATER = [name for name in MIGRATIONS if name != "0001_initial"]


def is_plain(field: models.Field[Any, Any]) -> bool:
    """Whether a column is added without a look at any row, and without an index."""
    return not (field.db_index or field.unique or field.is_relation) and (
        field.null or field.has_default()
    )


def harsh(migration: Any) -> Iterator[Operation]:
    """The operations that may lock a table which was there before the migration."""
    new = {
        operation.name_lower
        for operation in migration.operations
        if isinstance(operation, migrations.CreateModel | migrations.DeleteModel)
    }
    todo = list(migration.operations)
    while todo:
        operation = todo.pop(0)
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            todo += operation.database_operations
            continue
        model = str(getattr(operation, "model_name", getattr(operation, "name", ""))).lower()
        if model in new or (migration.name, model) in LOOKED_AT:
            continue
        field = getattr(operation, "field", None)
        if not isinstance(operation, GENTLE) or (
            isinstance(operation, migrations.AddField) and not is_plain(field)  # type: ignore[arg-type]
        ):
            yield operation


@pytest.mark.parametrize("name", LATER)
def test_a_migration_is_in_nobody_s_way(name: str) -> None:
    assert list(harsh(MIGRATIONS[name])) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddIndex("action", models.Index(fields=["verb"], name="activity_by_verb")),
        migrations.AlterField("action", "verb", models.TextField()),
        migrations.AddField("follow", "note", models.TextField(null=True, db_index=True)),
        migrations.AddField("follow", "note", models.TextField()),
        migrations.AddConstraint(
            "follow", models.UniqueConstraint(fields=["flag"], name="activity_flag")
        ),
        migrations.RunSQL("VACUUM FULL activity_action"),
        migrations.RunPython(migrations.RunPython.noop),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_one_that_would_be_is_found(operation: Operation) -> None:
    migration: Any = type(
        "Migration",
        (migrations.Migration,),
        {"operations": [migrations.SeparateDatabaseAndState([operation])]},
    )("0099_harsh", LABEL)
    assert list(harsh(migration)) == [operation]


# The index


INDEX = models.Index(fields=["verb", "-id"], name="activity_test_verb")


@pytest.fixture
def state() -> Iterator[ProjectState]:
    """Our models without the index, which is gone in the end."""
    yield MigrationLoader(connection).project_state()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX IF EXISTS activity_test_verb")


def add(before: ProjectState) -> None:
    """Run the operation, as "manage.py migrate" does."""
    operation, after = AddIndexGently("action", INDEX), before.clone()
    operation.state_forwards(LABEL, after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards(LABEL, editor, before, after)


def remove(before: ProjectState) -> None:
    operation, after = AddIndexGently("action", INDEX), before.clone()
    operation.state_forwards(LABEL, after)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards(LABEL, editor, after, before)


def indexes() -> set[str]:
    with connection.cursor() as cursor:
        table = Action._meta.db_table
        return set(connection.introspection.get_constraints(cursor, table))


@pytest.mark.django_db(transaction=True)
def test_an_index_is_added_and_removed_on_any_database(state: ProjectState) -> None:
    before = indexes()
    add(state)
    assert indexes() - before == {INDEX.name}
    remove(state)
    assert indexes() == before


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_others_write_while_an_index_is_built(state: ProjectState, writers: Writers) -> None:
    ada = User.objects.create(username="ada")
    bob = User.objects.create(username="bob")
    writer = writers()
    writer.record(ada)  # which the index waits for
    with ThreadPoolExecutor(1) as elsewhere:
        building = elsewhere.submit(in_thread, add, state)
        try:
            while not is_waiting("CREATE INDEX CONCURRENTLY"):
                assert not building.done()
            follow(ada, bob)
            assert not building.done()
        finally:
            writer.commit()
        building.result(timeout=60)
    assert [action.verb for action in Action.objects.all()] == ["started following", "posted"]
    assert is_valid() is True


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_left_of_an_index_that_failed_is_built_again(
    state: ProjectState, writers: Writers
) -> None:
    writer = writers()
    writer.record(User.objects.create(username="ada"))
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 50")
        with pytest.raises(OperationalError, match="lock timeout"):
            cursor.execute(
                "CREATE INDEX CONCURRENTLY activity_test_verb ON activity_action (verb, id DESC)"
            )
        cursor.execute("RESET lock_timeout")
    assert is_valid() is False
    writer.commit()
    add(state)
    assert is_valid() is True
    add(state)  # killed after that, before it was written down
    assert is_valid() is True


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@override_settings(DATABASE_LOCK_SECONDS=0.25)
def test_a_migration_waits_for_a_lock_no_longer_than_the_setting_says() -> None:
    with connection.cursor() as cursor:
        try:
            call_command("migrate", verbosity=0)
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("250ms",)
        finally:
            cursor.execute("RESET lock_timeout")


def in_thread(deed: Any, *args: Any) -> None:
    try:
        deed(*args)
    finally:
        connections.close_all()


def is_waiting(beginning: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s"
            " AND datname = current_database() AND wait_event_type = 'Lock'",
            [f"{beginning}%"],
        )
        return bool(cursor.fetchone()[0])


def is_valid() -> bool | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('activity_test_verb')"
        )
        found = cursor.fetchone()
        return bool(found[0]) if found else None
