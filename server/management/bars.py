"""What a command shows while it works: a progress bar for each kind of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[str, int], object]


def console(out: Any) -> Console:
    """A console over a command's ``stdout`` or ``stderr``."""
    out.ending = ""  # rich ends its own lines
    out.style_func = None  # and has colours of its own
    return Console(file=out)


@contextmanager
def bars(console: Console, totals: Mapping[str, int]) -> Iterator[Advance]:
    """A bar for each kind of rows, of so many; gives what is told how many of a kind are done."""
    width = max(map(len, totals), default=0)
    columns = (
        TextColumn(f"{{task.description:{width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {
            kind: progress.add_task(kind, total=total, start=False)
            for kind, total in totals.items()
        }

        def advance(kind: str, done: int) -> None:
            if kind not in tasks:  # there was none when they were counted
                tasks[kind] = progress.add_task(kind, total=None)
            progress.start_task(tasks[kind])
            progress.update(tasks[kind], completed=done)

        yield advance
