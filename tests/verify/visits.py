"""A visitor's page in a real browser, and what went wrong on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.verify.conftest import Site

QUERY, RESPONSE = ".graphiql-query-editor", ".result-window"
VARIABLES = ".graphiql-editor-tool"
#: Monaco keeps its lines in any order, and breaks them where they have no room.
READ = r"""(pane) => [...document.querySelectorAll(`${pane} .view-line`)]
    .filter((line) => line.offsetParent)
    .sort((one, other) => parseFloat(one.style.top) - parseFloat(other.style.top))
    .map((line) => line.textContent).join("").replace(/[\s\u00b7\u200b]+/g, "")"""
#: It says so only where it stores its tabs.
IS_READ = """(title) => {
    const { tabs, activeTabIndex } = JSON.parse(localStorage["graphiql:tabState"]);
    const tab = tabs[activeTabIndex];
    return tab.title === title && tab.operationName !== null;
}"""

#: The browser says what it refuses by the page's policy.
REPORT = """addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
    refused(`${effectiveDirective} refused ${blockedURI}`));"""


class Visit:
    """A visitor's page, and what went wrong on it."""

    def __init__(self, site: Site, page: Any) -> None:
        self.site, self.page = site, page
        self.faults: list[str] = []
        self.outside: list[str] = []
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.context.on("request", self.see)
        page.context.expose_binding("refused", lambda _, said: self.faults.append(said))
        page.context.add_init_script(REPORT)

    def hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def see(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.site.url).netloc:
            self.outside.append(request.url)

    def open(self, query: str = "") -> None:
        self.page.goto(f"{self.site.url}/graphql{query}")
        self.settle()

    def settle(self) -> None:
        """Wait until GraphiQL has its editors."""
        self.page.locator("#tour:enabled").wait_for()
        self.page.locator(f"{QUERY} .view-line").first.wait_for()

    def log_in(self) -> Any:
        """Log in, by the link; returns the answer to what the page then asks by itself."""
        self.page.get_by_role("link", name="Log in").click()
        return self.fill_in_the_login()

    def fill_in_the_login(self) -> Any:
        self.page.get_by_label("Username").fill(self.site.username)
        self.page.get_by_label("Password").fill(self.site.password)
        with self.answer() as found:
            self.page.get_by_role("button", name="Log in").click()
            self.page.get_by_text(f"Logged in as {self.site.username}").wait_for()
        self.settle()
        return found[0]

    def log_out(self) -> None:
        self.page.get_by_role("button", name="Log out").click()
        self.page.get_by_text("Not logged in").wait_for()
        self.settle()

    @property
    def tabs(self) -> list[str]:
        return [text.strip() for text in self.page.locator(".graphiql-tab").all_inner_texts()]

    def choose(self, title: str) -> None:
        """Open a tab, and wait until GraphiQL has read which operations are in it."""
        self.page.get_by_role("button", name=title, exact=True).click()
        self.page.wait_for_function(IS_READ, arg=title)

    def shows(self, pane: str, text: str) -> None:
        """Wait until a pane shows a text, wherever it breaks its lines."""
        self.page.wait_for_function(
            f"([pane, text]) => ({READ})(pane).includes(text.replace(/\\s+/g, ''))",
            arg=[pane, text],
        )

    def read(self, pane: str) -> str:
        """What can be seen of a pane's text, without its spaces."""
        return str(self.page.evaluate(READ, pane))

    def reach(self, selector: str) -> None:
        """Press Tab until the focus is there."""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("(place) => document.activeElement.matches(place)", selector):
                return
        pytest.fail(f"Tab does not lead to {selector}.")

    def run(self, operation: str = "") -> Any:
        """The answer to the tab's operation, or to one of several, by the play button."""
        with self.answer() as found:
            self.page.get_by_role("button", name=re.compile("^Execute query")).click()
            if operation:
                self.page.get_by_role("menuitem", name=operation, exact=True).click()
        return found[0]

    @contextmanager
    def answer(self) -> Iterator[list[Any]]:
        """What the server answers to what is done meanwhile, once the page shows it."""
        found: list[Any] = []
        with self.page.expect_response(is_answer) as response:
            yield found
        found.append(response.value.json())
        self.shows(RESPONSE, f'"data": {{ "{next(iter(found[0]["data"]))}"')


def is_answer(response: Any) -> bool:
    """Whether it answers a person, and not GraphiQL's own question for the schema."""
    asked = response.request
    return (
        urlsplit(asked.url).path == "/graphql"
        and asked.method == "POST"
        and "__schema" not in (asked.post_data or "")
    )
