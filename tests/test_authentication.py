"""What docs/authentication.md says is so."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import RequestFactory

from server import tokens
from tests.documents import document

GUIDE = document("docs/authentication.md")
SECRET = "a secret of thirty-two bytes, or more"


def test_the_reasons_of_a_refusal_are_those_that_are_given() -> None:
    marked = re.search(r"<!-- reasons -->\n(.*?)\n<!-- /reasons -->", GUIDE.text, re.DOTALL)
    assert marked
    reasons = dict.fromkeys([*(text for _, text in tokens.REASONS), tokens.UNKNOWN])
    assert marked[1].splitlines() == [f"- {text}" for text in reasons]


def test_the_servers_that_mint_as_shown_are_taken(settings: Any, ada: User) -> None:
    settings.TOKEN_SECRET = SECRET
    [block] = [it.text for it in GUIDE.blocks if "def token_for" in it.text]
    shown: dict[str, Any] = {"TOKEN_SECRET": SECRET}
    exec(block, shown)
    assert tokens.user_of(shown["token_for"]("ada")) == ada


def test_the_command_is_as_shown(
    settings: Any, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.TOKEN_SECRET = SECRET
    [command] = re.findall(r"^python manage\.py (.*)$", GUIDE.text, re.MULTILINE)
    call_command(*command.split())
    assert tokens.user_of(capsys.readouterr().out.strip()) == ada


def test_a_page_of_a_sites_own_is_wrapped_as_shown(settings: Any, db: None) -> None:
    settings.LOGIN_ATTEMPTS = 1
    [block] = [it.text for it in GUIDE.blocks if "throttled(" in it.text]
    shown: dict[str, Any] = {}
    exec(block, shown)
    view = shown["urlpatterns"][0].callback
    form = {"username": "somebody of this test", "password": "wrong"}
    asked = [RequestFactory().post("/members/login", form) for _ in range(2)]
    for request in asked:
        request._dont_enforce_csrf_checks = True
    assert [view(request).status_code for request in asked] == [200, 429]
