"""A server under mixed work for a long time: it grows by nothing, and errs in nothing."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from tests.verify.conftest import Proof
from tests.verify.subscribers import Subscriber
from tests.verify.test_faults import Load, Site, loaded, pytestmark, site  # noqa: F401 - fixtures
from tests.verify.test_memory import resident

#: Ten minutes: ``SOAK_SECONDS=600 make verify PYTEST='-k soak'``.
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
EVERY = 1.0
#: The memory of the last quarter is at most so many times that of the second one.
MOST = 1.1


class Sample(NamedTuple):
    """What the serving processes have at a moment."""

    memory: int
    files: int
    connections: int
    """To PostgreSQL, as it counts them."""


def sample(site: Site) -> Sample:  # noqa: F811
    processes = [Path(f"/proc/{pid}") for pid in site.workers()]
    [[connections]] = site.cluster.execute(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    files = sum(len(list((process / "fd").iterdir())) for process in processes)
    return Sample(sum(map(resident, processes)), files, connections)


async def soak(site: Site) -> tuple[list[Sample], Load, int]:  # noqa: F811
    samples: list[Sample] = []
    random, cuts = Random(0), 0
    async with loaded(site, size=100) as (load, subscribers):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(EVERY)
            samples.append(await asyncio.to_thread(sample, site))
            who: Subscriber = random.choice(subscribers)
            who.cut()
            cuts += 1
        await load.end(subscribers)
    return samples, load, cuts


def test_a_soak_leaves_nothing_behind(site: Site, proof: Proof) -> None:  # noqa: F811
    samples, load, cuts = asyncio.run(soak(site))
    assert {it.said for it in load.answers} == {"ok"}
    quarter = len(samples) // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    memory = [median(it.memory for it in some) for some in (before, after)]
    assert memory[1] <= MOST * memory[0], memory
    # One may be opened just then by who was cut off and comes again.
    assert median(it.files for it in after) <= max(it.files for it in before)
    assert median(it.connections for it in after) <= max(it.connections for it in before)
    proof(
        f"a soak of {SECONDS:.0f} s, two processes",
        f"{len(load.answers):,} requests, {len(load.acknowledged):,} of them actions, {cuts}"
        f" connections cut: 0 errors, none missed; memory x{memory[1] / memory[0]:.3f}"
        f" ({memory[1] / 2**20:.0f} MiB), {after[-1].connections} connections to PostgreSQL",
    )


def test_growth_is_found_out() -> None:
    """The negative control of the measure."""
    kept = bytearray()
    before = resident(Path("/proc/self"))
    kept += b"x" * (before // 5)
    assert resident(Path("/proc/self")) > MOST * before
