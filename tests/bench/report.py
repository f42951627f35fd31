"""What was found: medians and ratios, as tables, JSON and a chart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .load import Measured
from .sides import SIDES
from .worlds import DEEP, PAGES


class Case(NamedTuple):
    """What is measured."""

    actions: int
    side: str
    processes: int
    connections: int
    page: str


@dataclass(frozen=True)
class Run:
    """One measurement."""

    case: Case
    round: int
    measured: Measured
    cpu: float
    """Milliseconds that the server has computed for a request, without PostgreSQL."""

    @property
    def said(self) -> str:
        case = self.case
        return (
            f"{self.round + 1}. {SIDES[case.side].title}, {case.actions:,} actions, "
            f"{_each(case)}, {PAGES[case.page].title}: "
            f"{_number(self.measured.rate)} a second, p50 {_number(self.measured.p50)} ms, "
            f"{self.cpu:.2f} ms of CPU (the load: {self.measured.client:.0%} of a core)"
        )

    def value(self, of: str) -> float:
        return self.cpu if of == "cpu" else float(getattr(self.measured, of))


@dataclass
class Report:
    """All measurements of a bench."""

    seconds: float
    pages: list[str]
    runs: list[Run]

    def median(self, case: Case, of: str) -> float:
        """Over the rounds; not a number where nothing was measured."""
        found = self._rounds(case, of).values()
        return median(found) if found else float("nan")

    def ratio(self, case: Case, by: Case, of: str) -> float:
        """The median of the ratios within each round."""
        ours, theirs = self._rounds(case, of), self._rounds(by, of)
        found = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys()]
        return median(found) if found else float("nan")

    def _rounds(self, case: Case, of: str) -> dict[int, float]:
        return {run.round: run.value(of) for run in self.runs if run.case == case}

    def brook_by_it(self, case: Case) -> float:
        """What Brook answers in the time of one answer of another side."""
        if case.side == "brook":
            return float("nan")
        return self.ratio(case._replace(side="brook"), case, "rate")

    def by_smallest(self, case: Case) -> float:
        """How many times as long as in the smallest world a page takes."""
        smallest = self.sizes()[0]
        if case.actions == smallest:
            return float("nan")
        return self.ratio(case, case._replace(actions=smallest), "p50")

    def by_first(self, case: Case) -> float:
        """How many times as long as the first page of its stream a deep page takes."""
        first = DEEP.get(case.page)
        return self.ratio(case, case._replace(page=first), "p50") if first else float("nan")

    def sizes(self) -> list[int]:
        return sorted({run.case.actions for run in self.runs})

    def configurations(self) -> list[tuple[int, int]]:
        return sorted({(run.case.processes, run.case.connections) for run in self.runs})

    def sides(self) -> list[str]:
        return [name for name in SIDES if any(run.case.side == name for run in self.runs)]

    def cases(self, actions: int, processes: int, connections: int) -> list[list[Case]]:
        """Of each page, all sides."""
        return [
            [Case(actions, side, processes, connections, page) for side in self.sides()]
            for page in self.pages
        ]

    def show(self, console: Console) -> None:
        smallest = self.sizes()[0]
        for size, (processes, connections) in product(self.sizes(), self.configurations()):
            cases = self.cases(size, processes, connections)
            shown = [
                ("Answers a second", lambda case: self.median(case, "rate")),
                ("Times Brook: its rate by the other's", self.brook_by_it),
            ]
            if connections <= 1:
                shown += [
                    ("Milliseconds, p50", lambda case: self.median(case, "p50")),
                    (f"p50 by that of {smallest:,} actions", self.by_smallest),
                    ("p50 by that of the first page", self.by_first),
                ]
            elif processes == 1:
                title = "Milliseconds of the server's CPU a request"
                shown.append((title, lambda case: self.median(case, "cpu")))
            for title, value in shown:
                table = _table(cases, value)
                if table.row_count:
                    console.print(f"\n{title}: {size:,} actions, {_each(cases[0][0])}")
                    console.print(table)

    def write(self, figures: Path, picture: Path) -> None:
        """All that was found as JSON, and the rates of the largest configuration as an SVG."""
        medians = [
            {
                **case._asdict(),
                **{
                    of: self.median(case, of)
                    for of in ("rate", "p50", "p90", "p99", "cpu", "client")
                },
                "brook_by_it": self.brook_by_it(case),
                "p50_by_smallest": self.by_smallest(case),
                "p50_by_first": self.by_first(case),
            }
            for size, configuration in product(self.sizes(), self.configurations())
            for row in self.cases(size, *configuration)
            for case in row
            if self.median(case, "rate") > 0
        ]
        found: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "actions": self.sizes(),
            "seconds": self.seconds,
            "rounds": len({run.round for run in self.runs}),
            "medians": medians,
            "runs": [{**asdict(run), "case": run.case._asdict()} for run in self.runs],
        }
        # What was not measured is null: JSON has no NaN.
        known = json.loads(json.dumps(found), parse_constant=lambda _: None)
        figures.write_text(json.dumps(known, indent=1) + "\n")
        cases = self.cases(self.sizes()[0], *self.configurations()[-1])
        groups = [
            (
                PAGES[row[0].page].title,
                [(SIDES[case.side].title, self.median(case, "rate")) for case in row],
            )
            for row in cases
        ]
        said = f"{self.sizes()[0]:,} actions, {_each(cases[0][0])}"
        picture.write_text(chart("Pages of 20 actions a second", said, groups))


#: For light and for dark surroundings: the ground, the text, what is said by the way.
SHADES = {"light": ("#ffffff", "#1f2328", "#59636e"), "dark": ("#0d1117", "#e6edf3", "#9198a1")}
#: Brook's bar, and those of the others; seen on both grounds.
OURS, THEIRS = "#2f81f7", "#8b949e"
LABELS, BARS, COLUMN, LINE = 165, 200, 430, 17


def chart(title: str, said: str, groups: Iterable[tuple[str, list[tuple[str, float]]]]) -> str:
    """Bars, longer for more; each group to its own scale, for they are orders apart."""
    pieces = [
        (name, known)
        for name, bars in groups
        if (known := [(side, rate) for side, rate in bars if rate == rate])
    ]
    lines: list[str] = []
    y = 68
    for at in range(0, len(pieces), 2):
        pair = pieces[at : at + 2]
        for column, (name, bars) in enumerate(pair):
            lines.append(f'<g transform="translate({16 + column * COLUMN} {y})">')
            lines += [*_group(name, bars), "</g>"]
        y += LINE * (max(len(bars) for _, bars in pair) + 1) + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * COLUMN + 16} {y}"'
        f' role="img" aria-label="{escape(title)}: {escape(said)}">\n<style>\n'
        "text { font: 11.5px system-ui, sans-serif }\n"
        ".ours, .group, .title { font-weight: 600 }\n"
        ".title { font-size: 16px }\n"
        f"{_shade('light')}\n@media (prefers-color-scheme: dark) {{\n{_shade('dark')}\n}}\n"
        '</style>\n<rect class="ground" width="100%" height="100%"/>\n'
        f'<text class="title" x="16" y="28">{escape(title)}</text>\n'
        f'<text class="aside" x="16" y="47">{escape(said)}</text>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _group(name: str, bars: list[tuple[str, float]]) -> Iterator[str]:
    longest = max(rate for _, rate in bars)
    yield f'<text class="group" y="{LINE - 5}">{escape(name)}</text>'
    for number, (side, rate) in enumerate(bars, 1):
        y = number * LINE + 2
        kind = ' class="ours"' if side == SIDES["brook"].title else ""
        # Nobody runs this one: it says how far the others are from what could be.
        fill = f'"{OURS if kind else THEIRS}"'
        if side == SIDES["ceiling"].title:
            fill = f'"none" stroke={fill}'
        width = max(2, round(BARS * rate / longest))
        yield (
            f'<text{kind} x="{LABELS}" y="{y + LINE - 5}" text-anchor="end">{escape(side)}</text>'
        )
        yield (
            f'<rect x="{LABELS + 8}" y="{y + 2}" width="{width}" height="{LINE - 5}" rx="2"'
            f" fill={fill}/>"
        )
        yield (f'<text{kind} x="{LABELS + 14 + width}" y="{y + LINE - 5}">{_number(rate)}</text>')


def _shade(name: str) -> str:
    ground, words, aside = SHADES[name]
    return f".ground {{ fill: {ground} }} text {{ fill: {words} }} .aside {{ fill: {aside} }}"


def _table(cases: list[list[Case]], value: Callable[[Case], float]) -> Table:
    """A row for each page and a column for each side that have a value."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    rows = [(row[0].page, [value(case) for case in row]) for row in cases]
    sides = [at for at in range(len(cases[0])) if any(of[at] == of[at] for _, of in rows)]
    for at in sides:
        table.add_column(SIDES[cases[0][at].side].title, justify="right")
    for page, of in rows:
        if any(of[at] == of[at] for at in sides):
            table.add_row(PAGES[page].title, *(_number(of[at]) for at in sides))
    return table


def _number(number: float) -> str:
    if number != number:
        return "-"
    return (
        f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
    )


def _each(case: Case) -> str:
    if not case.connections:
        return "called in process"
    return f"{_count(case.processes, 'process')} a side, {_count(case.connections, 'connection')}"


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 'es' if of.endswith('s') else 's'}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
