"""How "make docs" makes a site of these pages.

It loads nothing from elsewhere, and no script or style stands within a page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOP = HERE.parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402

project = html_title = "Brook"
extensions = ["myst_parser"]
exclude_patterns = ["build"]
templates_path = ["_templates"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["colours.css"]
html_favicon = "_static/brook.svg"
html_show_search_summary = False  # it would fetch each page that is found, which no file may
html_theme_options = {"navigation_with_keys": True}
html_copy_source = html_show_sourcelink = html_show_copyright = html_use_index = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
nitpicky = True
smartquotes = False  # a "" is a ""

#: The pages that are made of documents outside of docs/.
ABOVE = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}


def listed(readme: str) -> str:
    """What the README lists under bold headings, as the site's table of contents."""
    parts = []
    for heading, links in re.findall(r"^\*\*(.+)\*\*\n\n((?:[- ] .*\n)+)", readme, re.MULTILINE):
        pages = re.findall(r"\]\((?:docs/)?([\w-]+)\.md\)", links)
        pages = [ABOVE.get(page, page) for page in pages]
        if "schema.graphql" in links:
            pages.append("reference/index")
        parts += reference.contents(pages, heading)
    return "\n".join(parts)


def moved(text: str) -> str:
    """A document of the top level, as a page beside the others."""
    text = re.sub(r"\]\((?!docs/|[a-z]+:|#)", "](../", text)
    return re.sub(r"\]\(docs/", "](", text)


def within(_app: Any, _name: str, source: list[str]) -> None:
    """Let links to documents of the top level lead to their pages, to others to their text."""
    for path, page in ABOVE.items():
        source[0] = source[0].replace(f"](../{path}.md", f"]({page}.md")
    source[0] = re.sub(r"\]\((\.\./[^)]+\.md)", r"](path:\1", source[0])


def setup(app: Any) -> None:
    app.connect("source-read", within)
    for path, page in ABOVE.items():
        text = (TOP / f"{path}.md").read_text(encoding="utf-8")
        contents = listed(text) if page == "index" else ""
        (HERE / f"{page}.md").write_text(f"{moved(text)}\n{contents}", encoding="utf-8")
    reference.write((TOP / "schema.graphql").read_text(encoding="utf-8"), HERE / "reference")
