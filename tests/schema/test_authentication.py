"""Who asks over HTTP: sessions, tokens, and pages elsewhere."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from schema.authentication import authenticate
from schema.context import Context
from server import tokens
from tests.schema.client import gid
from tests.site.models import Project

VIEWER = "{ viewer { username } }"
ELSEWHERE = "https://elsewhere.example"


@pytest.fixture(autouse=True)
def secret(settings: Any) -> None:
    settings.TOKEN_SECRET = "a secret of thirty-two bytes, or more"


def bearer(user: User, **lifetime: float) -> str:
    return f"Bearer {tokens.mint(user, timedelta(**lifetime or {'minutes': 1}))}"


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


# Tokens


def test_a_token_says_who_asks(client: Client, ada: User) -> None:
    response = post(client, Authorization=bearer(ada))
    assert viewer(response) == "ada"
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(client: Client, ada: User, scheme: str) -> None:
    token = bearer(ada).removeprefix("Bearer ")
    assert viewer(post(client, Authorization=f"{scheme} {token}")) == "ada"


def test_a_token_may_do_what_its_user_may(client: Client, ada: User, brook: Project) -> None:
    follow = f'mutation {{ follow(input: {{object: "{gid(brook)}"}}) {{ created }} }}'
    answer = post(client, follow, Authorization=bearer(ada), Origin=ELSEWHERE).json()
    assert answer == {"data": {"follow": {"created": True}}}
    assert [it.user for it in brook.incoming_follows.all()] == [ada]


NO_TOKENS = {
    "empty": "",
    "scheme alone": "Bearer",
    "scheme and a space": "Bearer ",
    "nonsense": "Bearer nonsense",
    "two": "Bearer a.b.c,Bearer a.b.c",
    "another scheme": "Token a.b.c",
    "no scheme": "eyJhbGciOiJIUzI1NiJ9.e30.x",
}


@pytest.mark.parametrize("header", NO_TOKENS.values(), ids=NO_TOKENS)
def test_a_bad_token_is_refused_whatever_the_session_says(as_ada: Client, header: str) -> None:
    response = post(as_ada, Authorization=header)
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert "Set-Cookie" not in response.headers
    assert viewer(post(as_ada)) == "ada"


def test_an_expired_token_is_refused_whatever_the_session_says(as_ada: Client, bob: User) -> None:
    response = post(as_ada, Authorization=bearer(bob, minutes=-1))
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert response.json()["errors"][0]["message"] == "The token is expired."
    assert response.headers["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="The token is expired."'
    )


def test_a_token_is_refused_where_none_are_set_up(as_ada: Client, settings: Any) -> None:
    header = bearer(User.objects.get())
    settings.TOKEN_SECRET = ""
    response = post(as_ada, Authorization=header)
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert "takes no tokens" in response.json()["errors"][0]["message"]


def test_a_token_is_not_called_bad_because_its_user_is_not_found_in_time(
    client: Client, ada: User, settings: Any
) -> None:
    settings.TIME_LIMIT = 1e-9
    response = post(client, Authorization=bearer(ada))
    assert refusal(response) == (503, "INTERNAL")


def test_a_fault_of_the_settings_is_no_fault_of_the_client(as_ada: Client, settings: Any) -> None:
    header = bearer(User.objects.get())
    settings.TOKEN_ALGORITHM = "RS256"
    response = post(as_ada, Authorization=header)
    assert refusal(response) == (503, "INTERNAL")
    assert response.headers["Retry-After"] == "30"
    assert "TOKEN_" not in response.json()["errors"][0]["message"]
    assert viewer(post(as_ada)) == "ada"


@pytest.mark.parametrize("header", ["Basic YWRhOnNlY3JldA==", "Negotiate x", "Digest x"])
def test_what_is_for_a_proxy_in_front_says_nothing(as_ada: Client, header: str) -> None:
    assert viewer(post(as_ada, Authorization=header)) == "ada"


def test_a_token_in_the_address_or_the_body_is_none(client: Client, ada: User) -> None:
    token = bearer(ada).removeprefix("Bearer ")
    body = {"query": VIEWER, "access_token": token}
    response = client.post(f"/graphql?access_token={token}", body, content_type="application/json")
    assert viewer(response) is None


def test_a_request_with_a_token_has_no_session(
    as_ada: Client, bob: User, settings: Any, django_assert_num_queries: Callable[[int], Any]
) -> None:
    """Neither is it loaded, nor saved, nor ended: one statement finds the token's user."""
    settings.SESSION_SAVE_EVERY_REQUEST = True
    header = bearer(bob)
    with django_assert_num_queries(1):
        response = post(as_ada, Authorization=header)
    assert viewer(response) == "bob"
    assert "Set-Cookie" not in response.headers
    assert viewer(post(as_ada)) == "ada"


def test_nothing_of_the_session_is_left_to_a_request_with_a_token(
    as_ada: Client, ada: User, bob: User
) -> None:
    request = RequestFactory().post(
        "/graphql",
        headers={
            "Authorization": bearer(bob),
            "Cookie": f"sessionid={as_ada.cookies['sessionid'].value}",
        },
    )
    request.session = as_ada.session
    request.user = ada
    authenticate(request)
    assert Context(request).viewer == bob
    assert async_to_sync(request.auser)() == bob
    assert (request.session.session_key, request.COOKIES) == (None, {})


