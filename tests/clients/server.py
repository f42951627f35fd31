"""The server of a site, and Node as the browser of who visits it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sites import environment

HERE = Path(__file__).parent


def needs(program: str) -> pytest.MarkDecorator:
    """Leave a test out where a program of Node's is not there."""
    return pytest.mark.skipif(
        not shutil.which(program), reason=f"needs Node: there is no {program} on the PATH"
    )


@contextmanager
def serving(directory: Path, site: str) -> Iterator[str]:
    """The address of the site's server, on a port that is free, until the block ends."""
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "schema.asgi:application", "--port", "0"],
        cwd=directory,
        env=environment(directory, site),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stderr
        try:
            said = ""
            while not (address := re.search(r"running on (http://127\.0\.0\.1:\d+)", said)):
                line = server.stderr.readline()
                assert line, f"The server does not start.\n{said}"
                said += line
            yield address[1]
        finally:
            server.terminate()


def node(
    *command: str,
    cwd: Path,
    origin: str = "",
    session: str = "",
    env: dict[str, str] | None = None,
) -> str:
    """What a command of Node's prints; ``fetch`` is that of a page of the site at ``origin``."""
    done = subprocess.run(
        ["node", "--import", str(HERE / "browser.mjs"), *command],
        cwd=cwd,
        env={**(env or os.environ), "ORIGIN": origin, "SESSION": session},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
