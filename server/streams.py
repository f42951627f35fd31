"""Streams of actions, and the manager that has the built-in ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Manager, Model, Q, QuerySet

from . import cascades, counts, objects, pages, registry
from .bounds import storable
from .feeds import Feed
from .filters import Filter
from .follows import may_follow
from .pages import Narrow, Page, Ranges
from .references import ROLES
from .rows import Columns
from .windows import Window

if TYPE_CHECKING:
    from .actions import Action


class StreamError(TypeError):
    """A stream's method returned what is no stream, or what no page can be cut from."""


def stream(method: Callable[..., Any]) -> Callable[..., QuerySet[Action]]:
    """Make a method of an ActionManager a stream, in Python and in GraphQL.

    Its first parameter is the reference object. It returns what belongs to the stream:

    - a dict of filters, where a role's name with an object (or with a model: any of its objects)
      stands for the role's two columns;
    - a tuple of dicts: what fits any of them. It is the query plan too: each dict that pins a
      role is one bounded range of an index;
    - a QuerySet of Action, kept as it is.

    Dicts give public actions alone. Called on a manager, the stream is a QuerySet of Action,
    newest first; keyword arguments that the method does not name become filters. Called on an
    instance's related manager, that instance is the reference object.
    """
    signature = inspect.signature(method)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())

    @wraps(method)
    def call(self: ActionManager, *args: Any, **kwargs: Any) -> QuerySet[Action]:
        manager, args = self.unrelated(args)
        named = {k: v for k, v in kwargs.items() if takes_any or k in signature.parameters}
        filters = {k: v for k, v in kwargs.items() if k not in named}
        given = manager.given(call, *args, **named)
        if isinstance(given, QuerySet):
            return given.filter(**filters) if filters else given
        rows: Any = given.all()
        return rows.filter(**filters).with_objects()  # type: ignore[no-any-return]

    call.stream = method  # type: ignore[attr-defined]
    return call


class ActionQuerySet(QuerySet["Action"]):
    """Actions, by the words that chain."""

    _with_objects = False

    def public(self, *args: Q, **kwargs: Any) -> ActionQuerySet:
        """Those that anybody may see, filtered further by the arguments."""
        return self.filter(*args, public=True, **kwargs)

    def with_objects(self, wanted: bool = True) -> ActionQuerySet:
        """Load actors, targets and action objects with the rows, in one query per model."""
        clone: ActionQuerySet = self.all()
        clone._with_objects = wanted
        return clone

    def _clone(self) -> ActionQuerySet:
        clone: ActionQuerySet = super()._clone()  # type: ignore[misc]
        clone._with_objects = self._with_objects
        return clone

    def _fetch_all(self) -> None:
        fresh = self._result_cache is None
        super()._fetch_all()
        rows: list[Any] = self._result_cache or []
        if fresh and self._with_objects and rows and isinstance(rows[0], Model):
            objects.attach(rows, ROLES, using=self.db)

    def _raw_delete(self, using: str | None) -> int:
        deleted = cascades.delete(self, using or self.db)
        return super()._raw_delete(using) if deleted is None else deleted


