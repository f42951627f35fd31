"""What is stored about one person: handed out whole, and erased until nothing is left."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db.models import PROTECT, Model
from django.test import Client
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from server import batches, erasing, persons, registry
from server.erasing import Blocked, Erasure, nameless
from server.management.commands import erase_user
from server.models import Action, Follow, Session, follow
from server.tokens import TokenError, mint, user_of
from tests.site.models import Page, Project

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
#: Nothing else has these in it.
NAMES = {"username": "zz-ada", "email": "zz@ada.example", "first_name": "Zza", "last_name": "Zzb"}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even a few rows are several."""
    monkeypatch.setattr(batches, "SIZE", 3)
    monkeypatch.setattr(batches, "PAUSE", 0.0)


@pytest.fixture
def zz(db: None) -> User:
    return User.objects.create_user(**NAMES, password="a secret")


@pytest.fixture
def likes() -> Iterator[None]:
    registry.register(Action)
    yield
    registry.unregister(Action)


@pytest.fixture
def diaries() -> Iterator[None]:
    """A site that keeps something about persons: pages whose key has their name."""
    persons.keep(
        "diaries",
        lambda user: Page.objects.filter(slug__startswith=f"diary-{user.pk}-"),
        anonymised={"text": ""},
    )
    yield
    persons._kept.clear()


def did(actor: Any, verb: str = "posted", **given: Any) -> Action:
    return Action.objects.create(actor=actor, verb=verb, **{"timestamp": AT, **given})


