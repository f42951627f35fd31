"""A site of django-activity-stream moves over: its rows, its streams, page by page."""

from __future__ import annotations

import json
import signal
import time

from tests.verify.conftest import Proof
from tests.verify.older_site import Sites


def test_a_site_moves_over_interrupted_and_its_streams_are_the_same_page_by_page(
    older: Sites, proof: Proof
) -> None:
    there = older.older("make")
    assert there["actions"] == 100_000
    assert there["follows"] == 10_000
    older.brook("manage.py", "migrate", "--run-syncdb", "--verbosity", "0")

    began = time.monotonic()
    process = older.start("manage.py", "import_actstream")
    while older.number("SELECT COUNT(*) FROM activity_action") < 10_000:
        assert process.poll() is None, "It ended before it could be interrupted."
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    killed_at = older.number("SELECT COUNT(*) FROM activity_action")
    assert 10_000 <= killed_at < 90_000

    said = older.brook("manage.py", "import_actstream")
    seconds = time.monotonic() - began
    wanted = there["actions"] - there["lost"]
    assert f"{killed_at:,} were there already, {there['lost']} are left out:" in said
    for why in (
        "target: site.diary is not registered here",
        "target: this site has no model gone.thing",
        "description: out of bounds",
        "data: out of bounds",
        "timestamp: out of bounds",
    ):
        assert why in said, said
    assert older.number("SELECT COUNT(*) FROM activity_action") == wanted
    assert older.number("SELECT COUNT(*) FROM activity_follow") == there["follows"]
    distinct = "SELECT COUNT(DISTINCT idempotency_key) FROM activity_action"
    assert older.number(distinct) == wanted
    again = older.brook("manage.py", "import_actstream")
    assert f"100,000 actions read: 0 are new, {wanted:,} were there already" in again
    assert "10,000 follows read: 0 are new, 10,000 were there already" in again

    theirs = older.older("streams")
    path = older.directory / "ours.json"
    older.brook("-m", "tests.verify.newer", str(older.directory / "answer.json"), str(path))
    ours = json.loads(path.read_text())
    assert [stream[:3] for stream in ours] == [stream[:3] for stream in theirs]
    for mine, its in zip(ours, theirs, strict=True):
        assert mine == its, f"The {its[0]} of {its[1]} {its[2]} differs."
    pages = sum(len(stream[3]) for stream in theirs)
    rows = sum(len(page) for stream in theirs for page in stream[3])
    assert rows > 10_000
    kinds = {stream[0] for stream in theirs if stream[3]}
    assert len(kinds) == 6, kinds
    proof(
        "from django-activity-stream",
        f"{wanted:,} actions and {there['follows']:,} follows in {seconds:.0f} s, killed at "
        f"{killed_at:,}; {len(theirs)} streams, {pages:,} pages, {rows:,} rows equal",
    )
