"""Live streams, by the reference clients and in browsers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from django.conf import settings

from tests.clients.server import needs
from tests.verify.conftest import (
    UVICORN,
    Proof,
    Site,
    World,
    clean_environment,
    free_port,
    log_in,
    serving,
)
from tests.verify.visits import Visit

CLIENTS = settings.BASE_DIR / "tests/clients/live"
SECRET = "a secret of thirty-two bytes, or more"
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
POST = 'mutation { createAction(input: {verb: "hummed"}) { created userErrors { message } } }'
#: By the contrast of a text to what is behind it (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const light = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((part) => {
      const value = Number(part) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return /, 0\\)$/.test(colour) ? behind(element.parentElement) : colour;
  };
  const ratios = [...document.querySelectorAll("h1, h2, p, time, button, span")]
    .filter((element) => element.textContent.trim() && element.offsetParent)
    .map((element) => {
      const both = [light(getComputedStyle(element).color), light(behind(element))];
      return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    });
  return Math.min(...ratios);
}"""


@pytest.fixture(scope="module")
def live(world: World) -> Iterator[Site]:
    """The demo's site, which takes tokens."""
    shell(
        world,
        "from django.contrib.auth.models import User; "
        "grace = User.objects.get(username='grace'); "
        f"grace.set_password({world.password!r}); grace.save()",
    )
    port = free_port()
    environment = world.environment | {"TOKEN_SECRET": SECRET, "TOKEN_LEEWAY": "0"}
    command = [*UVICORN, "--port", str(port), "--timeout-graceful-shutdown", "30"]
    log = world.directory / "live-log"
    with serving(command, settings.BASE_DIR, environment, log, port) as (url, _):
        yield Site(url, world.username, world.password)


