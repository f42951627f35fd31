"""Timestamps as PostgreSQL sends them, read by one call of Python's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.backends.signals import connection_created
from psycopg.adapt import Loader
from psycopg.types.datetime import TimestamptzLoader


def connect() -> None:
    """Let every new connection to PostgreSQL read them so."""
    connection_created.connect(_register, dispatch_uid="server.timestamps")


class UtcLoader(Loader):
    """Django's for a connection in UTC."""

    timezone = UTC  # by which Django knows its own

    def load(self, data: Any) -> datetime:
        text = bytes(data)
        if text.endswith(b"+00"):
            try:
                return datetime.fromisoformat(text.decode())
            except ValueError:
                pass  # psycopg says what is wrong with it
        return TimestamptzLoader(self.oid, self.connection).load(data).replace(tzinfo=UTC)


def _register(connection: Any, **kwargs: Any) -> None:
    if connection.vendor == "postgresql" and connection.timezone is UTC:
        connection.connection.adapters.register_loader("timestamptz", UtcLoader)
