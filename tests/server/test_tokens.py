"""Whom a token names: what is refused, beside what is taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from jwt.algorithms import get_default_algorithms

from server import jwks, tokens
from server.checks import tokens_can_be_verified
from server.tokens import TokenError, Unavailable, user_of

SECRET = "a secret of thirty-two bytes, or more"
ISSUER, AUDIENCE = "https://issuer.example", "brook"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
OTHERS: dict[str, Any] = {
    "HS256": "another secret of thirty-two bytes",
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
#: Every way to say by which key tokens are verified.
WAYS = ["HS256", *(f"{name} by {way}" for name in PRIVATE for way in ("key", "address"))]


def public_pem(key: Any) -> str:
    return str(
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def private_pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
    )


def jwk(algorithm: str, key: Any, kid: str) -> dict[str, Any]:
    said: Any = get_default_algorithms()[algorithm]
    return {**said.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


class Address(ThreadingHTTPServer):
    """An issuer's address, at which it publishes keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Publisher)
        self.url = f"http://127.0.0.1:{self.server_port}/keys"
        self.asked = 0
        self.body = b""
        self.status = 200

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


class Publisher(BaseHTTPRequestHandler):
    server: Address

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[Address]:
    with Address() as served:
        thread = Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


class Mint:
    """An issuer of tokens, as the settings know it."""

    def __init__(self, algorithm: str, key: Any, **headers: Any) -> None:
        self.algorithm, self.key, self.headers = algorithm, key, headers

    def __call__(self, key: Any = None, algorithm: str = "", **changes: Any) -> str:
        """A token of ada's that is good for a minute, but for what is changed; None: left out."""
        now = int(time())
        said = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60}
        claims = {name: it for name, it in {**said, **changes}.items() if it is not None}
        return jwt.encode(claims, key or self.key, algorithm or self.algorithm, self.headers)


@pytest.fixture(params=WAYS)
def mint(request: pytest.FixtureRequest, settings: Any, ada: User) -> Mint:
    """Each way to set tokens up, with an issuer for it."""
    algorithm, _, way = request.param.partition(" by ")
    settings.TOKEN_ALGORITHM = algorithm
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    if algorithm == "HS256":
        settings.TOKEN_SECRET = SECRET
        return Mint(algorithm, SECRET)
    key = PRIVATE[algorithm]
    if way == "key":
        settings.TOKEN_PUBLIC_KEY = public_pem(key)
    else:
        address = request.getfixturevalue("address")
        address.publish(jwk(algorithm, key, "now"))
        settings.TOKEN_JWKS_URL = address.url
    return Mint(algorithm, key, kid="now")


@pytest.fixture
def secret(settings: Any, ada: User) -> Mint:
    settings.TOKEN_SECRET = SECRET
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    return Mint("HS256", SECRET)


@pytest.fixture
def published(settings: Any, ada: User, address: Address) -> Mint:
    settings.TOKEN_ALGORITHM, settings.TOKEN_JWKS_URL = "ES256", address.url
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    address.publish(jwk("ES256", PRIVATE["ES256"], "now"))
    return Mint("ES256", PRIVATE["ES256"], kid="now")


def refused(token: str) -> str:
    with pytest.raises(TokenError) as caught:
        user_of(token)
    return str(caught.value)


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: Any, claims: Any, sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    head = f"{encoded(header)}.{encoded(claims)}"
    return f"{head}.{encoded(sign(head.encode()))}"


