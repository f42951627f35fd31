"""Git histories as actions: all of one, once, however often it is interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Model
from django.utils import timezone
from django.utils.text import Truncator
from rich.console import Console

from server.demo import git, history
from server.demo.management.commands.demo import load_own_history
from server.demo.models import Author, Commit, Issue, Release, Repository
from server.demo.streams import DemoActionManager
from server.filters import Filter
from server.models import Action, Follow
from server.windows import Window
from tests.demo import repositories
from tests.demo.repositories import START
from tests.schema.client import data, gid

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
]


@pytest.fixture
def lamp(tmp_path: Path) -> repositories.Repository:
    return repositories.Repository(tmp_path / "lamp")


@pytest.fixture
def busy(lamp: repositories.Repository) -> repositories.Repository:
    """Three people, merges, mentions, tags of both kinds."""
    people = ("Ada Lovelace", "星", "Grace Hopper")
    lamp.commit("Light it", people[0], files={"lamp": "0"})
    for round_ in range(1, 5):
        author = people[round_ % 3]
        lamp.commit(f"Try #{round_}", author, branch=f"try-{round_}", files={"wick": f"{round_}"})
        side = lamp.tip(f"try-{round_}")
        lamp.commit(f"Trim, see #{round_ + 1}", author, files={"lamp": f"{round_}"})
        assert side
        lamp.commit(f"Merge #{round_}", people[0], merge=[side])
        lamp.tag(f"nightly-{round_}")
        at = START + 3600 + round_
        lamp.release(f"v{round_}", people[1], f"It burns\nbrighter {round_}\n\nLong.", at=at)
    return lamp


def load(repository: repositories.Repository | Path, **options: Any) -> str:
    path = repository if isinstance(repository, Path) else repository.path
    out = StringIO()
    call_command("load_git", str(path), stdout=out, **options)
    return out.getvalue()


def told(stream: Iterable[Action]) -> list[tuple[str, str, str, str]]:
    """Who did what with what to what."""
    return [
        (each.actor.get_full_name(), each.verb, str(each.action_object), str(each.target))
        for each in stream
    ]


def shas(stream: Iterable[Action]) -> list[str]:
    return [each.action_object.sha for each in stream if isinstance(each.action_object, Commit)]


def world() -> dict[str, Any]:
    """All that a history makes, apart from primary keys."""
    commits = dict(Commit.objects.values_list("pk", "sha"))
    assert len(set(commits.values())) == len(commits)
    names: dict[type[Model], Callable[[Any], str]] = {Commit: lambda commit: commit.sha}
    return {
        "actions": [
            (
                *(
                    role and names.get(type(role), str)(role)
                    for role in (each.actor, each.target, each.action_object)
                ),
                each.verb,
                each.description,
                each.timestamp,
                each.public,
            )
            for each in Action.objects.order_by("timestamp", "pk")
        ],
        "follows": sorted((f.user.username, str(f.follow_object)) for f in Follow.objects.all()),
        "people": sorted(User.objects.values_list("username", "first_name", "date_joined")),
        "issues": list(Issue.objects.values_list("repository__name", "number", "title")),
        "releases": sorted(Release.objects.values_list("name", flat=True)),
        "repositories": list(Repository.objects.values_list("name", "owner__username", "history")),
    }


def paged(repository: Repository, size: int) -> list[Action]:
    """anyStream, a page at a time, to its end."""
    rows: list[Action] = []
    manager: Any = Action.objects
    after: str | None = None
    while True:
        window = Window(kind="action", first=size, after=after)
        stream = manager.ranges(manager.any_stream, repository)
        [page] = manager.read([stream], window, None, Filter())
        rows += page.rows
        if not page.has_next_page:
            return rows
        after = page.end_cursor


def test_a_commit_is_its_author_s_action_on_the_repository(lamp: repositories.Repository) -> None:
    first = lamp.commit("Light it")
    second = lamp.commit("Trim the wick", "Grace Hopper")
    load(lamp)
    repository = Repository.objects.get()
    assert (repository.name, repository.private) == ("lamp", False)
    assert repository.owner.username == "ada-lovelace"
    assert told(Action.objects.any_stream(repository)) == [
        ("Grace Hopper", "committed", "“Trim the wick”", "lamp"),
        ("Ada Lovelace", "committed", "“Light it”", "lamp"),
    ]
    assert shas(Action.objects.any_stream(repository)) == [second, first]
    assert [each.timestamp for each in Action.objects.all()] == [
        datetime.fromtimestamp(START + 60, UTC),
        datetime.fromtimestamp(START, UTC),
    ]
    assert not any(user.has_usable_password() for user in User.objects.all())


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_a_history_is_there_to_its_first_commit(
    busy: repositories.Repository, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", batch)
    load(busy)
    repository = Repository.objects.get()
    rows = paged(repository, 4)
    assert [row.pk for row in rows] == list(
        Action.objects.any_stream(repository).values_list("pk", flat=True)
    )
    assert sorted(shas(rows)) == sorted(busy.shas())
    assert sorted(shas(r for r in rows if r.verb == "merged")) == sorted(
        busy.shas("--merges", "main")
    )
    assert sorted(str(r.action_object) for r in rows if r.verb == "released") == sorted(
        busy.git("tag").split()
    )
    assert shas(rows)[-1] == busy.shas()[-1]
    assert rows[-1].action_object.sha == busy.shas()[-1]


def test_the_size_of_a_batch_does_not_show(
    busy: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(busy)
    whole = world()
    Repository.objects.all().delete()
    User.objects.all().delete()
    monkeypatch.setattr(history, "BATCH", 2)
    load(busy)
    assert world() == whole


def test_again_nothing_is_added(busy: repositories.Repository) -> None:
    load(busy)
    before = world(), set(Action.objects.values_list("pk", flat=True))
    assert "lamp: nothing new" in load(busy)
    assert (world(), set(Action.objects.values_list("pk", flat=True))) == before


def test_again_only_what_is_new_is_added(busy: repositories.Repository) -> None:
    load(busy)
    before = set(Action.objects.values_list("pk", flat=True))
    busy.commit("See #77", "Newcomer", at=START + 9000)
    busy.tag("last")
    load(busy)
    new = Action.objects.exclude(pk__in=before).order_by("pk")
    assert told(new) == [
        ("Newcomer", "committed", "“See #77”", "lamp"),
        ("Newcomer", "mentioned", "“See #77”", "issue 77"),
        ("Newcomer", "released", "last", "lamp"),
    ]
    assert before <= set(Action.objects.values_list("pk", flat=True))


def test_another_branch_adds_what_it_has_more(lamp: repositories.Repository) -> None:
    lamp.commit("Light it")
    lamp.commit("Try oil", branch="oil")
    load(lamp)
    assert shas(Action.objects.all()) == lamp.shas()
    load(lamp, branch="oil")
    assert shas(Action.objects.all()) == lamp.shas("oil")
    assert Repository.objects.count() == 1


@pytest.mark.parametrize("stored", range(8))
def test_interrupted_and_run_again_it_ends_as_if_it_had_not_been(
    busy: repositories.Repository, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", 3)
    load(busy)
    whole = world()
    Repository.objects.all().delete()
    User.objects.all().delete()
    rest = stored

    def failing(of: Any) -> Any:
        def fail(*args: Any) -> Any:
            nonlocal rest
            rest -= 1
            if rest < 0:
                raise KeyboardInterrupt
            return of(*args)

        return fail

    for deed in ("commit", "release"):
        monkeypatch.setattr(history.Loading, deed, failing(getattr(history.Loading, deed)))
    with pytest.raises(KeyboardInterrupt):
        load(busy)
    assert world() != whole
    rest = 1000
    load(busy)
    assert world() == whole


KILLED = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from server.demo import git, history
history.BATCH = 3
call_command("migrate", verbosity=0)
def track(commits, total):
    for number, commit in enumerate(commits):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield commit
loading = history.load(git.Source(sys.argv[1]), track)
from server.demo.models import Commit
from server.models import Action
actions = Action.objects.all()
print(Commit.objects.count(), actions.filter(verb="released").count(), actions.count())
"""


