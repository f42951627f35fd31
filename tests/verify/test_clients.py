"""The guides for frontends, as they stand there: built, and used in a page of the shop."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.clients.server import HERE, environment, needs, node
from tests.documents import blocks, document, write
from tests.shop import CUPS, SITE, Shop, opened
from tests.sites import ELSEWHERE, manage
from tests.verify.conftest import Proof

pytestmark = [pytest.mark.verify, needs("npm")]

RELAY, GUIDES = HERE / "relay", HERE / "guides"
COMMON = ["docs/frontends.md", "docs/subscriptions.md", "docs/connections.md"]
COMMON += ["docs/authentication.md"]
#: The page of each library, and what a page of another site has in the place of what is its own.
CLIENTS = {
    "Relay": "relay",
    "Apollo Client": "apollo",
    "urql": "urql",
    "Relay, elsewhere": "relay",
}
AFAR = {"ask-from-afar.js": "ask.js", "foreign-socket.js": "socket.js"}


@dataclass(frozen=True)
class Client:
    """A guide's page, built into one script."""

    name: str
    directory: Path
    documents: list[str]
    #: The files of the guides that it is made of.
    sources: frozenset[str]

    @property
    def elsewhere(self) -> bool:
        return self.name.endswith("elsewhere")


@pytest.fixture(scope="module")
def installed() -> Path:
    """Where the packages of the lock file are installed."""
    npm("ci", cwd=RELAY)
    npm("ci", cwd=GUIDES)
    return GUIDES / "node_modules"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from opened(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module", params=CLIENTS)
def client(request: pytest.FixtureRequest, shop: Shop, installed: Path) -> Client:
    name: str = request.param
    directory = shop.directory / name.replace(", ", "-")
    documents = [*COMMON, f"docs/{CLIENTS[name]}.md"]
    write(directory, documents, "js", "jsx", url=shop.url)
    if name.endswith("elsewhere"):
        for theirs, ours in AFAR.items():
            (directory / "src" / theirs).rename(directory / "src" / ours)
    (directory / "node_modules").symlink_to(installed)
    shutil.copy(GUIDES / "visit.jsx", directory)
    if CLIENTS[name] == "relay":
        compile_for(shop, directory)
    sources = node(str(HERE / "build.mjs"), "visit.jsx", "visit.js", cwd=directory).split()
    return Client(name, directory, documents, frozenset(sources))


def compile_for(shop: Shop, directory: Path) -> None:
    """By relay-compiler, against the schema that the shop prints as the guide says."""
    [printing] = [it.text for it in document("docs/relay.md").blocks if it.language == "sh"]
    printed = manage(shop.directory, *shlex.split(printing)[2:], site=SITE)
    assert printed.returncode == 0, printed.stderr
    config = json.loads((RELAY / "relay.config.json").read_text())
    config["schema"] = "../schema.graphql"
    (directory / "relay.config.json").write_text(json.dumps(config))
    node("node_modules/relay-compiler/cli.js", cwd=directory)


def npm(*command: str, cwd: Path) -> None:
    done = subprocess.run(["npm", *command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def shell(code: str) -> str:
    """A command of the shop's."""
    command = ["manage.py", "shell", "--verbosity", "0", "--command", code]
    return shlex.join([sys.executable, str(settings.BASE_DIR / command[0]), *command[1:]])


def visit(shop: Shop, client: Client, name: str, viewer: str = "", *more: str) -> Any:
    """What a visitor of a page sees; see visit.jsx."""
    who = shop.sessions.get(viewer, "")
    env = environment(shop.directory, SITE)
    if client.elsewhere:
        token = manage(shop.directory, "token", viewer, site=SITE).stdout.strip()
        env |= {"ELSEWHERE": ELSEWHERE, "TOKEN": token}
    said = node(
        "--import",
        str(GUIDES / "window.mjs"),
        "visit.js",
        shop.ids[name],
        *more,
        cwd=client.directory,
        origin=shop.url,
        session="" if client.elsewhere else who,
        env=env,
    )
    return json.loads(said)


def test_every_script_of_the_guides_is_run(client: Client) -> None:
    """Each is part of a page; but src/news.js, which test_shop.py runs."""
    shown = {it.file for it in blocks("js", "jsx") if it.document in client.documents}
    theirs = {f"src/{name}" for name in AFAR}

    if client.elsewhere:
        assert shown - theirs - client.sources == {"src/news.js"}
        return
    others = {"src/news.js", "src/token.js", *theirs}
    if CLIENTS[client.name] != "relay":  # the others ask by a fetch of their own
        others.add("src/ask.js")
    assert shown - client.sources == others


def test_every_guide_is_a_clients() -> None:
    guides = {*COMMON, *(f"docs/{guide}.md" for guide in CLIENTS.values())}
    assert {it.document for it in blocks("js", "jsx")} == guides


@pytest.mark.usefixtures("installed")
def test_relay_compiler_accepts_a_frontends_documents_against_our_schema() -> None:
    npm("run", "compile", cwd=RELAY)


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


def test_a_stream_is_paged_to_its_end(shop: Shop, client: Client, proof: Proof) -> None:
    seen = visit(shop, client, "urn", "bob")

    assert seen["text"] == "Urn"
    assert seen["pages"] == [CUPS[:10], CUPS]
    proof(f"{client.name}: pages", f"{len(CUPS)} actions on {len(seen['pages'])} pages")


def test_a_hidden_node_is_no_page(shop: Shop, client: Client) -> None:
    seen = visit(shop, client, "secret", "ada")

    assert (seen["text"], seen["alerts"]) == ("There is nothing here.", [])


def drafting(name: str, draft: bool = True) -> str:
    """A command that hides a product, or shows it again; somebody does something to it."""
    return shell(
        "from django.contrib.auth.models import User\n"
        "from mysite.shop.models import Product\n"
        "from server.models import action\n"
        f"Product.objects.filter(name={name!r}).update(draft={draft})\n"
        "action.send(User.objects.get(username='bob'), verb='saw',"
        f" target=Product.objects.get(name={name!r}))"
    )


@pytest.fixture
def undone(shop: Shop) -> Iterator[None]:
    """The products are shown, and nobody follows them, once a page was visited."""
    yield
    show = shlex.split(drafting("Jug", draft=False))
    subprocess.run(show, env=environment(shop.directory, SITE), check=True, timeout=120)
    for name in ("teapot", "jug"):
        shop.ask(
            f"mutation {{ unfollow(input: {{object: ${name}}}) {{ deletedFollowIds }} }}", "ada"
        )


@pytest.mark.usefixtures("undone")
def test_a_follow_shows_before_the_answer_and_after_it(
    shop: Shop, client: Client, proof: Proof
) -> None:
    seen = visit(shop, client, "teapot", "ada", "follow")

    assert (seen["following"], seen["alerts"]) == ([False, True, True], [])
    query = "{ node(id: $teapot) { viewerIsFollowing } }"
    assert shop.ask(query, "ada") == {"node": {"viewerIsFollowing": True}}
    proof(f"{client.name}: a follow", "shown before the answer, and kept")


@pytest.mark.usefixtures("undone")
def test_a_follow_is_taken_back_where_the_node_was_hidden_meanwhile(
    shop: Shop, client: Client, proof: Proof
) -> None:
    seen = visit(shop, client, "jug", "ada", "follow", drafting("Jug"))

    assert seen["following"] == [False, True, False]
    [alert] = seen["alerts"]
    assert alert.endswith("is no id of a node that you may see.")
    proof(f"{client.name}: a refused follow", "taken back, and said why")


def test_a_follow_is_taken_back_where_nobody_is_logged_in(shop: Shop, client: Client) -> None:
    if client.elsewhere:
        return  # A token is always somebody's.
    seen = visit(shop, client, "kettle", "", "follow")

    assert seen["following"] == [False, True, False]
    assert "Log in first." in "".join(seen["alerts"])


@pytest.mark.usefixtures("undone")
def test_a_page_says_that_it_is_not_live_any_more(shop: Shop, client: Client) -> None:
    seen = visit(shop, client, "jug", "ada", "end", drafting("Jug"))

    assert seen["status"] == "This page is not live any more."


def test_what_happens_is_seen_and_what_was_missed_after_a_lost_connection(
    shop: Shop, client: Client, proof: Proof
) -> None:
    word = "-".join(client.name.lower().replace(",", "").split())
    ring = shell(
        "from django.contrib.auth.models import User\n"
        "from mysite.shop.models import Product\n"
        "from server.models import Action, action\n"
        f"turn = Action.objects.filter(verb__startswith='{word} ').count() + 1\n"
        f"action.send(User.objects.get(username='bob'), verb=f'{word} {{turn}}',"
        " target=Product.objects.get(name='Kettle'))"
    )

    seen = visit(shop, client, "kettle", "ada", "look", ring, f"bob {word} # Kettle")

    # Each once, though what is resumed may come again.
    assert seen["arrived"] == [[f"bob {word} {turn} Kettle"] for turn in (1, 2)]
    # The second connection goes on after what the first one brought.
    first, *others = seen["after"]
    assert others
    assert first not in others
    proof(f"{client.name}: live", f"{1 + len(others)} connections, nothing missed or twice")
