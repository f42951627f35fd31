"""Documents that clients name: by the hash of what they sent before, or from a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from schema import documents
from schema.requests import JSON
from tests.schema.client import gid
from tests.site.models import Project

pytestmark = pytest.mark.django_db

TEXT = "query Name { __typename }"
HASH = sha256(TEXT.encode()).hexdigest()
FOLLOW = "mutation Follow($id: ID!) { follow(input: {object: $id}) { created } }"


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    caches["documents"].clear()
    yield
    documents.registered.cache_clear()


def post(client: Client, **body: Any) -> Any:
    return client.post("/graphql", body, content_type=JSON).json()


def apollo(sha256: str = HASH, **body: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256}}, **body}


def codes(answer: Any) -> list[str]:
    assert "data" not in answer
    return [error["extensions"]["code"] for error in answer["errors"]]


# Automatic persisted queries


def test_a_hash_is_unknown_until_its_text_was_sent(client: Client) -> None:
    unknown = post(client, **apollo())
    assert codes(unknown) == ["PERSISTED_QUERY_NOT_FOUND"]
    assert unknown["errors"][0]["message"] == "PersistedQueryNotFound"
    assert post(client, **apollo(query=TEXT)) == {"data": {"__typename": "Query"}}
    assert post(client, **apollo()) == {"data": {"__typename": "Query"}}
    assert post(client, documentId=f"sha256:{HASH}") == {"data": {"__typename": "Query"}}


def test_a_text_under_another_hash_is_refused_and_not_kept(client: Client) -> None:
    assert codes(post(client, **apollo("0" * 64, query=TEXT))) == ["BAD_REQUEST"]
    assert codes(post(client, **apollo("0" * 64))) == ["PERSISTED_QUERY_NOT_FOUND"]


@pytest.mark.parametrize("text", ["{", "{ unheard }", "query ($id: ID!) { node(id: $id) { id } }"])
def test_a_document_with_a_fault_is_not_kept(client: Client, text: str) -> None:
    named = apollo(sha256(text.encode()).hexdigest())
    assert codes(post(client, query=text, **named)) != ["PERSISTED_QUERY_NOT_FOUND"]
    assert codes(post(client, **named)) == ["PERSISTED_QUERY_NOT_FOUND"]


def test_a_long_document_is_answered_but_not_kept(client: Client) -> None:
    text = TEXT + "#" * documents.LONGEST_KEPT
    named = apollo(sha256(text.encode()).hexdigest())
    assert post(client, query=text, **named) == {"data": {"__typename": "Query"}}
    assert codes(post(client, **named)) == ["PERSISTED_QUERY_NOT_FOUND"]


def test_a_known_document_is_answered_to_get(client: Client) -> None:
    post(client, **apollo(query=TEXT))
    extensions = json.dumps(apollo()["extensions"])
    for asked in ({"extensions": extensions}, {"documentId": f"sha256:{HASH}"}):
        assert client.get("/graphql", asked).json() == {"data": {"__typename": "Query"}}


def test_a_known_mutation_is_not_run_by_get(client: Client, ada: User, brook: Project) -> None:
    client.force_login(ada)
    name = documents.hash_of(FOLLOW)
    variables = {"id": gid(brook)}
    assert "data" in post(client, query=FOLLOW, documentId=name, variables=variables)
    brook.incoming_follows.all().delete()
    asked = {"documentId": name, "variables": json.dumps(variables)}
    response = client.get("/graphql", asked)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert list(brook.incoming_follows.all()) == []


class Away:
    """What a cache is whose broker does not answer."""

    def get(self, *args: object) -> None:
        raise ConnectionError

    set = get


def test_a_broker_that_is_away_costs_no_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "caches", {"documents": Away()})
    assert post(client, **apollo(query=TEXT)) == {"data": {"__typename": "Query"}}
    assert codes(post(client, **apollo())) == ["PERSISTED_QUERY_NOT_FOUND"]


# Registered documents


MANIFESTS: dict[str, Any] = {
    "relay-compiler": {"c0ffee": TEXT},
    "apollo": {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": "c0ffee", "name": "Name", "type": "query", "body": TEXT}],
    },
}


@pytest.fixture(params=[*MANIFESTS.values()], ids=[*MANIFESTS])
def manifest(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> None:
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(request.param))
    settings.DOCUMENTS = str(path)


@pytest.mark.usefixtures("manifest")
def test_a_registered_document_is_named_by_its_id_and_its_hash(client: Client) -> None:
    for named in ({"documentId": "c0ffee"}, {"documentId": f"sha256:{HASH}"}, apollo()):
        assert post(client, **named) == {"data": {"__typename": "Query"}}


@pytest.mark.usefixtures("manifest")
def test_others_are_answered_beside_the_registered_ones(client: Client) -> None:
    assert post(client, query="{ __typename }") == {"data": {"__typename": "Query"}}


@pytest.mark.usefixtures("manifest")
def test_others_are_refused_where_only_registered_ones_are_run(
    client: Client, settings: Any
) -> None:
    settings.DOCUMENTS_ONLY = True
    assert post(client, documentId="c0ffee") == {"data": {"__typename": "Query"}}
    assert post(client, query=TEXT) == {"data": {"__typename": "Query"}}
    other = "{ __typename }"
    learned = {"query": other, "documentId": documents.hash_of(other)}
    for asked in ({"query": other}, learned, {"documentId": documents.hash_of(other)}):
        assert codes(post(client, **asked)) == ["FORBIDDEN"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"operations": [{"id": 1}]}'])
def test_a_manifest_that_is_none_is_said_to_be(tmp_path: Path, text: str) -> None:
    path = tmp_path / "documents.json"
    path.write_text(text)
    with pytest.raises(ImproperlyConfigured, match="DOCUMENTS"):
        documents.registered(str(path))
    with pytest.raises(ImproperlyConfigured, match="DOCUMENTS"):
        documents.registered(str(tmp_path / "none.json"))
