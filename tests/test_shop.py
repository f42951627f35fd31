"""The shop of docs/sites.md does what the guide says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.server import needs, node
from tests.documents import write
from tests.shop import COMMANDS, CUPS, SITE, Shop, opened
from tests.sites import manage

pytestmark = pytest.mark.apart


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from opened(tmp_path_factory.mktemp("shop"))


def names(connection: Any) -> list[str]:
    return [node["displayName"] for node in connection["nodes"]]


def test_the_site_is_set_up_by_the_commands_that_the_recipe_names() -> None:
    assert [command[0] for command in COMMANDS] == ["makemigrations", "migrate", "check"]


def test_a_registered_model_is_a_node(shop: Shop) -> None:
    answer = shop.ask("{ node(id: $kettle) { __typename displayName url } }")

    assert answer["node"] == {"__typename": "Product", "displayName": "Kettle", "url": None}


def test_a_stream_is_a_dict_a_tuple_of_dicts_or_a_queryset(shop: Shop) -> None:
    answer = shop.ask(
        """{
        purchases(user: $bob) { nodes { displayName } }
        node(id: $kettle) { ... on Product {
            goodNews { nodes { displayName } }
            all: goodNews(stars: 1) { nodes { displayName } }
            talk { nodes { displayName } }
        } }
    }""",
        "bob",
    )

    praise, blame = "ada wrote “Boils fast” on Kettle", "bob wrote “Too loud” on Kettle"
    assert names(answer["purchases"]) == ["bob bought Kettle"]
    assert {field: names(connection) for field, connection in answer["node"].items()} == {
        "goodNews": ["bob bought Kettle", praise],
        "all": ["bob bought Kettle", blame, praise],
        "talk": [blame, praise],
    }


def test_a_stream_stands_on_the_type_of_its_first_parameter(shop: Shop) -> None:
    answer = shop.ask("""{
        User: __type(name: "User") { fields { name } }
        Product: __type(name: "Product") { fields { name } }
    }""")

    own = {"purchases", "goodNews", "talk"}
    assert {
        name: own & {field["name"] for field in kind["fields"]} for name, kind in answer.items()
    } == {"User": {"purchases"}, "Product": {"goodNews", "talk"}}


def test_an_action_from_python_has_its_data_and_reaches_who_follows(shop: Shop) -> None:
    assert shop.data == {"stars": 5}
    assert shop.ada == [
        "bob bought Kettle",
        "bob wrote “Too loud” on Kettle",
        "ada wrote “Boils fast” on Kettle",
    ]


def test_orders_that_are_imported_again_are_not_told_again(shop: Shop) -> None:
    assert shop.imported == [1, 1]


@needs("node")
def test_fetch_reads_a_stream_to_its_end(shop: Shop) -> None:
    write(shop.directory, ["docs/frontends.md"], "js")
    (shop.directory / "package.json").write_text('{"type": "module"}')

    printed = node("src/news.js", cwd=shop.directory, origin=shop.url)

    assert printed.splitlines() == [
        "ada bought Teapot",
        "bob bought Kettle",
        "bob wrote “Too loud” on Kettle",
        "ada wrote “Boils fast” on Kettle",
        *CUPS,
    ]


HIDDEN = """{
    product: node(id: $secret) { displayName }
    review: node(id: $hidden) { displayName }
    modelStream(model: PRODUCT, first: 1) { nodes { displayName } }
    actorStream(actor: $eve) { totalCount }
}"""


@pytest.mark.parametrize("viewer", ["", "ada"])
def test_a_draft_is_hidden_and_so_is_what_was_done_to_it(shop: Shop, viewer: str) -> None:
    answer = shop.ask(HIDDEN, viewer)

    assert answer == {
        "product": None,
        "review": None,
        "modelStream": {"nodes": [{"displayName": "ada bought Teapot"}]},
        "actorStream": {"totalCount": 0},
    }


def test_the_staff_sees_a_draft(shop: Shop) -> None:
    assert shop.ask(HIDDEN, "eve") == {
        "product": {"displayName": "Samovar"},
        "review": {"displayName": "“To be”"},
        "modelStream": {"nodes": [{"displayName": "eve bought Samovar"}]},
        "actorStream": {"totalCount": 2},
    }


def test_what_somebody_bought_is_nobody_elses_business(shop: Shop) -> None:
    query = "{ purchases(user: $bob) { nodes { displayName } } }"

    assert names(shop.ask(query, "bob")["purchases"]) == ["bob bought Kettle"]
    for viewer in ("", "ada", "eve"):
        with pytest.raises(AssertionError, match=r"FORBIDDEN|UNAUTHENTICATED"):
            shop.ask(query, viewer)


def test_a_type_has_the_name_that_it_is_given(shop: Shop) -> None:
    answer = shop.ask('{ __type(name: "Club") { description } }')

    assert answer == {"__type": {"description": "People who buy together."}}


def test_the_sites_own_tests_pass(shop: Shop) -> None:
    done = manage(shop.directory, "test", "mysite", site=SITE)

    assert done.returncode == 0, done.stderr
    assert "Ran 3 tests" in done.stderr
