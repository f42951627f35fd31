"""Who is logged in: Django's session and its user, read together."""

from __future__ import annotations

from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model, middleware
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from . import rows
from .bundles import Form, Slot
from .conditions import ALL


class Session(AbstractBaseSession):
    """Django's, and whose it is."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        related_name="+",
        null=True,
        editable=False,
        # Django takes a constraint that fails for a key that is taken, and tries others for ever.
        db_constraint=False,
    )

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        return SessionStore


class SessionStore(db.SessionStore):
    """Django's sessions in the database."""

    #: Whose this session was when it was read; None where Backend has to look.
    user: Any = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        found: Session = _with_user(super().create_model_instance(data), data)
        return found

    async def acreate_model_instance(self, data: dict[str, Any]) -> Session:
        found: Session = _with_user(await super().acreate_model_instance(data), data)
        return found

    def _get_session_from_db(self) -> Any:
        session = self._read()
        if session is not None and session.expire_date > timezone.now():
            return session
        self._session_key, self.user = None, None
        return None

    def _read(self) -> Any:
        using = self.model.objects.db
        mine = rows.Wanted(rows.reader(self.model, None, using), [self.session_key], ALL)
        users = get_user_model()._default_manager.all()
        theirs = rows.wanted(users if users.db == using else users.using(using), [])
        if theirs is None:
            return next(iter(rows.together([mine])[0]), None)
        session, self.user = next(iter(rows.beside(mine, "user_id", theirs)), (None, None))
        return session


def _with_user(session: Any, data: dict[str, Any]) -> Any:
    try:
        session.user_id = get_user_model()._meta.pk.to_python(data.get(SESSION_KEY))
    except ValidationError:
        session.user_id = None  # as another model of users wrote it
    return session


class Backend(ModelBackend):
    """Django's users and permissions."""

    def get_user(self, user_id: Any) -> Any:
        found = getattr(_asked.get(), "user", None)
        if found is None or found.pk != user_id:
            users = rows.with_keys(get_user_model()._default_manager.all(), [user_id])
            found = next(iter(users), None)
        return found if found is not None and self.user_can_authenticate(found) else None


#: The session that Django is finding the user of.
_asked: ContextVar[Any] = ContextVar("_asked", default=None)


class AuthenticationMiddleware(middleware.AuthenticationMiddleware):
    """Django's, with the user that was read beside the session."""

    def process_request(self, request: Any) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: _user(request))


def _user(request: Any) -> Any:
    asked = _asked.set(request.session)
    try:
        return middleware.get_user(request)
    finally:
        _asked.reset(asked)


class Sighting:
    """Whom a session named, and which versions of both rows PostgreSQL had then."""

    def __init__(self, key: str, user: Any, said: str) -> None:
        self.values: dict[str, str] = {_KEY: key, _SAID: said}
        self._kind, self._using = type(user), user._state.db
        self._names = [field.attname for field in user._meta.concrete_fields]
        self._held = [vars(user)[name] for name in self._names]

    @property
    def user(self) -> Any:
        """An instance of who that was, which nobody has had in hand before."""
        return self._kind.from_db(self._using, self._names, self._held)

    @staticmethod
    def holds() -> Form:
        """Whether it has them still, and the session is not over: FROM … WHERE … of one row."""
        sql = f"{_of_both()} AND session.expire_date > now() AND {_LOOK} = %s"
        return Form(sql, (_KEY, _SAID))


#: What a sighting's values are, by name.
_KEY, _SAID = Slot("session"), Slot("said of it")
#: The versions of both rows: PostgreSQL writes another one, elsewhere, whatever is changed.
_LOOK = "CAST(ROW(session.xmin, session.ctid, person.xmin, person.ctid) AS text)"


def sighted(key: str) -> Sighting | None:
    """Whom a session names; None where it is nobody who may log in, or it changes meanwhile.

    For PostgreSQL, in three statements. None, too, of users that are rows of several tables.
    """
    if rows.wanted(get_user_model()._default_manager.all(), []) is None:
        return None
    before = _said(key)
    user = before and _user(SimpleNamespace(session=SessionStore(key)))
    if not user or not user.is_authenticated or _said(key) != before:
        return None
    return Sighting(key, user, before)


def _said(key: str) -> Any:
    with connections[Session.objects.db].cursor() as cursor:
        cursor.execute(f"SELECT {_LOOK} {_of_both()}", [key])
        found = cursor.fetchone()
    return found and found[0]


def _of_both() -> str:
    users: Any = get_user_model()._meta
    return (
        f'FROM "{Session._meta.db_table}" AS session JOIN "{users.db_table}" AS person'
        f' ON person."{users.pk.column}" = session.user_id WHERE session.session_key = %s'
    )
