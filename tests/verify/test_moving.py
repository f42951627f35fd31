"""docs/from-django-activity-stream.md has a place for everything that the package offers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from tests.verify.conftest import Proof
from tests.verify.older_site import Sites

PAGE = Path(settings.BASE_DIR) / "docs" / "from-django-activity-stream.md"


def rows() -> Iterator[tuple[str, str]]:
    """What stands on either side of the tables of "there" and "in Brook"."""
    for table in re.findall(r"\| there \| in Brook \|\n\| --- \| --- \|\n((?:\|.*\n?)+)", text()):
        for row in table.splitlines():
            there, here = re.split(r"(?<!\\) \| ", row.strip("| "), maxsplit=1)
            yield there, here


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_everything_of_the_package_has_its_place_and_nothing_else(
    older: Sites, proof: Proof
) -> None:
    offered = older.older(module="tests.verify.older.names")
    wanted = Counter(name for names in offered.values() for name in names)
    # One word may be a function and a template tag.
    told = Counter(name for there, _ in rows() for name in re.findall(r"`([^`]+)`", there))
    assert sorted((wanted - told).elements()) == [], "not told of"
    assert sorted((told - wanted).elements()) == [], "told of, but not there"
    assert all(here for _, here in rows())
    figures = ", ".join(f"{len(names)} {kind}" for kind, names in offered.items())
    proof("docs/from-django-activity-stream.md", figures)
