"""``python -m tests.bench``: what ``make bench`` runs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product, zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from .load import Load, LoadError, Measured, drive, fetch
from .report import Report, Run
from .servers import running
from .sides import BROOK, SIDES, Setting, Side
from .worlds import FIRST, PAGES, Page, Row, built, reference, sessions

#: Seconds of load that are not counted: after a start, and before each measurement.
WARM_UP = 2, 0.5


def main() -> None:
    options = arguments().parse_args()
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.out.glob("*.log"):
        log.unlink()
    url = options.database or f"postgres://127.0.0.1:5432/brook_bench_{options.actions}"
    try:
        world = built(url, options.actions)
    except (psycopg.OperationalError, subprocess.CalledProcessError) as error:
        sys.exit(f"There is no world at {url}: {error}")
    with sessions(world) as cookies:
        setting = Setting(world, cookies, options.peers, options.brook)
        report = Report(options.actions, options.seconds, [], [])
        report.pages = [page for page in world.pages if page.name in options.pages]
        try:
            sides = [SIDES[name](setting) for name in options.sides]
            for side in sides:
                console.print(f"Preparing {side.title}.")
                side.prepare()
            for run in runs(sides, report.pages, options):
                report.runs.append(run)
                console.print(run.said, soft_wrap=True)
        except KeyboardInterrupt:
            console.print("Interrupted; this is what there is.")
        except LoadError as error:
            sys.exit(str(error))
    if report.runs:
        report.show(console)
        report.write(options.out)
        console.print(f"Written: {options.out / 'bench.json'}, {options.out / 'bench.svg'}.")


def runs(sides: list[Side], pages: list[Page], options: argparse.Namespace) -> Iterator[Run]:
    """Every measurement, the sides in turns, each page looked at before it is measured."""
    expected = {page: reference(sides[0].world, page) for page in pages}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loads:

        def driven(page: Page, connections: int, seconds: float, warm_up: float) -> Measured:
            request, body = side.request(page), bodies[page]
            load = Load(server.address, request, body, connections, seconds, warm_up)
            return loads.submit(drive, load).result()

        def measured(page: Page, connections: int) -> Run:
            before = server.cpu()
            found = driven(page, connections, options.seconds, WARM_UP[1])
            cpu = 1000 * (server.cpu() - before) / found.requests
            return Run(side.name, processes, connections, page.name, number, found, round(cpu, 3))

        for number in range(options.rounds):
            # There and back, so that what slows the machine down does so to each in turn.
            turns = product(sides if number % 2 == 0 else sides[::-1], options.processes)
            for side, processes in turns:
                log = options.out / f"{side.name}.log"
                with running(side, processes, pages[0], log) as server:
                    bodies = {
                        page: checked(side, server.address, page, expected[page]) for page in pages
                    }
                    driven(pages[0], 8, 0, WARM_UP[0])
                    for page, connections in product(pages, options.connections):
                        if processes <= connections:  # Else some would have nothing to do.
                            yield measured(page, connections)


def checked(side: Side, address: tuple[str, int], page: Page, expected: list[Row]) -> bytes:
    """The body of the page; LoadError where it, or the page behind it, is not the reference's."""
    body = fetch(address, side.request(page))
    after = None
    for wanted in (expected[:FIRST], expected[FIRST : 2 * FIRST]):
        seen = side.read(body if after is None else fetch(address, side.request(page, after)))
        for ours, theirs in zip_longest(wanted, seen.rows):
            if ours != theirs:
                raise LoadError(
                    f"{side.title} shows another page, {page.title}: {theirs} where {ours} is due."
                )
        begun = 0 if after is None else FIRST
        if seen.has_next != (len(expected) > begun + FIRST):
            raise LoadError(f"{side.title}, {page.title}: hasNextPage is {seen.has_next}.")
        after = seen.cursor
        if not seen.has_next or not side.goes_on(page):
            break
    return body


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)

    def some(allowed: Iterable[str]) -> Callable[[str], list[str]]:
        def chosen(text: str) -> list[str]:
            names = [name.strip() for name in text.split(",")]
            for name in names:
                if name not in allowed:
                    raise argparse.ArgumentTypeError(f"{name!r}: there are {', '.join(allowed)}")
            return names

        return chosen

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    cores = os.cpu_count() or 1

    def add(name: str, **what: Any) -> None:
        # As make has them: SECONDS=3 is --SECONDS=3.
        parser.add_argument(f"--{name.upper()}", dest=name, **what)

    add("actions", type=int, default=1_000_000)
    add("sides", type=some(SIDES), default=list(SIDES))
    add("pages", type=some(PAGES), default=list(PAGES))
    add("processes", type=numbers, default=sorted({1, cores}))
    add("connections", type=numbers, default=[1, 8])
    add("seconds", type=float, default=3)
    add("rounds", type=int, default=3)
    add("database", help="a URL; a database of its own on this machine, when left out")
    add("brook", default=BROOK, help="the command that serves Brook (default: %(default)s)")
    add("peers", type=Path, default=Path(".venv-bench"), help="the peers' environment")
    add("out", type=Path, default=Path(__file__).parent / "results")
    return parser


if __name__ == "__main__":
    main()