def exported(user: User, *options: str) -> Any:
    out = StringIO()
    call_command("export_user", user.username, *options, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def erase(user: User, *options: str) -> str:
    out = StringIO()
    call_command("erase_user", user.username, "--no-input", *options, stdout=out)
    return out.getvalue()


def ignore(part: str, done: int) -> None:
    """Show no bar."""


def traces(key: Any, *texts: str) -> list[str]:
    """Whatever in any table names the user of a key, or has one of these texts."""
    found = []
    type_id = ContentType.objects.get_for_model(User).pk
    for model in apps.get_models(include_auto_created=True):
        fields: list[Any] = list(model._meta.concrete_fields)
        users = [f.attname for f in fields if f.related_model is User]
        roles = [
            (f"{f.attname}", f.attname.replace("content_type_id", "object_id"))
            for f in fields
            if f.related_model is ContentType
        ]
        rows: Any = model._base_manager.values()
        for row in rows:
            named = any(row[name] == key for name in users)
            named |= any(
                row[kind] == type_id and row.get(object_id) == str(key)
                for kind, object_id in roles
            )
            if (named and key is not None) or any(
                text in str(value) for value in row.values() for text in texts
            ):
                found.append(f"{model._meta.label}: {row}")
    return found


# The document.


def test_a_person_is_given_all_that_is_stored_about_them(
    zz: User, bob: User, brook: Project
) -> None:
    zz.groups.add(group := Group.objects.create(name="readers"))
    me, other = ({"type": "auth.user", "id": str(it.pk)} for it in (zz, bob))
    project = {"type": "site.project", "id": str(brook.pk)}
    own = did(zz, target=brook, description="so", data={"n": 1.5}, idempotency_key="k")
    private = did(zz, "noted", public=False, action_object=bob)
    praise = did(bob, "praised", target=zz, idempotency_key="theirs")
    mention = did(bob, "mentioned", action_object=zz, target=brook)
    mine = follow(zz, brook, send_action=False, flag="watching")
    theirs = follow(bob, zz, send_action=False)
    found = exported(zz)
    assert abs(datetime.fromisoformat(found.pop("exportedAt")) - datetime.now(UTC)) < timedelta(
        hours=1
    )

    def action(row: Action, **given: Any) -> dict[str, Any]:
        empty: dict[str, Any] = dict.fromkeys(("target", "actionObject", "description", "data"))
        said = {"id": str(row.pk), "verb": row.verb, "timestamp": AT.isoformat(), "public": True}
        return {**empty, **said, **given}

    assert found == {
        "format": "brook.person",
        "version": 1,
        "user": {
            "id": zz.pk,
            "username": "zz-ada",
            "email": "zz@ada.example",
            "firstName": "Zza",
            "lastName": "Zzb",
            "isActive": True,
            "isStaff": False,
            "isSuperuser": False,
            "dateJoined": zz.date_joined.isoformat(),
            "lastLogin": None,
            "groups": [{"type": "auth.group", "id": str(group.pk)}],
            "userPermissions": [],
        },
        "actions": [
            action(
                own,
                actor=me,
                target=project,
                description="so",
                data={"n": 1.5},
                idempotencyKey="k",
            )
        ],
        "privateActions": [
            action(private, actor=me, actionObject=other, public=False, idempotencyKey=None)
        ],
        "targetActions": [action(praise, actor=other, target=me)],
        "actionObjectActions": [action(mention, actor=other, target=project, actionObject=me)],
        "following": [
            {
                "id": str(mine.pk),
                "user": me,
                "followObject": project,
                "actorOnly": True,
                "flag": "watching",
                "started": mine.started.isoformat(),
            }
        ],
        "followers": [
            {
                "id": str(theirs.pk),
                "user": other,
                "followObject": me,
                "actorOnly": True,
                "flag": "",
                "started": theirs.started.isoformat(),
            }
        ],
        "sessions": [],
        "adminLog": [],
        "adminLogAbout": [],
        "adminLogNaming": [],
    }


def test_neither_passwords_nor_keys_of_sessions_are_handed_out(zz: User, client: Client) -> None:
    client.force_login(zz)
    session = client.session
    session["theme"] = "dark"
    session.save()
    found = exported(zz)
    assert [it["data"] for it in found["sessions"]] == [{"theme": "dark"}]
    text = json.dumps(found)
    zz.refresh_from_db()
    for secret in (zz.password, session.session_key, zz.get_session_auth_hash()):
        assert str(secret) not in text


def test_what_others_did_for_themselves_alone_is_left_out_and_said(
    zz: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    did(bob, "reported", target=zz, public=False, description="to the police")
    did(bob, "hid", action_object=zz)
    monkeypatch.setattr(
        type(Action.objects), "visible_to", lambda self, rows, viewer: rows.exclude(verb="hid")
    )
    err = StringIO()
    call_command("export_user", "zz-ada", stdout=(out := StringIO()), stderr=err)
    found = json.loads(out.getvalue())
    assert found["targetActions"] == found["actionObjectActions"] == []
    assert "2 times others name this user" in err.getvalue()
    assert "police" not in out.getvalue()


def test_many_rows_are_written_a_few_at_a_time(
    zz: User, django_assert_max_num_queries: Any
) -> None:
    rows = [did(zz, description=str(n)) for n in range(10)]
    pieces = persons.document(zz, ignore)
    longest = max(piece.count('"verb"') for piece in pieces)
    assert longest == 3
    assert [it["id"] for it in exported(zz)["actions"]] == [str(row.pk) for row in rows]


def test_a_file_is_for_its_owner_alone_and_whole_or_not_there(
    zz: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did(zz)
    path = tmp_path / "zz.json"
    path.write_text("before")
    path.chmod(0o644)

    def broken(*args: Any) -> Iterator[str]:
        yield "{"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(persons, "document", broken)
        with pytest.raises(CommandError, match="not whole"):
            exported_to(zz, path)
    assert (path.read_text(), os.listdir(tmp_path)) == ("before", ["zz.json"])
    exported_to(zz, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["zz.json"]
    assert len(json.loads(path.read_text())["actions"]) == 1


def exported_to(user: User, path: Path) -> None:
    out = StringIO()
    call_command("export_user", user.username, f"--output={path}", stdout=out, stderr=StringIO())
    assert out.getvalue() == ""


def test_a_directory_that_is_not_there_is_said(zz: User) -> None:
    with pytest.raises(CommandError, match="--output /nowhere/a: No such file"):
        exported_to(zz, Path("/nowhere/a"))


def test_a_user_is_named_by_name_or_key(zz: User) -> None:
    out = StringIO()
    call_command("export_user", str(zz.pk), "--id", stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue())["user"]["username"] == "zz-ada"
    for wrong, message in (
        (["nobody"], "There is no user 'nobody'"),
        ([str(zz.pk)], "There is no user"),
        (["0", "--id"], "no user of the primary key '0'"),
        (["zz-ada", "--id"], "'zz-ada' is no primary key of a user"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command("export_user", *wrong, stdout=out, stderr=StringIO())


# Erasing.

PEOPLE, ROLES = ("zz", "bob", "project"), st.sampled_from(["zz", "bob", "project", None])


@examples(max_examples=15)
@given(
    world=st.lists(
        st.tuples(st.sampled_from(PEOPLE), ROLES, ROLES, st.booleans(), st.booleans()),
        max_size=12,
    ),
    likes_=st.lists(st.integers(0, 11), max_size=6),
)
@pytest.mark.parametrize("anonymise", [False, True], ids=["removed", "made anonymous"])
def test_after_that_no_table_names_the_person(
    world: list[Any], likes_: list[int], likes: None, diaries: None, anonymise: bool
) -> None:
    zz = User.objects.create_user(**NAMES)
    bob, project = User.objects.create(username="bob"), Project.objects.create(name="brook")
    there: dict[Any, Any] = {"zz": zz, "bob": bob, "project": project}
    try:
        rows = [
            did(
                there[actor],
                public=public,
                **{k: there[it] for k, it in (("target", t), ("action_object", o)) if it},
                description=f"{NAMES['first_name']} did it" if text and actor == "zz" else None,
                data={"mail": NAMES["email"]} if text and actor == "zz" else None,
            )
            for actor, t, o, public, text in world
        ]
        liked = [did(bob, "liked", target=rows[n]) for n in likes_ if n < len(rows)]
        liked += [did(bob, "liked", target=like) for like in liked]
        follow(zz, bob), follow(bob, zz), follow(bob, project), follow(zz, project)
        Page.objects.create(slug=f"diary-{zz.pk}-1", text="zz-ada slept")
        kept = Page.objects.create(slug="diary-other", text="bob slept")
        log(bob, zz)
        log(zz, bob)
        for row in rows[:2]:
            log(bob, row)
        before = set(Action.objects.values_list("pk", flat=True))
        public = set(Action.objects.public().values_list("pk", flat=True))
        involved = {
            row.pk
            for row in Action.objects.all()
            if any(getattr(row, role) == zz for role in ("actor", "target", "action_object"))
        }
        secret = [row.pk for row in rows if row.actor == zz and not row.public]
        gone_too = set(batches.naming(secret, "default"))
        assert len(traces(zz.pk, *NAMES.values())) >= 6
        Erasure(zz, anonymise).run(ignore)
        left = set(Action.objects.values_list("pk", flat=True))
        assert traces(None if anonymise else zz.pk, *NAMES.values()) == []
        if anonymise:
            assert left == before - set(secret) - gone_too >= public - gone_too
            assert not User.objects.get(pk=zz.pk).is_active
            assert Follow.objects.filter(user=zz).count() == 0
            assert list(Follow.objects.for_object(zz).values_list("user", flat=True)) == [bob.pk]
        else:
            liking = set(batches.naming(sorted(involved), "default"))
            assert liking == set()
            assert left <= before - involved
            assert {row.pk for row in rows} - involved <= left
        assert Page.objects.filter(pk=kept.pk).exists()
    finally:
        for model in (LogEntry, Action, Follow, Page, Project, User):
            model.objects.all().delete()


def log(by: User, about: Model) -> None:
    LogEntry.objects.create(
        user=by,
        content_type=ContentType.objects.get_for_model(about),
        object_id=str(about.pk),
        object_repr=str(about)[:200],
        action_flag=CHANGE,
    )


def test_nothing_is_exported_of_who_is_erased(zz: User, bob: User) -> None:
    did(zz), did(bob, target=zz), follow(zz, bob)
    assert "Erased." in erase(zz)
    with pytest.raises(CommandError, match="There is no user"):
        exported(zz)
    assert list(Action.objects.all()) == []


def test_of_who_is_anonymous_there_is_what_others_see_alone(zz: User, bob: User) -> None:
    zz.groups.add(Group.objects.create(name="readers"))
    kept = did(zz, description="I, Zza", data={"a": 1}, idempotency_key="k", target=bob)
    did(zz, public=False)
    follow(zz, bob, send_action=False), follow(bob, zz, send_action=False)
    assert "Nobody knows now" in erase(zz, "--anonymise")
    stub = User.objects.get(pk=zz.pk)
    assert stub.username.startswith(erasing.NAMELESS)
    assert (stub.email, stub.get_full_name(), stub.is_active) == ("", "", False)
    assert (stub.has_usable_password(), list(stub.groups.all())) == (False, [])
    assert [(it.pk, it.actor, it.target) for it in Action.objects.all()] == [(kept.pk, stub, bob)]
    found = exported(stub)
    assert found["actions"][0]["description"] is found["actions"][0]["data"] is None
    assert found["privateActions"] == found["following"] == found["sessions"] == []
    assert len(found["followers"]) == 1


def test_text_that_says_nothing_of_people_may_stay(zz: User) -> None:
    row = did(zz, description="version 2", data={"a": 1})
    erase(zz, "--anonymise", "--keep-text")
    row.refresh_from_db()
    assert (row.description, row.data) == ("version 2", {"a": 1})
    with pytest.raises(CommandError, match="--keep-text is for --anonymise"):
        erase(zz, "--keep-text")


@pytest.mark.parametrize("anonymise", [False, True])
@pytest.mark.parametrize("batch", range(6))
def test_interrupted_it_goes_on_and_nobody_can_log_in_meanwhile(
    zz: User,
    bob: User,
    client: Client,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    anonymise: bool,
    batch: int,
) -> None:
    settings.TOKEN_SECRET = "a secret of thirty-two bytes, or more"
    client.force_login(zz)
    token = mint(zz, timedelta(hours=1))
    for n in range(7):
        did(zz, description="Zza"), did(zz, public=False), did(bob, target=zz)
        follow(zz, Project.objects.create(name=str(n)), send_action=False)
    changed, removed, count = batches.change, batches.remove, iter(range(100))

    def interrupted(how: Any) -> Any:
        def act(*args: Any, **kwargs: Any) -> Any:
            if next(count) == batch:
                raise KeyboardInterrupt
            return how(*args, **kwargs)

        return act

    options = ["--anonymise"] * anonymise
    with monkeypatch.context() as patch:
        patch.setattr(batches, "change", interrupted(changed))
        patch.setattr(batches, "remove", interrupted(removed))
        with pytest.raises(CommandError, match="Run the same command"):
            erase(zz, *options)
    assert authenticate(username="zz-ada", password="a secret") is None
    assert Session.objects.count() == 0
    assert not client.get("/admin/").wsgi_request.user.is_authenticated
    with pytest.raises(TokenError):
        user_of(token)
    erase(zz, *options)
    assert traces(None if anonymise else zz.pk, *NAMES.values()) == []
    with pytest.raises(TokenError):
        user_of(token)


def test_what_a_request_that_was_under_way_has_left_goes_by_the_key(
    zz: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(zz.pk)
    did(zz)
    late: list[Action] = []

    def meanwhile(part: str, done: int) -> None:
        if not late:
            late.append(did(bob, target=zz))

    Erasure(zz).run(meanwhile)
    assert list(Action.objects.all()) == []
    zz.pk = int(key)
    did(bob, target=zz)
    call_command("erase_user", key, "--id", "--no-input", stdout=StringIO())
    assert list(Action.objects.all()) == []
    with pytest.raises(CommandError, match="nor a trace"):
        call_command("erase_user", key, "--id", "--no-input", stdout=StringIO())


def test_it_says_what_it_will_do_and_does_nothing_in_a_dry_run(zz: User, bob: User) -> None:
    did(zz), did(bob, target=zz), follow(bob, zz, send_action=False)
    said = " ".join(erase(zz, "--dry-run").split())
    assert f"The user zz-ada, of the primary key {zz.pk}:" in said
    assert "actions 1 deleted" in said
    assert "followers 1 deleted" in said
    said = " ".join(erase(zz, "--anonymise", "--dry-run").split())
    assert "actions 1 emptied" in said
    assert "targetActions 1 kept" in said
    zz.refresh_from_db()
    assert (zz.is_active, Action.objects.count(), Follow.objects.count()) == (True, 2, 1)


@pytest.mark.parametrize("typed", ["zz-ada", "zz-Ada", "", "yes"])
def test_the_name_is_to_be_typed(zz: User, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase_user, "input", lambda: typed, raising=False)
    if typed == "zz-ada":
        call_command("erase_user", "zz-ada", stdout=StringIO())
    else:
        with pytest.raises(CommandError, match="Nothing was done"):
            call_command("erase_user", "zz-ada", stdout=StringIO())
    assert User.objects.filter(pk=zz.pk, is_active=True).exists() == (typed != "zz-ada")


def test_what_protects_the_user_is_said_before_anything_is_done(
    zz: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    did(zz)
    log(zz, zz)
    author: Any = LogEntry._meta.get_field("user").remote_field
    monkeypatch.setattr(author, "on_delete", PROTECT)
    monkeypatch.setattr(persons, "_log", list)
    with pytest.raises(CommandError, match=r"protect the user: admin\.LogEntry"):
        erase(zz)
    with pytest.raises(Blocked):
        Erasure(zz).check()
    zz.refresh_from_db()
    assert (zz.is_active, Action.objects.count()) == (True, 1)
    erase(zz, "--anonymise")


def test_a_site_keeps_its_own_and_says_what_becomes_of_it(zz: User, diaries: None) -> None:
    for n in range(4):
        Page.objects.create(slug=f"diary-{zz.pk}-{n}", text="zz-ada slept")
    assert exported(zz)["diaries"][0] == {"slug": f"diary-{zz.pk}-0", "text": "zz-ada slept"}
    assert "diaries 4 emptied" in " ".join(erase(zz, "--anonymise").split())
    assert set(Page.objects.values_list("text", flat=True)) == {""}
    call_command("erase_user", str(zz.pk), "--id", "--no-input", stdout=StringIO())
    assert list(Page.objects.all()) == []


def test_a_name_is_kept_once(diaries: None) -> None:
    for name in ("diaries", "actions", "user"):
        with pytest.raises(ImproperlyConfigured, match=name):
            persons.keep(name, lambda user: Page.objects.all())


def test_every_column_of_a_user_is_emptied_or_named(zz: User) -> None:
    values, stay = nameless(User)
    assert stay == []
    assert values.keys() == {f.name for f in User._meta.concrete_fields} - {"id"}
