"""What was found: medians and ratios, as tables, JSON and a chart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .load import Measured
from .sides import SIDES
from .worlds import PAGES, Page


@dataclass(frozen=True)
class Run:
    """One measurement."""

    side: str
    processes: int
    connections: int
    page: str
    round: int
    measured: Measured
    cpu: float
    """Milliseconds that the server has computed for a request, without PostgreSQL."""

    @property
    def said(self) -> str:
        return (
            f"{self.round + 1}. {SIDES[self.side].title}, {_count(self.processes, 'process')}, "
            f"{_count(self.connections, 'connection')}, {PAGES[self.page][0]}: "
            f"{_number(self.measured.rate)} a second, p50 {_number(self.measured.p50)} ms, "
            f"{self.cpu:.2f} ms of CPU (the load: {self.measured.client:.0%} of a core)"
        )


@dataclass
class Report:
    """All measurements of a bench."""

    actions: int
    seconds: float
    pages: list[Page]
    runs: list[Run]

    def median(self, side: str, processes: int, connections: int, page: str, of: str) -> float:
        """Over the rounds; not a number where nothing was measured."""
        asked = (side, processes, connections, page)
        found = [
            run.cpu if of == "cpu" else getattr(run.measured, of)
            for run in self.runs
            if (run.side, run.processes, run.connections, run.page) == asked
        ]
        return median(found) if found else float("nan")

    def configurations(self) -> list[tuple[int, int]]:
        return sorted({(run.processes, run.connections) for run in self.runs})

    def sides(self) -> list[str]:
        return [name for name in SIDES if any(run.side == name for run in self.runs)]

    def show(self, console: Console) -> None:
        for processes, connections in self.configurations():
            said = f"{_count(processes, 'process')} a side, {_count(connections, 'connection')}"
            console.print(self._table(f"Answers a second: {said}", processes, connections, "rate"))
            if connections == 1:
                title = f"Milliseconds, p50: {said}"
                console.print(self._table(title, processes, connections, "p50"))
            elif processes == 1:
                title = f"Milliseconds of the server's CPU a request: {said}"
                console.print(self._table(title, processes, connections, "cpu"))
            if "brook" in self.sides() and len(self.sides()) > 1:
                console.print(self._ratios(f"Times Brook: {said}", processes, connections))

    def _table(self, title: str, processes: int, connections: int, of: str) -> Table:
        table = self._empty(title)
        for side in self.sides():
            cells = (
                _number(self.median(side, processes, connections, page.name, of))
                for page in self.pages
            )
            table.add_row(SIDES[side].title, *cells)
        return table

    def _ratios(self, title: str, processes: int, connections: int) -> Table:
        """What Brook answers in the time of one answer of the other."""
        table = self._empty(title)
        for side in self.sides():
            if side != "brook":
                cells = (
                    f"{self.ratio(side, processes, connections, page.name):.2f}"
                    for page in self.pages
                )
                table.add_row(f"Brook ÷ {SIDES[side].title}", *cells)
        return table

    def ratio(self, side: str, processes: int, connections: int, page: str) -> float:
        """Brook's rate by the side's: the median of the ratios within each round."""

        def rates(name: str) -> dict[int, float]:
            asked = (name, processes, connections, page)
            return {
                run.round: run.measured.rate
                for run in self.runs
                if (run.side, run.processes, run.connections, run.page) == asked
            }

        ours, theirs = rates("brook"), rates(side)
        found = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys()]
        return median(found) if found else float("nan")

    def _empty(self, title: str) -> Table:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        for page in self.pages:
            table.add_column(page.title.replace(", ", ",\n"), justify="right", no_wrap=True)
        return table

    def write(self, directory: Path) -> None:
        """``bench.json`` and ``bench.svg``."""
        medians = [
            {
                "side": side,
                "processes": processes,
                "connections": connections,
                "page": page.name,
                **{
                    of: self.median(side, processes, connections, page.name, of)
                    for of in ("rate", "p50", "p90", "p99", "cpu", "client")
                },
                "brook_by_it": self.ratio(side, processes, connections, page.name),
            }
            for side in self.sides()
            for processes, connections in self.configurations()
            for page in self.pages
            if self.median(side, processes, connections, page.name, "rate") > 0
        ]
        found: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {
                "processor": _processor(),
                "cores": os.cpu_count(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "actions": self.actions,
            "seconds": self.seconds,
            "rounds": len({run.round for run in self.runs}),
            "medians": medians,
            "runs": [asdict(run) for run in self.runs],
        }
        # What was not measured is null: JSON has no NaN.
        known = json.loads(json.dumps(found), parse_constant=lambda _: None)
        (directory / "bench.json").write_text(json.dumps(known, indent=1) + "\n")
        processes, connections = self.configurations()[-1]
        title = (
            f"Pages of 20 actions a second, {self.actions:,} actions: "
            f"{_count(processes, 'process')} a side, {_count(connections, 'connection')}"
        )
        groups = [
            (
                page.title,
                [
                    (
                        SIDES[side].title,
                        self.median(side, processes, connections, page.name, "rate"),
                    )
                    for side in self.sides()
                ],
            )
            for page in self.pages
        ]
        (directory / "bench.svg").write_text(chart(title, groups))


COLOURS = ("#1f6feb", "#8b949e", "#d29922", "#bf8700", "#2da44e", "#a371f7", "#cf222e")
LABELS, BARS, LINE = 190, 480, 16


def chart(title: str, groups: Iterable[tuple[str, list[tuple[str, float]]]]) -> str:
    """Bars, longer for more; each group to its own scale, for they are orders apart."""
    lines: list[str] = []
    y = 40

    def text(x: int, said: str, more: str = "") -> None:
        lines.append(f'<text x="{x}" y="{y + LINE - 4}"{more}>{escape(said)}</text>')

    for name, bars in groups:
        text(10, name, ' font-weight="bold"')
        y += LINE + 2
        longest = max((rate for _, rate in bars if rate == rate), default=1)
        for colour, (side, rate) in zip(COLOURS, bars, strict=False):
            if rate == rate:
                width = max(1, round(BARS * rate / longest))
                text(LABELS, side, ' text-anchor="end"')
                lines.append(
                    f'<rect x="{LABELS + 8}" y="{y + 2}" width="{width}" height="{LINE - 4}"'
                    f' rx="2" fill="{colour}"/>'
                )
                text(LABELS + 14 + width, _number(rate))
                y += LINE
        y += 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABELS + BARS + 80} {y}"'
        ' font-family="system-ui, sans-serif" font-size="11" fill="#24292f" role="img"'
        f' aria-label="{escape(title)}">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="10" y="22" font-size="14">{escape(title)}</text>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _number(number: float) -> str:
    if number != number:
        return "-"
    return (
        f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
    )


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 'es' if of.endswith('s') else 's'}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
