"""The schema as pages, one for each kind of thing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import graphql
from graphql import Undefined, get_named_type

KINDS: dict[type[graphql.GraphQLNamedType], str] = {
    graphql.GraphQLObjectType: "types",
    graphql.GraphQLInterfaceType: "interfaces",
    graphql.GraphQLInputObjectType: "inputs",
    graphql.GraphQLEnumType: "enums",
    graphql.GraphQLScalarType: "scalars",
}
#: Their fields are what there is to find, so these have pages of their own.
ROOTS = {"Query": "queries", "Mutation": "mutations", "Subscription": "subscriptions"}


def write(sdl: str, directory: Path) -> None:
    """Write pages of Markdown, and their table of contents, for a schema without unions."""
    schema = graphql.build_schema(sdl)
    pages: dict[str, list[str]] = {page: [] for page in [*ROOTS.values(), *KINDS.values()]}
    for name, kind in sorted(schema.type_map.items()):
        if name.startswith("__"):
            continue
        if graphql.is_specified_scalar_type(kind):
            pages["scalars"] += section(name, kind.description, [])
        elif isinstance(kind, graphql.GraphQLObjectType) and name in ROOTS:
            for field, its in kind.fields.items():
                pages[ROOTS[name]] += section(field, its.description, root(its))
        else:
            pages[KINDS[type(kind)]] += section(name, kind.description, body(schema, kind))
    directory.mkdir(exist_ok=True)
    for page, lines in pages.items():
        text = "\n".join([f"# {page.capitalize()}", "", *lines]).rstrip() + "\n"
        (directory / f"{page}.md").write_text(text, encoding="utf-8")
    listed = [f"- [{page.capitalize()}]({page}.md)" for page in pages]
    (directory / "index.md").write_text(
        "\n".join(["# Schema reference", "", *listed, "", *contents(pages)]), encoding="utf-8"
    )


def contents(pages: Iterable[str], heading: str = "") -> list[str]:
    """A table of contents that only the sidebar shows."""
    caption = [f":caption: {heading}"] if heading else []
    return ["```{toctree}", ":hidden:", *caption, "", *pages, "```", ""]


def section(name: str, description: str | None, more: Iterable[str]) -> list[str]:
    return [f"## {name}", "", *([description, ""] if description else []), *more]


def root(field: Any) -> list[str]:
    return [f"Returns {reference(field.type)}.", "", *entries(field.args, argument), ""]


def body(schema: graphql.GraphQLSchema, kind: graphql.GraphQLNamedType) -> list[str]:
    if isinstance(kind, graphql.GraphQLEnumType):
        return entries(kind.values, lambda name, it: said(f"`{name}`", it))
    if isinstance(kind, graphql.GraphQLInputObjectType):
        return entries(kind.fields, argument)
    if isinstance(kind, graphql.GraphQLScalarType):
        return [f"Specified by <{kind.specified_by_url}>.", ""] if kind.specified_by_url else []
    assert isinstance(kind, graphql.GraphQLObjectType | graphql.GraphQLInterfaceType)
    above = ", ".join(map(reference, kind.interfaces))
    below = ""
    if isinstance(kind, graphql.GraphQLInterfaceType):
        below = ", ".join(map(reference, schema.get_possible_types(kind)))
    related = [f"Implements {above}.", ""] * bool(above) + [f"Is {below}.", ""] * bool(below)
    return [*related, *entries(kind.fields, field)]


def entries(named: dict[str, Any], entry: Callable[[str, Any], list[str]]) -> list[str]:
    return [line for name, it in named.items() for line in entry(name, it)]


def field(name: str, it: Any) -> list[str]:
    lines = said(f"`{name}` {reference(it.type)}", it)
    return lines + [f"  {line}".rstrip() for line in entries(it.args, argument)]


def argument(name: str, it: Any) -> list[str]:
    default = ""
    if it.default_value is not Undefined:
        literal = graphql.ast_from_value(it.default_value, it.type)
        default = f" = `{graphql.print_ast(literal)}`" if literal else ""
    return said(f"`{name}` {reference(it.type)}{default}", it)


def said(term: str, it: Any) -> list[str]:
    """An entry of a list of definitions."""
    words = it.description or "Described by its name."
    if it.deprecation_reason:
        words += f" Deprecated: {it.deprecation_reason}"
    return [term, *indented(words), ""]


def indented(text: str) -> Iterator[str]:
    first, *rest = text.split("\n")
    yield f": {first}"
    yield from (f"  {line}".rstrip() for line in rest)


def reference(kind: Any) -> str:
    """A type as it is written, its name a link to where it stands."""
    name = get_named_type(kind).name
    page = KINDS[type(get_named_type(kind))]
    return (
        str(kind)
        .replace("[", "\\[")
        .replace("]", "\\]")
        .replace(name, f"[{name}]({page}.md#{name.lower()})")
    )
