"""What the README says is so: its site runs; and so are the numbers of a page's cost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.documents import document, write
from tests.schema.test_connections import statements_table
from tests.sites import manage, run

pytestmark = pytest.mark.apart

README = document("README.md")
COSTS = document("docs/performance.md").text

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


def test_the_table_of_statements_is_the_one_that_is_asserted() -> None:
    marked = re.search(r"<!-- statements -->\n(.*?)\n<!-- /statements -->", COSTS, re.DOTALL)
    assert marked
    assert marked[1] == statements_table()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site whose files the README shows."""
    write(tmp_path, ["README.md"], "python")
    return tmp_path


def test_the_readmes_site_runs_and_its_stream_is_a_field(site: Path) -> None:
    [happened] = [it.text for it in README.blocks if it.language == "python" and not it.file]
    [query] = [it.text for it in README.blocks if it.language == "graphql"]
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
