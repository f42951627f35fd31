"""Actions and follows in the admin, at any size.

A list is cut from an index, newest first: that of the objects searched for, else of the public
actions (of a type); else it is by primary key, the order of recording, and has the private ones in
it. What that index cannot find is looked for among its next 10,000 rows, and the page says so.
Nothing is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.html import format_html

from . import objects, registry
from .cursors import PageError
from .models import Action, Follow
from .objects import Reference
from .pages import Page, Ranges
from .references import ROLES
from .windows import MOST_READ, Window

PAGE_SIZE = 100
_TIME = re.compile(r"\b(since|until):(\S+)")
_OBJECT = re.compile(r'((?:\w+\.)?\w+):(?:"([^"]+)"|(\S+))')


@dataclass
class Search:
    """What was typed: objects, times, and what a verb or a flag begins with."""

    text: str = ""
    objects: list[list[Reference]] = field(default_factory=list)
    """By which references a row may name each object."""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(cls, text: str, using: str) -> Search:
        """Raises IncorrectLookupParameters for a time that is none."""
        search = cls()

        def time(match: re.Match[str]) -> str:
            setattr(search, match[1], _time(match[2]))
            return ""

        def named(match: re.Match[str]) -> str:
            if not (models := _models(match[1])):
                return match[0]  # a verb may have a colon
            found = (_reference(model, match[2] or match[3], using) for model in models)
            search.objects.append([reference for reference in found if reference])
            return ""

        rest = _OBJECT.sub(named, _TIME.sub(time, text))
        search.text = " ".join(rest.split())
        return search


@dataclass
class Rows:
    """What a list shows: ranges of an index, and what is looked for within."""

    queryset: QuerySet[Any]
    time: str
    arms: tuple[Q, ...] | None = None
    """None: all, by primary key."""
    within: Q = field(default_factory=Q)
    since: datetime | None = None
    until: datetime | None = None

    def all(self) -> QuerySet[Any]:
        """All of them, in no order."""
        ranges = Ranges(self.queryset, (Q(),) if self.arms is None else self.arms)
        return ranges.all().filter(self.within, self._window().between(self.time))

    def page(self, after: str | None) -> Page:
        """The page after a cursor; PageError if it is none."""
        if self.arms is None:
            return self._recorded(after)
        narrow = (lambda rows: rows.filter(self.within)) if self.within else None
        return Ranges(self.queryset, self.arms, self.time).page(self._window(after), narrow)

    def _window(self, after: str | None = None) -> Window:
        return Window("admin", first=PAGE_SIZE, after=after, since=self.since, until=self.until)

    def _recorded(self, after: str | None) -> Page:
        rows = self.queryset.order_by("-pk")
        if after:
            if not re.fullmatch("[0-9]{1,18}", after):
                raise PageError(f"{after[:40]!r} is no cursor of this list.")
            rows = rows.filter(pk__lt=int(after))
        horizon = None
        if within := self.within & self._window().between(self.time):
            horizon = rows.values_list("pk", flat=True)[MOST_READ - 1 : MOST_READ].first()
            rows = rows.filter(within)
        if horizon:
            rows = rows.filter(pk__gte=horizon)
        found = list(rows[: PAGE_SIZE + 1])
        full, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
        end = str(found[-1].pk) if full else str(horizon) if horizon else None
        return Page(found, end is not None, bool(after), None, end, lambda row: str(row.pk))


class NewestFirst(ChangeList):
    """A list of which every page begins where the last one ended.

    The page parameter is a cursor, not a number.
    """

    older: str | None = None
    """The query string of the next page."""
    newest: str | None = None
    """The query string of the first page, where this is another."""
    looked_at: int | None = None
    """How many rows were looked at for this page, where that was the limit."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.filter_specs, self.has_filters, unknown, _, self.has_active_filters = (
            self.get_filters(request)
        )
        if unknown:
            raise IncorrectLookupParameters(f"There is no filter {next(iter(unknown))!r}.")
        self.clear_all_filters_qs = self.get_query_string(remove=self.get_filters_params())
        search = Search.parse(self.query, self.root_queryset.db)
        specs: list[Any] = self.filter_specs
        chosen = {spec.parameter_name: spec.value() for spec in specs}
        if days := chosen.get("days"):
            recent = timezone.now() - timedelta(days=int(days))
            search.since = max(search.since, recent) if search.since else recent
        shown: Any = self.model_admin
        rows: Rows = shown.rows(search, chosen, self.root_queryset)
        self.rows = rows
        return rows.all()

    def get_results(self, request: HttpRequest) -> None:
        after = request.GET.get(PAGE_VAR)
        try:
            page = self.rows.page(after)
        except PageError as error:
            raise IncorrectLookupParameters(error) from error
        self.result_list = list(page.rows)
        shown: Any = self.model_admin
        shown.name(request, self.result_list)
        if page.has_next_page:
            self.older = self.get_query_string({PAGE_VAR: page.end_cursor})
            self.looked_at = MOST_READ if len(self.result_list) < PAGE_SIZE else None
        if after:
            self.newest = self.get_query_string()
        # What is shown is all that is counted; so "select all" selects no more than that.
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True


