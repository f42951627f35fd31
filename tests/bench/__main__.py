"""``python -m tests.bench``: what ``make bench`` runs."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import product, zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console

from . import calls
from .load import Load, LoadError, Measured, drive, fetch
from .report import Case, Report, Run
from .servers import running
from .sides import BROOK, SIDES, Setting, Side
from .worlds import (
    COMPARED,
    FIRST,
    PAGES,
    Page,
    Reference,
    built,
    reference,
    sessions,
)

#: Seconds of load that are not counted: after a start, and before each measurement.
WARM_UP = 2, 0.5


def main() -> None:
    parser = arguments()
    options = parser.parse_args()
    if len({options.database.format(actions=size) for size in options.actions}) < len(
        options.actions
    ):
        parser.error("a DATABASE for several ACTIONS has {actions} in its name")
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.out.glob("*.log"):
        log.unlink()
    secret_key, worlds = secrets.token_hex(), []
    for size in options.actions:
        url = options.database.format(actions=size)
        try:
            worlds.append(built(url, size, secret_key))
        except (psycopg.OperationalError, subprocess.CalledProcessError) as error:
            sys.exit(f"There is no world at {url}: {error}")
    with ExitStack() as stack:
        settings = [
            Setting(world, stack.enter_context(sessions(world)), options.peers, options.brook)
            for world in worlds
        ]
        report = Report(options.seconds, options.pages, [])
        try:
            sides = [
                SIDES[name](setting)
                for name, setting in product(options.sides, settings)
                if SIDES[name].on_sqlite or setting.world.connection.vendor == "postgresql"
            ]
            for name in options.sides:
                if not any(side.name == name for side in sides):
                    console.print(f"Left out is {SIDES[name].title}: it needs PostgreSQL.")
            for side in sides:
                console.print(f"Preparing {side.said}.")
                side.prepare()
            for run in runs(sides, options):
                report.runs.append(run)
                console.print(run.said, soft_wrap=True)
        except KeyboardInterrupt:
            console.print("Interrupted; this is what there is.")
        except LoadError as error:
            sys.exit(str(error))
    if report.runs:
        report.show(console)
        report.write(options.out / "bench.json", options.chart)
        console.print(f"Written: {options.out / 'bench.json'}, {options.chart}.")


def runs(sides: list[Side], options: argparse.Namespace) -> Iterator[Run]:
    """Every measurement, the sides in turns, each page looked at before it is measured."""
    expected = {
        world.actions: {
            page: reference(world, page) for page in world.pages if page.name in options.pages
        }
        for world in {side.world.actions: side.world for side in sides}.values()
    }
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as loads:

        def driven(page: Page, connections: int, seconds: float, warm_up: float) -> Measured:
            request, body = asked[page]
            load = Load(server.address, request, body, connections, seconds, warm_up)
            if connections:
                return loads.submit(drive, load).result()
            with ProcessPoolExecutor(
                1, get_context("spawn"), calls.prepare, (side.world.environment,)
            ) as callers:
                return callers.submit(calls.drive, load).result()

        def measured(page: Page, connections: int) -> Run:
            before = server.cpu()
            found = driven(page, connections, options.seconds, WARM_UP[1])
            cpu = 1000 * (
                (server.cpu() - before) / found.requests
                if connections
                else found.client / found.rate
            )
            case = Case(side.world.actions, side.name, processes, connections, page.name)
            return Run(case, number, found, round(cpu, 3))

        for number in range(options.rounds):
            # There and back, so that what slows the machine down does so to each in turn.
            turns = product(sides if number % 2 == 0 else sides[::-1], options.processes)
            for side, processes in turns:
                log = options.out / f"{side.name}.log"
                due = {
                    page: found
                    for page, found in expected[side.world.actions].items()
                    if found.before is None or side.cursor(found.before)
                }
                if not due:
                    continue
                with running(side, processes, side.world.pages[0], log) as server:
                    asked = {
                        page: checked(side, server.address, page, found)
                        for page, found in due.items()
                    }
                    driven(next(iter(due)), 8, 0, WARM_UP[0])
                    for page, connections in product(due, options.connections):
                        # With less connections than processes, some would have nothing to do.
                        if processes <= connections or (side.in_process and processes == 1):
                            yield measured(page, connections)


def checked(
    side: Side, address: tuple[str, int], page: Page, expected: Reference
) -> tuple[bytes, bytes]:
    """The request for the page, and the body of the answer.

    LoadError where it, or the page behind it, is not the reference's.
    """
    request = side.request(page, expected.before and side.cursor(expected.before))
    body = answer = fetch(address, request)
    for begun in (0, FIRST):
        wanted, seen = expected.rows[begun : begun + FIRST], side.read(answer)
        for ours, theirs in zip_longest(wanted, seen.rows):
            if ours != theirs:
                raise LoadError(
                    f"{side.said} shows another page, {page.title}: {theirs} where {ours} is due."
                )
        if seen.has_next != (len(expected.rows) > begun + FIRST):
            raise LoadError(f"{side.said}, {page.title}: hasNextPage is {seen.has_next}.")
        if begun or not seen.has_next or not side.goes_on(page):
            break
        answer = fetch(address, side.request(page, seen.cursor))
    return request, body


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)

    def some(allowed: Iterable[str]) -> Callable[[str], list[str]]:
        def chosen(text: str) -> list[str]:
            names = list(allowed) if text == "all" else [name.strip() for name in text.split(",")]
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

    add("actions", type=numbers, default=[1_000_000])
    add("sides", type=some(SIDES), default=list(SIDES))
    add("pages", type=some(PAGES), default=list(COMPARED))
    add("processes", type=numbers, default=sorted({1, cores}))
    add("connections", type=numbers, default=[1, 8])
    add("seconds", type=float, default=3)
    add("rounds", type=int, default=3)
    add("database", default="postgres://127.0.0.1:5432/brook_bench_{actions}", help="a URL")
    add("brook", default=BROOK, help="the command that serves Brook (default: %(default)s)")
    add("peers", type=Path, default=Path(".venv-bench"), help="the peers' environment")
    results = Path(__file__).parent / "results"
    add("chart", type=Path, default=results / "bench.svg", help="where the chart is written")
    add("out", type=Path, default=results)
    return parser


if __name__ == "__main__":
    main()
