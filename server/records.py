"""Recording: what somebody did becomes an action, one at a time or many at once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils import timezone, translation

from . import broker, registry
from .actions import Action
from .bounds import same_value
from .references import ROLES

#: What an idempotency key is unique within: the actor's content type and id; and the key.
Key = tuple[int, str, str]


class Refusals(ValidationError):
    """What is wrong with some of many items, by index; ``message_dict`` has it by "3.verb"."""

    def __init__(self, by_index: Mapping[int, ValidationError]) -> None:
        self.by_index = dict(sorted(by_index.items()))
        super().__init__(
            {
                f"{index}.{field}": errors
                for index, refusal in self.by_index.items()
                for field, errors in refusal.error_dict.items()
            }
        )


class Draft:
    """An action that is not stored yet, for the database of its actor."""

    def __init__(
        self,
        actor: models.Model,
        verb: str,
        *,
        action_object: models.Model | None = None,
        target: models.Model | None = None,
        description: str | None = None,
        public: bool = True,
        timestamp: datetime | None = None,
        data: Any = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Raises ImproperlyConfigured for a role whose model is not registered; ValidationError,
        by field, for an unsaved role and whatever is out of bounds.
        """
        registry.check(actor)  # before the router, which knows of models alone
        self.using = router.db_for_write(Action, instance=actor)
        roles = dict(zip(ROLES, (actor, target, action_object), strict=True))
        if timestamp is not None and timezone.is_naive(timestamp):
            timestamp = timezone.make_aware(timestamp)
        self.timed = timestamp is not None
        given: dict[str, Any] = {
            "verb": "" if verb is None else _text(verb),
            "description": None if description is None else _text(description),
            "public": public,
            "timestamp": timestamp or timezone.now(),
            "data": data,
            "idempotency_key": idempotency_key,
        }
        for role, obj in roles.items():
            if obj is not None:
                type_id, object_id = registry.require(obj, role, self.using)
                given[f"{role}_content_type_id"] = type_id
                given[f"{role}_object_id"] = object_id
        # By position, because that takes half the time that names take.
        values: Any = map(given.get, _NAMES)
        self.action = Action(*values)
        for field, obj in zip(_FIELDS, roles.values(), strict=True):
            field.set_cached_value(self.action, obj)
        self.action.clean()
        self.key = None if idempotency_key is None else _key(self.action)

    def stored(self, first: Action) -> Action:
        """The action that is stored under the key, with this one's objects at hand.

        Raises ValidationError, with the code "conflict", if it is of another input.
        """
        new = self.action
        same = all(getattr(first, name) == getattr(new, name) for name in _GIVEN)
        same = same and (not self.timed or first.timestamp == new.timestamp)
        if not (same and same_value(first.data, new.data)):
            message = f"The key {new.idempotency_key!r} was used for another action."
            raise ValidationError({"idempotency_key": ValidationError(message, code="conflict")})
        for field in _FIELDS:
            field.set_cached_value(first, field.get_cached_value(new))
        return first


def record(actor: models.Model, verb: str, **given: Any) -> tuple[Action, bool]:
    """Store the action of a :class:`Draft`; returns it, and whether it is new.

    With an idempotency key, an equal call of the same actor returns the first one's action.

    Raises what Draft does, and ValidationError, with the code "conflict", for a key that was used
    for another input.
    """
    draft = Draft(actor, verb, **given)
    using, key = draft.using, draft.key
    if key is None:
        draft.action.save(using=using, force_insert=True)
        broker.announce([draft.action.pk], using)
        return draft.action, True
    try:
        with transaction.atomic(using=using):
            draft.action.save(using=using, force_insert=True)
        broker.announce([draft.action.pk], using)
        return draft.action, True
    except IntegrityError:
        first = _stored([key], using).get(key)
        if first is None:
            raise
    return draft.stored(first), False


def record_many(
    items: Iterable[Mapping[str, Any] | ValidationError],
) -> list[tuple[Action, bool]]:
    """Store many actions, or none; returns, in their order, what :func:`record` does of each.

    An item is what record() takes, by name, or the ValidationError by which a caller refuses it.
    The second of two items with one key is answered with the first. It takes the same few
    statements for any number of items (SQLite: a few more, by its limit of parameters), and like
    Django's bulk_create() sends no signals.

    Raises Refusals, of all items that record() refuses with a ValidationError;
    ImproperlyConfigured as it does; and ValueError if the actors are in several databases.
    """
    drafts: dict[int, Draft] = {}
    refused: dict[int, ValidationError] = {}
    for index, item in enumerate(items):
        try:
            if isinstance(item, ValidationError):
                raise item
            drafts[index] = Draft(**item)
        except ValidationError as refusal:
            refused[index] = refusal
    if not drafts:
        return _answers(drafts, {}, refused)
    using, *others = {draft.using for draft in drafts.values()}
    if others:
        raise ValueError(f"One transaction is in one database, not in {using} and {others}.")
    keys = [draft.key for draft in drafts.values() if draft.key]
    with transaction.atomic(using=using):
        known = _stored(keys, using)
        while True:
            answers = _answers(drafts, known, refused)
            try:
                new = [action for action, is_new in answers if is_new]
                with transaction.atomic(using=using, savepoint=bool(keys)):
                    _insert(new, using)
                broker.announce([action.pk for action in new], using)
                return answers
            except IntegrityError:
                before, known = known, _stored(keys, using)
                if known.keys() == before.keys():
                    raise  # it was no key that somebody else used meanwhile