@needs("npm")
@pytest.mark.parametrize(
    ("protocol", "named", "least"),
    [("ws", "graphql-transport-ws", 30), ("sse", "server-sent events", 10)],
    ids=["ws", "sse"],
)
def test_the_reference_clients_find_the_protocol_kept(
    live: Site, proof: Proof, protocol: str, named: str, least: int
) -> None:
    with httpx.Client(base_url=live.url, timeout=20) as client:
        log_in(client, live.username, live.password)
        cookie = f"sessionid={client.cookies['sessionid']}"
    environment = clean_environment(SESSION=cookie, TOKEN_SECRET=SECRET)
    for command in (["npm", "ci"], ["node", "clients.mjs", live.url, protocol]):
        done = subprocess.run(
            command, cwd=CLIENTS, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads(done.stdout)
    failed = {name: became for name, became in checks if became != "ok"}
    assert failed == {}
    assert len(checks) >= least
    by_clients = sum(name.startswith(("graphql-ws:", "graphql-sse:")) for name, _ in checks)
    proof(named, f"{len(checks)} checks, {by_clients} by its reference client")


def test_a_server_that_stops_waits_for_no_stream(world: World, proof: Proof) -> None:
    port = free_port()
    command = [*UVICORN, "--port", str(port), "--timeout-graceful-shutdown", "30"]
    log = world.directory / "stop-log"
    query = {"query": "subscription { modelStream(model: USER) { cursor } }"}
    with serving(command, settings.BASE_DIR, world.environment, log, port) as (url, pid):
        asked: Any = {"json": query, "headers": {"Accept": "text/event-stream"}, "timeout": 20}
        with httpx.stream("POST", f"{url}/graphql", **asked) as response:
            parts = response.iter_text()
            assert next(parts) == ":\n\n"
            begun = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            assert list(parts) in ([], [":\n\n"])
            took = time.monotonic() - begun
    assert "Traceback" not in log.read_text()
    proof("a server that stops", f"its streams ended well after {took:.1f} s")


# The page


def enter(page: Any, site: Site, username: str) -> None:
    """Open /live as somebody, who logs in first."""
    page.goto(f"{site.url}/live")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/live")
    page.locator("#connection[data-state=live]").wait_for()


@pytest.fixture
def opened(browser: Any, live: Site, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page /live of whoever is named, in a browser of their own."""
    visits: list[Visit] = []

    def enters(username: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": SIZES["desktop"], **options})
        context.set_default_timeout(20_000)
        visit = Visit(live, context.new_page())
        visits.append(visit)
        enter(visit.page, live, username)
        return visit

    yield enters
    for visit in visits:
        visit.page.context.close()
    assert [(visit.faults, visit.outside) for visit in visits] == [([], [])] * len(visits)


def test_what_one_does_in_graphiql_another_sees_live(
    opened: Any, browser: Any, live: Site, screenshots: Path, proof: Proof
) -> None:
    watcher = opened("grace").page
    follow(watcher, "ada")
    before = watcher.locator("#stream li").count()

    acting = Visit(live, browser.new_context(viewport=SIZES["desktop"]).new_page())
    acting.page.goto(f"{live.url}/login?next=/graphql")
    acting.fill_in_the_login()
    acting.open(f"?query={quote(POST)}")
    begun = time.monotonic()
    answer = acting.run()
    answered = time.monotonic()
    watcher.locator("#stream li").first.get_by_text("ada hummed").wait_for()
    seen = time.monotonic()
    acting.page.context.close()

    assert answer["data"]["createAction"] == {"created": True, "userErrors": []}
    assert (acting.faults, acting.outside) == ([], [])
    assert watcher.locator("#stream li").count() == before + 1
    assert watcher.locator("#news").text_content() == "ada hummed"
    watcher.screenshot(path=screenshots / "live-arrived.png")
    proof(
        "/live beside GraphiQL, two users",
        f"seen {(seen - begun) * 1000:.0f} ms after the play button, "
        f"{(seen - answered) * 1000:.0f} ms after GraphiQL had shown the answer; no reload",
    )


def test_a_page_that_lost_its_server_goes_on_where_it_was(
    browser: Any, world: World, proof: Proof
) -> None:
    port = free_port()
    environment = world.environment | {"TOKEN_SECRET": SECRET}
    command = [*UVICORN, "--port", str(port)]
    logs = [world.directory / f"lost-{turn}" for turn in range(2)]
    context = browser.new_context()
    page = context.new_page()
    with serving(command, settings.BASE_DIR, environment, logs[0], port) as (url, _):
        site = Site(url, world.username, world.password)
        enter(page, site, "ada")
    page.locator("#connection[data-state=waiting]").wait_for()
    record(world, "slept")
    with serving(command, settings.BASE_DIR, environment, logs[1], port):
        page.locator("#connection[data-state=live]").wait_for()
        page.locator("#stream li").first.get_by_text("ada slept").wait_for()
        record(world, "woke")
        page.locator("#stream li").first.get_by_text("ada woke").wait_for()
        context.close()
    proof(
        "/live, the server restarts", "what was recorded meanwhile came first, and then the rest"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_the_page_is_for_everyone(
    opened: Any, screenshots: Path, proof: Proof, size: str, scheme: str
) -> None:
    page = opened("ada", viewport=SIZES[size], color_scheme=scheme).page
    page.locator("#stream li").nth(5).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    contrast = page.evaluate(CONTRAST)
    assert contrast >= 4.5
    nameless = page.locator("button").evaluate_all(
        "all => all.filter((it) => !(it.ariaLabel || it.textContent).trim()).length"
    )
    assert nameless == 0
    page.screenshot(path=screenshots / f"live-{size}-{scheme}.png")
    proof(f"/live, {size}, {scheme}", f"nothing sticks out, contrast {contrast:.1f} and more")


def test_the_keyboard_follows_and_unfollows(opened: Any) -> None:
    page = opened("grace").page
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.follow')"):
            break
    pressed = "document.activeElement.getAttribute('aria-pressed')"
    states = [page.evaluate(pressed)]
    for key in ("Enter", "Space"):
        with page.expect_response("**/graphql"):
            page.keyboard.press(key)
        states.append(page.evaluate(pressed))
    assert states in (["true", "false", "true"], ["false", "true", "false"])
    assert page.locator("#trouble").text_content() == ""


def test_a_stranger_logs_in_first(live: Site) -> None:
    answer = httpx.get(f"{live.url}/live")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login?next=/live")


def follow(page: Any, name: str) -> None:
    button = page.locator("#people").get_by_role("button", name=f"Follow {name}", exact=True)
    button.wait_for()
    if button.get_attribute("aria-pressed") == "false":
        with page.expect_response("**/graphql"):
            button.click()
    assert button.get_attribute("aria-pressed") == "true"


def record(world: World, verb: str) -> None:
    """An action of ada's, by another process."""
    shell(
        world,
        "from django.contrib.auth.models import User; from server.models import action; "
        f"action.send(User.objects.get(username='ada'), verb={verb!r})",
    )


def shell(world: World, command: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", command],
        cwd=settings.BASE_DIR,
        env=world.environment,
        check=True,
        timeout=60,
    )
