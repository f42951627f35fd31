"""What a site has in the tables of django-activity-stream, carried over.

It is read in the order of its ids and stored in batches, each whole or not at all. No place is
remembered: what is there already is known by constraints of the database itself, a follow by who
follows what under which flag, an action by its idempotency key, "actstream:" and its id there. So
a second run after a crash adds what is missing, whichever rows these are: with a mark of the
highest id, rows that were committed late or that could not be carried over would be lost. The keys
take about 80 bytes a row, most of it in their index; a site that has moved may drop them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.db.models import Model
from django.utils import timezone

from . import registry
from .bounds import (
    DESCRIPTION_LENGTH,
    KEY_LENGTH,
    VERB_LENGTH,
    data_error,
    text_error,
    time_error,
)
from .follows import FLAG_LENGTH
from .inserts import analyze, insert
from .models import Action, Follow
from .references import ROLES

#: So many rows are read and stored together.
BATCH = 5_000
#: Of what is left out for one reason, so many ids are told.
MOST_EXAMPLES = 5

ACTIONS, FOLLOWS = "actstream_action", "actstream_follow"
_NAMED = tuple(f"{role}_{part}" for role in ROLES for part in ("content_type_id", "object_id"))
_ACTION = (*_NAMED, "verb", "description", "timestamp", "public", "data")
_FOLLOW = ("user_id", "content_type_id", "object_id", "actor_only", "started", "flag")
#: Columns that not every version, or not every site, has.
_OPTIONAL = ("data", "flag")

Row = Sequence[Any]
Advance = Callable[[str, int], object]


class SourceError(Exception):
    """There is nothing to read; the text is for whoever asked for it."""


class LeftOutError(Exception):
    """A row cannot be carried over: why, in words that are the same for all such rows."""

    def __init__(self, reason: str, detail: object = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, str(detail)


@dataclass
class LeftOut:
    """Rows that could not be carried over for one reason."""

    rows: int = 0
    ids: list[int] = field(default_factory=list)
    """The first of them."""
    detail: str = ""
    """What is wrong with the first."""


@dataclass
class Carried:
    """What became of the rows of a table."""

    read: int = 0
    new: int = 0
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many are left out."""
        return sum(left.rows for left in self.left_out.values())

    @property
    def there(self) -> int:
        """How many were there already."""
        return self.read - self.new - self.lost

    def leave_out(self, pk: int, why: LeftOutError) -> None:
        left = self.left_out.setdefault(why.reason, LeftOut(detail=why.detail))
        left.rows += 1
        if len(left.ids) < MOST_EXAMPLES:
            left.ids.append(pk)


class Source:
    """The tables of django-activity-stream, of 1.x or 2.x, in a database."""

    def __init__(self, using: str) -> None:
        """Raises SourceError where they are not."""
        self.using, self.connection = using, connections[using]
        with self.connection.cursor() as cursor:
            tables = self.connection.introspection.table_names(cursor)
            if missing := {ACTIONS, FOLLOWS, "django_content_type"} - set(tables):
                raise SourceError(
                    f"The database {using!r} has no table {' and no '.join(sorted(missing))}. "
                    "Name that of django-activity-stream by --database; IMPORT_DATABASE_URL "
                    'makes it the database "import".'
                )
            cursor.execute("SELECT id, app_label, model FROM django_content_type")
            self.types: dict[int, tuple[str, str]] = {
                pk: (label, model) for pk, label, model in cursor.fetchall()
            }

    def count(self, table: str) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {table}")
            return int(cursor.fetchone()[0])

    def actions(self) -> Iterator[list[Row]]:
        """Batches of: the id, and what ``_ACTION`` names."""
        return self._batches(ACTIONS, _ACTION, time="timestamp")

    def follows(self) -> Iterator[list[Row]]:
        """Batches of: the id, and what ``_FOLLOW`` names."""
        return self._batches(FOLLOWS, _FOLLOW, time="started")

    def _batches(self, table: str, names: Sequence[str], time: str) -> Iterator[list[Row]]:
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            described = self.connection.introspection.get_table_description(cursor, table)
        present = {column.name for column in described}
        columns = ["NULL" if n in _OPTIONAL and n not in present else quote(n) for n in names]
        at, last = names.index(time) + 1, -1
        while True:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT id, {', '.join(columns)} FROM {table} WHERE id > %s"
                    f" ORDER BY id LIMIT {BATCH}",
                    [last],
                )
                found = [list(row) for row in cursor.fetchall()]
            if not found:
                return
            for row in found:
                row[at] = self._time(row[at])
            last = found[-1][0]
            yield found  # type: ignore[misc]  # a list of lists, which are sequences

    def _time(self, value: Any) -> datetime:
        """A time as Python has it; one without a zone is of the database's TIME_ZONE."""
        for convert in self._converters:
            value = convert(value, None, self.connection)
        if timezone.is_naive(value):
            value = timezone.make_aware(value, self.connection.timezone)
        return value  # type: ignore[no-any-return]

    @cached_property
    def _converters(self) -> Sequence[Callable[..., Any]]:
        column: Any = Action._meta.get_field("timestamp").cached_col
        return self.connection.ops.get_db_converters(column)


@dataclass(frozen=True)
class Kind:
    """How rows of a content type there are named here."""

    type_id: int
    key: Any
    """The field whose values name them."""

    def named(self, text: str) -> tuple[int, str]:
        """(content type id, object id), the id as this site writes it: a UUID with hyphens."""
        try:
            return self.type_id, str(self.key.to_python(text))
        except ValidationError:
            return self.type_id, text  # it names nothing, here as there


