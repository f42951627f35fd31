"""What holds for every document: it is found, its links lead somewhere, what it shows is run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError, CommandParser

from schema import errors
from tests.documents import MADE, Block, Document, blocks, document, documents
from tests.shop import Shop, opened
from tests.site.models import Project

ROOT = settings.BASE_DIR
#: Two screens.
MOST_LINES = 100
#: Blocks that nobody runs, each with its reason beside it.
NOT_RUN = {"docs/from-django-activity-stream.md": 1, "docs/operations.md": 2}
#: By these a block is run: here, or in a browser's stead by tests/verify/test_clients.py.
LANGUAGES = {"python", "sh", "graphql", "json", "js", "jsx"}
#: Settings of others that are named: of django-activity-stream, OpenTelemetry and Prometheus.
OTHERS = {"FETCH_RELATIONS", "USE_JSONFIELD"}
OTHERS |= {"OTEL_TRACES_EXPORTER", "PROMETHEUS_MULTIPROC_DIR"}
#: Documents whose Python is files of a site, and what opens it.
SITES = {"README.md": "test_readme.py", "docs/sites.md": "shop.py"}
#: How "make docs" makes a site of the documents; no reader need come to it.
MACHINERY = {"conf.py", "reference.py", *MADE}

FAULTS = [errors.RequestFault]
for each in FAULTS:
    FAULTS += each.__subclasses__()
CODES = {fault.code for fault in FAULTS} | {"INTERNAL"}

each_document = pytest.mark.parametrize("page", documents(), ids=str)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from opened(tmp_path_factory.mktemp("shop"))


def test_the_readme_fits_on_two_screens() -> None:
    assert len(document("README.md").text.splitlines()) <= MOST_LINES


def test_every_document_is_reached_from_the_readme() -> None:
    listed = {path for _, path, _ in document("README.md").linked()}
    seen = {Document(path) for path in listed if path.suffix == ".md"}
    pictures = {path for page in seen for _, path, _ in page.linked() if path.suffix != ".md"}
    files = {path for path in (ROOT / "docs").glob("*.*") if path.name not in MACHINERY}

    assert sorted(files - listed - pictures) == []


@each_document
def test_every_link_leads_somewhere(page: Document) -> None:
    broken = [
        link
        for link, path, anchor in page.linked()
        if not path.exists() or (anchor and anchor not in Document(path).anchors)
    ]

    assert broken == []


@each_document
def test_every_setting_that_is_named_is_there(page: Document) -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=\w+)?`", page.text))
    environment = (ROOT / "server/settings.py").read_text() + (ROOT / "Makefile").read_text()

    unknown = [it for it in sorted(named - CODES - OTHERS) if it not in environment]
    assert [it for it in unknown if not hasattr(settings, it)] == []


@each_document
def test_every_block_is_run_or_says_why_not(page: Document) -> None:
    unknown = [str(it) for it in page.blocks if not it.not_run and it.language not in LANGUAGES]

    assert unknown == []
    assert sum(bool(it.not_run) for it in page.blocks) == NOT_RUN.get(str(page), 0)


def test_python_that_is_a_file_is_of_a_site_that_runs() -> None:
    assert {it.document for it in blocks("python") if it.file} == {*SITES}


def test_every_kind_of_block_is_there() -> None:
    """The negative control of all that follow."""
    assert {block.language for block in blocks(*LANGUAGES)} == LANGUAGES


@pytest.mark.parametrize("block", blocks("js", "jsx"), ids=str)
def test_every_script_is_a_file_of_a_client(block: Block) -> None:
    """Which is built and run with all that it imports."""
    assert block.file.startswith("src/")


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_command_is_one_that_there_is(block: Block) -> None:
    assert [line for line in block.text.splitlines() if fault(line)] == []


def fault(line: str) -> str:
    """What is wrong with a line of the shell's; empty where nothing is."""
    words = shlex.split(line, comments=True)
    match words:
        case []:
            return ""
        case ["curl", _]:
            return ""  # it is asked below
        case ["make", target, *variables]:
            there = f"\n{target}: " in (ROOT / "Makefile").read_text()
            made = all(re.match(r"[A-Z]+=", it) for it in variables)
            return "" if there and made else f"no target {target}"
        case ["export", given]:
            name = given.partition("=")[0]
            known = f'"{name}"' in (ROOT / "server/settings.py").read_text()
            return "" if known else f"no setting {name}"
        case ["python", "-m", "server"]:
            return ""
        case ["python" | ".venv/bin/python", "manage.py", name, *arguments]:
            app = get_commands().get(name)
            if app is None:
                return f"no command {name}"
            command = app if isinstance(app, BaseCommand) else load_command_class(app, name)
            parser: CommandParser = command.create_parser("manage.py", name)
            try:
                parser.parse_args(arguments)
            except CommandError as error:
                return str(error)
            return ""
    return "no command that is known here"


