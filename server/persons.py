"""What is stored about a person: table by table, and as one document.

A site that stores more says so, in the ``ready()`` of its app::

    keep("orders", lambda user: Order.objects.filter(buyer=user), anonymised={"address": ""})
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import partial, reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from . import batches, registry
from .actions import Action
from .follows import Follow, FollowQuerySet
from .references import ROLES
from .sessions import Session
from .streams import ActionQuerySet

FORMAT, VERSION = "brook.person", 1
#: Columns of the user model that are for nobody to read; a site adds its own.
SECRETS = {"password"}

Rows = QuerySet[Any]
Values = Mapping[str, Any]
Advance = Callable[[str, int], object]


@dataclass(frozen=True)
class Part:
    """Rows of one model that are about a person."""

    name: str
    """What they are called in the document."""
    rows: Callable[[Any], Rows]
    """Those of a user, of whom no more than the primary key may be left."""
    shown: Callable[[Any], dict[str, Any]]
    """What the document says of one."""
    erased: Values | None = None
    """What is left in them of an erased person; None: the rows are deleted; {}: all of it."""
    anonymised: Values | None = None
    """The same, of one who is made anonymous."""
    readable: Callable[[Any, Rows], Rows] | None = None
    """Those among them that the person may read, if not all: the document has these."""
    time: str | None = None
    """The field by which, before the primary key, an index has them in order."""

    def of(self, user: Any) -> Rows:
        """All of them."""
        return self.rows(user).using(user._state.db)

    def theirs(self, user: Any) -> Rows:
        """Those that the person may read."""
        rows = self.of(user)
        return self.readable(user, rows) if self.readable else rows

    def batches(self, rows: Rows) -> Iterator[Sequence[Any]]:
        return batches.read(rows, time=self.time)


_kept: dict[str, Part] = {}


def keep(
    name: str,
    rows: Callable[[Any], Rows],
    *,
    shown: Callable[[Any], dict[str, Any]] | None = None,
    erased: Values | None = None,
    anonymised: Values | None = None,
) -> None:
    """Say which rows a site keeps about a user: they are exported, and erased with the person.

    ``shown`` gives what the export says of a row: all its columns when left out. ``erased`` and
    ``anonymised`` are the values that stay in a row then; None: it is deleted; {}: it stays.

    Raises ImproperlyConfigured for a name that is taken.
    """
    if name in {"user", *(part.name for part in parts())}:
        raise ImproperlyConfigured(f"What is kept about persons as {name!r} is said already.")
    _kept[name] = Part(name, rows, shown or columns, erased=erased, anonymised=anonymised)


def parts() -> list[Part]:
    """Everything that is stored about persons beside the user's own row."""
    log = _log() if apps.is_installed("django.contrib.admin") else []
    return [*_ours, *log, *_kept.values()]


def columns(row: Model) -> dict[str, Any]:
    """All columns of a row, by their names as in the API: ``dateJoined``."""
    names = [field.attname for field in row._meta.concrete_fields]
    return {_camel(name): getattr(row, name) for name in names}


def left_out(user: Any) -> int:
    """How often others name a person in what the document does not have, as it is not public."""
    return sum(
        part.of(user).count() - part.theirs(user).count() for part in parts() if part.readable
    )


def document(user: Any, advance: Advance) -> Iterator[str]:
    """All about a person that is stored and theirs to read, as JSON in pieces.

    ``advance`` is told how many rows of a part are written. What is stored meanwhile may be
    missing.
    """
    head = {
        "format": FORMAT,
        "version": VERSION,
        "exportedAt": timezone.now(),
        "user": _record(user),
    }
    yield _json(head)[:-1]
    for part in parts():
        written = 0
        yield f",\n{_json(part.name)}: ["
        for some in part.batches(part.theirs(user)):
            rows = ",\n".join(_json(part.shown(row)) for row in some)
            yield (",\n" if written else "\n") + rows
            written += len(some)
            advance(part.name, written)
        yield "]"
    yield "}\n"


def _record(user: Any) -> dict[str, Any]:
    """The user's row but for what is secret, and what is linked to it there."""
    found = {k: v for k, v in columns(user).items() if k not in map(_camel, SECRETS)}
    for field in user._meta.many_to_many:
        keys = getattr(user, field.name).using(user._state.db).values_list("pk", flat=True)
        label = field.related_model._meta.label_lower
        found[_camel(field.name)] = [
            {"type": label, "id": str(key)} for key in keys.order_by("pk")
        ]
    return found


# What we store ourselves.


def named(user: Any, role: str) -> QuerySet[Action]:
    """The actions in which a user has a role, private ones too."""
    return ActionQuerySet(Action, using=user._state.db).filter(_names(user, role))


def _names(
    user: Any, role: str = "", type: str = "{}_content_type", id: str = "{}_object_id"
) -> Q:
    """The condition for rows that name a user: as what it is, and as each of its parents."""
    arms = [
        Q(
            **{
                type.format(role): registry.content_type(model, user._state.db),
                id.format(role): str(getattr(user, registry.pk_name(model))),
            }
        )
        for model in registry.lineage(user.__class__)
    ]
    return reduce(or_, arms)


