"""/graphql over HTTP: for programs, for browsers, and for pages elsewhere."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.test import Client

from server.models import action
from tests.schema.client import gid
from tests.site.managers import SiteActions
from tests.site.models import Project

VIEWER = "{ viewer { id displayName username userStream { totalCount } } }"


def post(client: Client, query: str, variables: Any = None, /, **options: Any) -> Any:
    body = {"query": query, "variables": variables or {}}
    return client.post("/graphql", body, content_type="application/json", **options)


@pytest.fixture
def as_ada(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def test_an_anonymous_program_is_answered(client: Client, db: None) -> None:
    response = post(client, VIEWER)
    assert (response.status_code, response.json()) == (200, {"data": {"viewer": None}})
    assert response.headers["Content-Type"].startswith("application/json")
    assert "Set-Cookie" not in response.headers


def test_the_viewer_is_the_user_of_the_session(as_ada: Client, ada: User) -> None:
    assert post(as_ada, VIEWER).json() == {
        "data": {
            "viewer": {
                "id": gid(ada),
                "displayName": "ada",
                "username": "ada",
                "userStream": {"totalCount": 0},
            }
        }
    }


def test_a_mutation_of_the_sessions_user_is_recorded(as_ada: Client, brook: Project) -> None:
    document = """mutation ($id: ID!) { follow(input: {object: $id}) {
        created userErrors { code } object { viewerIsFollowing } } }"""
    assert post(as_ada, document, {"id": gid(brook)}).json()["data"]["follow"] == {
        "created": True,
        "userErrors": [],
        "object": {"viewerIsFollowing": True},
    }


def test_a_login_page_leads_back_to_graphiql(client: Client, ada: User) -> None:
    ada.set_password("secret")
    ada.save()
    response = client.post("/login?next=/graphql", {"username": "ada", "password": "secret"})
    assert (response.status_code, response.headers["Location"]) == (302, "/graphql")
    assert post(client, VIEWER).json()["data"]["viewer"]["displayName"] == "ada"
    assert client.post("/logout").status_code == 302
    assert post(client, VIEWER).json()["data"]["viewer"] is None


def browse(client: Client) -> str:
    response = client.get("/graphql", headers={"Accept": "text/html,*/*;q=0.8"})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    return str(response.content.decode())


def configuration(page: str) -> Any:
    found = re.search(
        r'<script id="graphiql-config" type="application/json">(.*?)</script>', page, re.DOTALL
    )
    assert found
    return json.loads(found[1])


def test_a_browser_that_is_not_logged_in_is_offered_to(client: Client, db: None) -> None:
    page = browse(client)
    assert "Not logged in" in page
    assert 'href="/login?next=/graphql"' in page
    assert "<form" not in page


def test_a_browser_that_is_logged_in_sees_as_whom_and_may_log_out(as_ada: Client) -> None:
    page = browse(as_ada)
    assert "Logged in as <strong>ada</strong>" in page
    [form] = re.findall(r'<form method="post" action="/logout">.*?</form>', page, re.DOTALL)
    assert "csrfmiddlewaretoken" in form
    assert "Not logged in" not in page


def test_a_browser_never_shows_an_email_address(client: Client, db: None) -> None:
    user = User.objects.create(username="ada@example.com", email="ada@example.com")
    client.force_login(user)
    page = browse(client)
    assert "ada@example.com" not in page
    assert f"Logged in as <strong>User {user.pk}</strong>" in page


def test_a_name_in_the_page_is_no_html(client: Client, db: None) -> None:
    client.force_login(User.objects.create(username="<script>alert(1)</script>"))
    assert "<script>alert(1)" not in browse(client)


def test_the_page_carries_its_endpoint_and_a_first_query(client: Client, db: None) -> None:
    config = configuration(browse(client))
    assert config["endpoint"] == "/graphql"
    assert "userStream" in config["tabs"][0]["query"]


def test_every_query_of_the_page_runs(as_ada: Client) -> None:
    for tab in configuration(browse(as_ada))["tabs"]:
        variables = json.loads(tab.get("variables") or "{}")
        assert "errors" not in post(as_ada, tab["query"], variables).json()


def test_the_page_names_nothing_of_another_host(client: Client, db: None) -> None:
    assert re.findall(r"""(?:src|href|action)=["'](?:https?:)?//""", browse(client)) == []


def test_the_root_leads_to_graphiql(client: Client, db: None) -> None:
    response = client.get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/graphql")


