"""What a browser is told that it may do with an answer."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

PAGE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
#: The editor brings its own font, and lays out its lines by style attributes and elements.
GRAPHIQL = PAGE | {"style-src": "'self' 'unsafe-inline'", "font-src": "'self' data:"}
NOTHING = dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")

HTML = {"Accept": "text/html"}


def policy(response: Any) -> dict[str, str]:
    said = response.headers["Content-Security-Policy"]
    return dict(directive.split(" ", 1) for directive in said.split("; "))


def asked(client: Client, body: Any = None, **options: Any) -> Any:
    body = body or {"query": "{ __typename }"}
    return client.post("/graphql", body, content_type="application/json", **options)


def fail(*args: Any, **kwargs: Any) -> Any:
    raise ValueError


ANSWERS: dict[str, tuple[Any, int, dict[str, str]]] = {
    "GraphiQL": (lambda client: client.get("/graphql", headers=HTML), 200, GRAPHIQL),
    "the login": (lambda client: client.get("/login"), 200, PAGE),
    "the admin's login": (lambda client: client.get("/admin/login/"), 200, PAGE),
    "a redirection": (lambda client: client.get("/"), 302, PAGE),
    "no such page": (lambda client: client.get("/nowhere"), 404, PAGE),
    "another host": (lambda client: client.get("/login", headers={"Host": "x"}), 400, PAGE),
    "no token": (lambda client: client.post("/login", {}), 403, PAGE),
    "a failure": (lambda client: client.get("/admin/login/?fails"), 500, PAGE),
    "an answer": (asked, 200, NOTHING),
    "no answer": (lambda client: asked(client, "?"), 400, NOTHING),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.django_db
def test_every_answer_says_what_a_browser_may_do_with_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, status, expected = ANSWERS[name]
    if status == 500:
        monkeypatch.setattr("django.contrib.admin.sites.AdminSite.each_context", fail)
    response = ask(Client(enforce_csrf_checks=True, raise_request_exception=False))
    assert response.status_code == status
    assert policy(response) == expected
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response.headers["Permissions-Policy"]


def test_the_admins_pages_have_the_policy(client: Client, db: None) -> None:
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    for path in ("", "activity/action/", "auth/user/add/", "jsi18n/"):
        response = client.get(f"/admin/{path}")
        expected = PAGE if path != "jsi18n/" else NOTHING
        assert (response.status_code, policy(response)) == (200, expected)


def test_a_site_may_have_pages_with_another_policy(settings: Any, client: Client) -> None:
    directives = {"default-src": ["'self'"]}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives}
    assert policy(client.get("/login")) == {"default-src": "'self'"}
