"""Who asks, and what one request has loaded together.

A resolver is called for one object, but a statement for each object would be one too many. So
whoever puts objects into the response says which stand at one *place* (the path of a field less
its list indices), and a resolver below asks for all of them at once: the first call loads, the
others find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from django.http import HttpRequest
from graphql import FieldNode, FragmentSpreadNode, SelectionSetNode
from graphql.pyutils import Path
from strawberry.types import Info as StrawberryInfo

Place = tuple[str, ...]
Answer = TypeVar("Answer")


@dataclass
class Peers:
    """Objects that stand at one place, and the names of the fields that are selected of them."""

    objects: Sequence[Any]
    selected: frozenset[str] | None = None
    loaded_by: object = None


@dataclass
class Context:
    """``info.context`` of one request."""

    request: HttpRequest
    compiles: bool = False
    """Whether ``compiled.py`` answers, which looks for what is only supposed."""
    asked: Any = None
    """What is answered, with the text of its document: found once, also for many events."""
    document: Any = None
    """What it was read as, if it could be."""
    cost: int = 0
    """The points that it was priced at."""
    answered: Any = None
    """What was selected of a connection at the root, where that was compiled."""
    source: Any = None
    """The events of a subscription that was opened."""
    peers: dict[Place, Peers] = field(default_factory=dict)
    answers: dict[tuple[Place, str, str], Mapping[Any, Any]] = field(default_factory=dict)

    @cached_property
    def viewer(self) -> Any:
        """The user who asks, or None."""
        user: Any = self.request.user
        if not user.is_authenticated:
            return None
        return getattr(user, "_wrapped", user)  # Django's lazy object has another class


Info = StrawberryInfo[Context, None]


def place(path: Path | None) -> Place:
    """A path less its list indices."""
    steps = []
    while path is not None:
        if isinstance(path.key, str):
            steps.append(path.key)
        path = path.prev
    return tuple(reversed(steps))


def together(
    info: Info, source: Any, name: str, load: Callable[[list[Any], Peers], Mapping[Any, Answer]]
) -> tuple[Answer, Mapping[Any, Answer]]:
    """What ``load`` answers for ``source``, asked once for all its peers of one GraphQL type.

    Returns the answer for ``source``, and all answers.
    """
    raw: Any = info._raw_info
    context = info.context
    here = place(raw.path.prev)
    slot = (here, name, raw.parent_type.name)
    answers = context.answers.get(slot)
    if answers is None or source not in answers:
        peers = context.peers.get(here)
        if peers is None or source not in peers.objects:
            peers = Peers([source])
        same = dict.fromkeys(peer for peer in peers.objects if type(peer) is type(source))
        try:
            answers = load(list(same), peers)
        except Exception as fault:  # the same for all: not worked out again for each of them
            answers = dict.fromkeys(same, fault)
        context.answers[slot] = answers
    answer = answers[source]
    if isinstance(answer, Exception):
        raise answer
    return answer, answers


def stand(info: Info, objects: Iterable[Any], *steps: str) -> None:
    """Say that objects stand at every place ``steps`` below the field being resolved."""
    objects = list(dict.fromkeys(objects))
    for at, selected in below(info, *steps):
        info.context.peers[at] = Peers(objects, selected)


def below(info: Info, *steps: str) -> Iterator[tuple[Place, frozenset[str]]]:
    """The places that a path of field names leads to, and the fields selected there."""
    raw: Any = info._raw_info
    found: dict[Place, list[FieldNode]] = {place(raw.path): list(raw.field_nodes)}
    for step in steps:
        deeper: dict[Place, list[FieldNode]] = {}
        for at, nodes in found.items():
            for node in _fields(nodes, raw.fragments):
                if node.name.value == step:
                    key = node.alias.value if node.alias else step
                    deeper.setdefault((*at, key), []).append(node)
        found = deeper
    for at, nodes in found.items():
        yield at, frozenset(node.name.value for node in _fields(nodes, raw.fragments))


def _fields(nodes: Iterable[FieldNode], fragments: Mapping[str, Any]) -> Iterator[FieldNode]:
    """The fields selected below fields, through fragments, each fragment once."""
    seen: set[str] = set()
    todo: list[SelectionSetNode | None] = [node.selection_set for node in nodes]
    while todo:
        selection_set = todo.pop()
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                yield selection
            elif not isinstance(selection, FragmentSpreadNode):
                todo.append(selection.selection_set)  # type: ignore[attr-defined]
            elif selection.name.value not in seen:
                seen.add(selection.name.value)
                todo.append(fragments[selection.name.value].selection_set)
