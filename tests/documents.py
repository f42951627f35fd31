"""What the documents show: their blocks of code, and where they lead.

A block is run by its language and by what it says of itself. One whose first line is a comment
with the name of a file (``# mysite/shop/models.py``) is that file, or the end of it where it is
there already. Before a block may stand

- ``<!-- not run: why -->``: nobody runs it;
- ``<!-- as eve -->``: who asks, else ada; "nobody" is nobody;
- ``<!-- but for left, id -->``: the keys whose values come out otherwise each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from django.conf import settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

MARKDOWN = MarkdownIt("commonmark").enable("table")
#: What stands for the server in a frontend of another site.
ELSEWHERE = "://api.example.com"
#: Pages that "make docs" makes of the documents of the top level, and git ignores.
MADE = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
_NOTE = re.compile(r"<!-- (?:not run: (?P<why>.+?)|as (?P<viewer>\w+)|but for (?P<but>.+?))\s-->")


@dataclass(frozen=True)
class Block:
    """Some code in a document."""

    document: str
    line: int
    language: str
    text: str
    #: Why nobody runs it; else empty.
    not_run: str = ""
    viewer: str = "ada"
    but_for: frozenset[str] = frozenset()
    #: The file that it is, with its text.
    file: str = ""
    #: The block before it, if it stands close behind that.
    before: Block | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Document:
    """A page of Markdown."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(settings.BASE_DIR))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tokens(self) -> list[Token]:
        return MARKDOWN.parse(self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        said: dict[str, str] = {}
        close = False
        for token in self.tokens:
            if token.type == "html_block":
                for note in _NOTE.finditer(token.content):
                    said |= {name: value for name, value in note.groupdict().items() if value}
            elif token.type in ("fence", "code_block"):
                assert token.map
                language = token.info.split()[0] if token.info else ""
                named = re.match(r"(?:#|//) (\S+/\S+\.\w+)\n", token.content)
                found.append(
                    Block(
                        str(self),
                        token.map[0] + 1,
                        language,
                        token.content[named.end() :] if named else token.content,
                        said.get("why", ""),
                        said.get("viewer", "ada"),
                        frozenset(said.get("but", "").split(", ")),
                        named[1] if named else "",
                        found[-1] if close else None,
                    )
                )
                said, close = {}, True
            elif token.type == "heading_open":
                close = False
        return found

    @cached_property
    def links(self) -> list[str]:
        """Where it leads: addresses of pages and pictures, as they are written."""
        return [
            str(child.attrs[name])
            for token in self.tokens
            for child in token.children or []
            for name in ("href", "src")
            if name in child.attrs
        ]

    @cached_property
    def anchors(self) -> set[str]:
        """Its headings, as code hosts name them in addresses."""
        titles = [
            following.content
            for token, following in zip(self.tokens, self.tokens[1:], strict=False)
            if token.type == "heading_open"
        ]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def linked(self) -> Iterator[tuple[str, Path, str]]:
        """Its links within the tree: as written, the file, and the place in it."""
        for link in self.links:
            if not re.match(r"[a-z]+:", link):
                path, _, anchor = link.partition("#")
                yield link, (self.path.parent / path).resolve() if path else self.path, anchor


def document(path: str) -> Document:
    return Document(settings.BASE_DIR / path)


def documents() -> list[Document]:
    """The README and all that a reader may come to from it."""
    paths = sorted({*settings.BASE_DIR.glob("*.md"), *settings.BASE_DIR.glob("docs/*.md")})
    return [Document(path) for path in paths if path.name not in MADE]


def blocks(*languages: str) -> list[Block]:
    """Those of all documents that somebody runs."""
    every = [block for document in documents() for block in document.blocks]
    return [block for block in every if block.language in languages and not block.not_run]


def write(directory: Path, shown: list[str], *languages: str, url: str = "") -> None:
    """The files that some documents show; their server elsewhere is the one at ``url``."""
    for path in shown:
        for block in document(path).blocks:
            if block.file and block.language in languages:
                file = directory / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                if file.suffix == ".py":
                    (file.parent / "__init__.py").touch()
                file.write_text((file.read_text() if file.exists() else "") + at(url, block.text))


def at(url: str, text: str) -> str:
    """A block's text, with the server at ``url``, if given, in the place of the example's."""
    if not url:
        return text
    served = url.removeprefix("http")
    return text.replace(f"https{ELSEWHERE}", f"http{served}").replace(
        f"wss{ELSEWHERE}", f"ws{served}"
    )
