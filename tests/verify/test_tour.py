"""GraphiQL in a real browser: the tour on the demo's world, as its visitor sees it.

Screenshots go to the directory that ``SCREENSHOTS`` names, else to pytest's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.verify.conftest import Proof, Site
from tests.verify.visits import QUERY, RESPONSE, VARIABLES, Visit

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
#: High enough for Monaco to render every line of the variables.
TALL = {"width": 1280, "height": 1600}
SIZES = {"desktop": DESKTOP, "phone": PHONE}
#: What the tour is made of, by the titles of its tabs, and the operations of each.
TOUR = {
    "UserStream": ["UserStream"],
    "AnyStream": ["AnyStream"],
    "CustomStreams": ["CustomStreams"],
    "CreateAction": ["CreateAction"],
    "Follow": ["Follow", "Watch", "Unfollow", "Following"],
    "NestedStreams": ["NestedStreams"],
    "Filters": ["Filters"],
    "Watching": ["Watching"],
}

CONTAINER = ".graphiql-container"
BRIGHTNESS = """(place) => {
    const [red, green, blue] = getComputedStyle(document.querySelector(place))
        .backgroundColor.match(/[\\d.]+/g).map(Number);
    return (red + green + blue) / 3 / 255;
}"""


@pytest.fixture
def visit(browser: Any, demo: Site, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A first visit, not logged in; at its end nothing may have gone wrong."""
    options = {"viewport": DESKTOP, "color_scheme": "light"} | getattr(request, "param", {})
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    visit = Visit(demo, context.new_page())
    yield visit
    context.close()
    assert (visit.faults, visit.outside) == ([], [])


def rows(answer: Any, stream: str) -> list[str]:
    connection = answer["data"][stream]
    nodes = connection.get("nodes") or [edge["node"] for edge in connection["edges"]]
    return [node["displayName"] for node in nodes]


def test_a_stranger_is_shown_a_stream_that_needs_no_login(
    visit: Visit, screenshots: Path, proof: Proof
) -> None:
    with visit.answer() as found:
        visit.open()
    [answer] = found
    assert "errors" not in answer
    assert rows(answer, "anyStream")
    assert visit.tabs == list(TOUR)
    assert visit.page.get_by_text("Not logged in").is_visible()
    visit.page.screenshot(path=screenshots / "stranger.png")
    proof(
        "page, not logged in",
        f"{len(TOUR)} tabs, {len(rows(answer, 'anyStream'))} rows at once, "
        f"{len(visit.faults)} console errors, {len(visit.outside)} outside requests",
    )


def test_the_watch_over_a_visit_notices_errors_and_other_hosts(browser: Any, demo: Site) -> None:
    visit = Visit(demo, browser.new_page(bypass_csp=True))
    visit.open()
    assert (visit.faults, visit.outside) == ([], [])
    visit.page.evaluate("fetch('http://192.0.2.1/').catch(() => {}); console.error('oh')")
    assert visit.faults == ["oh"]
    assert visit.outside == ["http://192.0.2.1/"]
    visit.page.context.close()


def test_logging_in_runs_ones_own_stream_and_keeps_the_tour(
    visit: Visit, screenshots: Path, proof: Proof
) -> None:
    visit.open()
    answer = visit.log_in()
    assert "errors" not in answer
    own = rows(answer, "userStream")
    assert own
    visit.shows(RESPONSE, own[0])
    assert visit.tabs == list(TOUR)
    visit.page.screenshot(path=screenshots / "logged-in.png")
    visit.log_out()
    assert visit.tabs == list(TOUR)
    proof("log in and out", f"{len(own)} rows of userStream by themselves, then a stranger again")


def test_a_first_visit_that_is_logged_in_runs_ones_own_stream(visit: Visit) -> None:
    visit.page.goto(f"{visit.site.url}/login?next=/graphql")
    assert rows(visit.fill_in_the_login(), "userStream")
    # Only once: who comes back finds the page as it was.
    visit.page.reload()
    visit.settle()
    assert visit.read(RESPONSE) == ""
    assert rows(visit.run(), "userStream")


@pytest.mark.parametrize("visit", [{"viewport": TALL}], indirect=True, ids=["tall"])
def test_every_tab_shows_its_variables(visit: Visit, proof: Proof) -> None:
    visit.open()
    visit.log_in()
    config = json.loads(visit.page.locator("#graphiql-config").text_content() or "")
    shown = {}
    for title, tab in zip(TOUR, config["tabs"], strict=True):
        visit.choose(title)
        shown[title] = visit.read(VARIABLES)
        assert shown[title] == re.sub(r"\s+", "", tab["variables"] or "")
    assert [title for title, text in shown.items() if not text] == ["NestedStreams", "Watching"]
    assert "null" not in "".join(shown[title] for title in list(shown)[1:])
    proof(
        "variables of the tour", f"{sum(map(bool, shown.values()))} of {len(TOUR)} tabs have some"
    )


