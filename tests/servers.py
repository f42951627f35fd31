"""Servers of a test's own, as ``python -m server`` starts them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from tests.sites import manage

Found = TypeVar("Found")
SETTINGS = """\
from server.settings import *
ROOT_URLCONF = "site_urls"
"""
URLS = '''\
"""A site whose requests take as long as a test likes."""
import os
import time
from pathlib import Path
from django.http import HttpResponse
from django.urls import path
from schema.urls import urlpatterns

def pid(request):
    return HttpResponse(str(os.getpid()))

def slow(request):
    Path("begun").touch()
    while not Path("enough").exists():
        time.sleep(0.01)
    return HttpResponse("done")

def stuck(request):
    time.sleep(100_000)

def seen(request):
    return HttpResponse(f"{request.META['REMOTE_ADDR']} {request.scheme}")

urlpatterns = [
    path("pid", pid), path("slow", slow), path("stuck", stuck), path("seen", seen), *urlpatterns
]
'''
#: Seconds in which whatever is waited for is there, however busy the machine.
PATIENCE = 180.0


@dataclass
class Server:
    """One that runs, and what it says."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def address(self) -> str:
        """Where it listens: an address of HTTP, or ``unix:`` a path."""
        found = re.search(r"Brook serves .* at (\S+), by", self.said)
        assert found, self.said
        return found[1]

    def answers(self) -> bool:
        """Whether its processes do; they answer what they do not know, too."""
        assert self.process.poll() is None, self.said
        try:
            with self.client() as client:
                return bool(client.get("/nowhere", timeout=2).status_code)
        except (httpx.TransportError, AssertionError):
            return False

    def client(self) -> httpx.Client:
        """Which connects anew each time."""
        limits = httpx.Limits(max_keepalive_connections=0)
        if not self.address.startswith("unix:"):
            return httpx.Client(base_url=self.address, limits=limits, timeout=PATIENCE)
        path = self.log.parent / self.address.removeprefix("unix:")
        transport = httpx.HTTPTransport(uds=str(path), limits=limits)
        return httpx.Client(base_url="http://localhost", transport=transport, timeout=PATIENCE)

    def end(self) -> int:
        """Tell it to stop, and wait; its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def serving(
    environment: Mapping[str, str],
    directory: Path,
    *words: str,
    python: str = sys.executable,
    user: int | None = None,
) -> Iterator[Server]:
    """A server from when it answers until the block ends, by a free port if PORT says no other."""
    log = directory / f"{'-'.join(('server', *words))}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [python, "-m", "server", *words],
            cwd=directory,
            env={"PORT": "0", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
        )
    server = Server(process, log)
    try:
        until(server.answers)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], Found | None]) -> Found:
    """Wait for what is true of something, and have it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"Not in {PATIENCE:.0f} s."
        time.sleep(0.05)
    return found


def site_of(directory: Path) -> Path:
    """A site in a directory, with a database, whose requests take as long as a test likes."""
    (directory / "site_settings.py").write_text(SETTINGS)
    (directory / "site_urls.py").write_text(URLS)
    done = manage(directory, "migrate", "--verbosity", "0")
    assert done.returncode == 0, done.stderr
    return directory


def is_refused(address: str) -> bool:
    """Whether nobody listens at an address."""
    host, _, port = address.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # let go by one that is just leaving
        return False
    return False
