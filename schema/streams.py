"""A connection field for every stream of the manager, from its Python signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import strawberry
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from strawberry.schema.types.scalar import DEFAULT_SCALAR_REGISTRY
from strawberry.utils.str_converters import to_camel_case

from server import registry
from server.models import Action
from server.pages import Ranges
from server.streams import ActionManager, StreamError

from . import nodes
from .actions import ActionConnection, ActionFilter, NodeType, pages
from .catalog import global_id
from .connections import PAGING, Supposed, for_each
from .context import Info
from .door import keyed, one_by_id
from .errors import BadUserInput, Forbidden, StreamFault, TooComplex, Unauthenticated
from .links import feed_url
from .queries import Query

#: A stream that a site's QuerySet makes, and a user's stream, cannot be read for many nodes as one
#: bounded range each: below a list of at most this many nodes.
MOST_PARENTS = 20
#: Streams of Brook's own that ask for no more of their reference object than its key.
OF_A_KEY = ("actor_stream", "target_stream", "action_object_stream", "any_stream")

FilterArgument = Annotated[
    ActionFilter | None, strawberry.argument(description="Which of these actions are wanted.")
]


@dataclass(frozen=True)
class Stream:
    """A stream of the manager, as GraphQL sees it."""

    name: str
    method: Callable[..., Any]
    reference: inspect.Parameter
    of: Any
    """What the reference object is: a model, None for any node, NodeType for a model itself."""
    parameters: tuple[inspect.Parameter, ...]

    @property
    def summary(self) -> str:
        text = inspect.getdoc(self.method) or f"The actions of the stream {self.name}."
        return text.split("\n\n")[0]

    @property
    def description(self) -> str:
        return f"{self.summary} Newest first; public actions only."

    @property
    def is_of_viewer(self) -> bool:
        return self.of is registry.lookup(get_user_model())

    def query_field(self) -> Any:
        """The field of Query: the reference object is an argument."""

        def resolve(self_: Any, info: Info, **given: Any) -> Any:
            named = given.pop(self.reference.name, None)
            if info.context.compiles and self._is_of_a_key:
                return self._of_key(info, named, given)
            reference = self.opened(info, named)
            return self._pages(info, [reference], given)[0]

        return self._field(resolve, [self.reference_parameter()])

    def node_field(self) -> Any:
        """The field of Node, or of one type: the node is the reference object."""

        def resolve(self_: Any, info: Info, **given: Any) -> Any:
            self._open(info, self_)
            return for_each(info, self_, lambda peers: self._pages(info, peers, given))

        return self._field(resolve, [])

    def reference_parameter(self) -> inspect.Parameter:
        """The argument that says of which object, or of which type, the stream is."""
        argument: Any
        if self.of is NodeType:
            argument = _argument(NodeType, "The type of the objects.")
        elif self.is_of_viewer:
            argument = _argument(
                strawberry.ID | None, "The id of a user; the viewer when left out."
            )
        else:
            argument = _argument(strawberry.ID, "The id of the node whose stream it is.")
        default = None if self.is_of_viewer else inspect.Parameter.empty
        return parameter(self.reference.name, argument, default)

    def own_parameters(self) -> list[inspect.Parameter]:
        """The arguments of the stream's method, and which of its actions are wanted."""
        return [
            *(parameter(p.name, _annotation(self, p), p.default) for p in self.parameters),
            parameter("filter", FilterArgument, None),
        ]

    def opened(self, info: Info, given: Any) -> Any:
        """The reference object, if the stream is open to the viewer.

        Raises BadUserInput, Unauthenticated, Forbidden.
        """
        reference = self._named(info, given)
        if info.context.viewer is None and not self._is_open(info, reference):
            raise Unauthenticated("Log in to read this stream.")
        self._open(info, reference)
        return reference

    def arguments(self, info: Info, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the stream's method takes, of the arguments that are given."""
        return {
            parameter.name: _python(info, parameter, given[parameter.name])
            for parameter in self.parameters
            if parameter.name in given
        }

    def ranges(self, reference: Any, arguments: Mapping[str, Any]) -> Ranges:
        """What the stream's method returns. Raises StreamFault."""
        try:
            return Action.objects.ranges(self.method, reference, **arguments)
        except StreamError as error:
            raise StreamFault(str(error)) from error

    def _field(self, resolve: Callable[..., Any], first: list[inspect.Parameter]) -> Any:
        paging = [parameter(name, annotation, None) for name, annotation in PAGING.items()]
        as_resolver(resolve, [*first, *self.own_parameters(), *paging])
        return nodes.added(resolve, ActionConnection, self.description, self.name)

    @cached_property
    def _is_of_a_key(self) -> bool:
        """Whether nothing is asked of the reference object but which one it is: no site's code."""
        installed = type(Action.objects)
        return (
            self.name in OF_A_KEY
            and getattr(installed, self.name) is getattr(ActionManager, self.name)
            and installed.opens_to is ActionManager.opens_to
        )

    def _of_key(self, info: Info, given: str, others: Mapping[str, Any]) -> Any:
        """The page, before it is known whether there is a node of this id that may be seen.

        That is found out with the objects that the page names, by the same statement.
        """

        def check() -> None:
            self._named(info, given)

        reference = keyed(given)
        if reference is None:
            check()
        try:
            [connection] = self._pages(info, [reference], others)
        except Exception:
            check()  # what is wrong with the id is said first
            raise
        connection.batch.supposed = Supposed(registry.reference(reference), check)
        return connection

    def _named(self, info: Info, given: Any) -> Any:
        if self.of is NodeType:
            return given.value
        if given is None:
            if info.context.viewer is None:
                raise Unauthenticated(f"Log in, or say whose {to_camel_case(self.name)} it is.")
            return info.context.viewer
        return _node(info, self.reference.name, given, self.of)

    def _open(self, info: Info, reference: Any) -> None:
        if not self._is_open(info, reference):
            raise Forbidden("This stream is not open to you.")

    def _is_open(self, info: Info, reference: Any) -> bool:
        return Action.objects.opens_to(info.context.viewer, self.name, reference)

    def _pages(self, info: Info, references: list[Any], given: Mapping[str, Any]) -> list[Any]:
        """A page for each reference; an empty one for those to which the stream is not open."""
        arguments = self.arguments(info, given)
        sources = [
            self.ranges(reference, arguments)
            if self._is_open(info, reference)
            else Ranges(Action.objects.none(), ())
            for reference in references
        ]
        if len(sources) > MOST_PARENTS and not all(source.bounded for source in sources):
            raise TooComplex(
                f"{to_camel_case(self.name)} stands below {len(sources)} nodes; at most "
                f"{MOST_PARENTS} are allowed. Ask for smaller pages above it."
            )
        window = {name: given.get(name) for name in PAGING}

        def url(at: int) -> str | None:
            reference = references[at]
            named = NodeType(reference).name if self.of is NodeType else global_id(reference)
            return feed_url(self.name, named, given)

        return pages(info, sources, given.get("filter"), url, **window)


def streams() -> Iterator[Stream]:
    """The streams of the manager that is installed."""
    for name, method in type(Action.objects).streams().items():
        function = method.stream  # type: ignore[attr-defined]
        _self, reference, *others = inspect.signature(function).parameters.values()
        if taken := {"self", "info", "filter", *PAGING} & {p.name for p in (reference, *others)}:
            raise ImproperlyConfigured(
                f"The stream {name!r} has a parameter {taken.pop()!r}, which every field of a "
                "stream has already; rename it."
            )
        yield Stream(
            name,
            method,
            reference,
            _reference_type(_evaluated(function, reference)),
            tuple(
                parameter.replace(annotation=_evaluated(function, parameter))
                for parameter in others
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
                and (parameter.annotation, parameter.default) != (parameter.empty, parameter.empty)
            ),
        )


def as_resolver(resolve: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Have a function with keywords pass for a resolver with these parameters."""
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
    resolve.__signature__ = inspect.Signature([this, info, *parameters])  # type: ignore[attr-defined]
    resolve.__annotations__ = {p.name: p.annotation for p in (info, *parameters)}


def extend_nodes() -> list[Any]:
    """Give the nodes their stream fields; returns those of Query."""
    of_query = []
    for stream in streams():
        if stream.of is not NodeType:
            nodes.extend(stream.node_field(), stream.of)
        if stream.name in vars(Query):
            raise ImproperlyConfigured(
                f"The stream {stream.name!r} has the name of a field of Query; rename it."
            )
        of_query.append(stream.query_field())
    return of_query


def _reference_type(annotation: Any) -> Any:
    """A registered model, None for any, or NodeType."""
    if get_origin(annotation) is type:
        return NodeType
    model = _model(annotation)
    return None if model is None or model is Model else model


def _model(annotation: Any) -> Any:
    """The registered model of an annotation, Model itself for any; None where it names none."""
    for kind in get_args(annotation) or (annotation,):
        if kind is AbstractBaseUser:
            return registry.check(get_user_model())
        if isinstance(kind, type) and issubclass(kind, Model):
            return kind if kind is Model else registry.check(kind)
    return None


def _annotation(stream: Stream, parameter: inspect.Parameter) -> Any:
    """The GraphQL type of a parameter: from its annotation, else from its default."""
    kind = parameter.annotation
    if kind is parameter.empty:
        kind = str if parameter.default is None else type(parameter.default)
    union = get_origin(kind) in (Union, UnionType)
    optional = union and type(None) in get_args(kind)
    if optional:
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    if get_origin(kind) is type:
        kind = NodeType
    elif _model(kind) is not None:
        kind = strawberry.ID
    if parameter.default is None or (optional and parameter.default is parameter.empty):
        kind = kind | None
    words = parameter.name.replace("_", " ")
    if not _is_of_graphql(kind):
        raise ImproperlyConfigured(
            f"The parameter {parameter.name!r} of the stream {stream.name!r} is of type {kind}, "
            "which is none of GraphQL's; annotate it with a scalar, an enum, a model or a list."
        )
    return _argument(kind, f"The {words} of the stream.")


def _python(info: Info, parameter: inspect.Parameter, value: Any) -> Any:
    """An argument as the stream's method takes it: a model for its type, an object for its id."""
    if isinstance(value, NodeType):
        return value.value
    model = _model(parameter.annotation)
    return value if model is None or value is None else _node(info, parameter.name, value, model)


def _node(info: Info, name: str, given: str, of: Any) -> Any:
    found = one_by_id(given, info)
    known = None if found is None else registry.lookup(type(found))
    if found is None or (of not in (None, Model) and known is not of):
        raise BadUserInput(
            f"{to_camel_case(name)}: {given[:60]!r} is no id of a node that you may see."
        )
    return found


def _is_of_graphql(kind: Any) -> bool:
    if args := get_args(kind):
        return get_origin(kind) in (list, Union, UnionType) and all(map(_is_of_graphql, args))
    return kind in (*DEFAULT_SCALAR_REGISTRY, type(None)) or hasattr(
        kind, "__strawberry_definition__"
    )


def _evaluated(function: Any, parameter: inspect.Parameter) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return eval(parameter.annotation, function.__globals__)
    except (NameError, AttributeError, SyntaxError) as error:
        raise ImproperlyConfigured(
            f"The stream {function.__name__} annotates {parameter.name!r} with "
            f"{parameter.annotation!r}, which cannot be imported where it stands: {error}. "
            "Import it outside of TYPE_CHECKING."
        ) from error


def _argument(kind: Any, description: str) -> Any:
    return Annotated[kind, strawberry.argument(description=description)]


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A keyword of a resolver, with its GraphQL type."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)