@pytest.mark.parametrize(
    "line",
    [
        "make tea",
        "export TEA=1",
        "python manage.py brew",
        "python manage.py seed --tea 1",
        "rm -r /",
    ],
)
def test_a_command_that_there_is_not_is_found_out(line: str) -> None:
    assert fault(line)


@pytest.mark.parametrize("block", [it for it in blocks("python") if not it.file], ids=str)
def test_python_without_a_file_runs(block: Block, ada: User, bob: User, brook: Project) -> None:
    exec(block.text, {"ada": ada, "bob": bob, "repository": brook, "TOKEN_SECRET": "x" * 32})


def asked(shop: Shop, block: Block) -> Any:
    """What a client is answered that sends a block: a document, or a request."""
    cookies = {"sessionid": shop.sessions[block.viewer]} if block.viewer != "nobody" else {}
    body = json.loads(block.text) if block.language == "json" else {"query": block.text}
    with httpx.Client(base_url=shop.url, cookies=cookies, timeout=60) as client:
        if not block.text.startswith("subscription"):
            return client.post("/graphql", json=body).json()
        headers = {"Accept": "text/event-stream"}
        with client.stream("POST", "/graphql", json=body, headers=headers) as response:
            # A comment, as long as nothing arrives; what is refused has an error at once.
            assert next(response.iter_text()) == ":\n\n", block
        return {}


def shaped(shown: Any, found: Any, but_for: frozenset[str]) -> Any:
    """An answer as a document shows it: of objects the keys that it shows, in its order."""
    if isinstance(shown, dict) and isinstance(found, dict):
        return {
            key: value if key in but_for else shaped(value, found[key], but_for)
            for key, value in shown.items()
            if key in found
        }
    if isinstance(shown, list) and isinstance(found, list) and len(shown) == len(found):
        return [shaped(one, other, but_for) for one, other in zip(shown, found, strict=True)]
    return found


@pytest.mark.parametrize(
    "found", [{"a": [1], "b": 3}, {"a": [1, 3]}, {"a": [[1, 2]]}, {"a": None}, None]
)
def test_an_answer_that_is_shown_wrong_is_found_out(found: Any) -> None:
    whole = {"a": [1, 2]}
    assert shaped(whole, found, frozenset()) != whole
    assert shaped(whole, {"a": [1, 2], "b": 3}, frozenset()) == whole


def requests() -> list[Block]:
    """What is asked of the shop; what is asked of the README's own site is in test_readme.py."""
    return [
        it
        for it in blocks("graphql", "json")
        if it.document != "README.md"
        and (it.language == "graphql" or "query" in json.loads(it.text))
    ]


@pytest.mark.apart
@pytest.mark.parametrize("block", requests(), ids=str)
def test_what_is_asked_is_answered_as_shown(shop: Shop, block: Block) -> None:
    answer = asked(shop, block)

    shown = [it for it in blocks("json") if it.before == block]
    for answered in shown:
        whole = json.loads(answered.text)
        assert shaped(whole, answer, block.but_for) == whole, answer
    if not any("errors" in json.loads(it.text) for it in shown):
        assert "errors" not in answer


def test_every_answer_that_is_shown_is_one_to_something_that_is_asked() -> None:
    others = [it for it in blocks("json") if it not in requests()]

    assert [str(it) for it in others if it.before not in requests()] == []


@pytest.mark.apart
def test_every_address_is_one_that_answers(shop: Shop) -> None:
    asked = [line for it in blocks("sh") for line in it.text.splitlines() if "curl" in line]
    urls = [urlsplit(shlex.split(line)[1]) for line in asked]

    answers = [httpx.get(f"{shop.url}{url.path}?{url.query}").status_code for url in urls]
    assert answers
    assert set(answers) == {200}


def test_the_codes_of_errors_are_those_that_there_are() -> None:
    page = document("docs/frontends.md").text
    marked = re.search(r"<!-- codes -->\n(.*?)\n<!-- /codes -->", page, re.DOTALL)
    assert marked
    codes = {code for line in marked[1].splitlines() for code in re.findall(r"`([A-Z_]+)`", line)}

    assert codes == CODES
