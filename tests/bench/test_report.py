"""What is said of a bench is what was measured."""

import json
from pathlib import Path
from xml.etree import ElementTree

from .load import Measured
from .report import Report, Run
from .worlds import Page

ACTOR, ANY = Page("actor", "actor", "actor", "1"), Page("any", "any", "any", "1")


def run(side: str, number: int, rate: float) -> Run:
    return Run(side, 1, 8, "actor", number, Measured(9, rate, 1, 2, 3, 0.1), float("nan"))


REPORT = Report(
    1_000,
    3,
    [ACTOR, ANY],
    [run("brook", 0, 300), run("ceiling", 0, 600), run("brook", 1, 50), run("ceiling", 1, 200)],
)


def test_a_ratio_is_taken_within_each_round() -> None:
    assert REPORT.ratio("ceiling", 1, 8, "actor") == (300 / 600 + 50 / 200) / 2


def test_what_was_not_measured_is_null_in_json_and_no_bar_in_the_chart(tmp_path: Path) -> None:
    REPORT.write(tmp_path)

    medians = json.loads((tmp_path / "bench.json").read_text())["medians"]
    assert [(it["side"], it["page"], it["rate"], it["cpu"]) for it in medians] == [
        ("brook", "actor", 175, None),
        ("ceiling", "actor", 400, None),
    ]
    chart = ElementTree.parse(tmp_path / "bench.svg").getroot()
    bars = [bar for bar in chart.iter("{http://www.w3.org/2000/svg}rect") if bar.get("rx")]
    assert len(bars) == 2