def claims_of(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


def test_a_token_is_whom_it_names(mint: Mint, ada: User) -> None:
    assert user_of(mint()) == ada


def test_a_token_costs_one_statement(
    mint: Mint, django_assert_num_queries: Callable[[int], Any]
) -> None:
    token = mint()
    with django_assert_num_queries(1):
        user_of(token)


NOW = int(time())
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"exp": NOW - 60}, "The token is expired."),
    "no expiry": ({"exp": None}, "The token has no claim exp."),
    "expiry is text": ({"exp": "tomorrow"}, "The token is malformed."),
    "expiry is a list": ({"exp": [NOW + 60]}, "The token is malformed."),
    "expiry is infinite": ({"exp": float("inf")}, "The token is malformed."),
    "not yet valid": ({"nbf": NOW + 600}, "The token is not yet valid."),
    "minted in the future": ({"iat": NOW + 600}, "The token is not yet valid."),
    "another audience": ({"aud": "elsewhere"}, "The token is for another audience."),
    "other audiences": ({"aud": ["a", "b"]}, "The token is for another audience."),
    "audience is a number": ({"aud": 7}, "The token is for another audience."),
    "no audience": ({"aud": None}, "The token has no claim aud."),
    "another issuer": ({"iss": "https://elsewhere.example"}, "The token is from another issuer."),
    "longer issuer": ({"iss": f"{ISSUER}.evil.example"}, "The token is from another issuer."),
    "no issuer": ({"iss": None}, "The token has no claim iss."),
    "unknown user": ({"sub": "nobody"}, tokens.UNKNOWN),
    "another case": ({"sub": "ADA"}, tokens.UNKNOWN),
    "no user": ({"sub": None}, "The token has no claim sub."),
    "empty user": ({"sub": ""}, tokens.UNKNOWN),
    "user of a NUL": ({"sub": "ada\0"}, tokens.UNKNOWN),
    "user of half a character": ({"sub": "ada\ud800"}, tokens.UNKNOWN),
    "user is a number": ({"sub": 7}, "The token is malformed."),
    "user is a list": ({"sub": ["ada"]}, "The token is malformed."),
    "user is an object": ({"sub": {"username": "ada"}}, "The token is malformed."),
    "long user": ({"sub": "a" * 3000}, tokens.UNKNOWN),
}


@pytest.mark.parametrize(("changes", "reason"), WRONG.values(), ids=WRONG)
def test_a_claim_that_does_not_hold_is_refused(
    mint: Mint, changes: dict[str, Any], reason: str
) -> None:
    assert refused(mint(**changes)) == reason


RIGHT: dict[str, dict[str, Any]] = {
    "one of several audiences": {"aud": ["elsewhere", AUDIENCE]},
    "valid since now": {"nbf": NOW},
    "as far off as clocks may be": {"nbf": NOW + 5, "iat": NOW + 5},
    "good for long": {"exp": NOW + 100_000},
    "a claim of its own": {"scope": "everything"},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_a_claim_that_holds_is_taken(mint: Mint, ada: User, changes: dict[str, Any]) -> None:
    assert user_of(mint(**changes)) == ada


def test_clocks_may_differ_by_the_leeway_and_no_more(secret: Mint, settings: Any) -> None:
    late = secret(exp=int(time()) - 30)
    assert refused(late) == "The token is expired."
    settings.TOKEN_LEEWAY = 60
    assert user_of(late).username == "ada"


def test_another_key_is_refused(mint: Mint) -> None:
    assert refused(mint(key=OTHERS[mint.algorithm])) == "The token's signature does not fit."


def test_a_changed_claim_is_refused(mint: Mint, bob: User) -> None:
    head, _, signature = mint().split(".")
    changed = f"{head}.{encoded({**claims_of(mint()), 'sub': 'bob'})}.{signature}"
    assert refused(changed) == "The token's signature does not fit."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 7, ["HS256"]])
def test_a_token_without_a_signature_is_refused(mint: Mint, algorithm: Any) -> None:
    header = {"typ": "JWT", "alg": algorithm, **mint.headers}
    unsigned = forged(header, claims_of(mint()))
    assert refused(unsigned) in (
        "The token's signature does not fit.",
        "The token is malformed.",
    )
    assert refused(unsigned.rstrip(".")) == "The token is malformed."


def test_a_token_whose_signature_is_cut_off_is_refused(mint: Mint) -> None:
    head, claims, _ = mint().split(".")
    assert refused(f"{head}.{claims}.") == "The token's signature does not fit."
    assert refused(f"{head}.{claims}") == "The token is malformed."


def test_another_algorithm_is_refused(mint: Mint) -> None:
    """Also with the right secret, or with a key that would fit."""
    for algorithm in {"HS256", "HS384", "HS512", *PRIVATE} - {mint.algorithm}:
        key = PRIVATE.get(algorithm, SECRET * 2)
        token = mint(key=key, algorithm=algorithm)
        assert refused(token) == "The token's signature does not fit."
    assert user_of(mint()).username == "ada"


@pytest.mark.parametrize("mint", WAYS[1:], indirect=True)
def test_a_public_key_is_no_secret(mint: Mint) -> None:
    """The oldest trick: sign by HMAC, with what everyone may know as the secret."""
    pem = public_pem(mint.key)
    key = mint.key.public_key()
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = claims_of(mint())
    for known in (pem.encode(), pem.strip().encode(), der):
        for said in ("HS256", mint.algorithm):
            header = {"alg": said, "typ": "JWT", **mint.headers}
            token = forged(header, claims, partial(hmac.digest, known, digest="sha256"))
            assert refused(token) == "The token's signature does not fit."
    assert user_of(mint()).username == "ada"


