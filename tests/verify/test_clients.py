"""Relay's own compiler and runtime, on the schema and on the recipes' site."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.clients.server import environment, needs, node
from tests.sites import manage
from tests.test_recipes import CUPS, SITE, Shop, opened, write

pytestmark = [pytest.mark.verify, needs("npm")]

RELAY = settings.BASE_DIR / "tests/clients/relay"
HIDE_THE_JUG = shlex.join(
    [
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "shell",
        "--command",
        (
            "from mysite.shop.models import Product\n"
            "Product.objects.filter(name='Jug').update(draft=True)"
        ),
    ]
)
NOT_YET, NOW = ({"store": following, "page": following} for following in (False, True))


@pytest.fixture(scope="module")
def installed() -> Path:
    """Where the packages of the lock file are installed."""
    npm("ci")
    return RELAY / "node_modules"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from opened(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def client(shop: Shop, installed: Path) -> Path:
    """The script of the recipes' Relay client, compiled against the schema of their site."""
    write(shop.directory, "js", "jsx")
    (shop.directory / "node_modules").symlink_to(installed)
    shutil.copy(RELAY / "recipes.jsx", shop.directory)
    config = json.loads((RELAY / "relay.config.json").read_text())
    (shop.directory / "relay.config.json").write_text(
        json.dumps(config | {"schema": "schema.graphql"})
    )
    printed = manage(
        shop.directory, "export_schema", "schema", "--path", "schema.graphql", site=SITE
    )
    assert printed.returncode == 0, printed.stderr
    node(str(installed / "relay-compiler/cli.js"), cwd=shop.directory)
    script = shop.directory / "recipes.js"
    node(str(RELAY / "build.mjs"), "recipes.jsx", script.name, cwd=shop.directory)
    return script


def npm(*command: str) -> None:
    done = subprocess.run(
        ["npm", *command], cwd=RELAY, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def visit(shop: Shop, client: Path, name: str, viewer: str = "", meanwhile: str = "") -> Any:
    """What a visitor of a page sees, who goes on to the stream's end and then follows."""
    said = node(
        "--import",
        str(RELAY / "window.mjs"),
        client.name,
        shop.ids[name],
        meanwhile,
        cwd=shop.directory,
        origin=shop.url,
        session=shop.sessions.get(viewer, ""),
        env=environment(shop.directory, SITE),
    )
    return json.loads(said)


@pytest.mark.usefixtures("installed")
def test_relay_compiler_accepts_a_frontends_documents_against_our_schema() -> None:
    npm("run", "compile")


def test_relay_compiler_refuses_a_document_that_our_schema_does_not_fit(
    installed: Path, tmp_path: Path
) -> None:
    source = (RELAY / "src/stream.js").read_text()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/stream.js").write_text(source.replace("viewerIsFollowing", "isFollowed"))
    config = json.loads((RELAY / "relay.config.json").read_text())
    config["schema"] = "schema.graphql"
    shutil.copy(settings.BASE_DIR / "schema.graphql", tmp_path)
    (tmp_path / "relay.config.json").write_text(json.dumps(config))

    with pytest.raises(AssertionError, match="isFollowed"):
        node(str(installed / "relay-compiler/cli.js"), cwd=tmp_path)


def test_relay_pages_a_stream_to_its_end(shop: Shop, client: Path) -> None:
    seen = visit(shop, client, "urn")

    assert seen["text"] == "Urn"
    assert seen["pages"] == [CUPS[:10], CUPS]


def test_a_hidden_node_is_no_page(shop: Shop, client: Path) -> None:
    assert visit(shop, client, "secret", "ada") == {"alerts": [], "text": "There is nothing here."}


def test_a_follow_shows_before_the_answer_and_after_it(shop: Shop, client: Path) -> None:
    seen = visit(shop, client, "teapot", "ada")

    assert seen["alerts"] == []
    assert seen["following"] == [NOT_YET, NOW, NOW]
    query = "{ node(id: $teapot) { viewerIsFollowing } }"
    assert shop.ask(query, "ada") == {"node": {"viewerIsFollowing": True}}


def test_a_follow_is_taken_back_where_nobody_is_logged_in(shop: Shop, client: Path) -> None:
    seen = visit(shop, client, "kettle")

    assert seen["following"] == [NOT_YET, NOW, NOT_YET]
    assert "Log in first." in "".join(seen["alerts"])


def test_a_follow_is_taken_back_where_the_node_was_hidden_meanwhile(
    shop: Shop, client: Path
) -> None:
    seen = visit(shop, client, "jug", "ada", meanwhile=HIDE_THE_JUG)

    assert seen["following"] == [NOT_YET, NOW, NOT_YET]
    [alert] = seen["alerts"]
    assert alert.endswith("is no id of a node that you may see.")
