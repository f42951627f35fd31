"""The schema as a whole: it is in step with schema.graphql, and says what everything is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    introspection_types,
    specified_scalar_types,
    validate_schema,
)

from tests.schema.client import schema


def test_schema_graphql_is_what_the_code_prints() -> None:
    """Printed without the tests' site, by the project's own settings."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "server.settings",
        "DEBUG": "true",
        "PYTHONPATH": "",
    }
    printed = subprocess.run(
        [sys.executable, "manage.py", "export_schema", "schema"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (settings.BASE_DIR / "schema.graphql").read_text() == printed.stdout


def elements() -> Iterator[tuple[str, str | None]]:
    """Every type, field, argument, input field and enum value, and its description."""
    for name, kind in schema._schema.type_map.items():
        if name in introspection_types or name in specified_scalar_types:
            continue
        yield name, kind.description
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field, definition in kind.fields.items():
                yield f"{name}.{field}", definition.description
                for argument, taken in definition.args.items():
                    yield f"{name}.{field}({argument})", taken.description
        elif isinstance(kind, GraphQLInputObjectType):
            for field, given in kind.fields.items():
                yield f"{name}.{field}", given.description
        elif isinstance(kind, GraphQLEnumType):
            for value, meant in kind.values.items():
                yield f"{name}.{value}", meant.description


def test_every_element_has_a_description() -> None:
    described = dict(elements())
    assert {"User", "Query.node", "Query.node(id)", "ErrorCode.INVALID"} <= set(described)
    assert [name for name, text in described.items() if not (text or "").strip()] == []


def test_every_description_is_a_sentence() -> None:
    """Custom scalars come with Strawberry's own words."""
    texts = {name: text or "" for name, text in elements() if name not in ("JSON", "DateTime")}
    ended = (".", "?", "!")
    assert [name for name, text in texts.items() if text and not text.endswith(ended)] == []


@pytest.fixture(scope="module")
def printed() -> str:
    return str(schema.as_str())


def test_the_printed_schema_is_valid(printed: str) -> None:
    assert validate_schema(build_schema(printed)) == []


def test_what_may_be_left_out_has_no_default_of_null(printed: str) -> None:
    assert "= null" not in printed


def test_every_type_with_an_id_is_a_node() -> None:
    node = schema._schema.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    with_id = {
        name
        for name, kind in schema._schema.type_map.items()
        if isinstance(kind, GraphQLObjectType) and "id" in kind.fields
    }
    assert {kind.name for kind in schema._schema.get_possible_types(node)} == with_id
    assert {"Action", "Follow", "User", "Group", "Project"} <= with_id
