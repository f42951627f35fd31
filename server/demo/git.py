"""A git repository, as the git command tells of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from tempfile import TemporaryFile

from server.bounds import DESCRIPTION_LENGTH

NAME_LENGTH = 150
TAG_LENGTH = 255
#: A commit that touches more files tells of these alone.
MOST_PATHS = 100
CHUNK = 64 * 1024

# Each commit begins with NUL and five fields; its paths follow, of which none is empty.
LOG = (
    "log",
    "-z",
    "--name-only",
    "--root",
    "--no-renames",
    "--no-show-signature",
    "--no-notes",
    "--no-color",
    "--encoding=UTF-8",
    "--format=tformat:%x00%H%x00%P%x00%ct%x00%an%x00%s",
)
TAG_FIELDS = (
    "%(refname:strip=2)",
    "%(objecttype)",
    "%(creatordate:unix)",
    "%(*committerdate:unix)",
    "%(taggername)",
    "%(authorname)",
    "%(*authorname)",
    "%(contents:subject)",
)
TAGS = ("for-each-ref", "refs/tags", "--sort=creatordate:unix")

# By these a git hook, say, would lead every command to its own repository.
LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")

_ADDRESS = re.compile(r"([^\s@<>]{1,64})@(?:(?:[\w-]+\.)+[^\W\d_]{2,}|localhost\b)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class GitError(Exception):
    """Why a repository cannot be read, for whoever named it."""


@dataclass(frozen=True)
class Commit:
    """A commit as the log has it."""

    sha: str
    merge: bool
    time: int | None
    """The committer's: seconds since 1970, by whatever clock; None where there is none."""
    author: str
    subject: str
    paths: tuple[bytes, ...] = ()
    """Some of what it changed; nothing for a merge."""


@dataclass(frozen=True)
class Tag:
    """A tag: annotated, or a mere name for a commit (in odd repositories, for a file)."""

    name: str
    times: tuple[int | None, int | None]
    """The tag's, and that of the commit behind an annotated one."""
    author: str | None
    """The tagger, else the commit's author; None where there is neither."""
    subject: str | None
    """None where it is not annotated."""


class Source:
    """A repository on this machine, bare or not, whole or shallow, at the tip of one branch.

    ``branch`` is a local one or, as "origin/main", a remote one; left out it is HEAD or, where
    nothing was committed to that, the only branch there is.

    Raises GitError where there is no repository, no such branch, no commit, or no git.
    """

    def __init__(self, path: str | Path, branch: str | None = None) -> None:
        self.path = path
        found = self._run("rev-parse", "--git-common-dir")
        if found.returncode:
            raise GitError(f"{str(path)!r} is no git repository: {_reason(found.stderr)}")
        kept = (Path(path) / _line(found.stdout)).resolve()
        #: A worktree's is that of the repository which it belongs to.
        self.name = kept.parent.name if kept.name == ".git" else kept.name.removesuffix(".git")
        self.tip = self._tip(branch)

    def count(self) -> int:
        """How many commits there are."""
        return int(self._ask("rev-list", "--count", self.tip) or 0)

    def first(self) -> Commit:
        """The commit with which the branch began."""
        sha = self._ask("rev-list", "--first-parent", "--max-parents=0", self.tip) or self.tip
        return next(self._log("--max-count=1", sha.split()[-1]))

    def commits(self) -> Iterator[Commit]:
        """Every commit, after its parents."""
        return self._log("--reverse", "--topo-order", self.tip)

    def tags(self) -> Iterator[Tag]:
        """Every tag of the repository, the oldest first."""
        tokens = self._tokens(*TAGS, f"--format={'%00'.join(TAG_FIELDS)}%00")
        for name in tokens:
            kind, time, behind, *who, subject = islice(tokens, len(TAG_FIELDS) - 1)
            yield Tag(
                # Not with "replace": two names stay two.
                name=name.removeprefix(b"\n").decode(errors="backslashreplace")[:TAG_LENGTH],
                times=(_number(time), _number(behind)),
                author=next((_text(author, NAME_LENGTH) for author in who if author), None),
                subject=_text(subject, DESCRIPTION_LENGTH) if kind == b"tag" else None,
            )

    def _tip(self, branch: str | None) -> str:
        names = ("HEAD",) if branch is None else (f"refs/heads/{branch}", f"refs/remotes/{branch}")
        for name in names:
            if sha := self._ask("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
                return sha
        listed = self._ask("for-each-ref", "--format=%(refname:strip=2)", "refs/heads") or ""
        branches = listed.splitlines()
        if not branches:
            raise GitError(f"{str(self.path)!r} has no commit yet.")
        there = f"it has {', '.join(branches[:10])}{', …' if branches[10:] else ''}"
        if branch is not None:
            raise GitError(f"{str(self.path)!r} has no branch {branch!r}; {there}.")
        if branches[1:]:
            raise GitError(
                f"HEAD of {str(self.path)!r} names no commit; choose a branch: {there}."
            )
        return self._tip(branches[0])

    def _log(self, *arguments: str) -> Iterator[Commit]:
        tokens = self._tokens(*LOG, *arguments, "--")
        next(tokens, None)
        for sha in tokens:
            parents, time, author, subject = islice(tokens, 4)
            # Up to the NUL with which the next commit begins.
            paths = enumerate(takewhile(bool, tokens))
            yield Commit(
                sha=sha.decode(),
                merge=b" " in parents,
                time=_number(time),
                author=_text(author, NAME_LENGTH),
                subject=_text(subject, DESCRIPTION_LENGTH),
                # The first path stands behind a newline.
                paths=tuple(
                    [p if at else p.removeprefix(b"\n") for at, p in paths if at < MOST_PATHS]
                ),
            )

    def _ask(self, *arguments: str) -> str | None:
        """A command's answer; None where it fails."""
        done = self._run(*arguments)
        return None if done.returncode else _line(done.stdout)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=_environment(),
            )
        except OSError as error:
            raise GitError(f"git cannot be run: {error.strerror}.") from error

    def _tokens(self, *arguments: str) -> Iterator[bytes]:
        """What a command says from NUL to NUL, while it says it.

        Raises GitError, after all that was said, where it fails.
        """
        with (
            TemporaryFile() as complaints,
            subprocess.Popen(
                self._command(arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=_environment(),
            ) as process,
        ):
            assert process.stdout
            rest = b""
            while chunk := process.stdout.read(CHUNK):
                *whole, rest = (rest + chunk).split(b"\0")
                yield from whole
            if process.wait():
                complaints.seek(0)
                reason = _reason(complaints.read(CHUNK))
                raise GitError(f"{str(self.path)!r} cannot be read: {reason}")

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return ["git", "-C", str(self.path), *arguments]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in LOCAL}
    return kept | {"LC_ALL": "C"}


def _line(answer: bytes) -> str:
    return os.fsdecode(answer).removesuffix("\n")


def _reason(complaint: bytes) -> str:
    """The first line of what git says on standard error."""
    lines = complaint.decode(errors="replace").strip().splitlines() or ["git does not say why."]
    return lines[0].removeprefix("fatal: ")


def _number(field: bytes) -> int | None:
    try:
        return int(field)
    except ValueError:
        return None


def _text(field: bytes, most: int) -> str:
    """One line of at most so many characters; of an e-mail address, what is before the @."""
    # More than is kept, so that no address is cut off where it could be known; not all of it,
    # because a subject may have megabytes.
    text = _CONTROL.sub(" ", field[: 8 * most].decode(errors="replace"))
    text = " ".join(_ADDRESS.sub(r"\1", text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
