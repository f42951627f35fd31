"""Many rows into a table that others use: its indexes stay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connections
from django.db.models import Model


def insert(
    model: type[Model],
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    using: str,
    *,
    again: bool = False,
) -> int:
    """Store rows, as values of these fields; returns how many.

    ``again`` passes over those whose unique values are there already. Values are the columns': of
    a JSONField its text, of a foreign key what the database holds. Atomic only where the caller
    sees to it.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    table = f"{quote(model._meta.db_table)} ({', '.join(quote(f.column) for f in fields)})"
    new = "ON CONFLICT DO NOTHING" if again else ""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and not again:
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        elif connection.vendor == "postgresql":
            columns = [list(values) for values in zip(*rows, strict=True)]
            if not columns:
                return 0
            # Types without their lengths, by which a cast would cut what is too long.
            types = (str(field.db_type(connection)).partition("(")[0] for field in fields)
            arrays = ", ".join(f"CAST(%s AS {kind}[])" for kind in types)
            cursor.execute(f"INSERT INTO {table} SELECT * FROM unnest({arrays}) {new}", columns)
        else:
            holes = ", ".join(["%s"] * len(fields))
            times = [n for n, f in enumerate(fields) if f.get_internal_type() == "DateTimeField"]
            adapt = connection.ops.adapt_datetimefield_value

            def adapted() -> Iterable[list[Any]]:
                for row in rows:
                    values = list(row)
                    for n in times:
                        values[n] = adapt(values[n])
                    yield values

            many: Any = cursor.executemany  # takes any iterable, one row at a time
            many(f"INSERT INTO {table} VALUES ({holes}) {new}", adapted())
        return max(0, int(cursor.rowcount))


def analyze(models: Iterable[type[Model]], using: str) -> None:
    """Tell the planner of many new rows; on PostgreSQL, let indexes alone be read as well."""
    connection = connections[using]
    vacuum = connection.vendor == "postgresql" and not connection.in_atomic_block
    with connection.cursor() as cursor:
        for model in models:
            table = connection.ops.quote_name(model._meta.db_table)
            cursor.execute(f"{'VACUUM (ANALYZE)' if vacuum else 'ANALYZE'} {table}")
