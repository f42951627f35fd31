"""Where the processes of one server keep their numbers, and what becomes of those of the dead.

Each process counts in files of its own, which prometheus_client keeps in a directory and adds up.
A process holds a lock as long as it lives, so that nobody need guess by its number.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: So many bytes of names are kept of processes that are no more.
MOST_INHERITED = 4 * 1024 * 1024

_held: list[IO[bytes]] = []


def share() -> None:
    """Count where the other processes do, if there are several; before there are any metrics.

    PROMETHEUS_MULTIPROC_DIR says where; by default, in the directory for temporary files, what has
    the number of the process that started them all. Raises ImproperlyConfigured where that is not
    ours alone.
    """
    if settings.WEB_CONCURRENCY > 1:
        mine = f"brook-{os.getuid()}-{os.getppid()}"
        os.environ.setdefault(VARIABLE, str(Path(tempfile.gettempdir()) / mine))
    directory = shared()
    if directory is None:
        return
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            raise PermissionError(f"{directory} is somebody else's")
        with _locked(directory):
            _held.append(_lock(directory / f"{os.getpid()}.lock"))
    except OSError as error:
        raise ImproperlyConfigured(
            f"The numbers for /metrics cannot be kept: {error}. {VARIABLE} names a directory for "
            "this server alone."
        ) from error


def shared() -> Path | None:
    """The directory, where several processes count in one."""
    directory = os.environ.get(VARIABLE)
    return Path(directory) if directory else None


@contextmanager
def settled(directory: Path) -> Iterator[None]:
    """Within the block the files are those of the living, and what the dead have left to all."""
    with _locked(directory):
        for lock in directory.glob("*.lock"):
            if lock.stem.isdigit() and (file := _free(lock)) is not None:
                with file:
                    _bury(directory, lock.stem)
                    lock.unlink()
        yield


def _bury(directory: Path, pid: str) -> None:
    """Add what a process has counted to what the dead before it have; its gauges are no more."""
    from prometheus_client.mmap_dict import MmapedDict

    for path in directory.glob(f"*_{pid}.db"):
        kind = path.name.partition("_")[0]
        if kind != "gauge":
            heir = directory / f"{kind}_0.db"
            there = MmapedDict(str(heir))
            known = {key for key, *_ in there.read_all_values()}
            is_full = heir.stat().st_size > MOST_INHERITED
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
                if key in known or not is_full:
                    there.write_value(key, there.read_value(key)[0] + value, 0.0)
            there.close()
        path.unlink()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with _lock(directory / "all.lock"):
        yield


def _lock(path: Path) -> IO[bytes]:
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _free(path: Path) -> IO[bytes] | None:
    """A lock that nobody holds, held."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