def test_killed_and_run_again_it_is_whole(busy: repositories.Repository, tmp_path: Path) -> None:
    def run(at: int, database: str) -> subprocess.CompletedProcess[str]:
        address = f"sqlite:///{tmp_path / database}"
        settings = {"DJANGO_SETTINGS_MODULE": "server.demo.settings", "DATABASE_URL": address}
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(busy.path), str(at)],
            env=os.environ | settings,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )

    for at in (1, 8):
        assert run(at, "killed.sqlite3").returncode == -signal.SIGKILL
    last = run(-1, "killed.sqlite3")
    assert last.stdout == run(-1, "whole.sqlite3").stdout, last.stderr
    assert last.stdout.startswith(f"{len(busy.shas())} 8 ")


def test_merges_are_told_of_as_merges(lamp: repositories.Repository) -> None:
    lamp.commit("Light it")
    side = lamp.commit("Try oil", "Grace Hopper", branch="oil")
    other = lamp.commit("Try gas", "Grace Hopper", branch="gas")
    lamp.commit("Take both", merge=[side, other])
    load(lamp)
    assert told(Action.objects.all())[0] == ("Ada Lovelace", "merged", "“Take both”", "lamp")
    assert sorted(shas(Action.objects.filter(verb="committed"))) == sorted(
        lamp.shas("--no-merges", "main")
    )


