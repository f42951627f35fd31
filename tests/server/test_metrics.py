"""What is counted: names, bounds, and several processes together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families as parsed

from server import gauges, ledgers, metrics
from server.metrics import MOST_NAMES, OTHERS, UNNAMED, Names

COUNTING = """
import sys, django
from server import ledgers
ledgers.share()
django.setup()
from server import gauges, metrics
for _ in range(5):
    metrics.request("200")
metrics.OPERATION_COST.labels("query").observe(30)
gauges.look()
print("counted", flush=True)
sys.stdin.read()
"""


def test_the_table_of_metrics_is_the_one_that_is_exposed() -> None:
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    marked = re.search(r"<!-- metrics -->\n(.*?)\n<!-- /metrics -->", text, re.DOTALL)
    assert marked
    assert marked[1] == table()


def table() -> str:
    """Every metric of ours, as the document has it."""
    rows = ["| name | type | labels | what |", "| --- | --- | --- | --- |"]
    ours: dict[str, Any] = {}
    for metric in [*vars(metrics).values(), *vars(gauges).values()]:
        for family in metric.describe() if hasattr(metric, "_labelnames") else ():
            ours[family.name] = family, metric._labelnames
    for name, (family, labels) in sorted(ours.items()):
        named = name + ("_total" if family.type == "counter" else "")
        said = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{named}` | {family.type} | {said} | {family.documentation} |")
    return "\n".join(rows)


def test_every_metric_of_ours_says_so_by_its_name() -> None:
    ours = [it for it in REGISTRY.collect() if not it.name.startswith(("python_", "process_"))]
    assert [it.name for it in ours if not it.name.startswith("brook_")] == []


def test_an_alert_asks_for_metrics_that_there_are() -> None:
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"\bbrook_\w+", "".join(re.findall(r"`[^`]*brook_[^`]*`", text))))
    there = set(re.findall(r"`(brook_\w+)`", table()))
    suffixes = ("", "_bucket", "_sum", "_count")
    assert asked <= {name + suffix for name in there for suffix in suffixes}


def test_names_that_clients_invent_are_bounded() -> None:
    names = Names("Registered")
    labels = {names.label(f"Invented{number}", True) for number in range(1000)}
    assert len(labels) == MOST_NAMES + 1
    assert OTHERS in labels
    assert names.label("Registered", False) == "Registered"
    assert names.label(None, True) == names.label("", True) == UNNAMED


def test_only_a_good_operation_has_its_name_told_apart() -> None:
    names = Names()
    assert names.label("Wrong", False) == OTHERS
    assert names.label("N" * 101, True) == OTHERS
    assert names.label("Right", True) == names.label("Right", False) == "Right"


class Process:
    """One that counts five requests in a directory, and lives on."""

    def __init__(self, directory: Path) -> None:
        environment = {
            **os.environ,
            ledgers.VARIABLE: str(directory),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": str(settings.BASE_DIR),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", COUNTING],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "counted\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def numbers(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[float, float, float]:
    """Requests, sums of costs, and processes."""
    monkeypatch.setenv(ledgers.VARIABLE, str(directory))
    samples = [it for family in parsed(metrics.text().decode()) for it in family.samples]
    found = {it.name: it.value for it in samples}
    names = ("brook_requests_total", "brook_operation_cost_sum", "brook_processes")
    first, second, third = (found.get(name, 0) for name in names)
    return first, second, third


@pytest.mark.apart
def test_processes_add_up_also_when_they_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = [Process(tmp_path) for _ in range(3)]
    try:
        for process in processes:
            process.begin()
        assert numbers(tmp_path, monkeypatch) == (15, 90, 3)
        processes[0].kill()
        assert numbers(tmp_path, monkeypatch) == (15, 90, 2)
        assert numbers(tmp_path, monkeypatch) == (15, 90, 2)
        processes[1].kill()
        processes.append(Process(tmp_path))
        processes[3].begin()
        assert numbers(tmp_path, monkeypatch) == (20, 120, 2)
    finally:
        for process in processes:
            process.kill()
    assert numbers(tmp_path, monkeypatch) == (20, 120, 0)
    # Of all that are dead one file is left for each kind.
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"all.lock", "counter_0.db", "histogram_0.db"}


def test_a_directory_that_is_somebody_elses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").symlink_to(tmp_path)
    monkeypatch.setenv(ledgers.VARIABLE, str(tmp_path / "theirs"))
    with pytest.raises(ImproperlyConfigured, match="somebody else's"):
        ledgers.share()
    monkeypatch.setenv(ledgers.VARIABLE, str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="cannot be kept"):
        ledgers.share()
