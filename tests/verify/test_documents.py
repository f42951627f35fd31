"""The documents as a site: built without a warning, and read in a browser from elsewhere too."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from django.conf import settings
from graphql import build_schema
from lxml import html

from tests.documents import MADE, documents
from tests.verify.conftest import Proof, Site, clean_environment
from tests.verify.visits import Visit

#: As strict as that of Brook's own pages.
POLICY = "; ".join(
    " ".join([name, *sources])
    for name, sources in settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items()
)
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
#: One of each kind: the first, one of code, one of tables, and one of the reference.
PAGES = ["index", "relay", "performance", "reference/types"]


class Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as "make docs" builds it."""
    pytest.importorskip("sphinx", reason="needs Sphinx: it is not installed")
    directory = tmp_path_factory.mktemp("site")
    [recipe] = re.findall(
        r"sphinx-build (.*) docs/build/html$",
        (settings.BASE_DIR / "Makefile").read_text(),
        re.MULTILINE,
    )
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *recipe.split(), str(directory)],
        cwd=settings.BASE_DIR,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(built)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield Site(f"http://127.0.0.1:{server.server_port}", "", "")
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_document_and_all_of_the_schema_is_in_it(built: Path, proof: Proof) -> None:
    names = {it: made for made, it in MADE.items()}
    pages = {names.get(page.path.name, page.path.name) for page in documents()}
    assert [it for it in sorted(pages) if not (built / it).with_suffix(".html").exists()] == []

    schema = build_schema((settings.BASE_DIR / "schema.graphql").read_text())
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]
    said = {name for name in schema.type_map if not name.startswith("__")}
    for root in filter(None, roots):
        said = (said - {root.name}) | {*root.fields}
    reference = [html.parse(str(it)) for it in (built / "reference").glob("*.html")]
    headings = {it.text for page in reference for it in page.iterfind(".//h2")}
    assert headings == said
    proof("the documents' site", f"{len(pages)} documents, {len(said)} types and fields")


def test_every_link_within_it_leads_to_a_place(built: Path, proof: Proof) -> None:
    pages = {it.as_uri(): html.parse(str(it)) for it in built.rglob("*.html")}
    places = {uri: {*page.xpath("//@id")} for uri, page in pages.items()}
    broken, links, outside = [], 0, set()
    for uri, page in pages.items():
        loaded = page.xpath("//script/@src | //link[@rel='stylesheet']/@href | //img/@src")
        outside |= {it for it in loaded if urlsplit(it).scheme not in ("", "data")}
        for link in page.xpath("//a/@href") + loaded:
            if urlsplit(link).scheme:
                continue
            whole, _, place = urljoin(uri, link).partition("#")
            links += 1
            file = Path(unquote(urlsplit(whole).path))
            if not file.exists() or (place and unquote(place) not in places[whole.split("?")[0]]):
                broken.append(f"{uri}: {link}")
    assert (broken, outside) == ([], set())
    assert links > 1000
    proof("links within it", f"{links}, each to a file and a place")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_it_is_for_everyone_under_a_strict_policy(
    browser: Any, served: Site, screenshots: Path, proof: Proof, size: str, scheme: str
) -> None:
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme)
    visit = Visit(served, context.new_page())
    for page in PAGES:
        answer = visit.page.goto(f"{served.url}/{page}.html")
        assert answer.headers["content-security-policy"] == POLICY
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        light = sum(map(int, re.findall(r"\d+", background)[:3])) > 3 * 128
        assert light == (scheme == "light")
        name = page.replace("/", "-")
        visit.page.screenshot(path=screenshots / f"docs-{name}-{size}-{scheme}.png")
    context.close()
    assert (visit.faults, visit.outside) == ([], [])
    proof(f"its pages, {size}, {scheme}", "nothing sticks out, is refused, or is from elsewhere")


@pytest.mark.parametrize("by", ["http", "file"])
def test_it_is_searched_and_keeps_its_colours(
    browser: Any, served: Site, built: Path, proof: Proof, by: str
) -> None:
    root = served.url if by == "http" else built.as_uri()
    site = served if by == "http" else Site(root, "", "")
    context = browser.new_context(viewport=SIZES["desktop"], color_scheme="light")
    context.set_default_timeout(20_000)
    visit = Visit(site, context.new_page())
    page = visit.page
    page.goto(f"{root}/index.html")
    page.get_by_placeholder("Search").fill("resumeCursor")
    page.get_by_placeholder("Search").press("Enter")
    page.locator("#search-results li a", has_text="Live streams").first.click()
    page.get_by_role("heading", name="Live streams").wait_for()

    themes = []
    for _ in range(3):
        page.locator(
            ".theme-toggle-content .theme-toggle, .content-icon-container .theme-toggle"
        ).first.click()
        themes.append(page.evaluate("document.body.dataset.theme"))
    assert sorted(themes) == ["auto", "dark", "light"]
    while page.evaluate("document.body.dataset.theme") != "dark":
        page.locator(".content-icon-container .theme-toggle").first.click()
    page.goto(f"{root}/urql.html")
    assert page.evaluate("document.body.dataset.theme") == "dark"
    context.close()
    assert (visit.faults, visit.outside) == ([], [])
    proof(f"by {by}", "searched, and its colours chosen")
