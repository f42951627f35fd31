"""A site of another's making: nothing but files in a directory, run as its owner would run it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.sites import manage, run

pytestmark = pytest.mark.apart

SETTINGS = """
    from server.settings import *

    INSTALLED_APPS = [*INSTALLED_APPS, "library"]
    ACTSTREAM_SETTINGS = {"MANAGER": "library.streams.LibraryActions"}
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""
APPS = """
    from django.apps import AppConfig


    class LibraryConfig(AppConfig):
        name = "library"

        def ready(self):
            from server.registry import register

            from .models import Book

            register(Book, "library.Shelf", "library.BranchOffice")
"""
MODELS = """
    from uuid import uuid4

    from django.conf import settings
    from django.db import models


    class Shelf(models.Model):
        code = models.SlugField(primary_key=True)

        def __str__(self):
            return f"shelf {self.code}"

        def get_absolute_url(self):
            return f"/shelves/{self.code}"


    class Book(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid4)
        title = models.CharField(max_length=200, help_text="Its title.")
        banned = models.BooleanField(default=False)
        shelf = models.ForeignKey(Shelf, models.CASCADE)
        lent_to = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)

        def __str__(self):
            return self.title


    class BranchOffice(models.Model):
        city = models.CharField(max_length=50)
"""
NODES = """
    import strawberry
    from strawberry import auto

    from schema.nodes import node

    from . import models


    @node(models.Book, name="Volume", aliases=["Book"], description="Something to read.")
    class Book:
        title: auto
        shelf: auto = strawberry.field(description="Where it stands.")
        lent_to: auto = strawberry.field(description="Who has it.")

        def display_name(self) -> str:
            return f"“{self.title}”"

        @classmethod
        def get_queryset(cls, queryset, info):
            return queryset.filter(banned=False)

        @strawberry.field(description="The length of its title.")
        def length(self) -> int:
            return len(self.title)
"""
STREAMS = """
    from datetime import datetime
    from enum import Enum

    from django.contrib.auth.models import User
    from django.db.models import Model, Q

    from server.models import Action
    from server.streams import ActionManager, stream

    from .models import Book, Shelf


    class LibraryActions(ActionManager):
        @stream
        def mystream(self, obj: Model, verb: str = "posted"):
            return {"actor": obj, "verb": verb}

        @stream
        def shelf_stream(self, shelf: Shelf, since: datetime | None = None, most=1000, big=False):
            "What was done to a shelf or to any book."
            later = {"timestamp__gte": since} if since else {}
            return {"target": shelf, **later}, {"target": Book, **later}

        @stream
        def lent(self, book: Book, verbs: list[str], to: User | None = None):
            who = {} if to is None else {"actor": to}
            return {"action_object": book, "verb__in": verbs, **who}

        @stream
        def of_kinds(self, user: User, kind: type[Model]):
            return {"actor": user, "target": kind}

        @stream
        def books(self, obj: Model):
            ids = [str(pk) for pk in Book.objects.values_list("pk", flat=True)]
            return self.filter(Q(target_object_id__in=ids))

        @stream
        def sliced(self, obj: Model):
            return self.all()[:3]
"""
#: What is run in the site; it prints one JSON document.
OPERATIONS = """
    import json
    import sys
    from base64 import b64encode

    import django

    django.setup()

    from django.conf import settings
    from django.contrib.auth.models import User
    from django.test import Client

    from library.models import BranchOffice, Book, Shelf
    from schema.nodes import global_id
    from schema import schema
    from server.models import action, follow

    settings.ALLOWED_HOSTS.append("testserver")
    ada = User.objects.create(username="ada")
    shelf = Shelf.objects.create(code="QA-76")
    notes = Book.objects.create(title="Notes", shelf=shelf, lent_to=ada)
    banned = Book.objects.create(title="Xanadu", shelf=shelf, banned=True)
    office = BranchOffice.objects.create(city="London")
    follow(ada, shelf, actor_only=False, send_action=False)
    for book in (notes, banned):
        action.send(ada, verb="shelved", target=shelf, action_object=book)
    action.send(ada, verb="posted", target=notes)
    action.send(office, verb="opened", target=shelf, public=False)
    client = Client()
    client.force_login(ada)


    def run(query, **variables):
        response = client.post(
            "/graphql",
            {"query": query, "variables": variables},
            content_type="application/json",
        )
        return response.json()


    ids = {"ada": ada, "shelf": shelf, "notes": notes, "banned": banned, "office": office}
    ids = {name: global_id(obj) for name, obj in ids.items()}
    for old, book in (("old", notes), ("former", banned)):
        ids[old] = b64encode(f"Book:{book.pk}".encode()).decode()
    sys.stdout.write(json.dumps({
        "schema": schema.as_str(),
        "ids": ids,
        "answers": {name: run(query, **ids) for name, query in QUERIES.items()},
    }))
"""
VARIABLES = ("ada", "shelf", "notes", "banned", "office", "old", "former")
QUERIES = {
    "nodes": """{ nodes(ids: [$shelf, $notes, $banned, $office]) { __typename displayName url
        ... on Volume { title length shelf { displayName } lentTo { username } } } }""",
    "mystream": """{ mystream(obj: $ada) { nodes { displayName } }
        node(id: $ada) { mystream { nodes { displayName } } } }""",
    "shelf": """{ shelfStream(shelf: $shelf) { totalCount nodes { verb displayName } }
        node(id: $shelf) { ... on Shelf { shelfStream(since: "2999-01-01T00:00:00Z") {
            totalCount } } } }""",
    "lent": """{ all: lent(book: $notes, verbs: ["shelved"]) { totalCount }
        to: lent(book: $notes, verbs: ["shelved"], to: $ada) { totalCount }
        none: lent(book: $notes, verbs: []) { totalCount } }""",
    "kinds": """{ shelves: ofKinds(kind: SHELF) { nodes { verb } }
        volumes: ofKinds(kind: VOLUME) { nodes { verb } } }""",
    "lent to a hidden one": """{ lent(book: $notes, verbs: ["shelved"], to: $banned) {
        totalCount } }""",
    "alias": "{ node(id: $old) { id ... on Volume { title } } }",
    "hidden alias": "{ node(id: $former) { id } }",
    "books": "{ books(obj: $ada) { nodes { verb } } }",
    "sliced": "{ sliced(obj: $ada) { nodes { verb } } healthy: __typename }",
    "create": """mutation { createAction(input: {
        verb: "read", target: $notes, actionObject: $shelf, idempotencyKey: "1"}) {
        created userErrors { code } action { displayName } } }""",
    "hidden": """mutation { createAction(input: {verb: "read", target: $banned}) {
        created userErrors { field code } } }""",
    "userStream": "{ userStream { nodes { displayName } } }",
    "models": "{ modelStream(model: BRANCH_OFFICE) { totalCount } }",
    "whole": """{ node(id: $shelf) { followers { totalCount nodes { displayName } }
        anyStream { nodes { displayName actionObject { displayName } } } } }""",
}