def test_a_header_that_names_a_key_is_not_followed(mint: Mint, address: Address) -> None:
    """A token may not say by which key it wants to be verified."""
    other = OTHERS[mint.algorithm]
    headers: dict[str, Any] = {"jku": address.url, "x5u": address.url, "x5c": ["MIIB"]}
    if mint.algorithm != "HS256":
        headers["jwk"] = jwk(mint.algorithm, other, "now")
        address.publish(jwk(mint.algorithm, PRIVATE[mint.algorithm], "now"))
    asked = address.asked
    evil = Mint(mint.algorithm, other, **mint.headers, **headers)
    assert refused(evil()) == "The token's signature does not fit."
    good = Mint(mint.algorithm, mint.key, **mint.headers, **headers)
    assert user_of(good()).username == "ada"
    assert address.asked - asked <= 1  # what the settings name, and nothing else


@pytest.mark.parametrize("critical", [["exp"], ["http://example.com/x"], ["b64"], [], "b64", None])
def test_a_header_that_is_critical_is_refused(mint: Mint, critical: Any) -> None:
    token = Mint(mint.algorithm, mint.key, **mint.headers, crit=critical)()
    assert refused(token) == "The token is malformed."


def test_a_payload_that_is_elsewhere_is_refused(secret: Mint) -> None:
    header = {"alg": "HS256", "b64": False, "crit": ["b64"]}
    sign = lambda it: hmac.digest(SECRET.encode(), it, hashlib.sha256)  # noqa: E731
    head, _, signature = forged(header, {"sub": "ada"}, sign).split(".")
    assert refused(f"{head}..{signature}") == "The token is malformed."


def signed_bytes(header: Any, claims: Any) -> str:
    return forged(header, claims, lambda it: hmac.digest(SECRET.encode(), it, "sha256"))


