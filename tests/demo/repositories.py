"""Git repositories, small ones, with whatever history a test needs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Some day in 2026, in seconds since 1970.
START = 1_767_225_600


class Repository:
    """A git repository with nothing in it yet; HEAD is the branch "main"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commits = 0
        subprocess.run(["git", "init", "--quiet", str(path)], check=True, env=environment())
        self.git("symbolic-ref", "HEAD", "refs/heads/main")

    def git(self, *arguments: str, stream: bytes = b"") -> str:
        """What a git command answers."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            input=stream,
            capture_output=True,
            check=True,
            env=environment(),
        )
        return os.fsdecode(done.stdout).strip()

    def commit(
        self,
        subject: str = "Go on",
        author: str | bytes = "Ada Lovelace",
        *,
        at: int | None = None,
        branch: str = "main",
        merge: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Commit on a branch, a minute after the last one; returns the sha.

        Without ``files`` it changes none. A new branch begins at HEAD, if there is one.
        """
        tip = self.tip(branch) or self.tip("main")
        at = START + 60 * self.commits if at is None else at
        self.commits += 1
        name = author if isinstance(author, bytes) else author.encode()
        message = subject.encode()
        lines = [
            b"commit refs/heads/" + branch.encode(),
            b"author " + name + b" <author@example.org> %d +0000" % at,
            b"committer A Robot <robot@example.org> %d +0100" % at,
            b"data %d\n" % len(message) + message,
            *([b"from " + tip.encode()] if tip else []),
            *(b"merge " + sha.encode() for sha in merge),
        ]
        for path, text in (files or {}).items():
            lines += [b"M 100644 inline " + quoted(path), b"data %d\n" % len(text) + text.encode()]
        self.git("fast-import", "--quiet", "--force", stream=b"\n".join(lines) + b"\n")
        sha = self.tip(branch)
        assert sha
        return sha

    def tip(self, branch: str) -> str | None:
        shas = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return shas or None

    def tag(self, name: str, commit: str = "main") -> None:
        """A lightweight tag."""
        self.git("tag", name, commit)

    def release(self, name: str, by: str, message: str, *, at: int, commit: str = "main") -> None:
        """An annotated tag."""
        lines = (
            f"tag {name}",
            f"from {self.git('rev-parse', commit)}",
            f"tagger {by} <tagger@example.org> {at} +0000",
            f"data {len(message.encode())}",
            f"{message}\n",
        )
        self.git("fast-import", "--quiet", stream="\n".join(lines).encode())

    def shas(self, *arguments: str) -> list[str]:
        """Commits as ``git rev-list`` names them, "main" if nothing else is asked for."""
        return self.git("rev-list", *(arguments or ["main"])).split()


def quoted(path: str) -> bytes:
    """A path as fast-import reads it, whatever is in it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode()


def environment() -> dict[str, str]:
    """Git as it is where nobody has set it up."""
    mine = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A Robot"), ("EMAIL", "robot@example.org"))
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | mine | who
