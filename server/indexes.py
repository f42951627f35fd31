"""Indexes of tables that are large already, built while others go on writing.

A migration after the first adds no other: ``tests/server/test_migrations.py`` says so.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connections
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddIndex
from django.db.migrations.state import ProjectState

#: Whether an index is there, and good for anything.
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


class AddIndexGently(AddIndexConcurrently):
    """Django's ``AddIndexConcurrently``, but for any database, and to be run again.

    What PostgreSQL has left of a build that was interrupted is dropped, and built anew; what was
    built, and not written down as migrated, is left. The migration has ``atomic = False``.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        self._ensure_not_in_transaction(schema_editor)
        name = schema_editor.quote_name(self.index.name)
        with connection.cursor() as cursor:
            cursor.execute(_VALID, [name])
            found = cursor.fetchone()
            if found == (True,):
                return
            # It waits for all transactions that are older, with no lock in anybody's way.
            cursor.execute("SELECT set_config('lock_timeout', '0', false)")
            try:
                if found:
                    cursor.execute(f"DROP INDEX CONCURRENTLY {name}")
                super().database_forwards(app_label, schema_editor, from_state, to_state)
            finally:
                be_patient(connection.alias)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)


def be_patient(using: str, **kwargs: Any) -> None:
    """Have migrations wait DATABASE_LOCK_SECONDS for a lock: behind them, everybody waits.

    Receives ``pre_migrate``.
    """
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            bound = str(round(settings.DATABASE_LOCK_SECONDS * 1000))
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [bound])
