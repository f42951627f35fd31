"""The shop of docs/sites.md: made of the files that it shows, and served."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.clients.server import serving
from tests.documents import document, write
from tests.sites import run

GUIDE = "docs/sites.md"
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
#: What the guide says to do once its models are there.
[SET_UP, *_] = [block for block in document(GUIDE).blocks if block.language == "sh"]
COMMANDS = [line.split()[2:] for line in SET_UP.text.splitlines()]
#: What was said of the urn, newest first: more than a page.
CUPS = [f"bob wrote “Cup {number}” on Urn" for number in range(12, 0, -1)]


@dataclass(frozen=True)
class Shop:
    """The guide's site while it is served."""

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


def opened(directory: Path) -> Iterator[Shop]:
    """The shop, from its files to its server."""
    write(directory, [GUIDE], "python")
    script = directory / "shop.py"
    script.write_text(f"COMMANDS = {COMMANDS!r}\n{SHOP}")
    done = run(directory, str(script), site=SITE)
    assert done.returncode == 0, done.stderr
    with serving(directory, SITE) as url:
        yield Shop(directory, url, **json.loads(done.stdout.splitlines()[-1]))
