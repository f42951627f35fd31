"""The form of a statement is learned from two examples, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from server import rows
from server.bundles import Form, FormError, Slot, _of_union, forms, literal, typed
from server.models import Action

pytestmark = pytest.mark.django_db

ONE, TWO = {"key": "11", "time": "a"}, {"key": "22", "time": "b"}


def asking(*statements: Callable[[Mapping[str, str]], tuple[str, list[Any]]]) -> Any:
    """What asks for these in turn."""
    read = rows.reader(Action, (), "default")
    return lambda example: [read.fetch(*statement(example)) for statement in statements]


def test_what_differs_is_where_values_go() -> None:
    read = asking(
        lambda of: ("SELECT %s, %s, %s", [int(of["key"]), "always", of["time"]]),
        lambda of: ("SELECT %s", [of["key"]]),
    )
    first, second = forms(read, ONE, TWO)
    assert first == Form("SELECT %s, %s, %s", (Slot("key"), "always", Slot("time")))
    assert [isinstance(param, Slot) for param in first.params] == [True, False, True]
    assert second == Form("SELECT %s", (Slot("key"),))


@pytest.mark.parametrize(
    "statement",
    [
        lambda of: (f"SELECT {of['key']}", []),
        lambda of: ("SELECT %s", [int(of["key"]) + 1]),
        lambda of: ("SELECT %s", [of["key"] + of["time"]]),
        lambda of: ("SELECT %s", [[of["key"]]]),
        lambda of: ("SELECT %s", [None]),
    ],
)
def test_what_is_made_of_values_has_no_form(statement: Any) -> None:
    with pytest.raises(FormError):
        forms(asking(statement), ONE, TWO)


def test_a_statement_that_one_of_them_does_not_ask_has_no_form() -> None:
    read = asking(lambda of: ("SELECT 1", []))
    with pytest.raises(FormError, match="0 statements and 1"):
        forms(lambda of: of is TWO and read(of), ONE, TWO)


def test_nothing_is_asked_of_the_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        forms(asking(lambda of: ("SELECT nonsense", [])), ONE, TWO)


def test_parameters_are_written_as_postgresql_reads_them() -> None:
    at = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    assert [literal(it) for it in (7, "7", True, at)] == [
        "7",
        "7",
        "True",
        "2026-01-31T12:30:00+00:00",
    ]


def test_parameters_of_a_rule_are_of_the_types_that_they_have() -> None:
    """To PostgreSQL, "0" is a key of JSON and 0 an index into it."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    sql, literals = typed(("%s %s %s %s %s", (0, "x%", True, 2**40, at)))
    kinds = ("CAST(%s AS integer)", "%s", "CAST(%s AS boolean)", "CAST(%s AS bigint)")
    assert sql == " ".join((*kinds, "CAST(%s AS timestamptz)"))
    assert literals == ("0", "x%", "True", str(2**40), "2026-01-31T00:00:00+00:00")


def test_texts_of_any_length_stand_in_one_column_and_lists_do_not() -> None:
    assert [_of_union(kind) for kind in ("varchar(20)", "text", "varchar(20)[]", "bigint")] == [
        "text",
        "text",
        "varchar(20)[]",
        "bigint",
    ]
