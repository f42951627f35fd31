"""The one door: every object leaves through here, if the viewer may see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager

from server import objects, rows
from server.conditions import ALL, Statement
from server.objects import Reference
from server.rows import Columns

from .catalog import node_type, parse_id
from .context import Info, Peers, together

#: What objects name by the fields of their type's ``refers``.
Named = Mapping[Any, Mapping[str, Any]]


def shown(
    info: Info, nodes: Iterable[Any], named: Named | None = None, depth: int = 2
) -> dict[Any, str]:
    """The display names of nodes.

    That of an action or a follow is made of the names of what it names, as far as the viewer may
    see it; ``named`` is that, where it is known. So on to a depth, in one query for each model.
    """
    nodes = list(nodes)
    if named is None:
        named = load_named(info, {n: node_type(type(n)).named_by for n in nodes} if depth else {})
    behind = {obj: None for objs in named.values() for obj in objs.values() if obj is not None}
    names = shown(info, behind, depth=depth - 1) if behind else {}
    return {
        node: node_type(type(node)).compose(
            node,
            {name: names[obj] for name, obj in named.get(node, {}).items() if obj is not None},
        )
        for node in nodes
    }


def load_named(info: Info, wanted: Mapping[Any, Iterable[str]]) -> dict[Any, dict[str, Any]]:
    """What nodes name by some fields of their type's ``refers``; None where it is not visible."""
    by = [
        (node, name, node_type(type(node)).refers[name](node))
        for node, names in wanted.items()
        for name in names
    ]
    found = load(info, (reference for *_, reference in by))
    answers: dict[Any, dict[str, Any]] = {node: {} for node in wanted}
    for node, name, reference in by:
        answers[node][name] = found.get(reference) if reference else None
    return answers


def load(
    info: Info,
    references: Iterable[Reference | None],
    only: Callable[[type[Model]], Columns] = lambda model: None,
) -> dict[Reference, Any]:
    """The objects behind references that the viewer may see, in one query per model.

    With the columns that are needed of a model, where its QuerySet allows it.
    """
    return objects.load(filter(None, references), lambda model: visible(model, info), only=only)


def by_id(ids: Iterable[str], info: Info) -> dict[str, Any]:
    """The objects that the viewer may see behind ids, in one query per type.

    An id that is unknown, malformed or not visible is left out.
    """
    keys: dict[type[Model], dict[str, str]] = {}
    for given in set(ids):
        if named := parse_id(given):
            keys.setdefault(named[0], {})[given] = named[1]
    found: dict[str, Any] = {}
    for model, wanted in keys.items():
        by_key = objects.fetch(visible(model, info), wanted.values())
        found |= {given: by_key[key] for given, key in wanted.items() if key in by_key}
    return found


def one_by_id(given: str, info: Info) -> Any:
    """As :func:`by_id`, for one id; None where it is left out."""
    return by_id([given], info).get(given)


def keyed(given: str) -> Any:
    """An instance that has nothing but its key, of the node that an id names; None if it is none.

    It is not looked for, so whoever takes it finds out whether the viewer may see it.
    """
    model, text = parse_id(given) or (None, "")
    key = model and objects.parse_key(model, text)
    if model is None or key is None:
        return None
    return model.from_db(model._default_manager.db, [str(model._meta.pk.attname)], [key])


def visible(model: type[Model], info: Info) -> QuerySet[Any]:
    """The rows of a model that the viewer may see."""
    return node_type(model).get_queryset(model._default_manager.all(), info)


def rule(model: type[Model], info: Info) -> Statement | None:
    """What holds of the rows that the viewer may see, in words of their own table.

    None where other tables take part, or a QuerySet makes more of its rows than instances.
    """
    found = rows.wanted(visible(model, info), [])
    return found and found.asked


def reads(model: type[Model]) -> bool:
    """Whether a model's rows are of one table, and its manager makes no more than instances."""
    return rows.wanted(model._default_manager.all(), []) is not None


def is_open(model: type[Model]) -> bool:
    """Whether every viewer may see all rows of a model, by its type and by its manager."""
    manager: Any = model._default_manager
    plain = rows.wanted(manager.all(), [])
    is_djangos = type(manager).get_queryset is BaseManager.get_queryset
    is_whole = is_djangos and plain is not None and plain.asked == ALL
    return is_whole and node_type(model).has_no_rule()


def behind(info: Info, source: Any) -> tuple[Mapping[str, Any], Named]:
    """The objects that ``source`` names by its type's ``refers``, each if it is visible.

    Loaded for all peers, and for all fields that are selected of them, in one query per model.
    Returns what ``source`` names, and what each of its peers does.
    """
    declared = node_type(type(source))

    def load(peers: list[Any], group: Peers) -> dict[Any, dict[str, Any]]:
        wanted = set(declared.refers)
        if group.selected is not None:
            named_by = declared.named_by if "displayName" in group.selected else frozenset()
            wanted &= group.selected | named_by
        return load_named(info, dict.fromkeys(peers, wanted))

    return together(info, source, "refers", load)