def test_a_session_costs_no_more_for_there_being_tokens(
    as_ada: Client, django_assert_num_queries: Callable[[int], Any]
) -> None:
    with django_assert_num_queries(1):
        assert viewer(post(as_ada)) == "ada"


def test_a_token_opens_nothing_but_the_api(client: Client, root: User) -> None:
    User.objects.update(is_superuser=True)
    header = {"Authorization": bearer(root)}
    assert viewer(post(client, **header)) == "root"
    for path in ("/admin/", "/admin/auth/user/", "/admin/activity/action/"):
        response = client.get(path, headers=header)
        assert (response.status_code, response.headers["Location"].partition("?")[0]) == (
            302,
            "/admin/login/",
        )


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
def test_a_token_is_answered_from_anywhere(
    as_ada: Client, bob: User, headers: dict[str, str]
) -> None:
    assert viewer(post(as_ada, Authorization=bearer(bob), **headers)) == "bob"


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


# CORS

PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def allowed(response: Any) -> dict[str, str]:
    """What a browser is told that a page elsewhere may."""
    prefix = "access-control-"
    return {
        name.lower().removeprefix(prefix): value
        for name, value in response.headers.items()
        if name.lower().startswith(prefix)
    }


@pytest.fixture
def open_to_app(settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]


def test_no_page_elsewhere_may_read_answers_by_default(client: Client, db: None) -> None:
    assert allowed(client.options("/graphql", headers=PREFLIGHT)) == {}
    assert allowed(post(client, Origin="https://app.example")) == {}


@pytest.mark.usefixtures("open_to_app")
def test_a_page_of_an_allowed_origin_may_ask_with_a_token(client: Client, ada: User) -> None:
    preflight = client.options("/graphql", headers=PREFLIGHT)
    assert preflight.status_code == 200
    said = allowed(preflight)
    assert said["allow-origin"] == "https://app.example"
    assert {"authorization", "content-type"} <= set(said["allow-headers"].split(", "))
    assert said["allow-methods"] == "GET, POST"
    assert "allow-credentials" not in said

    response = post(client, Origin="https://app.example", Authorization=bearer(ada))
    assert viewer(response) == "ada"
    assert allowed(response) == {
        "allow-origin": "https://app.example",
        "expose-headers": "ETag, Link, Retry-After, WWW-Authenticate, X-Request-ID",
    }
    assert "origin" in response.headers["Vary"].lower()


@pytest.mark.usefixtures("open_to_app")
def test_a_page_of_an_allowed_origin_reads_why_it_is_refused(client: Client, db: None) -> None:
    response = post(client, Origin="https://app.example", Authorization="Bearer x")
    assert refusal(response) == (401, "UNAUTHENTICATED")
    assert allowed(response)["allow-origin"] == "https://app.example"


@pytest.mark.usefixtures("open_to_app")
@pytest.mark.parametrize(
    "origin", [ELSEWHERE, "null", "http://app.example", "https://app.example.elsewhere.example"]
)
def test_a_page_of_another_origin_may_not(client: Client, db: None, origin: str) -> None:
    headers = {**PREFLIGHT, "Origin": origin}
    assert allowed(client.options("/graphql", headers=headers)) == {}
    assert allowed(post(client, Origin=origin)) == {}


@pytest.mark.usefixtures("open_to_app")
@pytest.mark.parametrize("path", ["/login", "/logout", "/admin/login/", "/graphql/", "/"])
def test_cors_is_for_the_api_alone(client: Client, db: None, path: str) -> None:
    assert allowed(client.options(path, headers=PREFLIGHT)) == {}


@pytest.mark.usefixtures("open_to_app")
def test_an_allowed_origin_is_not_trusted_with_a_session(as_ada: Client) -> None:
    assert refusal(post(as_ada, Origin="https://app.example")) == (403, "FORBIDDEN")


@pytest.mark.usefixtures("open_to_app")
def test_a_trusted_and_allowed_origin_asks_with_a_session(as_ada: Client, settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example"]
    settings.CORS_ALLOW_CREDENTIALS = True
    said = allowed(as_ada.options("/graphql", headers=PREFLIGHT))
    assert said["allow-credentials"] == "true"
    response = post(as_ada, Origin="https://app.example")
    assert viewer(response) == "ada"
    assert allowed(response)["allow-credentials"] == "true"


# Over a connection


@pytest.mark.django_db(transaction=True)
def test_a_server_answers_a_token_as_the_test_client_is_answered(live_server: Any) -> None:
    ada = User.objects.create(username="ada")
    for authorization, expected in ((bearer(ada), 200), ("Bearer nonsense", 401)):
        request = urllib.request.Request(
            f"{live_server.url}/graphql",
            json.dumps({"query": VIEWER}).encode(),
            {
                "Content-Type": "application/json",
                "Authorization": authorization,
                "Origin": ELSEWHERE,
                "Cookie": "sessionid=" + "x" * 32,
            },
        )
        try:
            with urllib.request.urlopen(request) as response:
                status, answer = response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                status, answer = error.code, json.load(error)
        assert status == expected
        assert answer.get("data") == ({"viewer": {"username": "ada"}} if expected == 200 else None)