class Import:
    """The reading of a source into this site's database."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.using = router.db_for_write(Action)
        self.kinds: dict[int, Kind | LeftOutError] = {}
        self.carried: Mapping[str, Carried] = {ACTIONS: Carried(), FOLLOWS: Carried()}

    def run(self, advance: Advance) -> None:
        """Carry over what is missing; ``advance`` is told how many rows of a table are read."""
        names = [name.removesuffix("_id") if "type" in name else name for name in _NAMED]
        fields = (*names, "verb", "description", "timestamp", "public", "data", "idempotency_key")
        for batch in self.source.actions():
            self._store(ACTIONS, Action, fields, batch, self._action, advance)
        fields = ("user", "content_type", "object_id", "actor_only", "started", "flag")
        for batch in self.source.follows():
            there = self._users(row[1] for row in batch)
            made = partial(self._follow, there)
            self._store(FOLLOWS, Follow, fields, batch, made, advance)
        if any(carried.new for carried in self.carried.values()):
            analyze((Action, Follow), self.using)

    def _store(
        self,
        table: str,
        model: type[Model],
        fields: Sequence[str],
        batch: Sequence[Row],
        made: Callable[[Row], Row],
        advance: Advance,
    ) -> None:
        carried, rows = self.carried[table], []
        for row in batch:
            try:
                rows.append(made(row))
            except LeftOutError as why:
                carried.leave_out(row[0], why)
        with transaction.atomic(using=self.using):
            carried.new += insert(model, fields, rows, self.using, again=True)
        carried.read += len(batch)
        advance(table, carried.read)

    def _action(self, row: Row) -> Row:
        """The values of an action; LeftOutError where there can be none."""
        pk, *named, verb, description, timestamp, public, data = row
        roles: list[Any] = []
        for number, role in enumerate(ROLES):
            roles += self._named(role, *named[2 * number : 2 * number + 2])
        if roles[0] is None:
            raise LeftOutError("the actor is missing")
        data = _parsed(data)
        for what, error in (
            ("verb", text_error("A verb", verb, VERB_LENGTH, least=1)),
            ("description", text_error("A description", description, DESCRIPTION_LENGTH)),
            ("timestamp", time_error(timestamp)),
            ("data", data_error(data)),
        ):
            if error:
                raise _out_of_bounds(what, error)
        text = None if data is None else json.dumps(data)
        key = f"actstream:{pk}"
        return *roles, verb, description, timestamp, bool(public), text, key

    def _follow(self, there: Mapping[Any, Any], row: Row) -> Row:
        """The values of a follow; LeftOutError where there can be none."""
        _, user, type_id, object_id, actor_only, started, flag = row
        if user not in there:
            raise LeftOutError("the user who follows is not here")
        named = self._named("object", type_id, object_id)
        if named[0] is None:
            raise LeftOutError("the object that is followed is missing")
        flag = flag or ""
        if error := text_error("A flag", flag, FLAG_LENGTH):
            raise _out_of_bounds("flag", error)
        return there[user], *named, bool(actor_only), started, flag

    def _named(
        self, role: str, type_id: int | None, object_id: str | None
    ) -> tuple[int, str] | tuple[None, None]:
        if type_id is None and not object_id:
            return None, None
        if type_id is None or not object_id:
            raise LeftOutError(f"the {role} is named by half")
        kind = self.kinds.get(type_id)
        if kind is None:
            kind = self.kinds[type_id] = self._kind(type_id)
        if isinstance(kind, LeftOutError):
            raise LeftOutError(f"{role}: {kind.reason}")
        object_id = str(object_id)
        if error := text_error("An object id", object_id, KEY_LENGTH):
            raise _out_of_bounds(role, error)
        return kind.named(object_id)

    def _kind(self, type_id: int) -> Kind | LeftOutError:
        if type_id not in self.source.types:
            return LeftOutError(f"there is no content type {type_id}")
        label = ".".join(self.source.types[type_id])
        try:
            model = apps.get_model(label)
        except LookupError:
            return LeftOutError(f"this site has no model {label}")
        known = registry.lookup(model)
        if known is None:
            return LeftOutError(f"{label} is not registered here")
        key = _key(model)
        if key is not _key(known):
            return LeftOutError(
                f"{label} takes part as {known._meta.label_lower}, whose key is another"
            )
        return Kind(registry.content_type(known, self.using).pk, key)

    def _users(self, given: Iterator[Any]) -> dict[Any, Any]:
        """The keys of those users who are here, as the database here has them, by those there."""
        model: Any = get_user_model()
        field, connection = model._meta.pk, connections[self.using]
        keys = {raw: field.to_python(raw) for raw in set(given)}
        rows = model._base_manager.using(self.using).filter(pk__in=keys.values())
        here = set(rows.values_list("pk", flat=True))
        return {
            raw: field.get_db_prep_save(key, connection)
            for raw, key in keys.items()
            if key in here
        }


def _key(model: type[Model]) -> Any:
    """The field by which a model's rows are told apart: a child's may be its parent's."""
    found: Any = model._meta.pk
    while found.remote_field:
        found = found.target_field
    return found


def _parsed(data: Any) -> Any:
    """Data as Python has it; before 2.0 it was a text, empty where there was none."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        raise LeftOutError("data: out of bounds", "Data is no JSON.") from None


def _out_of_bounds(what: str, error: ValidationError) -> LeftOutError:
    return LeftOutError(f"{what}: out of bounds", error.message)
