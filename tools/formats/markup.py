"""Walks an HTML or XHTML tree and writes its text: white space collapsed, blocks as lines, table cells by tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from itertools import islice
from typing import Any

from rereader.schema.errors import InputError
from rereader.tools.formats.base import TextBuilder, damaged, needs

_NAMES = {
    "paragraphs": """p h1 h2 h3 h4 h5 h6 blockquote pre table ul ol dl article section main aside header hgroup figure
        hr address""",
    "lines": """div li dt dd tr caption figcaption summary details body br center footer fieldset form legend tbody
        thead tfoot""",
    "unseen": "head script style noscript template iframe object embed svg canvas audio video rp",
    "controls": "nav button select textarea input datalist menu",
}
_PARAGRAPHS, _LINES, _UNSEEN, _CONTROLS = (frozenset(names.split()) for names in _NAMES.values())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_ROLES = frozenset({"navigation", "search", "contentinfo", "menu", "menubar", "toolbar"})
_CELLS = frozenset({"td", "th"})
_PAGE = re.compile(r"(?:page|seite|p\.)?\s*(\S+)\s*$", re.IGNORECASE)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_EMPTY = re.compile(r"<(?!(?:br|hr|img|meta|link|input|col|area|base|wbr)\b)([A-Za-z][\w:-]*)(\s[^<>]*)?/>")
_XML_OWN = frozenset({"lt;", "gt;", "amp;", "quot;", "apos;"})
_DEEP = "RESOURCE_LIMIT"
_LONGEST_LABEL = 40
_FEW = 4


@dataclass(frozen=True)
class Heading:
    """A heading: where it begins, 1 to 6, its text."""

    at: int
    level: int
    title: str


def html_tree(text: str, name: str) -> Any:
    """The tree of an HTML text, however badly written; ``None`` if there is no element in it.

    Raises:
        InputError: If it is nested too deeply.
        MissingExtra: If lxml is not installed.
    """
    with needs("Reading HTML files"):
        from lxml import etree

    # HTML has no entities of its own making, so the larger limits open no door; without them long texts are cut off.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True)
    tree = etree.fromstring(text.encode(), parser)
    if any(_DEEP in entry.type_name for entry in parser.error_log):
        raise InputError(f"{name} is nested too deeply to be read.", "Save it as text and give that.")
    return tree


def xhtml_tree(data: bytes, text: str, name: str) -> Any:
    """The tree of an XHTML file; one that is no sound XML is read as HTML, with empty elements closed."""
    with needs("Reading EPUB books"):
        from lxml import etree

    try:
        return xml_tree(_ENTITY.sub(_character, text).encode() if b"&" in data else data, name)
    except (etree.XMLSyntaxError, ValueError, InputError):
        return html_tree(_EMPTY.sub(r"<\1\2></\1>", text), name)


def xml_tree(data: bytes, name: str) -> Any:
    """The tree of an XML file: no network, no entities resolved, bounded depth.

    Raises:
        InputError: If it is no well-formed XML.
    """
    with needs("Reading EPUB and DOCX files"):
        from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise damaged(name, "XML file") from error


def local_name(node: Any) -> str:
    """An element's name without its namespace, in small letters; empty for comments and the like."""
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else ""


def attribute(node: Any, name: str) -> str:
    """An attribute whatever its namespace; ``type`` also finds ``epub:type``."""
    for key, value in node.attrib.items():
        if key == name or key.endswith(f"}}{name}") or key.endswith(f":{name}"):
            return str(value)
    return ""


