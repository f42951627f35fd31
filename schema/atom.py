"""Atom (RFC 4287), with the elements of Activity Streams 1.0 for what Atom has no word for.

Django's Atom1Feed asks for a page of its own for each entry, takes a description for HTML, and
says of an empty feed that it has changed just now; its generator of XML serves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.utils.xmlutils import SimplerXMLGenerator

if TYPE_CHECKING:
    from .feeds import Answer

MEDIA_TYPE = "application/atom+xml"
SPACES = {
    "xmlns": "http://www.w3.org/2005/Atom",
    "xmlns:activity": "http://activitystrea.ms/spec/1.0/",
}
#: When an empty feed has changed last.
NEVER = "1970-01-01T00:00:00Z"
#: Whose name is not to be seen; an author has one.
NOBODY = "Somebody"

# What XML 1.0 has no way to write.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def feed(answer: Answer) -> bytes:
    """A page as a feed document; the pages of one stream share its id, as RFC 5005 has it."""
    out = BytesIO()
    xml = Writer(out, "utf-8", short_empty_elements=True)
    xml.startDocument()
    with xml.element("feed", SPACES):
        xml.texts(id=answer.id, title=answer.title, subtitle=answer.subtitle)
        xml.texts(updated=answer.updated or NEVER)
        xml.link("self", answer.itself("atom"), MEDIA_TYPE)
        xml.link("alternate", answer.itself("json"), "application/activity+json")
        if answer.node and answer.node["url"]:
            xml.link("alternate", answer.absolute(answer.node["url"]), "text/html")
        xml.link("first", answer.url("atom"))
        xml.link("next", answer.next("atom"))
        xml.link("previous", answer.previous("atom"))
        for node in answer.nodes:
            with xml.element("entry"):
                _entry(xml, answer, node)
    return out.getvalue()


def _entry(xml: Writer, answer: Answer, node: Mapping[str, Any]) -> None:
    actor = node["actor"]
    xml.texts(id=answer.tag(node["id"]), title=node["displayName"], updated=node["timestamp"])
    xml.texts(published=node["timestamp"])
    with xml.element("author"):
        xml.texts(name=(actor and actor["displayName"]) or NOBODY)
        if actor and actor["url"]:
            xml.texts(uri=answer.absolute(actor["url"]))
    xml.addQuickElement("category", "", {"term": node["verb"]})
    xml.addQuickElement("content", node["description"] or node["displayName"], {"type": "text"})
    xml.texts(**{"activity:verb": node["verb"]})
    for name, of in (("object", node["actionObject"]), ("target", node["target"])):
        if of:
            with xml.element(f"activity:{name}"):
                xml.texts(id=answer.tag(of["id"]), title=of["displayName"])
                xml.link("alternate", of["url"] and answer.absolute(of["url"]), "text/html")


class Writer(SimplerXMLGenerator):
    """Django's, which refuses what XML has no way to write; here U+FFFD stands for it."""

    @contextmanager
    def element(self, name: str, attributes: Mapping[str, str] = {}) -> Iterator[None]:
        self.startElement(name, attributes)
        yield
        self.endElement(name)

    def texts(self, **elements: str) -> None:
        """Elements of nothing but text."""
        for name, text in elements.items():
            self.addQuickElement(name, text)

    def link(self, rel: str, url: str | None, media_type: str = MEDIA_TYPE) -> None:
        """A link, where there is an address."""
        if url:
            self.addQuickElement("link", "", {"rel": rel, "href": url, "type": media_type})

    def characters(self, content: str) -> None:
        super().characters(_legal(content))

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802
        legal: Any = {key: _legal(value) for key, value in attrs.items()}
        super().startElement(name, legal)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
