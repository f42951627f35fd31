"""GraphiQL and the admin in a real browser, which refuses what their policy does not allow.

What it refuses is a fault of the visit, as an error on the console is; see ``visits.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.verify.conftest import Proof, Site
from tests.verify.visits import QUERY, VARIABLES, Visit

#: The admin's pages, by what is on them: lists with filters, forms, and what asks first.
LISTS = ["activity/action", "activity/follow", "auth/user", "auth/group", "demo/issue"]

#: What a page must not be able to do, and the directive by which it is not.
ATTACKS = {
    "an inline script": ("script-src-elem", "script.textContent = 'ran()'; body.append(script)"),
    "a handler": ("script-src-attr", "body.setAttribute('onclick', 'ran()'); body.click()"),
    "eval": ("script-src", "try { eval('ran()') } catch {}"),
    "a script from elsewhere": (
        "script-src-elem",
        "script.src = 'https://elsewhere.example/x.js'; body.append(script)",
    ),
    "a script in an address": (
        "script-src-elem",
        "script.src = 'data:text/javascript,ran()'; body.append(script)",
    ),
    "a request to elsewhere": (
        "connect-src",
        "fetch('https://elsewhere.example/').catch(() => {})",
    ),
    "a frame": ("frame-src", "frame.src = '/login'; body.append(frame)"),
    "another base": ("base-uri", "base.href = 'https://elsewhere.example/'; body.append(base)"),
    "an object": ("object-src", "object.data = '/login'; body.append(object)"),
    "a form to elsewhere": (
        "form-action",
        "form.action = 'https://elsewhere.example/'; body.append(form); form.submit()",
    ),
}
ATTACK = """(does) => {{
    window.ran = () => {{ window.hasRun = true; }};
    const [script, frame, base, object, form] = ["script", "iframe", "base", "object", "form"]
        .map((name) => document.createElement(name));
    const body = document.body;
    // Afterwards, because what the driver itself evaluates may evaluate.
    setTimeout(() => {{ {does} }});
}}"""


@pytest.fixture
def visit(browser: Any, demo: Site) -> Iterator[Visit]:
    """A visit of who may do all; at its end nothing may have been refused, nor gone wrong."""
    visit = opened(browser, demo)
    yield visit
    visit.page.context.close()
    assert (visit.faults, visit.outside) == ([], [])


def opened(browser: Any, demo: Site) -> Visit:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    return Visit(demo, context.new_page())


def go(visit: Visit, path: str) -> None:
    response = visit.page.goto(f"{visit.site.url}{path}")
    assert "script-src 'self';" in f"{response.headers['content-security-policy']};"


def log_in(visit: Visit, path: str) -> None:
    go(visit, path)
    visit.page.get_by_label("Username").fill(visit.site.username)
    visit.page.get_by_label("Password").fill(visit.site.password)
    visit.page.get_by_role("button", name="Log in").click()
    visit.page.wait_for_url(lambda url: urlsplit(url).path == path)


def test_graphiql_needs_nothing_that_its_policy_refuses(
    visit: Visit, screenshots: Path, proof: Proof
) -> None:
    visit.open()
    visit.log_in()
    page = visit.page
    visit.choose("CustomStreams")
    assert "errors" not in visit.run()

    # Completion is a worker's; so are the marks under what is wrong.
    page.locator(f"{QUERY} .view-line").first.click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("{ view")
    page.locator(".suggest-widget.visible").get_by_text("viewer").first.wait_for()
    page.screenshot(path=screenshots / "policy-completion.png")
    page.keyboard.press("Escape")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("{ unheard }")
    page.locator(f"{QUERY} .squiggly-error").first.wait_for()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("query Whom { viewer { id displayName ")
    page.keyboard.press("Escape")
    page.locator(f"{VARIABLES} .view-line").first.click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type('{"a": ]')
    page.locator(f"{VARIABLES} .squiggly-error").first.wait_for()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Prettify query").click()
    assert visit.run()["data"]["viewer"]["displayName"] == visit.site.username
    workers = sorted(urlsplit(worker.url).path.rpartition("/")[2] for worker in page.workers)
    assert [name.partition("-")[0] for name in workers] == [
        "editor.worker",
        "graphql.worker",
        "json.worker",
    ]

    page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = page.locator(".graphiql-doc-explorer")
    docs.get_by_role("link", name="Query", exact=True).click()
    docs.get_by_text("Newest first", exact=False).first.wait_for()
    page.get_by_role("button", name="Show History").click()
    page.locator(".graphiql-history").get_by_text("Whom").first.wait_for()
    page.screenshot(path=screenshots / "policy-history.png")
    page.get_by_role("button", name="Open settings dialog").click()
    page.get_by_role("button", name="Dark", exact=True).click()
    page.screenshot(path=screenshots / "policy-dark.png")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Open short keys dialog").click()
    page.get_by_role("dialog").get_by_text("Short Keys").first.wait_for()
    page.keyboard.press("Escape")
    visit.log_out()
    assert visit.faults == []
    proof("policy, GraphiQL", f"queries, docs, history, {len(workers)} workers; nothing refused")


def test_the_admin_needs_nothing_that_its_policy_refuses(
    visit: Visit, screenshots: Path, proof: Proof
) -> None:
    page = visit.page
    log_in(visit, "/admin/")
    for path in LISTS:
        go(visit, f"/admin/{path}/")
        page.locator("#result_list tbody a").first.wait_for()
        page.screenshot(path=screenshots / f"policy-{path.replace('/', '-')}.png")
    go(visit, "/admin/activity/action/")
    page.locator("#changelist-filter").get_by_role(
        "link", name="Public", exact=False
    ).first.click()
    page.locator("#searchbar").fill("pushed")
    page.keyboard.press("Enter")
    page.locator("#result_list tbody a").first.click()
    page.locator("#action_form").wait_for()
    page.get_by_role("link", name="Delete", exact=True).click()
    page.get_by_role("heading", name="Delete", exact=False).wait_for()
    page.screenshot(path=screenshots / "policy-delete.png")
    page.get_by_role("link", name="No, take me back").click()
    page.get_by_role("link", name="History", exact=True).click()

    # Many at once: the box that marks all of them, and what asks first.
    go(visit, "/admin/demo/issue/")
    page.locator("#action-toggle").check()
    page.locator(".action-counter").get_by_text("selected", exact=False).wait_for()
    page.locator("select[name=action]").select_option("delete_selected")
    page.locator(".actions button[type=submit]").first.click()
    page.get_by_role("heading", name="Delete multiple objects").wait_for()

    go(visit, "/admin/auth/user/add/")
    page.locator("#id_username").fill("visitor")
    page.locator("#id_password1").fill("once upon a stream")
    page.locator("#id_password2").fill("once upon a stream")
    page.get_by_role("button", name="Save and continue editing").click()
    page.get_by_text("was added successfully", exact=False).wait_for()
    calendar, clock = (
        page.locator(".datetimeshortcuts a[id^=calendarlink]"),
        page.locator(".datetimeshortcuts a[id^=clocklink]"),
    )
    calendar.first.click()
    page.locator(".calendarbox:visible td a").first.click()
    clock.first.click()
    page.locator(".clockbox:visible a").first.click()
    assert page.locator("#id_last_login_0").input_value()
    page.locator("#id_user_permissions_from option").first.dblclick()
    assert page.locator("#id_user_permissions_to option").count() == 1
    calendar.last.click()
    page.screenshot(path=screenshots / "policy-user.png", full_page=True)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully", exact=False).wait_for()

    # A window of its own for a related object, which hands it over as it closes.
    go(visit, "/admin/demo/issue/add/")
    with page.expect_popup() as opening:
        page.locator("#add_id_repository").click()
    popup = opening.value
    popup.locator("#id_name").fill("in-a-window")
    popup.locator("#id_owner").select_option(index=1)
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_function(
        "document.querySelector('#id_repository').selectedOptions[0].text.includes('in-a-window')"
    )

    page.get_by_role("button", name="Toggle theme", exact=False).first.click()
    go(visit, "/admin/password_change/")
    page.get_by_role("button", name="Log out").click()
    page.get_by_text("Not logged in").wait_for()
    visit.settle()
    assert visit.faults == []
    proof("policy, admin", "lists, filters, forms, dates, windows, deletion; nothing refused")


def no_page(visit: Visit) -> None:
    response = visit.page.goto(f"{visit.site.url}/nowhere")
    assert response.status == 404
    visit.faults.clear()  # the browser says that it is not found


def the_admin(visit: Visit) -> None:
    visit.page.goto(f"{visit.site.url}/admin/")
    if visit.page.get_by_label("Password").is_visible():  # the first time
        log_in(visit, "/admin/")


PAGES: dict[str, Callable[[Visit], None]] = {
    "GraphiQL": Visit.open,
    "the login": lambda visit: go(visit, "/login"),
    "the admin": the_admin,
    "a page that is not there": no_page,
}


@pytest.mark.parametrize("place", PAGES)
def test_what_is_put_into_a_page_is_refused(
    browser: Any, demo: Site, place: str, proof: Proof
) -> None:
    """The negative control of the tests above: so that is what they would have noticed."""
    visit = opened(browser, demo)
    for name, (directive, does) in ATTACKS.items():
        PAGES[place](visit)
        assert visit.faults == []
        visit.page.evaluate(ATTACK.format(does=does))
        said = f"{directive} refused "
        for _ in range(100):
            if any(fault.startswith(said) for fault in visit.faults):
                break
            visit.page.wait_for_timeout(20)
        else:
            pytest.fail(f"{name} is not refused by {directive}: {visit.faults}")
        assert not visit.page.evaluate("window.hasRun"), name
        assert visit.page.url.startswith(visit.site.url)
        visit.page.goto("about:blank")
        visit.faults.clear()
    visit.page.context.close()
    proof(f"policy, put into {place}", f"{len(ATTACKS)} of {len(ATTACKS)} attacks refused")
