"""A git repository's history as actions."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.text import Truncator, slugify

from server.models import Action, Follow

from . import authors, git
from .models import Commit, Issue, Release, Repository

User: Any = get_user_model()

#: So many commits are stored together, or none of them.
BATCH = 500
#: Nobody follows more people than this because they work on the same files.
MOST_FOLLOWED = 10
#: Of so many files it is remembered who touched them last.
MOST_FILES = 20_000
#: A subject tells of so many issues.
MOST_ISSUES = 20
#: The first version control, SCCS, is of 1972; a clock that nobody has set says 1970.
EARLIEST = datetime(1972, 1, 1, tzinfo=UTC)

# Not "other/project#12", which is an issue of another repository.
_ISSUE = re.compile(r"(?<![\w#&/])#([1-9][0-9]{0,8})(?!\w)", re.ASCII)

T = TypeVar("T")


Track = Callable[..., Iterable[git.Commit]]


def load(source: git.Source, track: Track | None = None) -> Loading:
    """Store what is new in a repository's history, each batch of it whole or not at all.

    A repository is the same again if its name and its first commit are. ``track`` passes on the
    commits that it is given, with their ``total``, and may show how far they are.

    Raises GitError where it cannot be read to its end; the batches before that are stored.
    """
    loading = Loading(source)
    # A commit is stored after its parents, so the last one is there only if all are.
    if not loading.repository.commits.filter(sha=source.tip).exists():
        commits = source.commits()
        for batch in batches(track(commits, total=source.count()) if track else commits):
            loading.commit(batch)
    loading.clock = Clock(loading.began)
    for tags in batches(source.tags()):
        loading.release(tags)
    return loading


class Loading:
    """A repository while its history is stored."""

    def __init__(self, source: git.Source) -> None:
        #: How many objects are new, by their model's plural.
        self.new: Counter[str] = Counter()
        self.last_touched_by: OrderedDict[bytes, str] = OrderedDict()
        first = source.first()
        self.began = Clock(EARLIEST).time(first.time)
        self.clock = Clock(self.began)
        self.repository = self.found(first, slugify(source.name)[:40] or "repository")

    def found(self, first: git.Commit, name: str) -> Repository:
        """The repository that was made the last time, else a new one of its first author's."""
        names = (name, f"{name}-{first.sha[:9]}")  # the second where the owner has the first
        with transaction.atomic():
            known = Repository.objects.filter(history=first.sha, name__in=names).first()
            if known:
                return known
            owner = self.people({first.author: self.began})[first.author]
            if owner.owned_repositories.filter(name=name).exists():
                name = names[1]
            self.new["repositories"] += 1
            return Repository.objects.create(owner=owner, name=name, history=first.sha)

    @transaction.atomic
    def commit(self, batch: Sequence[git.Commit]) -> None:
        """Store the commits of a batch that are new, and what they tell."""
        shas = [commit.sha for commit in batch]
        known = set(self.locked().commits.filter(sha__in=shas).values_list("sha", flat=True))
        news: list[tuple[git.Commit, datetime]] = []
        met: list[tuple[str, str, datetime]] = []
        for commit in batch:
            # Known ones as well, so that this goes on as if it had never been interrupted.
            at, before = self.clock.time(commit.time), self.touch(commit)
            if commit.sha not in known:
                news.append((commit, at))
                met += [(commit.author, other, at) for other in before]
        if not news:
            return
        since: dict[str, datetime] = {}
        for commit, at in news:
            since.setdefault(commit.author, at)
        people = self.people(since, also=[other for _, other, _ in met])
        self.record([(commit, at, people[commit.author]) for commit, at in news])
        # Somebody of an earlier batch may have been deleted since.
        pairs = [(people[one], people[other], at) for one, other, at in met if other in people]
        self.follow(pairs)

    def record(self, news: Sequence[tuple[git.Commit, datetime, Any]]) -> None:
        """Store commits as objects, with the actions and the issues that they tell of."""
        rows = Commit.objects.bulk_create(
            Commit(repository=self.repository, sha=commit.sha, subject=commit.subject)
            for commit, *_ in news
        )
        issues = self.issues([row.subject for row in rows])
        actions: list[Action] = []
        for (commit, at, actor), row in zip(news, rows, strict=True):
            key = f"git:{self.repository.pk}:{commit.sha}"
            verb = "merged" if commit.merge else "committed"
            told: list[tuple[str, Model, str]] = [(verb, self.repository, key)]
            told += [("mentioned", issues[n], f"{key}:{n}") for n in mentioned(row.subject)]
            actions += [
                Action(
                    actor=actor,
                    verb=verb,
                    action_object=row,
                    target=target,
                    timestamp=at,
                    idempotency_key=key,
                )
                for verb, target, key in told
            ]
        Action.objects.bulk_create(actions)
        self.new["commits"] += len(rows)

    def issues(self, subjects: Sequence[str]) -> dict[int, Issue]:
        """The issues that subjects mention, by number; a new one has the subject as its title."""
        titles: dict[int, str] = {}
        for subject in subjects:
            for number in mentioned(subject):
                titles.setdefault(number, Truncator(subject).chars(200))
        rows = self.repository.issues.filter(number__in=titles)
        found = {issue.number: issue for issue in rows}
        new = Issue.objects.bulk_create(
            Issue(repository=self.repository, number=number, title=title)
            for number, title in titles.items()
            if number not in found
        )
        self.new["issues"] += len(new)
        return found | {issue.number: issue for issue in new}

    def touch(self, commit: git.Commit) -> list[str]:
        """Note who touches what; returns the others who did so last, each once."""
        before: dict[str, None] = {}
        for path in commit.paths:
            other = self.last_touched_by.get(path, commit.author)
            self.last_touched_by[path] = commit.author
            self.last_touched_by.move_to_end(path)
            if other != commit.author:
                before[other] = None
        while len(self.last_touched_by) > MOST_FILES:
            self.last_touched_by.popitem(last=False)
        return list(before)

    def follow(self, met: Sequence[tuple[Any, Any, datetime]]) -> None:
        """Let people follow those whose files they touch.

        It sends no action: of this, the history does not tell.
        """
        people = ContentType.objects.get_for_model(User)
        followed: dict[Any, set[str]] = {one.pk: set() for one, *_ in met}
        present = Follow.objects.filter(user__in=followed, content_type=people, flag="")
        for user_id, object_id in present.values_list("user", "object_id"):
            followed[user_id].add(object_id)
        rows = []
        for one, other, at in met:
            key, mine = str(other.pk), followed[one.pk]
            if key not in mine and len(mine) < MOST_FOLLOWED:
                mine.add(key)
                rows.append(Follow(user=one, content_type=people, object_id=key, started=at))
        Follow.objects.bulk_create(rows, ignore_conflicts=True)
        self.new["follows"] += len(rows)

    @transaction.atomic
    def release(self, tags: Sequence[git.Tag]) -> None:
        """Store the tags that are new; one that was moved stays what it was."""
        repository = self.locked()
        names = [tag.name for tag in tags]
        known = set(repository.releases.filter(name__in=names).values_list("name", flat=True))
        dated = {tag.name: (tag, self.clock.time(*tag.times)) for tag in tags}
        news = [(tag, at) for tag, at in dated.values() if tag.name not in known]
        rows = Release.objects.bulk_create(
            Release(repository=repository, name=tag.name) for tag, _ in news
        )
        since: dict[str, datetime] = {}
        for tag, at in news:
            if tag.author is not None:
                since.setdefault(tag.author, at)
        people = self.people(since)
        Action.objects.bulk_create(
            Action(
                actor=repository.owner if tag.author is None else people[tag.author],
                verb="released",
                action_object=row,
                target=repository,
                description=tag.subject,
                timestamp=at,
                idempotency_key=f"git:{repository.pk}:tag:{row.pk}",
            )
            for (tag, at), row in zip(news, rows, strict=True)
        )
        self.new["releases"] += len(rows)

    def people(self, since: Mapping[str, datetime], also: Iterable[str] = ()) -> dict[str, Any]:
        found, new = authors.users(since, also)
        self.new["people"] += new
        return found

    def locked(self) -> Repository:
        """The repository, for this transaction alone: two loads of it take turns."""
        rows = Repository.objects.select_for_update(of=("self",)).select_related("owner")
        return rows.get(pk=self.repository.pk)


class Clock:
    """When things happened, by clocks of which some are wrong."""

    def __init__(self, began: datetime) -> None:
        self.latest, self.now = began, timezone.now()

    def time(self, *seconds: int | None) -> datetime:
        """The first of these times (seconds since 1970) that can be.

        Where none can be, before there was version control or ahead of now, that of what came
        before.
        """
        possible = range(int(EARLIEST.timestamp()), int(self.now.timestamp()) + 1)
        for given in seconds:
            if given is not None and given in possible:
                self.latest = datetime.fromtimestamp(given, UTC)
                break
        return self.latest


def mentioned(subject: str) -> list[int]:
    """The numbers of the issues that a subject mentions, each once."""
    numbers = dict.fromkeys(int(match[1]) for match in _ISSUE.finditer(subject))
    return list(numbers)[:MOST_ISSUES]


def batches(rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows, so many at a time."""
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        yield batch