def _follows(user: Any) -> QuerySet[Follow]:
    return FollowQuerySet(Follow, using=user._state.db).filter(user_id=user.pk)


def _followers(user: Any) -> QuerySet[Follow]:
    return FollowQuerySet(Follow, using=user._state.db).filter(
        _names(user, type="content_type", id="object_id")
    )


def _sessions(user: Any) -> QuerySet[Session]:
    return QuerySet(Session, using=user._state.db).filter(user_id=user.pk)


def _visible(user: Any, rows: Rows) -> Rows:
    """Those actions that anybody may see, or that are the user's own."""
    open_ = rows.filter(Q(public=True) | _names(user, "actor"))
    return Action.objects.db_manager(user._state.db).visible_to(open_, user)


def _action(row: Action) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        **{
            _camel(role): _refers(row, f"{role}_content_type", f"{role}_object_id")
            for role in ROLES
        },
        "verb": row.verb,
        "description": row.description,
        "timestamp": row.timestamp,
        "public": row.public,
        "data": row.data,
    }


def _own_action(row: Action) -> dict[str, Any]:
    return {**_action(row), "idempotencyKey": row.idempotency_key}


def _follow(row: Follow) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "user": {"type": get_user_model()._meta.label_lower, "id": str(row.user_id)},
        "followObject": _refers(row, "content_type", "object_id"),
        "actorOnly": row.actor_only,
        "flag": row.flag,
        "started": row.started,
    }


def _session(row: Session) -> dict[str, Any]:
    """Without its key, and without what Django keeps in it for itself."""
    data = {k: v for k, v in row.get_decoded().items() if not k.startswith("_")}
    return {"expireDate": row.expire_date, "data": data}


def _log() -> list[Part]:
    """What the admin's log has of what staff did: what they did, and what was done to them.

    It keeps the names of what it is about as well, in which those of users are.
    """
    from django.contrib.admin.models import LogEntry

    def entries(user: Any) -> QuerySet[LogEntry]:
        return QuerySet(LogEntry, using=user._state.db)

    def about(user: Any) -> QuerySet[LogEntry]:
        return entries(user).filter(_names(user, type="content_type", id="object_id"))

    def naming(user: Any) -> QuerySet[LogEntry]:
        names = "|".join(re.escape(name) for name in {str(user), user.get_username()} if name)
        ours = ContentType.objects.db_manager(user._state.db).get_for_models(Action, Follow)
        rows = entries(user).filter(content_type__in=ours.values())
        return rows.filter(object_repr__regex=rf"(^|\W)({names})(\W|$)") if names else rows.none()

    def entry(row: LogEntry) -> dict[str, Any]:
        return {
            "actionTime": row.action_time,
            "action": row.get_action_flag_display(),
            "object": _refers(row, "content_type", "object_id"),
        }

    nameless = {"object_repr": ""}
    mute = {**nameless, "change_message": ""}
    return [
        Part("adminLog", lambda user: entries(user).filter(user_id=user.pk), entry, anonymised={}),
        Part("adminLogAbout", about, entry, anonymised=mute),
        Part("adminLogNaming", naming, entry, erased=nameless, anonymised=nameless),
    ]


def _refers(row: Any, type: str, id: str) -> dict[str, str] | None:
    """What a row names, by type and key; not by name, which may be hidden from the person."""
    type_id = getattr(row, f"{type}_id")
    if type_id is None:
        return None
    kind = ContentType.objects.db_manager(row._state.db).get_for_id(type_id)
    return {"type": f"{kind.app_label}.{kind.model}", "id": str(getattr(row, id))}


_TEXT = {"description": None, "data": None, "idempotency_key": None}
_actions = partial(Part, time="timestamp")
_ours = (
    _actions(
        "actions",
        lambda user: named(user, "actor").filter(public=True),
        _own_action,
        anonymised=_TEXT,
    ),
    _actions(
        "privateActions", lambda user: named(user, "actor").filter(public=False), _own_action
    ),
    *(
        _actions(
            f"{name}Actions", partial(named, role=role), _action, anonymised={}, readable=_visible
        )
        for role, name in (("target", "target"), ("action_object", "actionObject"))
    ),
    Part("following", _follows, _follow, time="started"),
    Part("followers", _followers, _follow, anonymised={}, time="started"),
    Part("sessions", _sessions, _session),
)


# As text.


class _Encoder(DjangoJSONEncoder):
    """Django's, but with microseconds, and with text for whatever else a column holds."""

    def default(self, o: Any) -> Any:
        if isinstance(o, date | time):  # a datetime is a date
            return o.isoformat()
        try:
            return super().default(o)
        except TypeError:
            return bytes(o).hex() if isinstance(o, bytes | memoryview) else str(o)


def _json(value: Any) -> str:
    return json.dumps(value, cls=_Encoder, ensure_ascii=False, allow_nan=False)


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)