@pytest.mark.parametrize(
    ("visit", "size"),
    [pytest.param({"viewport": SIZES[size]}, size, id=size) for size in SIZES],
    indirect=["visit"],
)
def test_every_tab_runs_without_an_error(
    visit: Visit, size: str, screenshots: Path, proof: Proof
) -> None:
    visit.open()
    visit.log_in()
    ran, found = 0, 0
    for title, operations in TOUR.items():
        visit.choose(title)
        for operation in operations:
            answer = visit.run(operation if len(operations) > 1 else "")
            assert "errors" not in answer, answer
            for payload in answer["data"].values():
                assert payload.get("userErrors", []) == []
            ran, found = ran + 1, found + str(answer).count("'displayName'")
        visit.page.screenshot(path=screenshots / f"{size}-{title}.png")
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    proof(
        f"tour, {size} {visit.page.viewport_size['width']}x{visit.page.viewport_size['height']}",
        f"{len(TOUR)} tabs, {ran} operations, {found} objects named, {len(visit.faults)} errors, "
        f"{len(visit.outside)} outside requests",
    )


@pytest.mark.parametrize(
    ("visit", "size"),
    [pytest.param({"viewport": SIZES[size]}, size, id=size) for size in SIZES],
    indirect=["visit"],
)
def test_docs_history_and_headers_open(
    visit: Visit, size: str, screenshots: Path, proof: Proof
) -> None:
    visit.open()
    visit.log_in()
    page = visit.page
    page.get_by_role("button", name="Show Documentation Explorer").click()
    page.locator(".graphiql-doc-explorer").get_by_role("link", name="Query", exact=True).click()
    page.locator(".graphiql-doc-explorer").get_by_text(
        "Newest first", exact=False
    ).first.wait_for()
    page.screenshot(path=screenshots / f"{size}-docs.png")
    page.get_by_role("button", name="Hide Documentation Explorer").click()

    page.get_by_role("button", name="Show History").click()
    page.locator(".graphiql-history").get_by_text("UserStream").first.wait_for()
    page.screenshot(path=screenshots / f"{size}-history.png")
    page.get_by_role("button", name="Hide History").click()

    page.get_by_role("button", name="Headers", exact=True).click()
    page.locator(".graphiql-editor-tool").get_by_role("textbox").last.fill(
        '{"X-Asked-By": "tour"}'
    )
    with page.expect_request(lambda asked: asked.headers.get("x-asked-by") == "tour"):
        visit.run()
    page.screenshot(path=screenshots / f"{size}-headers.png")
    proof(f"docs, history, headers, {size}", "open, and a header reaches the server")


@pytest.mark.parametrize(
    ("visit", "scheme"),
    [pytest.param({"color_scheme": scheme}, scheme, id=scheme) for scheme in ("light", "dark")],
    indirect=["visit"],
)
def test_the_page_is_as_dark_as_its_visitor_likes_it(
    visit: Visit, scheme: str, screenshots: Path, proof: Proof
) -> None:
    visit.open()
    visit.log_in()
    brightness = {place: visit.page.evaluate(BRIGHTNESS, place) for place in ("body", CONTAINER)}
    assert {light > 0.5 for light in brightness.values()} == {scheme == "light"}
    visit.page.screenshot(path=screenshots / f"desktop-{scheme}.png")
    proof(f"colours, {scheme}", f"brightness {brightness['body']:.2f} of page and editor alike")


def test_a_link_opens_its_query(visit: Visit, proof: Proof) -> None:
    query = (
        "query Linked($first: Int) { modelStream(model: USER, first: $first) { nodes { id } } }"
    )
    visit.open(f"?query={quote(query)}&variables={quote(json.dumps({'first': 3}))}")
    visit.shows(QUERY, query)
    assert visit.tabs == ["Linked", *TOUR]
    assert len(visit.run()["data"]["modelStream"]["nodes"]) == 3
    visit.choose("AnyStream")
    assert "query=" not in visit.page.url
    visit.choose("Linked")
    assert "query=query+Linked" in visit.page.url
    proof("link", "?query= and &variables= open a tab beside the tour, and run")


def test_the_tour_comes_back_once(visit: Visit) -> None:
    visit.open()
    visit.page.get_by_role("button", name="UserStream", exact=True).click()
    visit.page.get_by_role("button", name="Close Tab").first.click()
    assert visit.tabs == list(TOUR)[1:]
    for _ in range(2):
        visit.page.get_by_role("button", name="Tour", exact=True).click()
        assert sorted(visit.tabs) == sorted(TOUR)
        visit.shows(QUERY, "query UserStream")


def test_the_keyboard_is_enough(visit: Visit, proof: Proof) -> None:
    page = visit.page
    visit.open()
    visit.reach(".session a")
    page.keyboard.press("Enter")
    page.get_by_label("Username").wait_for()
    page.keyboard.type(visit.site.username)
    page.keyboard.press("Tab")
    page.keyboard.type(visit.site.password)
    with visit.answer():
        page.keyboard.press("Enter")
    visit.settle()

    visit.reach(f"{QUERY} .graphiql-editor")
    page.keyboard.press("Enter")
    page.keyboard.type("# Typed here.\n")
    visit.shows(QUERY, "# Typed here.")
    with visit.answer() as found:
        page.keyboard.press("Control+Enter")
    assert rows(found[0], "userStream")
    page.keyboard.press("Control+Space")
    page.locator(".suggest-widget.visible").wait_for()
    page.keyboard.press("Escape")
    page.locator(".suggest-widget.visible").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.matches('textarea')")
    page.keyboard.press("Escape")
    visit.reach(".graphiql-execute-button")
    visit.reach(".session form button")
    page.keyboard.press("Enter")
    page.get_by_text("Not logged in").wait_for()
    proof("keyboard", "logs in and out by Tab and Enter, runs by Ctrl-Enter, leaves the editor")