NAMES = [
    'Ada "The Count" Lovelace',
    "O'Brien; DROP TABLE",
    "星",
    "نور حداد",
    "🎉👩‍👩‍👧",
    "🎈",
    "[bold]Rich[/]",
    "--help",
    "ada lovelace",
    "Ada  Lovelace",
    "Zoë",
    unicodedata.normalize("NFD", "Zoë"),
    "x" * 400,
    "",
]


def test_names_of_every_kind_are_users_each_once(lamp: repositories.Repository) -> None:
    for name in (*NAMES, *NAMES):
        lamp.commit("Go on", name)
    lamp.commit("Go on", b"Andr\xe9")
    load(lamp)
    distinct = {" ".join(name.split()) for name in NAMES} - {"x" * 400}
    assert set(Author.objects.values_list("name", flat=True)) == {
        *distinct,
        "x" * 149 + "…",
        "Andr\ufffd",
    }
    users = User.objects.all()
    assert len(users) == len(distinct) + 2
    assert all(0 < len(user.username) <= 150 for user in users)
    for user in users:
        user.full_clean(exclude=["password"])
    assert {user.get_full_name() for user in users} >= distinct
    assert Action.objects.count() == 2 * len(NAMES) + 1


def test_a_username_depends_on_the_history_alone(lamp: repositories.Repository) -> None:
    for name in NAMES:
        lamp.commit("Go on", name)
    load(lamp)
    first = world()
    Repository.objects.all().delete()
    User.objects.all().delete()
    load(lamp)
    assert world() == first


def test_nobody_who_was_here_before_is_taken_for_an_author(lamp: repositories.Repository) -> None:
    root = User.objects.create(username="root", is_superuser=True)
    lamp.commit("Light it", "root")
    load(lamp)
    load(lamp)
    author = Author.objects.get().user
    assert author != root
    assert author.username.startswith("root-")
    assert not author.is_superuser
    assert list(Action.objects.actor_stream(root)) == []


def test_no_e_mail_address_is_kept(lamp: repositories.Repository) -> None:
    lamp.commit("Thank ada@example.com, <g@mail.example.co.uk> and @linus #1", "bob@example.org")
    lamp.release("v1", "carol@example.org", "By carol@example.org", at=START)
    load(lamp)
    assert Commit.objects.get().subject == "Thank ada, <g> and @linus #1"
    assert Issue.objects.get().title == "Thank ada, <g> and @linus #1"
    assert Action.objects.get(verb="released").description == "By carol"
    assert list(Author.objects.values_list("name", flat=True)) == ["bob", "carol"]
    for user in User.objects.all():
        assert user.email == ""
        assert "@" not in f"{user.username} {user.get_full_name()}"


SUBJECTS = {
    "": "",
    "Say \"hello\" to 'them'": "Say \"hello\" to 'them'",
    "Ship it 🚀 👩‍👩‍👧": "Ship it 🚀 👩‍👩‍👧",
    "נר \u202bדלק": "נר \u202bדלק",
    "Two lines\nof one subject": "Two lines of one subject",
    "Bell\x07 and \x1b[31mred": "Bell and [31mred",
    "%H%x00 {braces} $(date) \\n": "%H%x00 {braces} $(date) \\n",
    "x" * 9000: "x" * 3999 + "…",
}


@pytest.mark.parametrize("subject", SUBJECTS, ids=range(len(SUBJECTS)))
def test_a_subject_is_one_line_of_bounded_text(
    lamp: repositories.Repository, subject: str
) -> None:
    sha = lamp.commit(subject)
    load(lamp)
    commit = Commit.objects.get()
    assert commit.subject == SUBJECTS[subject]
    shown = Truncator(SUBJECTS[subject]).chars(60)
    assert str(commit) == (f"“{shown}”" if subject else sha[:7])
    Action.objects.get().full_clean()


