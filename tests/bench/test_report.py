"""What is said of a bench is what was measured."""

import json
from pathlib import Path
from xml.etree import ElementTree

from .load import Measured
from .report import Case, Report, Run

SMALL = Case(1_000, "brook", 1, 8, "actor")


def run(case: Case, number: int, rate: float) -> Run:
    return Run(case, number, Measured(9, rate, 8_000 / rate, 2, 3, 0.1), float("nan"))


CEILING = SMALL._replace(side="ceiling")
LARGE = SMALL._replace(actions=10_000)
DEEP = SMALL._replace(page="actor-deep")
REPORT = Report(
    3,
    ["actor", "any", "actor-deep"],
    [
        run(SMALL, 0, 300),
        run(CEILING, 0, 600),
        run(LARGE, 0, 150),
        run(DEEP, 0, 100),
        run(SMALL, 1, 50),
        run(CEILING, 1, 200),
        run(LARGE, 1, 50),
        run(DEEP, 1, 100),
    ],
)


def test_a_ratio_is_taken_within_each_round() -> None:
    assert REPORT.brook_by_it(CEILING) == (300 / 600 + 50 / 200) / 2


def test_a_page_is_said_by_the_smallest_world_and_by_the_first_page_of_its_stream() -> None:
    assert REPORT.by_smallest(LARGE) == (300 / 150 + 50 / 50) / 2
    assert REPORT.by_first(DEEP) == (300 / 100 + 50 / 100) / 2


def test_what_was_not_measured_is_null_in_json_and_no_bar_in_the_chart(tmp_path: Path) -> None:
    figures, picture = tmp_path / "bench.json", tmp_path / "bench.svg"
    REPORT.write(figures, picture)

    medians = json.loads(figures.read_text())["medians"]
    assert [(it["side"], it["page"], it["actions"], it["rate"], it["cpu"]) for it in medians] == [
        ("brook", "actor", 1_000, 175, None),
        ("ceiling", "actor", 1_000, 400, None),
        ("brook", "actor-deep", 1_000, 100, None),
        ("brook", "actor", 10_000, 100, None),
    ]
    chart = ElementTree.parse(picture).getroot()
    bars = [bar for bar in chart.iter("{http://www.w3.org/2000/svg}rect") if bar.get("rx")]
    assert len(bars) == 3