HS256 = {"alg": "HS256", "typ": "JWT"}
MALFORMED = {
    "empty": "",
    "a word": "token",
    "dots": "..",
    "more dots": "....",
    "spaces": "a b c",
    "no base64": "!!!.???.***",
    "long": "a" * 100_000,
    "many dots": "." * 8000,
    "no ASCII": "é.é.é",
    "half a character": "\ud800",
    "header is a list": signed_bytes([], {"sub": "ada"}),
    "header is deep": signed_bytes(b"[" * 5000, {"sub": "ada"}),
    "header has no algorithm": signed_bytes({}, {"sub": "ada"}),
    "kid is a number": signed_bytes({**HS256, "kid": 7}, {"sub": "ada"}),
    "kid is a path": signed_bytes({**HS256, "kid": "../../dev/null"}, {"sub": "ada"}),
    "claims are a list": signed_bytes(HS256, ["ada"]),
    "claims are null": signed_bytes(HS256, None),
    "claims are text": signed_bytes(HS256, "ada"),
    "claims are no JSON": signed_bytes(HS256, b"ada"),
    "claims are no UTF-8": signed_bytes(HS256, b"\xff"),
    "claims are deep": signed_bytes(HS256, b"[" * 5000),
    "a number too long": signed_bytes(HS256, b'{"exp": ' + b"9" * 5000 + b"}"),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_token_is_refused(secret: Mint, token: str) -> None:
    assert refused(token) in (
        "The token is malformed.",
        "The token's signature does not fit.",
        "The token has no claim exp.",
    )


def test_a_token_is_refused_where_none_are_set_up(ada: User) -> None:
    for token in (Mint("HS256", SECRET)(), Mint("HS256", "x" * 64)(), "anything"):
        assert refused(token).startswith("This site takes no tokens")


def test_a_token_for_an_audience_is_refused_where_none_is_set(secret: Mint, settings: Any) -> None:
    settings.TOKEN_AUDIENCE = ""
    assert refused(secret()) == "The token is for another audience."
    assert user_of(secret(aud=None)).username == "ada"


def test_an_inactive_user_is_refused_as_if_unknown(secret: Mint, ada: User) -> None:
    User.objects.update(is_active=False)
    assert refused(secret()) == tokens.UNKNOWN


# Which user


def test_the_claim_and_the_field_are_settings(secret: Mint, settings: Any, ada: User) -> None:
    settings.TOKEN_CLAIM, settings.TOKEN_USER_FIELD = "uid", "pk"
    assert user_of(secret(uid=ada.pk)) == ada
    assert user_of(secret(uid=str(ada.pk))) == ada
    assert refused(secret(sub="ada")) == "The token has no claim uid."


@pytest.mark.parametrize(
    "key", [True, False, 1.0, -1, 10**30, "x", " {} ", "0{}", "{}.0", "1" * 4000, [], {}, ""]
)
def test_what_is_no_key_names_nobody(secret: Mint, settings: Any, ada: User, key: Any) -> None:
    settings.TOKEN_CLAIM, settings.TOKEN_USER_FIELD = "uid", "pk"
    uid = key.format(ada.pk) if isinstance(key, str) else key
    assert refused(secret(uid=uid)) == tokens.UNKNOWN


def test_an_unknown_user_is_made_where_the_setting_says_so(secret: Mint, settings: Any) -> None:
    settings.TOKEN_CREATE_USERS = True
    made = user_of(secret(sub="eve"))
    assert (made.username, made.has_usable_password()) == ("eve", False)
    assert (made.is_staff, made.is_superuser, made.is_active) == (False, False, True)
    assert user_of(secret(sub="eve")) == made
    assert User.objects.filter(username="eve").count() == 1


@pytest.mark.parametrize("name", ["a" * 151, "two words", "<script>", "", "\uff41da", "ada\n"])
def test_a_name_that_no_user_may_have_makes_none(secret: Mint, settings: Any, name: str) -> None:
    settings.TOKEN_CREATE_USERS = True
    assert refused(secret(sub=name)) == tokens.UNKNOWN
    assert [user.username for user in User.objects.all()] == ["ada"]


# Keys at an address


def test_keys_are_fetched_once_for_many_tokens(published: Mint, address: Address) -> None:
    assert [user_of(published()).username for _ in range(5)] == ["ada"] * 5
    assert address.asked == 1


def test_unknown_keys_do_not_make_it_ask_again_and_again(
    published: Mint, address: Address
) -> None:
    for number in range(50):
        stranger = Mint("ES256", OTHERS["ES256"], kid=f"random-{number}")
        assert refused(stranger()) == "The token's signature does not fit."
    assert address.asked == 1
    assert user_of(published()).username == "ada"


def test_nothing_is_fetched_for_another_algorithm(published: Mint, address: Address) -> None:
    assert refused(Mint("HS256", SECRET, kid="random")()) == "The token's signature does not fit."
    assert refused("a.b.c") == "The token is malformed."
    assert address.asked == 0


def test_a_new_key_is_fetched_when_a_token_names_it(
    published: Mint, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_of(published())
    address.publish(
        *(jwk("ES256", key["ES256"], kid) for key, kid in ((PRIVATE, "now"), (OTHERS, "next")))
    )
    rotated = Mint("ES256", OTHERS["ES256"], kid="next")
    assert refused(rotated()) == "The token's signature does not fit."  # so soon
    monkeypatch.setattr(jwks, "COOLDOWN", 0)
    assert user_of(rotated()).username == "ada"
    assert user_of(published()).username == "ada"
    assert address.asked == 2


def test_a_withdrawn_key_counts_no_more_when_the_keys_are_due(
    published: Mint, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_of(published())
    address.publish(jwk("ES256", OTHERS["ES256"], "next"))
    assert user_of(published()).username == "ada"
    monkeypatch.setattr(jwks, "COOLDOWN", 0)
    monkeypatch.setattr(jwks, "LIFESPAN", 0)
    assert refused(published()) == "The token's signature does not fit."


FAULTS: dict[str, tuple[int, bytes]] = {
    "an error": (500, b"{}"),
    "not found": (404, b""),
    "no JSON": (200, b"<html>"),
    "no UTF-8": (200, b"\xff"),
    "a list": (200, b"[]"),
    "no keys": (200, b'{"keys": []}'),
    "keys of a number": (200, b'{"keys": 7}'),
    "keys without a name": (200, b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
    "strange keys": (200, b'{"keys": [7, null, {"kty": "?", "kid": "now"}]}'),
}


@pytest.mark.parametrize(("status", "body"), FAULTS.values(), ids=FAULTS)
def test_an_address_that_answers_no_keys_makes_tokens_unavailable_and_is_logged(
    published: Mint,
    address: Address,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
) -> None:
    address.status, address.body = status, body
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(Unavailable, match="cannot be fetched; the log says why"):
                user_of(published())
    assert address.asked == 1
    assert [record.name for record in caplog.records] == ["server.jwks"]


@pytest.mark.parametrize(("status", "body"), FAULTS.values(), ids=FAULTS)
def test_known_keys_count_while_the_address_answers_none(
    published: Mint,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
) -> None:
    user_of(published())
    monkeypatch.setattr(jwks, "LIFESPAN", 0)
    monkeypatch.setattr(jwks, "COOLDOWN", 0)
    address.status, address.body = status, body
    assert user_of(published()).username == "ada"
    assert address.asked == 2
    monkeypatch.setattr(jwks, "STALE", 0)
    with pytest.raises(Unavailable):
        user_of(published())


def test_an_address_where_nobody_is_makes_tokens_unavailable(
    published: Mint, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_of(published())
    monkeypatch.setattr(jwks, "LIFESPAN", 0)
    monkeypatch.setattr(jwks, "COOLDOWN", 0)
    address.socket.close()
    assert user_of(published()).username == "ada"
    monkeypatch.setattr(jwks, "STALE", 0)
    with pytest.raises(Unavailable):
        user_of(published())


# Settings

PUBLIC = {name: public_pem(key) for name, key in PRIVATE.items()}
BOTH = {"TOKEN_ISSUER": ISSUER, "TOKEN_AUDIENCE": AUDIENCE}
#: Settings that are wrong, and what of the message names the setting and the fix.
MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "short secret": ({"TOKEN_SECRET": "x" * 31}, ["TOKEN_SECRET has 31 bytes", "openssl"]),
    "two keys": (
        {"TOKEN_SECRET": SECRET, "TOKEN_JWKS_URL": "https://issuer.example"},
        ["TOKEN_SECRET and TOKEN_JWKS_URL", "keep the one"],
    ),
    "unknown algorithm": (
        {"TOKEN_SECRET": SECRET, "TOKEN_ALGORITHM": "none"},
        ["TOKEN_ALGORITHM is 'none'", "HS256, RS256"],
    ),
    "secret for RS256": (
        {"TOKEN_SECRET": SECRET, "TOKEN_ALGORITHM": "RS256", **BOTH},
        ["TOKEN_ALGORITHM is RS256", "TOKEN_SECRET is set"],
    ),
    "public key for HS256": (
        {"TOKEN_PUBLIC_KEY": PUBLIC["RS256"], "TOKEN_ALGORITHM": "HS256", **BOTH},
        ["TOKEN_ALGORITHM is HS256, which goes with TOKEN_SECRET"],
    ),
    "public key of another kind": (
        {"TOKEN_PUBLIC_KEY": PUBLIC["ES256"], "TOKEN_ALGORITHM": "RS256", **BOTH},
        ["TOKEN_PUBLIC_KEY is no public key for RS256"],
    ),
    "private key as public": (
        {"TOKEN_PUBLIC_KEY": private_pem(PRIVATE["RS256"]), **BOTH},
        ["TOKEN_PUBLIC_KEY", "it is a private key"],
    ),
    "no key at all": ({"TOKEN_PUBLIC_KEY": "key", **BOTH}, ["TOKEN_PUBLIC_KEY is no public key"]),
    "short RSA key": (
        {
            "TOKEN_PUBLIC_KEY": public_pem(rsa.generate_private_key(65537, 1024)),
            **BOTH,
        },
        ["TOKEN_PUBLIC_KEY", "2048"],
    ),
    "another curve": (
        {
            "TOKEN_PUBLIC_KEY": public_pem(ec.generate_private_key(ec.SECP384R1())),
            "TOKEN_ALGORITHM": "ES256",
            **BOTH,
        },
        ["TOKEN_PUBLIC_KEY is no public key for ES256"],
    ),
    "address of a file": (
        {"TOKEN_JWKS_URL": "file:///etc/passwd", **BOTH},
        ["TOKEN_JWKS_URL is 'file:///etc/passwd'", "https://"],
    ),
    "no issuer": (
        {"TOKEN_JWKS_URL": "https://issuer.example", "TOKEN_AUDIENCE": AUDIENCE},
        ["TOKEN_JWKS_URL is set: set TOKEN_ISSUER"],
    ),
    "no audience": (
        {"TOKEN_PUBLIC_KEY": PUBLIC["RS256"], "TOKEN_ISSUER": ISSUER},
        ["TOKEN_PUBLIC_KEY is set: set TOKEN_ISSUER and TOKEN_AUDIENCE"],
    ),
    "an hour of leeway": (
        {"TOKEN_SECRET": SECRET, "TOKEN_LEEWAY": 3600},
        ["TOKEN_LEEWAY is 3600", "300 seconds"],
    ),
    "no claim": ({"TOKEN_SECRET": SECRET, "TOKEN_CLAIM": ""}, ["TOKEN_CLAIM is empty"]),
    "unknown field": (
        {"TOKEN_SECRET": SECRET, "TOKEN_USER_FIELD": "login"},
        ["TOKEN_USER_FIELD is 'login'", "username"],
    ),
    "field that two may share": (
        {"TOKEN_SECRET": SECRET, "TOKEN_USER_FIELD": "email"},
        ["TOKEN_USER_FIELD is 'email'", "no unique field of auth.User"],
    ),
    "users made by their key": (
        {"TOKEN_SECRET": SECRET, "TOKEN_USER_FIELD": "pk", "TOKEN_CREATE_USERS": True},
        ["TOKEN_CREATE_USERS is on", "username alone"],
    ),
}


@pytest.mark.parametrize(("mistake", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_setting_is_named_with_its_fix_and_no_token_is_taken(
    settings: Any,
    ada: User,
    caplog: pytest.LogCaptureFixture,
    mistake: dict[str, Any],
    says: list[str],
) -> None:
    for name, value in mistake.items():
        setattr(settings, name, value)

    [fault] = tokens_can_be_verified(None)

    assert fault.id == "activity.E004"
    assert [text for text in says if text not in fault.msg] == []
    assert SECRET not in fault.msg
    issuer = tokens.Issuer.of_settings()
    good = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time()) + 60}
    header = {"alg": issuer.algorithm, "kid": "now"}
    with pytest.raises(Unavailable, match="not set up as they should be"):
        user_of(forged(header, good, lambda it: hmac.digest(SECRET.encode(), it, "sha256")))
    assert SECRET not in caplog.text
    with pytest.raises(CommandError, match="TOKEN_"):
        call_command("token", "ada")


@pytest.mark.parametrize("way", WAYS)
def test_settings_that_are_right_have_no_fault(settings: Any, way: str) -> None:
    algorithm, _, by = way.partition(" by ")
    settings.TOKEN_ALGORITHM = algorithm
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    if not by:
        settings.TOKEN_SECRET = SECRET
    elif by == "key":
        settings.TOKEN_PUBLIC_KEY = PUBLIC[algorithm]
    else:
        settings.TOKEN_JWKS_URL = "https://issuer.example/keys"
    assert tokens_can_be_verified(None) == []


def test_keys_that_come_over_a_plain_connection_are_warned_of(
    settings: Any, published: Mint
) -> None:
    assert [it.id for it in tokens_can_be_verified(None)] == ["activity.W004"]


# manage.py token


def minted(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call_command("token", *arguments)
    return capsys.readouterr().out.strip()


def test_the_command_mints_a_token_that_is_taken(
    secret: Mint, settings: Any, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    token = minted(capsys, "ada", "--expires", "15m")
    assert user_of(token) == ada
    said = claims_of(token)
    assert (said["iss"], said["aud"], said["exp"] - said["iat"]) == (ISSUER, AUDIENCE, 900)


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_the_command_signs_by_a_private_key(
    settings: Any, ada: User, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    settings.TOKEN_ALGORITHM, settings.TOKEN_PUBLIC_KEY = algorithm, PUBLIC[algorithm]
    settings.TOKEN_ISSUER, settings.TOKEN_AUDIENCE = ISSUER, AUDIENCE
    settings.TOKEN_PRIVATE_KEY = private_pem(PRIVATE[algorithm])
    assert user_of(minted(capsys, "ada")) == ada
    settings.TOKEN_PRIVATE_KEY = private_pem(OTHERS[algorithm])
    with pytest.raises(CommandError, match="would be refused: The token's signature"):
        call_command("token", "ada")
    settings.TOKEN_PRIVATE_KEY = "nonsense"
    with pytest.raises(CommandError, match="TOKEN_PRIVATE_KEY is no private key"):
        call_command("token", "ada")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody"], "There is no user 'nobody'"),
        (["ada", "--expires", "soon"], "--expires: 'soon' is no duration"),
        (["ada", "--expires", "0s"], "--expires: '0s' is no duration"),
        (["ada", "--expires", "-1h"], "--expires"),
    ],
)
def test_the_command_says_what_is_wrong(secret: Mint, arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("token", *arguments)


def test_the_command_says_that_there_is_no_key(ada: User) -> None:
    with pytest.raises(CommandError, match="set TOKEN_SECRET"):
        call_command("token", "ada")