def test_issues_are_those_that_subjects_mention(lamp: repositories.Repository) -> None:
    lamp.commit("Fix #12 and #3 (#12)")
    lamp.commit("Not other/lamp#4, &#38; #0, #04, C#5, #6x or #9999999999")
    lamp.commit("Close (#3).", "Grace Hopper")
    load(lamp)
    assert list(Issue.objects.values_list("number", "title", "closed")) == [
        (3, "Fix #12 and #3 (#12)", False),
        (12, "Fix #12 and #3 (#12)", False),
    ]
    assert told(Action.objects.filter(verb="mentioned").order_by("pk")) == [
        ("Ada Lovelace", "mentioned", "“Fix #12 and #3 (#12)”", "issue 12"),
        ("Ada Lovelace", "mentioned", "“Fix #12 and #3 (#12)”", "issue 3"),
        ("Grace Hopper", "mentioned", "“Close (#3).”", "issue 3"),
    ]


def test_a_subject_tells_of_a_bounded_number_of_issues(lamp: repositories.Repository) -> None:
    lamp.commit(" ".join(f"#{number}" for number in range(1, 500)))
    load(lamp)
    assert Issue.objects.count() == history.MOST_ISSUES


def test_tags_are_releases(lamp: repositories.Repository) -> None:
    lamp.commit("Light it", files={"lamp": "0"})
    lamp.commit("Trim the wick", "Grace Hopper")
    lamp.tag("nightly/ø")
    lamp.release("v1", "Alan Turing", "It burns\nbrightly\n\nFor long.", at=START + 600)
    lamp.tag("a-file", "main:lamp")
    load(lamp)
    rows = Action.objects.filter(verb="released")
    assert [(*line, row.description) for line, row in zip(told(rows), rows, strict=True)] == [
        ("Alan Turing", "released", "v1", "lamp", "It burns brightly"),
        ("Grace Hopper", "released", "nightly/ø", "lamp", None),
        ("Ada Lovelace", "released", "a-file", "lamp", None),
    ]


def test_a_tag_that_was_moved_or_deleted_stays(lamp: repositories.Repository) -> None:
    lamp.commit()
    lamp.tag("latest")
    lamp.tag("old")
    load(lamp)
    before = world()
    lamp.git("tag", "--force", "latest", lamp.commit("Next", branch="next"))
    lamp.git("tag", "--delete", "old")
    load(lamp)
    assert world() == before


def test_who_touches_a_file_follows_who_touched_it_before(lamp: repositories.Repository) -> None:
    lamp.commit("Light it", files={"lamp": "0", 'odd "name"\n': "0"})
    lamp.commit("Trim it", "Grace Hopper", files={"lamp": "1"})
    lamp.commit("Trim it", "Alan Turing", files={"lamp": "2", 'odd "name"\n': "1"})
    lamp.commit("A new one", "Somebody Else", files={"new": "1"})
    lamp.commit("Again", "Alan Turing", files={"lamp": "3"})
    load(lamp)
    follows = Follow.objects.order_by("pk")
    assert [(str(each.user), str(each.follow_object)) for each in follows] == [
        ("grace-hopper", "ada-lovelace"),
        ("alan-turing", "grace-hopper"),
        ("alan-turing", "ada-lovelace"),
    ]
    assert {each.verb for each in Action.objects.all()} == {"committed"}


