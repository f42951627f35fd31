"""What the README says is so: its site runs, its numbers are those that are asserted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.conf import settings

from tests.schema.test_connections import statements_table
from tests.sites import manage, run

README = (settings.BASE_DIR / "README.md").read_text(encoding="utf-8")

SCRIPT = """
import json, django
django.setup()
from django.contrib.auth.models import Group, User
from django.test import Client
from server.models import Action, user_stream
ada, bob = (User.objects.create(username=name) for name in ("ada", "bob"))
repository = Group.objects.create(name="brook")
{happened}
Action.objects.create(actor=ada, verb="commented", target=repository)
Action.objects.create(actor=ada, verb="posted", target=repository)
query = {query!r}
client = Client(headers={{"host": "localhost"}})
answer = client.post("/graphql", {{"query": query}}, content_type="application/json").json()
print(json.dumps({{
    "stream": [str(action) for action in Action.objects.mystream(ada, "commented")],
    "related": [str(action) for action in ada.actor_actions.mystream("commented")],
    "user_stream": [str(action) for action in user_stream(bob)],
    "answer": answer,
}}))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_table_of_statements_is_the_one_that_is_asserted() -> None:
    marked = re.search(r"<!-- statements -->\n(.*?)\n<!-- /statements -->", README, re.DOTALL)
    assert marked
    assert marked[1] == statements_table()


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (settings.BASE_DIR / link).exists()] == []


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site whose files the README shows, each named in its first line."""
    for block in blocks("python"):
        if named := re.match(r"# (mysite/\S+)\n", block):
            file = tmp_path / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
    for package in ("mysite", "mysite/shop"):
        (tmp_path / package / "__init__.py").touch()
    return tmp_path


def test_the_readmes_site_runs_and_its_stream_is_a_field(site: Path) -> None:
    [happened] = [block for block in blocks("python") if "action.send" in block]
    [query] = [block for block in blocks("graphql") if "mystream" in block]
    migrated = manage(site, "migrate", "--verbosity", "0", site="mysite.settings")
    assert migrated.returncode == 0, migrated.stderr
    script = site / "script.py"
    script.write_text(SCRIPT.format(happened=happened, query=query))

    done = run(site, str(script), site="mysite.settings")

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["stream"] == ["ada commented brook 0 minutes ago"]
    assert said["related"] == said["stream"]
    assert "ada starred brook 0 minutes ago" in said["user_stream"]
    edges = said["answer"]["data"]["mystream"]["edges"]
    assert [edge["node"]["displayName"] for edge in edges] == ["ada commented brook"]