class IndexedFilter(admin.SimpleListFilter):
    """A filter that an index serves for public actions alone, so that it chooses these."""

    def value(self) -> str | None:
        value: str | None = super().value()
        return value if value in dict(self.lookup_choices) else None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """The list cuts what is chosen."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        chosen = changelist.params
        asks = changelist.model is Action and changelist.rows.arms is None
        for number, choice in enumerate(super().choices(changelist)):
            if number and asks and "public" not in chosen and self.parameter_name != "public":
                choice["query_string"] += "&public=1"
            yield choice


class Visibility(IndexedFilter):
    title, parameter_name = "visibility", "public"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1", "Public"), ("0", "Private")]


class Time(IndexedFilter):
    title, parameter_name = "time", "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("1", "Past 24 hours"),
            ("7", "Past 7 days"),
            ("30", "Past 30 days"),
            ("365", "Past 365 days"),
        ]


class TypeFilter(IndexedFilter):
    """The registered models, which is what there can be: no look at the rows."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        models: list[Any] = registry.registered()
        return [(m._meta.label_lower, str(m._meta.verbose_name).capitalize()) for m in models]


class ActorType(TypeFilter):
    title, parameter_name = "type of actor", "actor"


class TargetType(TypeFilter):
    title, parameter_name = "type of target", "target"


class ActionObjectType(TypeFilter):
    title, parameter_name = "type of action object", "action_object"


class FollowedType(TypeFilter):
    title, parameter_name = "type of what is followed", "follow_object"


class RowsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows are looked at and removed; what happened is not written by hand."""

    roles: Sequence[str]
    search_fields = ("pk",)  # there is a search box; what it finds is Search's
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NewestFirst

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            self.name(request, [row])
        return row

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        rows = list(objs)
        self.name(request, rows)
        return super().get_deleted_objects(rows, request)

    def name(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Load the objects that rows name, in one query per model, and put links to them."""
        fields: list[Any] = [self.model._meta.get_field(role) for role in self.roles]
        named = [(row, key, _refers(row, key)) for row in rows for key in fields]
        using = rows[0]._state.db if rows else None
        # One query in a process that knows no types yet, where there would be one for each.
        ContentType.objects.db_manager(using).get_for_models(*registry.registered())
        found = objects.load((it for *_, it in named if it), using=using)
        opened = {type(obj): self._opens(request, type(obj)) for obj in found.values()}
        for row, key, reference in named:
            obj = found.get(reference) if reference else None
            key.set_cached_value(row, obj)
            links = row.__dict__.setdefault("links", {})
            links[key.name] = _link(reference, obj, opened[type(obj)] if obj is not None else None)

    def _opens(self, request: HttpRequest, model: Any) -> str | None:
        """The view that shows an object of a model, if there is one and the user may see it."""
        if not self.admin_site.is_registered(model):
            return None
        if not self.admin_site.get_model_admin(model).has_view_permission(request):
            return None
        return f"{model._meta.app_label}_{model._meta.model_name}_change"


def _column(role: str, title: str) -> Any:
    @admin.display(description=title, empty_value="-")
    def column(row: Any) -> Any:
        return row.links[role]

    column.__name__ = role
    return column


actor, action_object, target, user, follow_object = (
    _column(*it)
    for it in (
        ("actor", "actor"),
        ("action_object", "action object"),
        ("target", "target"),
        ("user", "user"),
        ("follow_object", "follows"),
    )
)


@admin.register(Action)
class ActionAdmin(RowsAdmin):
    """Actions; one may be hidden from the streams, or shown in them."""

    roles = ROLES
    list_display = ("timestamp", actor, "verb", action_object, target, "public")
    list_filter = (Visibility, Time, ActorType, TargetType, ActionObjectType)
    search_help_text = (
        "The beginning of a verb, and objects that have a role: “user:7 started”. A model is "
        "named user or auth.user. With since:2026-01-01 and until:2026-02-01, what is between."
    )
    readonly_fields = (
        "timestamp",
        actor,
        "verb",
        action_object,
        target,
        "description",
        "data",
        "idempotency_key",
    )
    fields = (*readonly_fields, "public")

    def rows(self, search: Search, chosen: dict[str, Any], queryset: QuerySet[Any]) -> Rows:
        rows = Rows(
            queryset.defer("description", "data", "idempotency_key"),
            "timestamp",
            since=search.since,
            until=search.until,
        )
        conditions = [
            Q(**{f"{role}_content_type": registry.content_type(apps.get_model(label))})
            for role in reversed(ROLES)
            if (label := chosen.get(role))
        ]
        if search.objects:
            rows.arms, *others = (_either(ROLES, named) for named in search.objects)
            conditions += [_any(arms) for arms in others]
        if (public := chosen.get("public")) is not None:
            if public == "1" and rows.arms is None:
                # The type that narrows most is most likely that of the action object.
                rows.arms = (conditions.pop(0) if conditions else Q(),)
                rows.queryset = rows.queryset.filter(public=True)
            else:
                conditions.append(Q(public=public == "1"))
        if search.text:
            conditions.append(Q(verb__istartswith=search.text))
        rows.within = Q(*conditions)
        return rows


