"""Who asks over HTTP: sessions, and pages elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.schema.client import gid
from tests.site.models import Project

VIEWER = "{ viewer { username } }"
ELSEWHERE = "https://elsewhere.example"


def post(client: Client, query: str = VIEWER, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"query": query}
    return client.post("/graphql", body, content_type="application/json", headers=named)


def viewer(response: Any) -> str | None:
    assert response.status_code == 200, response.content
    found = response.json()["data"]["viewer"]
    return found and str(found["username"])


def refusal(response: Any) -> tuple[int, str]:
    """The status and the code of a request that is refused as a whole."""
    answer = response.json()
    assert set(answer) == {"errors"}
    [error] = answer["errors"]
    assert set(error) == {"message", "extensions"}
    return response.status_code, error["extensions"]["code"]


@pytest.fixture
def as_ada(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


# Pages elsewhere

FOREIGN: dict[str, dict[str, str]] = {
    "another origin": {"Origin": ELSEWHERE},
    "no origin to speak of": {"Origin": "null"},
    "an empty origin": {"Origin": ""},
    "a longer origin": {"Origin": "http://testserver.elsewhere.example"},
    "a shorter origin": {"Origin": "http://testserve"},
    "another scheme": {"Origin": "https://testserver"},
    "another port": {"Origin": "http://testserver:81"},
    "two origins": {"Origin": f"http://testserver, {ELSEWHERE}"},
    "an origin with a path": {"Origin": "http://testserver/"},
    "a broken origin": {"Origin": "http://["},
    "another site": {"Sec_Fetch_Site": "cross-site"},
    "another host of the site": {"Sec_Fetch_Site": "same-site"},
    "a word of the future": {"Sec_Fetch_Site": "elsewhere"},
    "no word": {"Sec_Fetch_Site": ""},
    "an origin that lies about the site": {"Origin": ELSEWHERE, "Sec_Fetch_Site": "same-origin"},
}
OURS: dict[str, dict[str, str]] = {
    "our origin": {"Origin": "http://testserver"},
    "our origin, with all that a browser says": {
        "Origin": "http://testserver",
        "Sec_Fetch_Site": "same-origin",
    },
    "a trusted origin": {"Origin": "https://app.example", "Sec_Fetch_Site": "cross-site"},
    "a subdomain of a trusted one": {"Origin": "https://a.trusted.example"},
    "the same origin": {"Sec_Fetch_Site": "same-origin"},
    "the address bar": {"Sec_Fetch_Site": "none"},
    "a program": {},
}


@pytest.fixture
def trusting(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example", "https://*.trusted.example"]


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_a_session_from_elsewhere_changes_nothing(
    as_ada: Client, brook: Project, headers: dict[str, str]
) -> None:
    follow = f'mutation {{ follow(input: {{object: "{gid(brook)}"}}) {{ created }} }}'
    response = post(as_ada, follow, **headers)
    assert refusal(response) == (403, "FORBIDDEN")
    assert "must come from this site" in response.json()["errors"][0]["message"]
    assert list(brook.incoming_follows.all()) == []


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("headers", OURS.values(), ids=OURS)
def test_a_session_from_here_is_answered(as_ada: Client, headers: dict[str, str]) -> None:
    assert viewer(post(as_ada, **headers)) == "ada"


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_an_anonymous_request_is_answered_from_anywhere(
    client: Client, db: None, headers: dict[str, str]
) -> None:
    assert viewer(post(client, **headers)) is None


def test_a_session_that_is_none_is_from_elsewhere_all_the_same(client: Client, db: None) -> None:
    client.cookies["sessionid"] = "x" * 32
    assert refusal(post(client, Origin=ELSEWHERE)) == (403, "FORBIDDEN")


def test_an_origin_is_told_back_no_longer_than_it_may_be(as_ada: Client) -> None:
    assert len(post(as_ada, Origin="https://" + "x" * 5000).content) < 500


def test_a_link_from_elsewhere_opens_the_page(as_ada: Client) -> None:
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    assert as_ada.get("/graphql", headers=headers).status_code == 200