def store(
    sender: models.Model,
    *,
    verb: str,
    action_object: models.Model | None = None,
    target: models.Model | None = None,
    description: str | None = None,
    public: bool = True,
    timestamp: datetime | None = None,
    idempotency_key: str | None = None,
    signal: object = None,
    **data: Any,
) -> Action:
    """The receiver of the ``action`` signal: :func:`record`, with extra keywords as ``data``."""
    stored, _new = record(
        sender,
        verb,
        action_object=action_object,
        target=target,
        description=description,
        public=public,
        timestamp=timestamp,
        data=data or None,
        idempotency_key=idempotency_key,
    )
    return stored


def send_many(items: Iterable[Mapping[str, Any]]) -> list[tuple[Action, bool]]:
    """What ``action.send()`` would store, of many items at once: all of them or none.

    ``send_many([{"actor": ada, "verb": "starred", "target": repo, "stars": 7}, …])`` returns each
    action, in the order of the items, and whether it is new. See :func:`record_many`.
    """
    return record_many(map(_sent, items))


def _sent(item: Mapping[str, Any]) -> dict[str, Any]:
    """The item of :func:`record_many` whose data are an item's extra keywords."""
    data = {name: value for name, value in item.items() if name not in _KEYWORDS}
    given = {name: value for name, value in item.items() if name in _KEYWORDS}
    return {**given, "data": data or None}


_COLUMNS: list[Any] = list(Action._meta.concrete_fields)
_NAMES = [field.attname for field in _COLUMNS]
_TIME = _NAMES.index("timestamp")
_FIELDS: list[Any] = [Action._meta.get_field(role) for role in ROLES]
_KEYWORDS = inspect.signature(Draft).parameters.keys() - {"data"}
#: What makes two inputs with one key the same, beside the data and the time, if it was given.
_GIVEN = (
    *(f"{role}_{part}" for role in ROLES for part in ("content_type_id", "object_id")),
    *("verb", "description", "public"),
)


def _answers(
    drafts: Mapping[int, Draft], known: Mapping[Key, Action], refused: dict[int, ValidationError]
) -> list[tuple[Action, bool]]:
    """Each draft's action or the first one with its key, and whether it is to be stored."""
    firsts = dict(known)
    answers = []
    for index, draft in drafts.items():
        new = draft.action
        first = firsts.setdefault(draft.key, new) if draft.key else new
        try:
            answers.append((new, True) if first is new else (draft.stored(first), False))
        except ValidationError as conflict:
            refused[index] = conflict
    if refused:
        raise Refusals(refused)
    return answers


def _stored(keys: Sequence[Key], using: str) -> dict[Key, Action]:
    """The actions that have these keys, in one query."""
    if not keys:
        return {}
    # Joined to rows, each is one step into the index of the constraint; a thousand ORs would take
    # PostgreSQL longer to plan than to run. They are one parameter, of which there is no limit.
    if connections[using].vendor == "postgresql":
        parts = "CAST(value ->> 0 AS integer), value ->> 1, value ->> 2"
        wanted = f"SELECT {parts} FROM json_array_elements(%s)"
    else:
        parts = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(3))
        wanted = f"SELECT {parts} FROM json_each(%s)"
    rows = Action._base_manager.db_manager(using).raw(
        f"WITH wanted(type_id, object_id, key) AS ({wanted}) "
        f"SELECT action.* FROM wanted CROSS JOIN {Action._meta.db_table} AS action "
        "WHERE actor_content_type_id = type_id AND actor_object_id = object_id "
        "AND idempotency_key = key AND idempotency_key IS NOT NULL",
        [json.dumps(keys)],
    )
    return {_key(row): row for row in rows}


def _insert(actions: list[Action], using: str) -> None:
    """Store actions, with ids in their order."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        Action._base_manager.using(using).bulk_create(actions)
    elif actions:
        with connection.cursor() as cursor:
            # Before ids are taken, as INSERT itself does it: see watermarks.py.
            cursor.execute(f"LOCK TABLE {Action._meta.db_table} IN ROW EXCLUSIVE MODE")
            cursor.execute(
                "SELECT nextval((SELECT pg_get_serial_sequence(%s, 'id'))) "
                "FROM generate_series(1, %s)",
                [Action._meta.db_table, len(actions)],
            )
            for action, (number,) in zip(actions, cursor.fetchall(), strict=True):
                action.pk = number
                action._state.db, action._state.adding = using, False
            # In the order of their keys, so that of two batches one waits for the other, and
            # never both.
            _write(sorted(actions, key=_key), connection, cursor)


def _write(actions: list[Action], connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
    """As bulk_create() would on PostgreSQL, in half the time: all rows are one parameter."""
    rows = [list(values) for values in map(attrgetter(*_NAMES), actions)]
    for row, action in zip(rows, actions, strict=True):
        row[_TIME] = action.timestamp.isoformat()  # the encoder would round it
    # Types without their lengths, by which a cast would cut what is too long.
    types = [field.db_type(connection).partition("(")[0] for field in _COLUMNS]
    values = ", ".join(f"CAST(row ->> {at} AS {kind})" for at, kind in enumerate(types))
    cursor.execute(
        f"INSERT INTO {Action._meta.db_table} ({', '.join(field.column for field in _COLUMNS)}) "
        f"SELECT {values} FROM (SELECT CAST(value AS jsonb) AS row "
        "FROM json_array_elements(%s) OFFSET 0) AS rows",
        [json.dumps(rows, cls=DjangoJSONEncoder)],
    )


def _key(action: Action) -> Key:
    key = action.idempotency_key or ""
    return action.actor_content_type_id, action.actor_object_id, key


def _text(text: Any) -> str:
    """As it was written, if it is lazy: untranslated."""
    if type(text) is str:
        return text
    with translation.override(None):
        return str(text)
