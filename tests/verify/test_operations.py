"""Ten thousand generated operations, which compiled code answers as graphql-core does."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from random import Random

import pytest
from django.contrib.auth.models import User

from schema import limits
from tests.schema.operations import Made, Operation, answered, falsify, ran, world
from tests.verify.conftest import Proof

pytestmark = [pytest.mark.verify, pytest.mark.django_db]

OPERATIONS = 10_000
CONTROLS = 200


@pytest.fixture(autouse=True)
def within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of what is generated asks for more than a client may."""
    monkeypatch.setattr(limits, "MOST_POINTS", 10**9)
    monkeypatch.setattr(limits, "MOST_NODES", 10**9)


def operations() -> Iterator[Operation]:
    """Every one another, and the same ones each time."""
    made: set[Operation] = set()
    for number in count():
        operation = Made(Random(number).randrange).operation()
        if operation not in made:
            made.add(operation)
            yield operation


def test_generated_operations_are_answered_alike(proof: Proof) -> None:
    ids, ada = world(), User.objects.get(username="ada")
    compared = with_errors = size = 0

    for operation in islice(operations(), OPERATIONS):
        fast, plain = answered(operation, ids, ada)
        assert fast == plain, operation
        assert ran(fast), (operation, fast)
        compared += 1
        with_errors += '"errors": [' in fast
        size += len(fast)

    assert compared == OPERATIONS
    proof(
        "generated operations, compiled and not",
        f"{compared:,} alike to the byte: {size / 1e6:.1f} MB, {with_errors:,} with errors",
    )


def test_generated_operations_find_what_is_compiled_wrong(
    proof: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, ada = world(), User.objects.get(username="ada")
    falsify(monkeypatch)

    found = 0
    for operation in islice(operations(), CONTROLS):
        fast, plain = answered(operation, ids, ada)
        found += fast != plain

    assert found
    proof("the same, made to answer wrong", f"{found} of {CONTROLS} found out")
