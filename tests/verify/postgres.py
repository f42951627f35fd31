"""PostgreSQL of a test's own: clusters on loopback, and replicas, ended and started at will."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.verify.conftest import free_port

#: Durable, since a test may end a server at any moment; small, since a machine has other work.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_senders": "4",
    "fsync": "on",
}


class Cluster:
    """A PostgreSQL server with a directory and a port of its own, and trust for everybody here."""

    def __init__(self, directory: Path, wal: Path | None = None, **settings: str) -> None:
        """Make it in a directory that is empty or not there, but not start it.

        Its log of what was written may be elsewhere, in segments of a mebibyte.
        """
        self.directory, self.port = directory, free_port()
        self._settings = SETTINGS | settings
        self._owned(self.directory)
        elsewhere = []
        if wal:
            self._owned(wal)
            elsewhere = [f"--waldir={wal}", "--wal-segsize=1"]
        trusting = ["--auth=trust", "--username=root", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", *trusting, *elsewhere)
        self._configure()

    @property
    def url(self) -> str:
        """For DATABASE_URL."""
        return f"postgres://root@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.directory.with_suffix(".log")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port}"
        self._run("pg_ctl", "start", "--wait", f"--log={self.log}", f"--options={options}")

    def stop(self, mode: str = "fast") -> None:
        """End it, if it runs: ``smart``, ``fast`` (connections are cut) or ``immediate``."""
        if (self.directory / "postmaster.pid").exists():
            self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def kill(self) -> None:
        """End it as a machine does that loses its power."""
        pid = int((self.directory / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """What it answers to a statement, in a connection and a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def replica(self, directory: Path, **settings: str) -> Cluster:
        """A streaming replica of this one, which must run; not started."""
        twin = Cluster.__new__(Cluster)
        twin.directory, twin.port = directory, free_port()
        twin._settings = self._settings | settings
        twin._owned(directory)
        source = f"host=127.0.0.1 port={self.port} user=root"
        twin._run("pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", f"-d{source}")
        twin._configure()
        return twin

    def _owned(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        if os.geteuid() == 0:  # by whom PostgreSQL refuses to be run
            shutil.chown(directory, "postgres", "postgres")
            self.log.touch()
            shutil.chown(self.log, "postgres", "postgres")

    def _configure(self) -> None:
        with (self.directory / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _run(self, program: str, *arguments: str) -> None:
        command = [f"{programs()}/{program}", f"--pgdata={self.directory}", *arguments]
        if os.geteuid() == 0:
            for parent in self.directory.parents:  # pytest's are its user's alone
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                *command,
            ]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
        said = self.log.read_text()[-2000:] if self.log.exists() else ""
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}{said}"


def programs() -> Path:
    """Where PostgreSQL's programs for servers are; the test is skipped if they are nowhere."""
    known = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    found = [*map(Path, os.environ.get("PATH", "").split(os.pathsep)), *known]
    having = [path for path in found if (path / "initdb").exists()]
    if not having:
        pytest.skip("needs PostgreSQL's initdb: it is not on this machine")
    return max(having, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])


@contextmanager
def cluster(directory: Path, **settings: str) -> Iterator[Cluster]:
    """One that runs until the end of the block."""
    made = Cluster(directory, None, **settings)
    with running(made):
        yield made


@contextmanager
def running(made: Cluster) -> Iterator[None]:
    """Start it; at the end of the block it has stopped."""
    made.start()
    try:
        yield
    finally:
        made.stop("immediate")
