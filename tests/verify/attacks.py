"""What a hostile or careless client sends, and what it is to be answered."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from typing import Any

import jwt

GRAPHQL = "application/graphql-response+json"
SECRET = "a secret of the attacks' site, of nothing else, and as long as HS512 has it"
ISSUER, AUDIENCE = "https://issuer.example", "brook"

#: Cyclic, or doubling: what a server that follows spreads one by one never comes to the end of.
DOUBLING = "query { viewer { ...F0 } } " + " ".join(
    f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30)
)
DOUBLING += " fragment F30 on User { id }"


@dataclass(frozen=True)
class Known:
    """What an attacker knows of the site."""

    username: str
    user: str
    """The id of the user who may log in; others are by position."""
    other: str
    cursor: str


@dataclass(frozen=True)
class Attack:
    """One request, and the status and codes of its answer."""

    kind: str
    name: str
    body: bytes | Callable[[Known], bytes]
    status: int = 400
    #: Of the errors; empty: an answer without any, which shows that the refusals are none of all.
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/graphql"
    #: Whose session it is sent with: that of the user who may log in, or nobody's.
    session: bool = False
    token: Callable[[Known], str] | None = None


def asked(query: str, **variables: Any) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


def attacks() -> list[Attack]:
    """All of them; those without a code are answered as they ask."""
    return list(chain(bodies(), methods(), documents(), values(), whos(), doors()))


def bodies() -> Iterator[Attack]:
    good = asked("{ __typename }")
    yield Attack("body", "a request as it should be", good, 200)
    yield Attack("body", "one that says its charset", good, 200, "", json_("; charset=utf-8"))
    unread: dict[str, bytes] = {
        "nothing": b"",
        "null": b"null",
        "true": b"true",
        "a number": b"1",
        "a string": b'"x"',
        "a list": b"[]",
        "a batch": b"[" + good + b"]",
        "half": good[:9],
        "two": good + good,
        "bytes that are no UTF-8": b'{"query": "\xff"}',
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-8 with a byte order mark": b"\xef\xbb\xbf" + good,
        "NaN": b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        "-Infinity": b'{"query": "{ __typename }", "variables": {"x": -Infinity}}',
        "an integer of 200,000 digits": b'{"query": "{ __typename }", "variables": {"x": '
        + b"9" * 200_000
        + b"}}",
        "100,000 brackets": b"[" * 100_000,
        "50,000 objects": b'{"a":' * 50_000,
        "no query": b"{}",
        "a query of null": b'{"query": null}',
        "a query of a number": b'{"query": 1}',
        "a query of a list": b'{"query": ["{ __typename }"]}',
        "variables of a list": b'{"query": "{ __typename }", "variables": []}',
        "variables of text": b'{"query": "{ __typename }", "variables": "{}"}',
        "an operation of an object": b'{"query": "{ __typename }", "operationName": {}}',
        "extensions of text": b'{"query": "{ __typename }", "extensions": "x"}',
    }
    for name, body in unread.items():
        yield Attack("body", name, body, 400, "BAD_REQUEST")
    yield Attack("body", "1 MB", asked("x" * 2**20), 413, "BAD_REQUEST")
    yield Attack("body", "a byte too many", b" " * (256 * 1024 + 1), 413, "BAD_REQUEST")
    for content_type in (
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=utf-7",
        "application/json, text/plain",
    ):
        headers = {"Content-Type": content_type}
        name = f"Content-Type {content_type or 'none'}"
        yield Attack("body", name, good, 415, "BAD_REQUEST", headers)
    headers = {"Accept": "application/xml"}
    yield Attack("body", "an answer in XML", good, 406, "BAD_REQUEST", headers)
    gzip = json_("") | {"Content-Encoding": "gzip"}
    yield Attack("body", "a gzip bomb", b"\x1f\x8b" + b"\0" * 1000, 400, "BAD_REQUEST", gzip)


def json_(parameters: str) -> dict[str, str]:
    return {"Content-Type": f"application/json{parameters}"}


def methods() -> Iterator[Attack]:
    good = asked("{ __typename }")
    for method in ("PUT", "PATCH", "DELETE", "TRACE"):
        yield Attack("method", method, good, 405, "BAD_REQUEST", method=method)
    for name, path in {
        "a query by GET": "/graphql?query={__typename}",
        "a mutation by GET": "/graphql?query=mutation{__typename}",
    }.items():
        yield Attack("method", name, b"", 405, "BAD_REQUEST", method="GET", path=path)
    for name, path, code in (
        ("an unknown document", "/graphql?documentId=x", "PERSISTED_QUERY_NOT_FOUND"),
        ("a path", "/graphql?documentId=../../etc/passwd", "PERSISTED_QUERY_NOT_FOUND"),
        ("variables that are no JSON", "/graphql?documentId=x&variables={", "BAD_REQUEST"),
        ("no document", "/graphql", "BAD_REQUEST"),
    ):
        yield Attack("method", f"GET of {name}", b"", 400, code, method="GET", path=path)
    other = asked("{ __typename }")[:-1] + b', "documentId": "sha256:0"}'
    yield Attack("method", "a text under another's hash", other, 400, "BAD_REQUEST")
    own = f"sha256:{sha256(b'{ __typename }').hexdigest()}"
    kept = json.dumps({"query": "{ __typename }", "documentId": own}).encode()
    yield Attack("method", "a text under its hash", kept, 200)
    path = f"/graphql?documentId={own}"
    yield Attack("method", "GET of a known document", b"", 200, method="GET", path=path)


def documents() -> Iterator[Attack]:
    def bad(name: str, query: str, code: str = "BAD_REQUEST", **variables: Any) -> Attack:
        return Attack("document", name, asked(query, **variables), 400, code)

    yield Attack(
        "document", "fragments within fragments", asked(DOUBLING[-60:]), 400, "BAD_REQUEST"
    )
    yield bad("30 fragments that double", DOUBLING, "TOO_COMPLEX")
    yield bad("a fragment of itself", "{ viewer { ...F } } fragment F on User { ...F }")
    yield bad(
        "a cycle of 500 fragments",
        "{ viewer { ...F0 } } "
        + " ".join(f"fragment F{n} on User {{ ...F{(n + 1) % 500} }}" for n in range(500)),
        "TOO_COMPLEX",
    )
    yield bad("a syntax error", "{")
    yield bad("an unknown field", "{ unheard }")
    yield bad("a near miss of a field, without a hint", "{ usrStream { totalCount } }")
    yield bad("nothing but a comment", "# nothing")
    yield bad("two operations and no name", "query A { __typename } query B { __typename }")
    yield bad("a subscription by POST", "subscription { __typename }")
    aliases = " ".join(f"a{n}: __typename" for n in range(1_500))
    yield bad("1,500 aliases", f"{{ {aliases} }}", "TOO_COMPLEX")
    yield bad("6,000 aliases", f"{{ {aliases * 4} }}", "TOO_COMPLEX")
    streams = " ".join(f"a{n}: userStream {{ totalCount }}" for n in range(200))
    yield bad("200 root fields", f"{{ {streams} }}", "TOO_COMPLEX")
    same = "viewer { id } " * 1_000
    yield bad("one field 1,000 times", f"{{ {same} }}", "TOO_COMPLEX")
    directives = "@include(if: true) " * 500
    yield bad("500 directives", f"{{ __typename {directives} }}", "TOO_COMPLEX")
    yield bad("500 unknown directives", "{ __typename " + "@x " * 500 + "}", "TOO_COMPLEX")
    yield bad("400 levels", "{ viewer " * 400 + "{ id }" + "}" * 400)
    deep = "{ viewer { " + "actorStream { nodes { actor { " * 12 + "id" + "}}}" * 12 + "}}"
    yield bad("36 levels of streams", deep, "TOO_COMPLEX")
    wide = "actorStream(first: 100) { nodes { actor { " * 3 + "id" + "} } }" * 3
    wide = f"{{ viewer {{ {wide} }} }}"
    yield bad("100 by 100 by 100 nodes", wide, "TOO_COMPLEX")
    ids = json.dumps(["x"] * 5_000)
    yield bad("5,000 ids in the text", f"{{ nodes(ids: {ids}) {{ id }} }}")
    many_ids = asked("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x"] * 5_000)
    yield Attack("document", "5,000 ids in a variable", many_ids, 200, "BAD_USER_INPUT")
    kinds = "fields { type { " * 8 + "name" + "} }" * 8
    yield bad("a schema within the schema", f"{{ __schema {{ types {{ {kinds} }} }} }}")
    yield bad("a name of 100,000 letters", "{ " + "x" * 100_000 + " }", "TOO_COMPLEX")
    long = '{ node(id: "' + "x" * 200_000 + '") { id } }'
    yield bad("a string of 200,000 letters", long, "TOO_COMPLEX")
    yield bad("an escape beyond Unicode", '{ node(id: "\\u{110000}") { id } }')
    unused = ", ".join(f"$v{n}: ID" for n in range(1_000))
    yield bad("1,000 unused variables", f"query ({unused}) {{ __typename }}")
    many = " ".join(f"query Q{n} {{ __typename }}" for n in range(800))
    yield bad("800 operations", many, "TOO_COMPLEX")
    yield Attack(
        "document",
        "a fragment used as it should be",
        asked("{ viewer { ...F } } fragment F on User { id }"),
        200,
    )


CREATE = """mutation ($input: CreateActionInput!) {
    createAction(input: $input) { action { verb data } userErrors { code } } }"""
SINCE = """query ($at: DateTime) {
    modelStream(model: USER, filter: {since: $at}) { totalCount } }"""
NODE = "query ($id: ID!) { node(id: $id) { id } }"
PAGE = (
    "query ($id: ID!, $after: String) { anyStream(object: $id, after: $after) { nodes { id } } }"
)


def values() -> Iterator[Attack]:
    def bad(name: str, query: str, code: str = "BAD_USER_INPUT", **variables: Any) -> Attack:
        return Attack("value", name, asked(query, **variables), 400, code)

    yield bad("null for an id", NODE, id=None)
    yield bad("null in the text", "{ node(id: null) { id } }")
    yield bad("an object for an id", NODE, id={"$gt": ""})
    yield bad("null in a list", "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[None])
    yield bad("an id for a type", "{ modelStream(model: EVERYTHING) { totalCount } }")
    for name, at in {"no date": "yesterday", "an overflow": "0001-01-01T00:00:00+14:00"}.items():
        yield bad(
            f"{name} for a time",
            SINCE,
            at=at,
        )
    for name, first in {
        "2 to the 31": 2**31,
        "one and a half": 1.5,
        "text": "1",
        "true": True,
    }.items():
        yield bad(
            f"first of {name}",
            "query ($n: Int) { modelStream(model: USER, first: $n) { totalCount } }",
            n=first,
        )

    def told(name: str, query: str, **variables: Any) -> Attack:
        """Executed, and so 200; the field is null."""
        return Attack("value", name, asked(query, **variables), 200, "BAD_USER_INPUT")

    for first in (-1, 101, 2**31 - 1):
        yield told(
            f"first of {first}", f"{{ modelStream(model: USER, first: {first}) {{ totalCount }} }}"
        )
    yield told("first with last", "{ modelStream(model: USER, first: 1, last: 1) { totalCount } }")
    for name, own in {
        "nothing": "",
        "no base64": "%%%",
        "NUL": encoded("User:\0"),
        "SQL": encoded("User:1' OR '1'='1"),
        "a template": encoded("User:{{ settings.SECRET_KEY }}"),
        "an unknown type": encoded("Nobody:1"),
        "a number beyond the database's": encoded("User:" + "9" * 40),
        "a negative number": encoded("User:-1"),
        "half a surrogate pair": "\ud800",
        "a right-to-left mark": "\u202e" + encoded("User:1"),
        "100,000 letters": "A" * 100_000,
    }.items():
        yield told(f"an id of {name}", PAGE, id=own)
        yield Attack("value", f"a node of {name}", asked(NODE, id=own), 200)
    for name, cursor in {
        "nothing": "",
        "no base64": "%%%",
        "another version": encoded("9:9:9"),
        "SQL": encoded("1' OR '1'='1"),
        "NUL": encoded("\0"),
        "a huge number": encoded("9" * 5_000),
        "half a surrogate pair": "\ud800",
    }.items():
        yield Attack(
            "value",
            f"a cursor of {name}",
            lambda known, cursor=cursor: asked(PAGE, id=known.user, after=cursor),  # type: ignore[misc]
            200,
            "BAD_USER_INPUT",
        )
    yield Attack(
        "value",
        "a cursor as it should be",
        lambda known: asked(PAGE, id=known.user, after=known.cursor),
        200,
    )
    for name, given in {
        "SQL": {"verb": "'; DROP TABLE users; --"},
        "a template": {"verb": "{{ 7 * 7 }} ${7*7} <%= 7 * 7 %>"},
        "markup": {"verb": "<script>alert(1)</script>"},
        "emoji and marks": {"verb": "👩‍👩‍👧 \u202e\u0301"},
        "__proto__": {"verb": "spoke", "data": {"__proto__": {"admin": True}}},
        "NUL": {"verb": "a\0b"},
        "half a surrogate pair": {"verb": "\ud800"},
        "256 letters": {"verb": "x" * 256},
        "data of 17 KiB": {"verb": "spoke", "data": ["x" * 17 * 1024]},
        "data of 500 levels": {"verb": "spoke", "data": nested(500)},
        "data of a huge integer": {"verb": "spoke", "data": 10**300},
        "NUL in data": {"verb": "spoke", "data": {"\0": "\0"}},
        "a time ahead": {"verb": "spoke", "timestamp": "2999-01-01T00:00:00Z"},
    }.items():
        yield Attack(
            "value", f"an action of {name}", asked(CREATE, input=given), 200, session=True
        )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def nested(levels: int) -> Any:
    inner: Any = []
    for _ in range(levels):
        inner = [inner]
    return inner


VIEWER = "{ viewer { username } }"
FOREIGN = {"Origin": "https://elsewhere.example"}


def claims(known: Known, **others: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "sub": known.username,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 300,
        **others,
    }


def signed(key: str = SECRET, algorithm: str = "HS256", headers: Any = None, **others: Any) -> Any:
    return lambda known: jwt.encode(
        {name: value for name, value in claims(known, **others).items() if value is not None},
        key,
        algorithm,
        headers,
    )


def whos() -> Iterator[Attack]:
    viewer = asked(VIEWER)
    yield Attack("who", "a session", viewer, 200, session=True)
    for name, headers in {
        "another origin": FOREIGN,
        "no origin at all, says the browser": {"Origin": "null"},
        "our name with another's behind it": {"Origin": "http://127.0.0.1.elsewhere.example"},
        "another site, says the browser": {"Sec-Fetch-Site": "cross-site"},
        "a neighbour, says the browser": {"Sec-Fetch-Site": "same-site"},
    }.items():
        yield Attack(
            "who", f"a session from {name}", viewer, 403, "FORBIDDEN", headers, session=True
        )
    yield Attack("who", "nobody from another origin", viewer, 200, headers=FOREIGN)
    yield Attack("who", "a token", viewer, 200, token=signed())
    yield Attack(
        "who", "a token from another origin", viewer, 200, headers=FOREIGN, token=signed()
    )

    now = int(time.time())
    for name, token in {
        "no algorithm": signed("", "none"),
        "another key": signed(
            "another key than that of the site: as long as HS512 would have it to be"
        ),
        "another algorithm": signed(algorithm="HS512"),
        "another audience": signed(aud="another"),
        "no audience": signed(aud=None),
        "another issuer": signed(iss="https://elsewhere.example"),
        "no issuer": signed(iss=None),
        "the past": signed(exp=now - 3600),
        "the future": signed(nbf=now + 3600),
        "no end": signed(exp=None),
        "no user": signed(sub=None),
        "an unknown user": signed(sub="nobody-of-this-name"),
        "a user that is a number": signed(sub=1),
        "a user of SQL": signed(sub="' OR 1=1 --"),
        "NUL for a user": signed(sub="\0"),
        "a claim that is critical": signed(headers={"crit": ["x"], "x": 1}),
        "keys of its own": lambda known: signed(
            "another key than that of the site: as long as HS512 would have it to be",
            headers={"jku": "http://127.0.0.1:1/", "jwk": {"kty": "oct", "k": "eA"}},
        )(known),
        "no parts": lambda _: "x",
        "three parts of nothing": lambda _: "..",
        "nothing": lambda _: "",
        "60,000 letters": lambda _: "x" * 60_000,
        "its signature cut off": lambda known: signed()(known).rpartition(".")[0] + ".",
        "one bit changed": lambda known: flipped(signed()(known)),
    }.items():
        for session in (False, True):
            yield Attack(
                "who",
                f"a token of {name}" + (", and a session" if session else ""),
                viewer,
                401,
                "UNAUTHENTICATED",
                token=token,
                session=session,
            )


def flipped(token: str) -> str:
    head, payload, signature = token.split(".")
    other = "A" if payload[5] != "A" else "B"
    return ".".join((head, payload[:5] + other + payload[6:], signature))


def doors() -> Iterator[Attack]:
    def told(name: str, query: str, code: str, **options: Any) -> Attack:
        return Attack(
            "door", name, lambda known: asked(query, id=known.other), 200, code, **options
        )

    stream = "query ($id: ID!) { userStream(user: $id) { totalCount } }"
    yield told("another's stream, by nobody", stream, "FORBIDDEN|UNAUTHENTICATED")
    yield told("another's stream", stream, "FORBIDDEN", session=True)
    private = (
        "query ($id: ID!) { node(id: $id) { ... on User { privateActions { totalCount } } } }"
    )
    yield told("another's private actions", private, "FORBIDDEN", session=True)
    yield Attack(
        "door", "one's own stream", asked("{ userStream { totalCount } }"), 200, session=True
    )
    follow = "mutation ($id: ID!) { follow(input: {object: $id}) { created } }"
    yield told("to follow, by nobody", follow, "UNAUTHENTICATED")
    yield Attack(
        "door", "the admin, by a token", b"", 302, method="GET", path="/admin/", token=signed()
    )
    yield Attack(
        "door",
        "a file above the static ones",
        b"",
        404,
        method="GET",
        path="/static/..%2f..%2fserver/settings.py",
    )
    yield Attack("door", "another host", asked(VIEWER), 400, headers={"Host": "elsewhere.example"})