# Faults


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "BAD_REQUEST"),
        ("{ unheard }", "BAD_REQUEST"),
        ("{ node }", "BAD_REQUEST"),
        ("query ($id: ID!) { node(id: $id) { id } }", "BAD_USER_INPUT"),
        ("{ nodes(ids: [1.5]) { id } }", "BAD_USER_INPUT"),
        ("{ modelStream(model: UNHEARD) { totalCount } }", "BAD_USER_INPUT"),
        ('{ modelStream(model: USER, filter: {since: "x"}) { totalCount } }', "BAD_USER_INPUT"),
        ("query ($id: ID!) { node(id: $other) { id } }", "BAD_REQUEST"),
        ('{ actorStream(actor: "?") { totalCount } }', "BAD_USER_INPUT"),
        ("{ modelStream(model: USER, first: -1) { totalCount } }", "BAD_USER_INPUT"),
        ("{ userStream { totalCount } }", "UNAUTHENTICATED"),
        ('mutation { unfollow(input: {object: "?"}) { clientMutationId } }', "UNAUTHENTICATED"),
    ],
)
def test_a_fault_of_the_request_has_its_code(
    client: Client, db: None, query: str, code: str
) -> None:
    response = post(client, query)
    assert response.status_code == 200
    errors = response.json()["errors"]
    assert [error["extensions"] for error in errors] == [{"code": code}] * len(errors)


def fail(error: Exception) -> Any:
    def stream(self: Any, obj: Any) -> Any:
        raise error

    return stream


@pytest.mark.parametrize(
    "error",
    [
        ValueError("SELECT secret FROM auth_user"),
        TypeError("SELECT secret FROM auth_user"),
        KeyError("SELECT secret FROM auth_user"),
        AttributeError("SELECT secret FROM auth_user"),
        RecursionError("SELECT secret FROM auth_user"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_nobody_foresaw_is_masked_with_an_id_that_the_log_has(
    as_ada: Client,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(SiteActions.involving, "stream", fail(error))
    document = "query ($id: ID!) { bad: involving(obj: $id) { totalCount } healthy: __typename }"
    with caplog.at_level(logging.ERROR):
        response = post(as_ada, document, {"id": gid(ada)})
    assert b"secret" not in response.content
    assert b"auth_user" not in response.content
    answer = response.json()
    assert answer["data"] == {"bad": None, "healthy": "Query"}
    [masked] = answer["errors"]
    assert set(masked) == {"message", "locations", "path", "extensions"}
    assert (masked["path"], masked["extensions"]["code"]) == (["bad"], "INTERNAL")
    reference = masked["extensions"]["id"]
    assert reference in masked["message"]
    ours = [record for record in caplog.records if reference in record.getMessage()]
    assert [record.exc_info and record.exc_info[1] for record in ours] == [error]


def test_a_fault_of_the_request_is_not_logged_as_ours(
    client: Client, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="schema.errors"):
        post(client, '{ actorStream(actor: "?") { totalCount } }')
    assert [record for record in caplog.records if record.name == "schema.errors"] == []


def test_a_display_name_that_fails_is_masked(
    as_ada: Client, ada: User, brook: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    action.send(ada, verb="saw", target=brook)

    def fails(self: Project) -> str:
        raise ValueError("secret column")

    monkeypatch.setattr(Project, "__str__", fails)
    document = """query ($id: ID!) { node(id: $id) { displayName }
        actorStream(actor: $id) { nodes { verb target { id } } } }"""
    healthy = post(as_ada, document, {"id": gid(ada)}).json()
    assert healthy["data"]["actorStream"]["nodes"][0]["target"] == {"id": gid(brook)}
    response = post(as_ada, document, {"id": gid(brook)})
    assert b"secret" not in response.content
    assert [error["extensions"]["code"] for error in response.json()["errors"]] == ["INTERNAL"]


def test_an_unknown_path_is_not_found(client: Client, db: None) -> None:
    assert client.get("/graphqls").status_code == 404


def test_the_live_page_is_for_who_is_logged_in(client: Client, ada: User) -> None:
    assert client.get("/live").headers["Location"] == "/login?next=/live"
    client.force_login(ada)
    page = client.get("/live")
    assert page.status_code == 200
    assert "<span>ada</span>" in page.text
    files = re.findall(r"""(?:href|src)="/static/([^"]+)""", page.text)
    assert files == ["live/live.css", "live/live.js"]
    assert [file for file in files if not finders.find(file)] == []
    assert not re.search(r"<script(?![^>]* src=)| style=| on[a-z]+=", page.text)