class ActionManager(Manager["Action"]):
    """Actions and their streams; a site adds its own by a subclass, see :func:`stream`."""

    _queryset_class = ActionQuerySet

    def get_queryset(self) -> ActionQuerySet:
        return self._queryset_class(self.model, using=self._db)

    def public(self, *args: Q, **kwargs: Any) -> ActionQuerySet:
        """Those that anybody may see, filtered further by the arguments."""
        return self.get_queryset().public(*args, **kwargs)

    @stream
    def user_stream(
        self,
        user: AbstractBaseUser,
        with_user_activity: bool = False,
        follow_flag: str | None = None,
    ) -> Ranges:
        """What the followed do and, for follows with actor_only=False, what is done to them.

        Empty for None and an anonymous user.
        """
        if not may_follow(user, follow_flag):
            return Ranges(self.public(), ())
        own = registry.reference(user, self._db) if with_user_activity else None
        return Feed(self.get_queryset(), user_id=user.pk, flag=follow_flag, own=own)

    @stream
    def actor_stream(self, actor: Model) -> Mapping[str, Any]:
        """What an object did."""
        return {"actor": actor}

    @stream
    def target_stream(self, target: Model) -> Mapping[str, Any]:
        """What was done to an object."""
        return {"target": target}

    @stream
    def action_object_stream(self, action_object: Model) -> Mapping[str, Any]:
        """What was done with an object."""
        return {"action_object": action_object}

    @stream
    def any_stream(self, object: Model) -> tuple[Mapping[str, Any], ...]:
        """What an object has any role in, each action once."""
        return tuple({role: object} for role in ROLES)

    @stream
    def model_stream(self, model: type[Model]) -> tuple[Mapping[str, Any], ...]:
        """What objects of a model have any role in; a class, or an instance of it."""
        model = model if isinstance(model, type) else type(model)
        return tuple({role: model} for role in ROLES)

    def visible_to(self, queryset: QuerySet[Action], viewer: Any) -> QuerySet[Action]:
        """A site's rule: those of these actions that a viewer (a user, or None) may see.

        Applied wherever actions leave through GraphQL, once for all that is read together: use
        ``filter()`` and ``exclude()`` alone. Return ``queryset`` itself where there is nothing to
        hide: an unchanged page is read faster.
        """
        return queryset

    def opens_to(self, viewer: Any, stream: str, reference: Any) -> bool:
        """A site's rule: whether a viewer may read a stream of a reference object at all.

        A user's ``user_stream`` and ``private_actions`` are that user's and the staff's alone.
        """
        if stream not in ("user_stream", "private_actions"):
            return True
        return viewer is not None and (viewer == reference or viewer.is_staff)

    def readable(self, viewer: Any) -> QuerySet[Action]:
        """The actions that a viewer may see by id: public ones, one's own, and all for staff."""
        queryset = self.get_queryset()
        if viewer is None:
            queryset = queryset.public()
        elif not viewer.is_staff:
            own = self.arm({"actor": viewer})
            queryset = queryset.filter(Q(public=True) if own is None else Q(public=True) | own)
        return self.visible_to(queryset, viewer)

    def private(self, user: Model) -> Ranges:
        """A user's own actions that are not public."""
        own = self.arm({"actor": user})
        return Ranges(self.filter(public=False), () if own is None else (own,))

    def read(
        self,
        sources: Sequence[Ranges],
        window: Window,
        viewer: Any,
        wanted: Filter,
        only: Columns = None,
    ) -> list[Page]:
        """A page of each of many streams, of what is wanted and a viewer may see.

        The actions have at least the columns ``only``.
        """
        narrow = self._narrow(viewer, wanted)
        return pages.pages(sources, window, narrow, only)

    def counts(
        self, sources: Sequence[Ranges], window: Window, viewer: Any, wanted: Filter
    ) -> list[int | None]:
        """How many actions each stream has that are wanted and may be seen; None beyond 10,000."""
        return counts.of(sources, window, self._narrow(viewer, wanted))

    def _narrow(self, viewer: Any, wanted: Filter) -> Narrow | None:
        rows, everything = wanted.rows(self._db), self.get_queryset()
        visible = self.visible_to(everything, viewer)
        if visible is not everything:
            return lambda queryset: queryset.filter(rows) & visible
        return (lambda queryset: queryset.filter(rows)) if rows else None

    def ranges(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Ranges:
        """The public actions of a stream, to be paged.

        Raises StreamError if the stream returns what no page can be cut from.
        """
        given = self.given(method, *args, **kwargs)
        if isinstance(given, Ranges):
            return given
        query, fields = given.query, getattr(given, "_fields", None)
        for wrong, what in (
            (query.is_sliced, "a sliced"),
            (query.combinator, "a combined"),
            (fields is not None, "a values()"),
        ):
            if wrong:
                raise StreamError(
                    f"The stream {method.__name__} returned {what} QuerySet; to be paged it must "
                    "be one of whole actions, unsliced and uncombined."
                )
        return Ranges(given.filter(public=True).with_objects(False), bounded=False)

    def given(
        self, method: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> ActionQuerySet | Ranges:
        """What a stream's method returned, dicts as the public actions that fit any of them.

        Raises StreamError for what is no stream.
        """
        given = method.stream(self, *args, **kwargs)  # type: ignore[attr-defined]
        if isinstance(given, ActionQuerySet | Ranges):
            return given
        dicts = (given,) if isinstance(given, Mapping) else given
        if isinstance(dicts, tuple | list) and all(isinstance(d, Mapping) for d in dicts):
            arms = (self.arm(filters) for filters in dicts)
            # Said of each arm, where it is written without Django's compiler.
            of_public = tuple(Q(arm, public=True) for arm in arms if arm is not None)
            return Ranges(self.get_queryset(), of_public)
        raise StreamError(
            f"The stream {method.__name__} returned {type(given).__name__}; a stream returns a "
            "dict, a tuple of dicts or a QuerySet of Action."
        )

    def arm(self, filters: Mapping[str, Any]) -> Q | None:
        """A stream's dict as a condition; None where it can hold for no action.

        That is: a role names an object that is unsaved, or whose model is not registered; or a
        text is one that no row can hold.
        """
        pinned: dict[str, Any] = {}
        for name, value in filters.items():
            if isinstance(value, str) and not storable(value):
                return None
            if name not in ROLES:
                pinned[name] = value
            elif isinstance(value, type):
                if (model := registry.lookup(value)) is None:
                    return None
                pinned[f"{name}_content_type"] = registry.content_type(model, self._db)
            elif value is None:
                pinned[f"{name}_object_id"] = None
            else:
                if (named := registry.reference(value, self._db)) is None:
                    return None
                pinned[f"{name}_content_type"], pinned[f"{name}_object_id"] = named
        return Q(**pinned)

    def unrelated(self, args: tuple[Any, ...]) -> tuple[ActionManager, tuple[Any, ...]]:
        """The manager and arguments with which a stream that was called on this one runs."""
        return self, args

    @classmethod
    @cache
    def streams(cls) -> Mapping[str, Callable[..., Any]]:
        """Every stream of the class by name: inherited first, then in order of definition."""
        found: dict[str, Callable[..., Any]] = {}
        for ancestor in reversed(cls.__mro__):
            for name in vars(ancestor):
                method = getattr(cls, name)
                if hasattr(method, "stream"):
                    found[name] = method
        return found


@cache
def related(manager: type[ActionManager], role: str) -> type[ActionManager]:
    """The class of the managers over the actions in which an instance has a role."""

    class RelatedActionManager(manager):  # type: ignore[valid-type, misc]
        def __init__(self, model: type[Action], instance: Model) -> None:
            super().__init__()
            self.model = model
            self.instance = instance

        def get_queryset(self) -> ActionQuerySet:
            queryset: ActionQuerySet = super().get_queryset()
            if not self._db:
                queryset = queryset.using(self.instance._state.db)
            named = registry.reference(self.instance, queryset.db)
            if named is None:
                return queryset.none()
            pinned = {f"{role}_content_type": named[0], f"{role}_object_id": named[1]}
            return queryset.filter(**pinned)

        def unrelated(self, args: tuple[Any, ...]) -> tuple[ActionManager, tuple[Any, ...]]:
            plain: Any = self.model._default_manager
            plain = plain.db_manager(self._db or self.instance._state.db)
            return plain, (self.instance, *args)

    return RelatedActionManager
