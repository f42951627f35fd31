"""Many rows, a few at a time, so that nobody waits long for what is removed.

Each batch seeks in an index to where the one before it ended: rows that are gone, and that the
database has not cleared away yet, are not passed again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from . import registry
from .actions import Action
from .cursors import Position
from .references import ROLES
from .streams import ActionQuerySet

#: So many rows are read together, and removed in one transaction.
SIZE = 2_000
#: Seconds between two transactions. On SQLite, which has one writer, another who waits for its
#: turn looks for it every tenth of a second.
PAUSE = 0.1


def read(
    rows: QuerySet[Any], *, time: str | None = None, size: int | None = None
) -> Iterator[Sequence[Any]]:
    """All rows of a QuerySet in batches, ordered by a time and the key, or by the key alone."""
    last, size = None, size or SIZE
    while True:
        there = rows
        if last is not None:
            there = rows.filter(Position.of(last, time).newer(time) if time else Q(pk__gt=last.pk))
        found = list(there.order_by(*([time] if time else []), "pk")[:size])
        if found:
            yield found
        if len(found) < size:
            return
        last = found[-1]


def remove(
    rows: Sequence[Any], using: str, *, size: int | None = None, pause: float | None = None
) -> Iterator[int]:
    """Delete rows of one model with what names them; gives how many of the model each time went.

    Each transaction deletes ``size`` rows at most: of actions that others name, the others first.
    There is a pause after every one but the last of what is less than a batch.
    """
    size, pause = size or SIZE, PAUSE if pause is None else pause
    keys = [row.pk for row in rows]
    if not keys:
        return
    model = type(rows[0])
    is_action = issubclass(model, Action)
    there: QuerySet[Any] = (ActionQuerySet if is_action else QuerySet)(model, using=using)
    if is_action:
        keys = [*keys, *naming(keys, using)][::-1]
    for start in range(0, len(keys), size):
        with transaction.atomic(using=using):
            _, went = there.filter(pk__in=keys[start : start + size]).delete()
        yield went.get(model._meta.label, 0)
        if len(keys) - start >= size:
            sleep(pause)


def change(rows: Sequence[Any], values: Mapping[str, Any], using: str) -> None:
    """Give rows of one model these values, if they have others."""
    keys = [row.pk for row in rows if any(getattr(row, n) != it for n, it in values.items())]
    if keys:
        there: QuerySet[Any] = QuerySet(type(rows[0]), using=using)
        there.filter(pk__in=keys).update(**values)
        if len(rows) >= SIZE:
            sleep(PAUSE)


def naming(keys: Sequence[int], using: str) -> list[int]:
    """Where actions take part themselves, all that name these, that name those, and so on."""
    if registry.lookup(Action) is None:
        return []
    type_id = registry.content_type(Action, using).pk
    found = dict.fromkeys(keys)
    level = list(keys)
    while level:
        next_level: dict[int, None] = {}
        for start in range(0, len(level), SIZE):
            texts = [str(key) for key in level[start : start + SIZE]]
            for role in ROLES:  # one by one: PostgreSQL would rather scan the table for an OR
                named = {f"{role}_content_type": type_id, f"{role}_object_id__in": texts}
                rows = ActionQuerySet(Action, using=using).filter(**named)
                for key in rows.order_by().values_list("pk", flat=True).iterator():
                    if key not in found:
                        next_level[key] = None
        found |= next_level
        level = list(next_level)
    return list(found)[len(set(keys)) :]
