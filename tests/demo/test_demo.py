"""The demo's world, what it prints, and the tour through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from graphql import parse

from server.demo import tour, world
from server.demo.management.commands import demo
from server.demo.models import Repository
from server.models import Action, Follow, action, user_stream

pytestmark = pytest.mark.django_db


def test_the_world_is_made_once_and_keeps_what_is_added() -> None:
    assert world.load()
    made = Action.objects.count(), Follow.objects.count()
    assert made[0] > 500
    [(_, added)] = action.send(User.objects.get(username="ada"), verb="waved")
    assert not world.load()
    assert (Action.objects.count() - 1, Follow.objects.count()) == made
    assert Action.objects.latest("pk") == added


def test_a_world_that_is_interrupted_leaves_nothing() -> None:
    def interrupted(steps: Any) -> Iterator[str]:
        yield from steps[:100]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.load(interrupted)
    assert not Action.objects.exists()
    assert not Repository.objects.exists()


def test_the_world_is_the_same_each_time_and_ada_has_a_lively_stream() -> None:
    world.load()
    ada = User.objects.get(username="ada")
    said = [row.verb for row in user_stream(ada, with_user_activity=True)[:10]]
    assert len(said) == 10
    assert Repository.objects.filter(private=True).exists()
    assert Action.objects.filter(public=False).exists()


def test_the_tour_parses_and_has_the_ids_of_the_world() -> None:
    world.load()
    tabs = tour.tabs()
    assert len(tabs) == 8
    for tab in tabs:
        assert tab["query"]
        assert len(parse(str(tab["query"])).definitions) > 0
        given = json.loads(str(tab["variables"] or "{}"))
        assert [name for name, value in given.items() if value is None] in ([], ["after"])


def test_the_command_says_how_to_log_in_and_changes_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PASSWORD", tmp_path / ".demo" / "password")
    monkeypatch.setattr(demo, "load_own_history", lambda *args, **kwargs: None)
    call_command("demo")
    first = capsys.readouterr().out
    password = (tmp_path / ".demo" / "password").read_text()
    assert f"log in as ada, password {password}" in first
    assert (tmp_path / ".demo" / "password").stat().st_mode & 0o777 == 0o600
    assert User.objects.get(username="ada").check_password(password)
    call_command("demo")
    assert f"log in as ada, password {password}" in capsys.readouterr().out
    ada = User.objects.get(username="ada")
    ada.set_password("another")
    ada.save()
    call_command("demo")
    assert "with the password that you gave her" in capsys.readouterr().out