@dataclass
class Markup:
    """Writes trees into a text, and remembers where headings and anchors lie.

    ``headings`` are those of all trees; of the tree that was read last, ``begin`` is where its text begins (``None``
    without any) and ``anchors`` are its ids, as far as text follows them.
    """

    out: TextBuilder
    headings: list[Heading] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    begin: int | None = None
    _breaks: int = 0
    _gap: str = ""
    _waiting: list[str] = field(default_factory=list)
    _pages: list[str] = field(default_factory=list)
    _title: list[str] | None = None
    _title_at: int = 0
    _preformatted: int = 0
    _tables: list[bool] = field(default_factory=list)
    _hard: bool = False

    def read(self, tree: Any, *, boilerplate: bool = False) -> None:
        """Write a tree, which may be ``None``; with ``boilerplate`` navigation and footers too."""
        self.anchors, self.begin = {}, None
        self._waiting, self._title, self._preformatted, self._tables = [], None, 0, []
        if tree is None:
            return
        self._block(2)
        for what, node in _events(tree, boilerplate):
            if what == "start":
                self._start(node)
                self._text(node.text)
            else:
                if what == "end":
                    self._end(node)
                if node is not tree:
                    self._text(node.tail)

    def _start(self, node: Any) -> None:
        name = local_name(node)
        self._waiting += [value for key in ("id", "name") if (value := attribute(node, key))]
        if name == "table":
            self._tables.append(_is_data(node))
        if name == "br":
            self._breaks = min(2, self._breaks + 1)
        elif name in _CELLS and self._tables and self._tables[-1]:
            self._gap = "\t" if not self._breaks and self.out.length else ""
        else:
            self._border(name)
        if name in _HEADINGS:
            self._title, self._title_at = [], -1
        self._preformatted += name == "pre"
        label = page_label(node)
        if label:
            self._pages.append(label)

    def _end(self, node: Any) -> None:
        name = local_name(node)
        if name in _HEADINGS and self._title is not None:
            if self._title:
                self.headings.append(Heading(self._title_at, _HEADINGS[name], " ".join(self._title)))
            self._title = None
        self._preformatted -= name == "pre"
        if name == "br" or (name in _CELLS and self._tables and self._tables[-1]):
            return
        self._border(name)
        if name == "table" and self._tables:
            self._tables.pop()

    def _border(self, name: str) -> None:
        if name in _PARAGRAPHS:
            self._block(2)
        elif name in _LINES or name in _CELLS:
            self._block(1)

    def _block(self, lines: int) -> None:
        self._breaks = max(self._breaks, lines)
        self._gap = ""

    def _text(self, text: str | None) -> None:
        if not text:
            return
        if self._preformatted:
            self._lines(text)
            return
        words = text.split()
        if text[0].isspace() and not self._breaks:
            self._gap = self._gap or " "
        if words:
            self._write(" ".join(words))
            self._gap = " " if text[-1].isspace() else ""

    def _lines(self, text: str) -> None:
        """Write a piece of preformatted text; its line breaks at either end belong between the pieces."""
        body = text.strip("\n")
        self._breaks = max(self._breaks, len(text) - len(text.lstrip("\n")))
        if body:
            self._write(body)
            self._breaks = len(text) - len(text.rstrip("\n"))

    def _write(self, text: str) -> None:
        if self.out.length:
            self.out.add("\n" * self._breaks or self._gap)
        self._breaks, self._gap = 0, ""
        self.begin = self.out.length if self.begin is None else self.begin
        for identity in self._waiting:
            self.anchors.setdefault(identity, self.out.length)
        for label in self._pages:
            self.out.mark("page", label)
        self._waiting, self._pages = [], []
        if self._title is not None:
            self._title_at = self.out.length if not self._title else self._title_at
            self._title.append(text)
        self.out.add(text)


def page_label(node: Any) -> str:
    """The number of the printed page that begins at an EPUB page break; empty for everything else."""
    if "pagebreak" not in attribute(node, "type") and attribute(node, "role") != "doc-pagebreak":
        return ""
    written = "".join(islice(node.itertext(), _FEW))
    said = (attribute(node, "title") or attribute(node, "aria-label") or written).strip().rstrip(".")
    found = _PAGE.search(said) if len(said) <= _LONGEST_LABEL else None
    return found[1] if found else ""


def _events(tree: Any, boilerplate: bool) -> Iterator[tuple[str, Any]]:
    """``start``, ``end`` and (for what is left out) ``skip`` of every node, without recursion."""
    yield "start", tree
    stack = [(tree, iter(tree))]
    while stack:
        node, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            yield "end", node
        elif _is_left_out(child, boilerplate):
            yield "skip", child
        else:
            yield "start", child
            stack.append((child, iter(child)))


def _is_left_out(node: Any, boilerplate: bool) -> bool:
    name = local_name(node)
    if not name or name in _UNSEEN or node.get("hidden") is not None:
        return True
    style = node.get("style")
    if style and "display:none" in style.replace(" ", "").lower():
        return True
    if boilerplate:
        return False
    if name in _CONTROLS or node.get("role") in _ROLES or node.get("aria-hidden") == "true":
        return True
    return name == "footer" and not any(local_name(up) in ("article", "main", "section") for up in node.iterancestors())


def _is_data(table: Any) -> bool:
    """Whether a table holds short cells; one with blocks in its cells only lays out a page."""
    blocks = (local_name(node) for node in table.iterdescendants())
    return not any(name in _PARAGRAPHS or name in ("div", "li", "center", "form") for name in blocks)


def _character(entity: re.Match[str]) -> str:
    return entity[0] if entity[1] in _XML_OWN else html5.get(entity[1], entity[0])