Site = Callable[..., Path]


def written(directory: Path, changed: dict[str, str] | None = None) -> Path:
    """A site's files in a directory; ``changed`` instead of, or beside, the ones above."""
    files = {
        "site_settings.py": SETTINGS,
        "library/__init__.py": "",
        "library/apps.py": APPS,
        "library/models.py": MODELS,
        "library/nodes.py": NODES,
        "library/streams.py": STREAMS,
        **(changed or {}),
    }
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text))
    return directory


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return partial(written, tmp_path)


def operated(directory: Path) -> Any:
    """What the site's schema is, and what it answers to the queries."""
    migrated = manage(directory, "migrate", "--run-syncdb", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    queries = {}
    for name, query in QUERIES.items():
        used = ", ".join(f"${variable}: ID!" for variable in VARIABLES if f"${variable}" in query)
        kind = "mutation" if query.startswith("mutation") else "query"
        queries[name] = f"{kind} ({used}) {query.removeprefix('mutation')}".replace("()", "")
    script = directory / "operations.py"
    script.write_text(f"QUERIES = {queries!r}\n{dedent(OPERATIONS)}")
    done = run(directory, str(script))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def arguments(printed: str, field: str) -> dict[str, str]:
    """The arguments of a field of Query, less those of every stream."""
    query = printed[printed.index("type Query {") :]
    inside = query[query.index(f"  {field}(") :].split("\n  ): ")[0]
    found = re.findall(r"^    (\w+): (.+)$", inside, re.MULTILINE)
    paging = ("filter", "first", "after", "last", "before")
    return {name: kind for name, kind in found if name not in paging}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the site above prints and answers."""
    return operated(written(tmp_path_factory.mktemp("library")))


@pytest.fixture(scope="module")
def printed(library: Any) -> str:
    return str(library["schema"])


@pytest.fixture(scope="module")
def answers(library: Any) -> Any:
    return library["answers"]


def test_the_models_of_a_site_are_types_by_their_nodes_py_or_by_themselves(printed: str) -> None:
    for name in ("Volume", "Shelf", "BranchOffice"):
        assert f"type {name} implements Node {{" in printed
    assert "type Book " not in printed
    kinds = re.findall(r"^  ([A-Z_]+)$", printed[printed.index("enum NodeType") :], re.MULTILINE)
    assert kinds == ["USER", "GROUP", "VOLUME", "SHELF", "BRANCH_OFFICE"]


def test_the_streams_of_a_site_have_the_arguments_of_their_signatures(printed: str) -> None:
    assert arguments(printed, "mystream") == {"obj": "ID!", "verb": 'String! = "posted"'}
    assert arguments(printed, "shelfStream") == {
        "shelf": "ID!",
        "since": "DateTime",
        "most": "Int! = 1000",
        "big": "Boolean! = false",
    }
    assert arguments(printed, "lent") == {"book": "ID!", "verbs": "[String!]!", "to": "ID"}
    assert arguments(printed, "ofKinds") == {"user": "ID", "kind": "NodeType!"}
    assert "What was done to a shelf or to any book. Newest first; public actions only." in printed


def test_a_stream_of_one_model_is_on_its_type_alone(printed: str) -> None:
    def has(type_name: str, field: str) -> bool:
        fields = printed[printed.index(f"{type_name} ") :].split("\n}\n")[0]
        return f"  {field}(" in fields

    assert has("type Shelf", "shelfStream")
    assert has("type Volume", "lent")
    assert has("type User", "ofKinds")
    assert has("interface Node", "books")
    for name in ("shelfStream", "lent", "ofKinds"):
        assert not has("interface Node", name)
        assert not has("type BranchOffice", name)


def test_the_objects_of_a_site_are_nodes_by_any_key(answers: Any) -> None:
    assert answers["nodes"] == {
        "data": {
            "nodes": [
                {"__typename": "Shelf", "displayName": "shelf QA-76", "url": "/shelves/QA-76"},
                {
                    "__typename": "Volume",
                    "displayName": "“Notes”",
                    "url": None,
                    "title": "Notes",
                    "length": 5,
                    "shelf": {"displayName": "shelf QA-76"},
                    "lentTo": {"username": "ada"},
                },
                None,
                {
                    "__typename": "BranchOffice",
                    "displayName": "BranchOffice object (1)",
                    "url": None,
                },
            ]
        }
    }


def test_an_id_with_the_old_name_of_a_sites_type_loads(library: Any) -> None:
    ids, answers = library["ids"], library["answers"]
    assert answers["alias"] == {"data": {"node": {"id": ids["notes"], "title": "Notes"}}}
    assert answers["hidden alias"] == {"data": {"node": None}}


def test_the_streams_of_a_site_answer(answers: Any) -> None:
    posted = {"nodes": [{"displayName": "ada posted “Notes”"}]}
    assert answers["mystream"] == {"data": {"mystream": posted, "node": {"mystream": posted}}}
    assert answers["shelf"] == {
        "data": {
            "shelfStream": {
                "totalCount": 3,
                "nodes": [
                    {"verb": "posted", "displayName": "ada posted “Notes”"},
                    {"verb": "shelved", "displayName": "ada shelved shelf QA-76"},
                    {"verb": "shelved", "displayName": "ada shelved “Notes” on shelf QA-76"},
                ],
            },
            "node": {"shelfStream": {"totalCount": 0}},
        }
    }
    assert answers["books"] == {"data": {"books": {"nodes": [{"verb": "posted"}]}}}
    assert answers["models"] == {"data": {"modelStream": {"totalCount": 0}}}


def test_a_parameter_of_a_stream_arrives_as_a_model(answers: Any) -> None:
    assert answers["kinds"] == {
        "data": {
            "shelves": {"nodes": [{"verb": "shelved"}] * 2},
            "volumes": {"nodes": [{"verb": "posted"}]},
        }
    }


def test_a_parameter_of_a_stream_arrives_as_an_object(answers: Any) -> None:
    assert answers["lent"] == {
        "data": {"all": {"totalCount": 1}, "to": {"totalCount": 1}, "none": {"totalCount": 0}}
    }
    assert answers["lent to a hidden one"]["data"] == {"lent": None}
    [error] = answers["lent to a hidden one"]["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_sliced_stream_of_a_site_is_refused_by_name(answers: Any) -> None:
    assert answers["sliced"]["data"] == {"sliced": None, "healthy": "Query"}
    [error] = answers["sliced"]["errors"]
    assert "The stream sliced returned a sliced QuerySet" in error["message"]


def test_a_site_is_written_to(answers: Any) -> None:
    assert answers["create"] == {
        "data": {
            "createAction": {
                "created": True,
                "userErrors": [],
                "action": {"displayName": "ada read shelf QA-76 on “Notes”"},
            }
        }
    }
    assert answers["hidden"]["data"]["createAction"] == {
        "created": False,
        "userErrors": [{"field": ["input", "target"], "code": "NOT_FOUND"}],
    }


def test_what_a_site_follows_comes_in_the_users_stream(answers: Any) -> None:
    rows = answers["userStream"]["data"]["userStream"]["nodes"]
    assert [row["displayName"] for row in rows] == [
        "ada read shelf QA-76 on “Notes”",
        "ada shelved shelf QA-76",
        "ada shelved “Notes” on shelf QA-76",
    ]
    assert answers["whole"]["data"]["node"]["followers"] == {
        "totalCount": 1,
        "nodes": [{"displayName": "ada follows shelf QA-76"}],
    }


def test_what_a_site_hides_is_nowhere(answers: Any) -> None:
    assert "Notes" in json.dumps(answers)
    assert "Xanadu" not in json.dumps(answers)


def test_a_site_that_is_well_made_has_nothing_to_mend(site: Site) -> None:
    """The negative control of the checks below."""
    checked = manage(site(), "check")
    assert (checked.returncode, checked.stdout + checked.stderr) == (
        0,
        "System check identified no issues (0 silenced).\n",
    )


MANAGER = """
    from django.db.models import Model

    from server.streams import ActionManager, stream


    class LibraryActions(ActionManager):
        @stream
        def mine(self, obj: Model, {parameters}):
            return {{"actor": obj}}
"""


def test_a_parameter_without_type_and_default_is_left_out_and_warned_of(site: Site) -> None:
    directory = site({"library/streams.py": MANAGER.format(parameters="mood, verb='saw'")})
    checked = manage(directory, "check")
    assert checked.returncode == 0
    said = checked.stdout + checked.stderr
    assert "activity.W001" in said
    assert "'mood' of the stream 'mine'" in said
    exported = manage(directory, "export_schema", "schema")
    assert exported.returncode == 0, exported.stderr
    assert arguments(exported.stdout, "mine") == {"obj": "ID!", "verb": 'String! = "saw"'}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("library.streams.Unheard", ["library.streams.Unheard", "cannot be imported"]),
        ("unheard.Manager", ["unheard.Manager", "cannot be imported"]),
        ("nodots", ["nodots", "cannot be imported"]),
        ("library.models.Shelf", ["library.models.Shelf", "no subclass"]),
        ("library.apps", ["library.apps", "no subclass"]),
    ],
)
def test_a_manager_that_cannot_be_is_an_error(site: Site, path: str, words: list[str]) -> None:
    changed = SETTINGS.replace("library.streams.LibraryActions", path)
    checked = manage(site({"site_settings.py": changed}), "check")
    assert checked.returncode == 1
    assert "activity.E002" in checked.stderr
    assert "Traceback" not in checked.stderr
    assert all(word in checked.stderr for word in words)


def is_an_error_that_names(checked: subprocess.CompletedProcess[str], *words: str) -> bool:
    assert checked.returncode == 1
    assert "System check identified some issues" in checked.stderr, checked.stderr[-500:]
    assert "Traceback" not in checked.stderr
    assert [word for word in words if word not in checked.stderr] == []
    return True


def test_two_models_of_one_name_are_an_error_that_names_both(site: Site) -> None:
    directory = site(
        {
            "site_settings.py": SETTINGS.replace('"library"]', '"library", "archive"]'),
            "archive/__init__.py": "",
            "archive/apps.py": APPS.replace("library", "archive")
            .replace("Library", "Archive")
            .replace('register(Book, "archive.Shelf", "archive.BranchOffice")', "register(Book)"),
            "archive/models.py": """
                from django.db import models


                class Book(models.Model):
                    name = models.CharField(max_length=9)
            """,
        }
    )
    checked = manage(directory, "check")
    assert is_an_error_that_names(checked, "library.Book", "archive.Book", "'Book'")


@pytest.mark.parametrize("name", ["node", "viewer", "nodes", "followers", "title", "id", "url"])
def test_a_stream_of_the_name_of_a_field_is_an_error_that_names_it(site: Site, name: str) -> None:
    changed = MANAGER.format(parameters="verb: str = 'saw'").replace("mine", name)
    checked = manage(site({"library/streams.py": changed}), "check")
    assert is_an_error_that_names(checked, name)


@pytest.mark.parametrize("name", ["first", "after", "filter", "info"])
def test_a_parameter_of_the_name_of_an_argument_of_ours_is_an_error(site: Site, name: str) -> None:
    changed = MANAGER.format(parameters=f"{name}: str = 'saw'")
    checked = manage(site({"library/streams.py": changed}), "check")
    assert is_an_error_that_names(checked, "mine", name)


@pytest.mark.parametrize("kind", ["object", "complex", "unheard.Of", "dict[str, int]"])
def test_a_parameter_of_a_type_that_graphql_has_not_is_warned_of_or_refused(
    site: Site, kind: str
) -> None:
    changed = MANAGER.format(parameters=f"mood: {kind!r} = None")
    checked = manage(site({"library/streams.py": changed}), "check")
    said = checked.stdout + checked.stderr
    assert "Traceback" not in said
    assert "System check identified" in said
    assert "mood" in said
    assert "mine" in said


RELATED = {
    "library/apps.py": APPS.replace("register(Book, ", 'register("library.Loan", Book, '),
    "library/models.py": f"""{MODELS}
    class Loan(models.Model):
        shelf = models.ForeignKey(Shelf, models.CASCADE)
        office = models.ForeignKey(BranchOffice, models.CASCADE, to_field="city")
        volumes = models.ManyToManyField(Book, related_name="loans")
        first = models.OneToOneField(Book, models.CASCADE, null=True, related_name="first_loan")
    """.replace("city = models.CharField(", "city = models.CharField(unique=True, "),
}


def related(of: str, field: str) -> dict[str, str]:
    """The site with a loan of books, and a field of a type that leads to others."""
    nodes = f"{NODES}\n    @node(models.Loan)\n    class Loan:\n        shelf: auto\n"
    at = nodes.index("        shelf: auto", nodes.index(f"class {of}:"))
    return {**RELATED, "library/nodes.py": f"{nodes[:at]}        {field}\n{nodes[at:]}"}


@pytest.mark.parametrize(
    ("of", "field"),
    [
        ("Loan", "office: auto"),
        ("Loan", "volumes: auto"),
        ("Book", "loans: auto"),
        ("Book", "first_loan: auto"),
        ("Book", 'first_loan: "Loan"'),
    ],
)
def test_a_relation_that_would_lead_around_the_door_is_refused(
    site: Site, of: str, field: str
) -> None:
    checked = manage(site(related(of, field)), "check")
    assert "activity.E003" in checked.stderr
    assert "so get_queryset would not be asked who may see what is there" in checked.stderr


def test_a_list_of_nodes_has_those_alone_that_may_be_seen(site: Site) -> None:
    directory = site(related("Loan", "volumes: list[Book]"))
    migrated = manage(directory, "migrate", "--run-syncdb", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    script = """
        import django

        django.setup()

        from django.contrib.auth.models import AnonymousUser
        from django.test import RequestFactory
        from library.models import Book, BranchOffice, Loan, Shelf
        from schema import schema
        from schema.context import Context
        from schema.nodes import global_id

        shelf = Shelf.objects.create(code="QA-76")
        loan = Loan.objects.create(shelf=shelf, office=BranchOffice.objects.create(city="Bath"))
        loan.volumes.add(*(
            Book.objects.create(title=title, shelf=shelf, banned=title == "Xanadu")
            for title in ("Notes", "Xanadu")
        ))
        request = RequestFactory().post("/graphql")
        request.user = AnonymousUser()
        query = "query ($id: ID!) { node(id: $id) { ... on Loan { volumes { title } } } }"
        given = {"id": global_id(loan)}
        print(schema.execute_sync(query, given, Context(request)).data)
    """
    (directory / "asked.py").write_text(dedent(script))
    done = run(directory, "asked.py")
    assert done.stdout.strip() == "{'node': {'volumes': [{'title': 'Notes'}]}}", done.stderr