@admin.register(Follow)
class FollowAdmin(RowsAdmin):
    """Follows."""

    roles = ("user", "follow_object")
    list_display = ("started", user, follow_object, "flag", "actor_only")
    list_filter = (Time, FollowedType)
    search_help_text = (
        "Who follows or is followed, and the beginning of a flag: “user:7 watching”. A model is "
        "named user or auth.user. With since:2026-01-01 and until:2026-02-01, what is between."
    )
    readonly_fields = fields = list_display

    def rows(self, search: Search, chosen: dict[str, Any], queryset: QuerySet[Any]) -> Rows:
        rows = Rows(queryset, "started", since=search.since, until=search.until)
        conditions = []
        if search.objects:
            rows.arms, *others = map(_follows, search.objects)
            conditions = [_any(arms) for arms in others]
        if label := chosen.get("follow_object"):
            conditions.append(Q(content_type=registry.content_type(apps.get_model(label))))
        if search.text:
            conditions.append(Q(flag__istartswith=search.text))
        rows.within = Q(*conditions)
        return rows


def _any(arms: Sequence[Q]) -> Q:
    return reduce(or_, arms, Q(pk__in=()))


def _either(roles: Sequence[str], references: Sequence[Reference]) -> tuple[Q, ...]:
    """One range of an index for each role that an object may have."""
    return tuple(
        Q(**{f"{role}_content_type": type_id, f"{role}_object_id": object_id})
        for type_id, object_id in references
        for role in roles
    )


def _follows(references: Sequence[Reference]) -> tuple[Q, ...]:
    users: Any = registry.check(Follow._meta.get_field("user").related_model)
    return tuple(
        arm
        for type_id, object_id in references
        for arm in (
            Q(content_type=type_id, object_id=object_id),
            *(
                [Q(user=objects.parse_key(users, object_id))]
                if type_id == registry.content_type(users).pk
                else []
            ),
        )
    )


def _refers(row: Model, key: Any) -> Reference | None:
    if hasattr(key, "ct_field"):
        return objects.refers(row, key)
    return objects.ByKey(key, registry.check(key.related_model))(row)


def _models(name: str) -> list[type[Model]]:
    """The models that take part and have this name: "user" or "auth.user"."""
    if "." not in name:
        return [m for m in registry.registered() if m._meta.model_name == name.lower()]
    try:
        model = apps.get_model(name)
    except LookupError:
        return []
    return [model] if registry.lookup(model) else []


def _reference(model: Any, text: str, using: str) -> Reference | None:
    """By which reference rows name the object of a model with this key, if it is a key."""
    key, named_as = objects.parse_key(model, text), registry.check(model)
    if key is None:
        return None
    if registry.pk_name(model) == registry.pk_name(named_as):
        return registry.content_type(named_as, using).pk, text
    obj = model._base_manager.using(using).filter(pk=key).first()  # a child has a key of its own
    return obj and registry.reference(obj, using)


def _link(reference: Reference | None, obj: Any, view: str | None) -> str | None:
    """What a row names: its name, linked where it can be looked at, and its raw id."""
    if reference is None:
        return None
    model = ContentType.objects.get_for_id(reference[0])
    raw = f"{model.model}:{reference[1]}"
    if obj is None:
        return format_html('<span class="quiet">{} (gone)</span>', raw)
    name = str(obj)
    if view:
        address = reverse(f"admin:{view}", args=[quote(obj.pk)])
        name = format_html('<a href="{}">{}</a>', address, name)
    return format_html('{} <span class="quiet">{}</span>', name, raw)


def _time(text: str) -> datetime:
    """A date or a time as in a URL; UTC where it names no zone."""
    try:
        at: Any = parse_datetime(text) or parse_date(text)
    except ValueError:
        at = None
    if at is None:
        raise IncorrectLookupParameters(f"{text!r} is no date such as 2026-01-01.")
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day)  # noqa: DTZ001 - the next line gives it one
    return timezone.make_aware(at, UTC) if timezone.is_naive(at) else at