def test_nobody_follows_more_than_a_few(
    lamp: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_FOLLOWED", 2)
    for number in range(4):
        lamp.commit("Mine", f"P{number}", files={f"f{number}": "0"})
    lamp.commit("Ours", "Z", files={f"f{number}": "1" for number in range(4)})
    load(lamp)
    assert [(str(each.user), str(each.follow_object)) for each in Follow.objects.all()] == [
        ("z", "p1"),
        ("z", "p0"),
    ]


def test_files_are_forgotten_when_there_are_too_many(
    lamp: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_FILES", 2)
    lamp.commit("Mine", "A", files={"one": "0"})
    lamp.commit("Mine", "B", files={"two": "0", "three": "0"})
    lamp.commit("Ours", "C", files={"one": "1", "three": "1"})
    load(lamp)
    assert [(str(each.user), str(each.follow_object)) for each in Follow.objects.all()] == [
        ("c", "b")
    ]


def test_a_time_that_cannot_be_is_that_of_what_came_before(lamp: repositories.Repository) -> None:
    ahead = int((timezone.now() + timedelta(days=900)).timestamp())
    for at in (START, 0, START + 60, ahead, 2**40, START + 30):
        lamp.commit(at=at)
    lamp.tag("v1", lamp.shas()[1])
    load(lamp)
    stamps = [START, START, START + 60, START + 60, START + 60, START + 30]
    assert list(
        Action.objects.filter(verb="committed").order_by("pk").values_list("timestamp", flat=True)
    ) == [datetime.fromtimestamp(stamp, UTC) for stamp in stamps]
    assert sorted(shas(paged(Repository.objects.get(), 1))) == sorted(lamp.shas())
    released = Action.objects.get(verb="released")
    assert released.timestamp == datetime.fromtimestamp(START, UTC)


def test_a_first_commit_whose_time_cannot_be_is_still_the_first(
    lamp: repositories.Repository,
) -> None:
    first = lamp.commit(at=2**34)
    lamp.commit(at=START)
    load(lamp)
    assert shas(paged(Repository.objects.get(), 1))[-1] == first
    assert Action.objects.last().timestamp == history.EARLIEST  # type: ignore[union-attr]


def test_two_repositories_may_share_commits(busy: repositories.Repository, tmp_path: Path) -> None:
    load(busy)
    busy.git("clone", "--quiet", str(busy.path), str(tmp_path / "torch"))
    load(tmp_path / "torch")
    lamp, torch = Repository.objects.all()
    assert (lamp.name, torch.name, torch.owner) == ("lamp", "torch", lamp.owner)
    assert shas(Action.objects.any_stream(torch)) == shas(Action.objects.any_stream(lamp))
    assert lamp.releases.count() == torch.releases.count() == 8


def test_two_histories_of_one_name_are_two_repositories(tmp_path: Path) -> None:
    for where in ("here", "there"):
        (tmp_path / where).mkdir()
        history_ = repositories.Repository(tmp_path / where / "lamp")
        sha = history_.commit(f"Light it {where}")
        load(history_)
        load(history_)
    assert list(Repository.objects.values_list("name", flat=True)) == ["lamp", f"lamp-{sha[:9]}"]
    assert Action.objects.count() == 2


def test_every_kind_of_repository_is_read(busy: repositories.Repository, tmp_path: Path) -> None:
    load(busy)
    busy.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"), "main")
    busy.git(
        "clone", "--quiet", "--bare", str(busy.path), str(tmp_path / "elsewhere" / "lamp.git")
    )
    (busy.path / "inside").mkdir()
    before = world()
    for path in ("tree", "elsewhere/lamp.git", "lamp/inside", "lamp/.git"):
        assert "lamp: nothing new" in load(tmp_path / path)
    assert world() == before


def test_a_shallow_clone_is_read_as_far_as_it_goes(
    busy: repositories.Repository, tmp_path: Path
) -> None:
    address = f"file://{busy.path}"
    busy.git("clone", "--quiet", "--depth=2", address, str(tmp_path / "shallow"))
    load(tmp_path / "shallow")
    there = git.Source(tmp_path / "shallow")
    assert there.count() == Commit.objects.count() < len(busy.shas())
    assert "nothing new" in load(tmp_path / "shallow")


def test_where_head_is_unborn_the_only_branch_is_read(lamp: repositories.Repository) -> None:
    lamp.commit(branch="trunk")
    load(lamp)
    assert shas(Action.objects.all()) == lamp.shas("trunk")


def test_what_a_user_s_git_is_set_to_does_not_show(
    busy: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, value in (
        ("log.showSignature", "true"),
        ("log.showRoot", "false"),
        ("log.decorate", "full"),
        ("color.ui", "always"),
        ("diff.renames", "copies"),
        ("format.pretty", "fuller"),
        ("i18n.logOutputEncoding", "latin1"),
        ("diff.external", "false"),
    ):
        busy.git("config", setting, value)
    # As in a hook of another repository.
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    load(busy)
    assert sorted(shas(Action.objects.exclude(verb="mentioned"))) == sorted(busy.shas())
    assert Follow.objects.exists()


def test_a_repository_that_cannot_be_read_is_refused_by_name(
    lamp: repositories.Repository, tmp_path: Path
) -> None:
    refused: list[str] = []

    def refuse(path: Path, **options: Any) -> None:
        with pytest.raises(CommandError) as refusal:
            load(path, **options)
        refused.append(str(refusal.value).replace(str(tmp_path), "").partition(" (or any")[0])

    (tmp_path / "plain").mkdir()
    refuse(tmp_path / "nowhere")
    refuse(tmp_path / "plain")
    refuse(lamp.path)
    lamp.commit()
    refuse(lamp.path, branch="oil")
    refuse(lamp.path, branch="--all")
    lamp.commit(branch="oil")
    lamp.git("symbolic-ref", "HEAD", "refs/heads/gone")
    refuse(lamp.path)
    assert refused == [
        "'/nowhere' is no git repository: cannot change to '/nowhere': No such file or directory",
        "'/plain' is no git repository: not a git repository",
        "'/lamp' has no commit yet.",
        "'/lamp' has no branch 'oil'; it has main.",
        "'/lamp' has no branch '--all'; it has main.",
        "HEAD of '/lamp' names no commit; choose a branch: it has main, oil.",
    ]
    assert not Repository.objects.exists()


def test_without_git_it_says_so(
    lamp: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CommandError, match="git cannot be run: No such file or directory"):
        load(lamp)


def test_a_damaged_repository_is_read_as_far_as_it_goes(
    lamp: repositories.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", 1)
    lamp.commit("Light it", files={"lamp": "0"})
    lamp.commit("Trim it", files={"lamp": "1"})
    lamp.commit("Trim it again", files={"lamp": "2"})
    tree = lamp.git("rev-parse", "main^{tree}")
    lost = lamp.path / ".git" / "objects" / tree[:2] / tree[2:]
    kept = lost.read_bytes()
    lost.unlink()
    with pytest.raises(CommandError, match="cannot be read: unable to read tree"):
        load(lamp)
    assert told(Action.objects.all()) == [("Ada Lovelace", "committed", "“Light it”", "lamp")]
    lost.write_bytes(kept)
    load(lamp)
    assert sorted(shas(Action.objects.all())) == sorted(lamp.shas())


def test_who_was_deleted_stays_away(busy: repositories.Repository) -> None:
    load(busy)
    User.objects.get(username="grace-hopper").delete()
    before = world()
    busy.commit("Trim it", files={"lamp": "new"}, at=START + 9000)
    load(busy)
    assert [line for line in world()["actions"] if line not in before["actions"]] == [
        (
            "ada-lovelace",
            "lamp",
            busy.shas()[0],
            "committed",
            None,
            datetime.fromtimestamp(START + 9000, UTC),
            True,
        )
    ]
    assert not User.objects.filter(username="grace-hopper").exists()


def test_what_is_in_a_private_repository_is_hidden(busy: repositories.Repository) -> None:
    load(busy)
    commit, release = Commit.objects.first(), Release.objects.first()
    assert commit is not None
    ids = [gid(commit), gid(release)]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { displayName } }"
    assert data(query, ids=ids)["nodes"] == [
        {"displayName": f"{commit.sha[:7]} Light it"},
        {"displayName": str(release)},
    ]
    manager = DemoActionManager()
    manager.model = Action
    everything = Action.objects.all()
    assert manager.visible_to(everything, None) is everything
    Repository.objects.update(private=True)
    owner = Repository.objects.get().owner
    assert data(query, ids=ids)["nodes"] == [None, None]
    assert data(query, owner, ids=ids)["nodes"] != [None, None]
    assert list(manager.visible_to(everything, None)) == []
    assert list(manager.visible_to(everything, owner)) == list(everything)


@pytest.fixture
def console() -> Iterator[Console]:
    with StringIO() as out:
        yield Console(file=out)


def test_the_demo_loads_its_own_history(
    busy: repositories.Repository, console: Console, settings: Any
) -> None:
    settings.BASE_DIR = busy.path
    load_own_history(console)
    load_own_history(console)
    assert sorted(shas(Action.objects.exclude(verb="mentioned"))) == sorted(busy.shas())


def test_the_demo_does_without_its_own_history(
    lamp: repositories.Repository,
    console: Console,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.BASE_DIR = lamp.path
    load_own_history(console)  # nothing was committed
    lamp.commit()
    (lamp.path / "unpacked").mkdir()
    settings.BASE_DIR = lamp.path / "unpacked"
    load_own_history(console)  # within somebody else's
    settings.BASE_DIR = lamp.path
    monkeypatch.setenv("PATH", "")
    load_own_history(console)  # no git
    assert not Repository.objects.exists()
