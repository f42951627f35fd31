"""Streams for machines: Atom and ActivityStreams 2.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import feedparser
import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.http import http_date
from lxml import etree
from pyld import jsonld
from pyld.documentloader.frozen import FrozenDocumentLoader
from strawberry.utils.str_converters import to_camel_case

from schema import feeds
from schema.streams import OF_A_KEY
from server import registry, tokens
from server.models import Action, action, follow
from tests.schema.client import ask, data, gid, refusals
from tests.schema.conftest import Hide
from tests.schema.connections import CONNECTIONS, EMPTY, ConnectionField, at, make
from tests.site.managers import SiteActions
from tests.site.models import Page, Project

ATOM = "{http://www.w3.org/2005/Atom}"
#: What ActivityStreams 2.0 has no terms for.
OURS = {
    "http://activitystrea.ms/spec/1.0/verb",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#value",
}
ROLES = " ".join(f"{role} {{ displayName }}" for role in ("actor", "target", "actionObject"))
STREAMS = [c for c in CONNECTIONS if c.holder == "Query" and c.name not in EMPTY]

each_stream = pytest.mark.parametrize("stream", STREAMS, ids=str)
each_form = pytest.mark.parametrize("form", ["atom", "json"])


@cache
def rfc4287() -> Any:
    return etree.RelaxNG.from_rnc_string((Path(__file__).parent / "atom.rnc").read_text())


def atom(body: bytes) -> Any:
    """A feed document, held to RFC 4287 by its grammar and by a reader."""
    document = etree.fromstring(body)
    assert rfc4287().validate(document), rfc4287().error_log
    read = feedparser.parse(body)
    assert not read.bozo, read.bozo_exception
    ids = [entry.findtext(f"{ATOM}id") for entry in document.iter(f"{ATOM}entry")]
    assert len(set(ids)) == len(ids)
    assert [entry.id for entry in read.entries] == ids
    return document


def activities(body: bytes) -> dict[str, Any]:
    """A document, held to the vocabulary: all of it means something in JSON-LD."""
    document: dict[str, Any] = json.loads(body)
    options = {"documentLoader": FrozenDocumentLoader()}
    [expanded] = jsonld.expand(document, options)
    vocabulary = "https://www.w3.org/ns/activitystreams#"

    def hold(node: Any) -> None:
        if "@value" in node:
            return
        for name, values in node.items():
            if name == "@type":
                assert all(kind.startswith(vocabulary) for kind in values), values
            if name.startswith("@"):
                continue
            assert name in OURS or name.startswith(vocabulary), name
            for value in values:
                for each in value.get("@list", [value]):
                    if name not in OURS:
                        hold(each)

    hold(expanded)
    # Nothing was dropped on the way.
    whole = jsonld.compact(expanded, document["@context"], options)
    assert whole == document
    return document


def url_of(stream: ConnectionField, of: Any, form: str = "atom") -> str:
    reference = gid(of)
    if stream.name == "modelStream":
        reference = type(of).__name__.upper()
    return f"/feeds/{stream.name}/{reference}.{form}"


def client_of(stream: ConnectionField, of: Any) -> Client:
    client = Client()
    if stream.name == "userStream":
        client.force_login(of)
    return client


def get(client: Client, url: str, **headers: str) -> Any:
    split = urlsplit(url)
    return client.get(f"{split.path}?{split.query}", headers=headers)


def links(response: Any) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers["Link"])
    return {rel: url for url, rel in found}


@each_stream
def test_every_stream_is_an_atom_feed_whose_pages_chain_to_the_end_without_repeat(
    stream: ConnectionField, db: None
) -> None:
    of = stream.reference_object()
    rows = stream.ordered(stream.fill(of, at(*[0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7])))
    client, url = client_of(stream, of), url_of(stream, of) + "?first=4"
    found: list[str] = []
    while True:
        response = get(client, url)
        assert response.status_code == 200, response.content
        assert response.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
        document = atom(response.content)
        found += [entry.findtext(f"{ATOM}id") for entry in document.iter(f"{ATOM}entry")]
        [next_] = [*document.iterfind(f"{ATOM}link[@rel='next']"), None][:1]
        assert links(response).get("next") == (None if next_ is None else next_.get("href"))
        if next_ is None:
            break
        url = next_.get("href")
    assert found == [f"tag:testserver,2026:{gid(row)}" for row in rows]


@each_stream
def test_every_stream_is_an_ordered_collection_with_the_cursors_of_graphql(
    stream: ConnectionField, db: None
) -> None:
    of = stream.reference_object()
    rows = stream.ordered(stream.fill(of, at(*[0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7])))
    ids = [f"tag:testserver,2026:{gid(row)}" for row in rows]
    client = client_of(stream, of)
    response = get(client, url_of(stream, of, "json"))
    assert response.headers["Content-Type"] == "application/activity+json; charset=utf-8"
    whole = activities(response.content)
    assert (whole["type"], whole["totalItems"]) == ("OrderedCollection", len(rows))
    assert whole["id"] == f"http://testserver{url_of(stream, of, 'json')}"

    def chain(url: str, rel: str) -> Iterator[dict[str, Any]]:
        while url:
            response = get(client, url)
            page = activities(response.content)
            assert (page["type"], page["partOf"]) == ("OrderedCollectionPage", whole["id"])
            assert page["id"] == url
            assert links(response).get(rel) == page.get(rel)
            yield page
            url = page.get(rel, "")

    small = whole["first"].replace("first=20", "first=4")
    forth = list(chain(small, "next"))
    assert [item["id"] for page in forth for item in page["orderedItems"]] == ids
    end = forth[0]["next"].partition("after=")[2]
    selection = "pageInfo { endCursor } edges { node { id } }"
    viewer = of if stream.name == "userStream" else None
    assert stream.ask(of, viewer, selection, first=4)["pageInfo"]["endCursor"] == end
    back = list(chain(whole["last"].replace("last=20", "last=4"), "prev"))
    assert [[i["id"] for i in page["orderedItems"]] for page in back][::-1] == [
        ids[:3],
        ids[3:7],
        ids[7:],
    ]


@each_form
@each_stream
def test_a_feed_takes_the_statements_of_the_same_page_and_one_for_its_title(
    stream: ConnectionField, form: str, db: None
) -> None:
    of = stream.reference_object()
    viewer = of if stream.name == "userStream" else None
    stream.fill(of, at(*range(40)))
    client = client_of(stream, of)
    ContentType.objects.clear_cache()
    for model in registry.registered():
        registry.content_type(model)
    with CaptureQueriesContext(database) as asked:
        stream.ask(
            of, viewer, f"nodes {{ displayName {ROLES} }} pageInfo {{ endCursor }}", first=5
        )
    with CaptureQueriesContext(database) as fed:
        assert get(client, url_of(stream, of, form) + "?first=5").status_code == 200
    of_the_session = viewer is not None
    # Its node's name; by GraphQL, these are not asked for the node first.
    of_the_title = stream.name in map(to_camel_case, OF_A_KEY)
    assert len(fed) == len(asked) + of_the_session + of_the_title, [q["sql"] for q in fed]
    with CaptureQueriesContext(database) as more:
        get(client, url_of(stream, of, form) + "?first=25")
    assert len(more) == len(fed)


def test_an_entry_says_what_an_action_is(
    client: Client, ada: User, brook: Project, page: Page
) -> None:
    when = timezone.now() - timedelta(hours=1)
    [(_, sent)] = action.send(
        ada, verb="praised", target=brook, action_object=page, description="<b>5 & 6</b>",
        timestamp=when, stars=7,
    )  # fmt: skip
    body = client.get(f"/feeds/actorStream/{gid(ada)}.atom").content
    [entry] = atom(body).iter(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}title") == "ada praised on-rivers on brook"
    assert entry.findtext(f"{ATOM}updated") == when.isoformat()
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == "ada"
    assert entry.find(f"{ATOM}category").get("term") == "praised"
    # No markup, whatever it looks like.
    assert entry.find(f"{ATOM}content").attrib == {"type": "text"}
    assert entry.findtext(f"{ATOM}content") == "<b>5 & 6</b>"
    activity = "{http://activitystrea.ms/spec/1.0/}"
    assert entry.findtext(f"{activity}verb") == "praised"
    assert entry.findtext(f"{activity}object/{ATOM}title") == "on-rivers"
    assert entry.findtext(f"{activity}target/{ATOM}id") == f"tag:testserver,2026:{gid(brook)}"

    body = client.get(f"/feeds/actorStream/{gid(ada)}.json?first=1").content
    assert activities(body)["orderedItems"] == [
        {
            "type": "Activity",
            "id": f"tag:testserver,2026:{gid(sent)}",
            "name": "ada praised on-rivers on brook",
            "verb": "praised",
            "published": when.isoformat(),
            "actor": {"type": "Person", "id": f"tag:testserver,2026:{gid(ada)}", "name": "ada"},
            "object": {
                "type": "Object",
                "id": f"tag:testserver,2026:{gid(page)}",
                "name": "on-rivers",
            },
            "target": {
                "type": "Object",
                "id": f"tag:testserver,2026:{gid(brook)}",
                "name": "brook",
            },
            "content": "<b>5 & 6</b>",
            "mediaType": "text/plain",
            "data": {"stars": 7},
        }
    ]


@pytest.mark.parametrize(
    "text", ["a\x01\x0b\x1f\x7f\x85", "\ufffe\uffff", "👍🏽 ü \u202e <&>\"'", "]]>"]
)
def test_xml_survives_whatever_a_verb_and_a_name_are(client: Client, text: str, db: None) -> None:
    ada = User.objects.create(username=text)
    action.send(ada, verb=text, description=text, target=Project.objects.create(name=text))
    document = atom(client.get(f"/feeds/anyStream/{gid(ada)}.atom").content)
    legal = re.sub("[\x01\x0b\x1f\ufffe\uffff]", "\ufffd", text)
    [entry] = document.iter(f"{ATOM}entry")
    assert entry.findtext(f"{ATOM}content") == legal
    assert entry.findtext(f"{ATOM}author/{ATOM}name") == legal
    assert entry.find(f"{ATOM}category").get("term") == legal
    body = client.get(f"/feeds/anyStream/{gid(ada)}.json?first=1").content
    assert activities(body)["orderedItems"][0]["content"] == text


@each_form
def test_what_has_not_changed_is_not_sent_again(
    client: Client, ada: User, brook: Project, form: str
) -> None:
    url = f"/feeds/actorStream/{gid(ada)}.{form}"
    empty = client.get(url)
    assert get(client, url, **{"If-None-Match": empty.headers["ETag"]}).status_code == 304
    assert "Last-Modified" not in empty.headers
    when = timezone.now() - timedelta(minutes=5)
    action.send(ada, verb="starred", target=brook, timestamp=when)
    first = get(client, url, **{"If-None-Match": empty.headers["ETag"]})
    assert first.status_code == 200
    assert first.headers["Last-Modified"] == http_date(when.timestamp())
    assert first.headers["Cache-Control"] == "public, no-cache"
    assert {"Cookie", "Authorization"} <= set(first.headers["Vary"].split(", "))
    known = {"If-None-Match": first.headers["ETag"]}
    unchanged = get(client, url, **known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["ETag"] == first.headers["ETag"]
    since = {"If-Modified-Since": first.headers["Last-Modified"]}
    assert get(client, url, **since).status_code == 304
    assert get(client, url, **{"If-Modified-Since": http_date(0)}).status_code == 200
    action.send(ada, verb="starred", target=brook, timestamp=when + timedelta(minutes=1))
    assert get(client, url, **known).status_code == 200
    assert get(client, url, **since).status_code == 200
    # What has just come may have company within the same second.
    action.send(ada, verb="starred", target=brook, timestamp=timezone.now() + timedelta(seconds=2))
    assert "Last-Modified" not in client.get(url).headers


@each_form
def test_a_deleted_action_and_a_new_name_are_changes(
    client: Client, ada: User, brook: Project, form: str
) -> None:
    [(_, sent)] = action.send(ada, verb="starred", target=brook)
    url = f"/feeds/actorStream/{gid(ada)}.{form}?first=5"
    known = {"If-None-Match": client.get(url).headers["ETag"]}
    Project.objects.update(name="brooklet")
    renamed = get(client, url, **known)
    assert renamed.status_code == 200
    sent.delete()
    assert get(client, url, **{"If-None-Match": renamed.headers["ETag"]}).status_code == 200


@each_form
@each_stream
def test_what_is_private_or_hidden_appears_in_no_feed(
    stream: ConnectionField, form: str, db: None, hide: Hide
) -> None:
    of, hidden = stream.reference_object(), make(Project, name="Xanadu")
    rows = stream.fill(of, at(0, 1, 2))
    role = "action_object" if stream.name in ("targetStream", "untargeted") else "target"
    if stream.name != "projectNews":
        Action.objects.filter(pk=rows[0].pk).update(
            **{
                f"{role}_content_type": registry.content_type(Project),
                f"{role}_object_id": str(hidden.pk),
            }
        )
    Action.objects.filter(pk=rows[1].pk).update(public=False, verb="plotted", description="Kubla")
    client, url = client_of(stream, of), url_of(stream, of, form) + "?first=10"
    shown = client.get(url).content.decode()
    assert "plotted" not in shown
    assert "Kubla" not in shown
    # What is asserted of what is hidden could fail.
    hidable = stream.name not in ("projectNews", "targetStream", "actionObjectStream")
    if hidable and role == "target":
        assert ("Xanadu" in shown) == (gid(rows[0]) in shown)
    hide(hidden)
    assert "Xanadu" not in client.get(url).content.decode()
    assert gid(hidden) not in client.get(url).content.decode()


@each_form
def test_the_feed_of_what_is_hidden_is_not_found(
    client: Client, ada: User, brook: Project, form: str, hide: Hide
) -> None:
    action.send(ada, verb="starred", target=brook)
    url = f"/feeds/targetStream/{gid(brook)}.{form}"
    assert client.get(url).status_code == 200
    hide(brook)
    assert client.get(url).status_code == 404
    assert b"brook" not in client.get(url).content


@each_form
def test_a_users_stream_is_for_its_owner_by_session_or_token(
    client: Client, ada: User, bob: User, form: str, settings: Any
) -> None:
    settings.TOKEN_SECRET = "0" * 32
    follow(ada, bob)
    action.send(bob, verb="whispered")
    url = f"/feeds/userStream/{gid(ada)}.{form}?first=5"
    anonymous = client.get(url)
    assert (anonymous.status_code, anonymous.headers["WWW-Authenticate"]) == (401, "Bearer")
    client.force_login(bob)
    assert client.get(url).status_code == 403
    client.force_login(ada)
    mine = client.get(url)
    assert (mine.status_code, mine.headers["Cache-Control"]) == (200, "private, no-cache")
    assert b"whispered" in mine.content
    bearer = {"Authorization": f"Bearer {tokens.mint(ada, timedelta(hours=1))}"}
    assert Client().get(url, headers=bearer).content == mine.content
    assert Client().get(url, headers={"Authorization": "Bearer x"}).status_code == 401


def test_a_feed_is_narrowed_as_the_stream_is(client: Client, ada: User, brook: Project) -> None:
    action.send(ada, verb="starred", target=brook)
    action.send(ada, verb="left", target=brook)
    action.send(ada, verb="posted", action_object=brook)

    def verbs(query: str, stream: str = "actorStream") -> list[str]:
        response = client.get(f"/feeds/{stream}/{gid(ada)}.json?first=9&{query}")
        assert response.status_code == 200, response.content
        return [item["verb"] for item in activities(response.content)["orderedItems"]]

    assert verbs("verbs=starred&verbs=posted") == ["posted", "starred"]
    assert verbs("targetTypes=PROJECT") == ["left", "starred"]
    assert verbs("since=2999-01-01") == []
    assert verbs("", "mystream") == ["posted"]
    assert verbs("verb=left", "mystream") == ["left"]
    document = atom(client.get(f"/feeds/actorStream/{gid(ada)}.atom?verbs=left").content)
    assert document.findtext(f"{ATOM}id").endswith(f"actorStream/{gid(ada)}?verbs=left")


def test_graphql_says_where_the_feed_is(client: Client, ada: User, brook: Project) -> None:
    action.send(ada, verb="starred", target=brook)
    found = data(
        """query ($id: ID!) {
          node(id: $id) {
            actorStream(first: 3, filter: {verbs: ["starred", "left"], actorTypes: [USER],
              since: "2020-01-01"}) { feedUrl nodes { verb } }
            mystream(verb: "ü & ?") { feedUrl }
            ... on User { everything { feedUrl } privateActions { feedUrl } } }
          modelStream(model: PROJECT) { feedUrl } }""",
        ada,
        id=gid(ada),
    )
    node, reference = found["node"], gid(ada)
    assert found["modelStream"] == {"feedUrl": "/feeds/modelStream/PROJECT.atom"}
    assert node["privateActions"] == {"feedUrl": None}
    assert node["everything"] == {"feedUrl": f"/feeds/everything/{reference}.atom"}
    assert node["mystream"]["feedUrl"] == f"/feeds/mystream/{reference}.atom?verb=%C3%BC+%26+%3F"
    assert node["actorStream"]["feedUrl"] == (
        f"/feeds/actorStream/{reference}.atom?verbs=starred&verbs=left"
        "&since=2020-01-01T00%3A00%3A00%2B00%3A00&actorTypes=USER"
    )
    document = atom(client.get(node["actorStream"]["feedUrl"]).content)
    assert len(list(document.iter(f"{ATOM}entry"))) == 1


def test_a_site_without_feeds_has_no_addresses_of_them(ada: User, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.site.urls"
    assert ask("query ($id: ID!) { actorStream(actor: $id) { feedUrl } }", ada, id=gid(ada)) == {
        "data": {"actorStream": {"feedUrl": None}}
    }


@each_form
@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("nonsense/{ada}", 404, "There is no stream 'nonsense'."),
        ("actor_stream/{ada}", 404, "There is no stream 'actor_stream'."),
        ("actorStream/nonsense", 404, "'nonsense' is no id of a node"),
        ("actorStream/VXNlcjo5OTk5OTk=", 404, "is no id of a node"),
        ("projectNews/{ada}", 404, "is no id of a node"),
        ("modelStream/NONSENSE", 404, "'NONSENSE' is no type of node."),
        ("actorStream/{ada}?color=red", 400, "The feed takes no 'color'."),
        ("actorStream/{ada}?first=many", 400, "non-integer value: 'many'"),
        ("actorStream/{ada}?first=101", 400, "at most 100; this is 101"),
        ("actorStream/{ada}?first=-1", 400, "at least 0"),
        ("actorStream/{ada}?first=1&last=1", 400, "Ask for first or for last, not for both."),
        ("actorStream/{ada}?first=1&first=2", 400, "first is given 2 times; give it once."),
        ("actorStream/{ada}?after=nonsense", 400, "'nonsense' is no cursor of this stream."),
        ("actorStream/{ada}?since=yesterday", 400, "'yesterday' is no DateTime"),
        ("actorStream/{ada}?actorTypes=X", 400, "'X'"),
        ("wrong/{ada}", 500, "The stream wrong returned list"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_wrong(
    client: Client, ada: User, form: str, path: str, status: int, message: str
) -> None:
    path, _, query = path.format(ada=gid(ada)).partition("?")
    response = client.get(f"/feeds/{path}.{form}?{query}")
    assert response.status_code == status, response.content
    assert message in response.json()["errors"][0]["message"]


def test_a_feed_is_read_and_nothing_else(client: Client, ada: User) -> None:
    url = f"/feeds/actorStream/{gid(ada)}.atom"
    whole, head = client.get(url), client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert client.post(url).status_code == 405
    assert client.get(url.replace(".atom", ".rss")).status_code == 404


def test_a_feed_is_charged_for(client: Client, ada: User, settings: Any) -> None:
    settings.RATE_LIMIT, settings.RATE_BURST = 1, 150
    url = f"/feeds/actorStream/{gid(ada)}.atom"
    while (response := client.get(url)).status_code == 200:
        pass
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (
        429,
        "THROTTLED",
    )
    assert int(response.headers["Retry-After"]) >= 1


def test_ids_stay_the_same_under_every_name_of_the_site(
    client: Client, ada: User, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["one.example", "two.example"]
    settings.FEED_AUTHORITY = "example.com,2026"
    action.send(ada, verb="joined")
    url = f"/feeds/actorStream/{gid(ada)}.atom"
    one, two = (
        atom(client.get(url, headers={"Host": host}).content).iter(f"{ATOM}id")
        for host in settings.ALLOWED_HOSTS
    )
    ids = [each.text for each in one]
    assert ids == [each.text for each in two]
    assert ids[0] == f"tag:example.com,2026:actorStream/{gid(ada)}"


def test_every_stream_of_the_manager_has_a_feed(db: None) -> None:
    names = {feed.stream.name for feed in feeds.feeds().values()}
    assert names == set(SiteActions.streams())


def test_a_node_id_with_any_characters_is_an_address(client: Client, db: None) -> None:
    """base64 has slashes and plusses."""
    page = Page.objects.create(slug="~~~???>>>")
    assert {"/", "+"} & set(gid(page))
    action.send(page, verb="opened")
    url = data("query ($id: ID!) { actorStream(actor: $id) { feedUrl } }", id=gid(page))
    document = atom(client.get(url["actorStream"]["feedUrl"]).content)
    assert document.findtext(f"{ATOM}title") == "~~~???>>>"


def test_what_is_hidden_has_no_address_of_a_feed(ada: User, hide: Hide) -> None:
    document = "query ($id: ID!) { actorStream(actor: $id) { feedUrl } }"
    assert data(document, id=gid(ada))["actorStream"]["feedUrl"]
    hide(ada)
    assert refusals(ask(document, id=gid(ada))) == [(["actorStream"], "BAD_USER_INPUT")]
