"""The recipes' site, as docs/recipes.md shows it: it runs, and does what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings

from tests.clients.server import needs, node, serving
from tests.sites import run

RECIPES = (settings.BASE_DIR / "docs/recipes.md").read_text(encoding="utf-8")
SITE = "mysite.settings"

#: Who visits the shop, and what happened in it; it prints the sessions and the ids.
SHOP = """
import importlib, json, sys
import django
django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
for command in COMMANDS:
    call_command(*command, verbosity=0)

from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from mysite.shop.deeds import buy, review
from mysite.shop.imports import import_orders
from mysite.shop.models import Product
from schema.nodes import global_id
from server.models import Action, user_stream

people = {name: User.objects.create(username=name) for name in ("ada", "bob", "eve")}
people["eve"].is_staff = True
people["eve"].save()
ada, bob, eve = people.values()
kettle, teapot, urn, jug = (
    Product.objects.create(name=name) for name in ("Kettle", "Teapot", "Urn", "Jug")
)
secret = Product.objects.create(name="Samovar", draft=True)
for number in range(1, 13):
    review(bob, urn, 3, f"Cup {number}")
written = review(ada, kettle, 5, "Boils fast")
review(bob, kettle, 2, "Too loud")
hidden = review(eve, secret, 5, "To be")
for customer, product, order in (
    (bob, kettle, 1), (ada, teapot, 2), (bob, kettle, 1), (eve, secret, 3)
):
    buy(customer, product, order)

last_year = timezone.now() - timedelta(days=365)
orders = [(number, eve, urn, last_year) for number in (101, 102)]
with transaction.atomic():
    imported = [import_orders(orders[:1]), import_orders(orders)]
    transaction.set_rollback(True)

sessions = {}
for name, user in people.items():
    client = Client()
    client.force_login(user)
    sessions[name] = client.cookies[settings.SESSION_COOKIE_NAME].value
objects = {
    **people, "kettle": kettle, "teapot": teapot, "urn": urn, "jug": jug,
    "secret": secret, "hidden": hidden,
}
print(json.dumps({
    "sessions": sessions,
    "ids": {name: global_id(obj) for name, obj in objects.items()},
    "data": Action.objects.get(action_object_object_id=str(written.pk), verb="wrote").data,
    "imported": imported,
    "ada": [str(action).removesuffix(" 0 minutes ago") for action in user_stream(ada)],
}))
"""
#: What the first recipe says to do.
COMMANDS = [
    line.split()[2:] for line in re.findall(r"^python manage\.py .*", RECIPES, re.MULTILINE)
]


#: What was said of the urn, newest first: more than a page.
CUPS = [f"bob wrote “Cup {number}” on Urn" for number in range(12, 0, -1)]


@dataclass(frozen=True)
class Shop:
    """The recipes' site while it is served."""

    directory: Path
    url: str
    sessions: dict[str, str]
    ids: dict[str, str]
    data: Any
    imported: list[int]
    ada: list[str]

    def ask(self, query: str, viewer: str = "") -> Any:
        """The data of an answer without errors, by HTTP; ``$kettle`` is the kettle's id."""
        query = re.sub(r"\$(\w+)", lambda name: json.dumps(self.ids[name[1]]), query)
        cookies = {"sessionid": self.sessions[viewer]} if viewer else {}
        answer = httpx.post(f"{self.url}/graphql", json={"query": query}, cookies=cookies).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


def write(directory: Path, *languages: str) -> None:
    """The recipes' files, each named in a block's first line; a second block goes to the end."""
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", RECIPES, re.DOTALL | re.MULTILINE):
        if language in languages:
            named, _, text = block.partition("\n")
            file = directory / named.split()[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".py":
                (file.parent / "__init__.py").touch()
            before = file.read_text() if file.exists() else ""
            file.write_text(before + text)


def opened(directory: Path) -> Iterator[Shop]:
    """The shop, from its files to its server."""
    write(directory, "python")
    script = directory / "shop.py"
    script.write_text(f"COMMANDS = {COMMANDS!r}\n{SHOP}")
    done = run(directory, str(script), site=SITE)
    assert done.returncode == 0, done.stderr
    with serving(directory, SITE) as url:
        yield Shop(directory, url, **json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from opened(tmp_path_factory.mktemp("shop"))


def names(connection: Any) -> list[str]:
    return [node["displayName"] for node in connection["nodes"]]


def test_every_block_is_one_that_runs_and_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", RECIPES)

    assert set(re.findall(r"^```(\w+)$", RECIPES, re.MULTILINE)) == {"python", "sh", "js", "jsx"}
    assert [link for link in links if not (settings.BASE_DIR / "docs" / link).exists()] == []


def test_the_site_is_set_up_by_the_commands_that_the_recipe_names() -> None:
    assert [command[0] for command in COMMANDS] == ["makemigrations", "migrate", "check"]


def test_a_registered_model_is_a_node(shop: Shop) -> None:
    answer = shop.ask("{ node(id: $kettle) { __typename displayName url } }")

    assert answer["node"] == {"__typename": "Product", "displayName": "Kettle", "url": None}


def test_a_stream_is_a_dict_a_tuple_of_dicts_or_a_queryset(shop: Shop) -> None:
    answer = shop.ask("""{
        purchases(user: $bob) { nodes { displayName } }
        node(id: $kettle) { ... on Product {
            goodNews { nodes { displayName } }
            all: goodNews(stars: 1) { nodes { displayName } }
            talk { nodes { displayName } }
        } }
    }""")

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
    write(shop.directory, "js")
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
    purchases(user: $eve) { totalCount }
}"""


@pytest.mark.parametrize("viewer", ["", "ada"])
def test_a_draft_is_hidden_and_so_is_what_was_done_to_it(shop: Shop, viewer: str) -> None:
    answer = shop.ask(HIDDEN, viewer)

    assert answer == {
        "product": None,
        "review": None,
        "modelStream": {"nodes": [{"displayName": "ada bought Teapot"}]},
        "purchases": {"totalCount": 0},
    }


def test_the_staff_sees_a_draft(shop: Shop) -> None:
    assert shop.ask(HIDDEN, "eve") == {
        "product": {"displayName": "Samovar"},
        "review": {"displayName": "“To be”"},
        "modelStream": {"nodes": [{"displayName": "eve bought Samovar"}]},
        "purchases": {"totalCount": 1},
    }
