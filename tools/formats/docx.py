"""DOCX: paragraphs as lines, headings as sections, tables row by row, footnotes under their paragraph.

Tracked changes are read as accepted: inserted text is there, deleted text is not. Pages are not known, since they are
made by the program that shows the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from rereader.tools.formats.archive import UNREADABLE, open_archive
from rereader.tools.formats.base import HeadingPath, Options, Parsed, TextBuilder, damaged, needs, without_text
from rereader.tools.formats.markup import xml_tree

_KIND = "DOCX document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_GONE = frozenset({f"{_W}{name}" for name in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText")})
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_CHARACTERS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_BLOCKS = frozenset({f"{_W}{name}" for name in ("p", "tbl")})
_NOTES = {f"{_W}footnoteReference": "footnotes", f"{_W}endnoteReference": "endnotes"}
_STYLE_NAME = re.compile(r"heading (\d)", re.IGNORECASE)
_MAX_BASES = 12


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The text of the body, in order.

    Raises:
        InputError: If the file is damaged, encrypted, too large, or holds no text.
        MissingExtra: If python-docx is not installed.
    """
    with needs("Reading DOCX files"):
        import docx
        from docx.opc.exceptions import PackageNotFoundError
        from lxml import etree

    open_archive(data, name, _KIND, options).close()
    try:
        document = docx.Document(BytesIO(data))
        body = document.element.body
        styles = _heading_styles(document.styles.element)
        notes = {kind: _notes(document.part, kind, name) for kind in set(_NOTES.values())}
    except (PackageNotFoundError, etree.XMLSyntaxError, KeyError, ValueError, OSError, AttributeError) as error:
        raise damaged(name, _KIND) from error
    except UNREADABLE as error:
        raise damaged(name, _KIND) from error
    writer = _Writer(TextBuilder(name, options.max_bytes), styles, notes)
    for block in _blocks(body):
        writer.table(block) if block.tag == f"{_W}tbl" else writer.paragraph(block)
    if not writer.out.length:
        raise without_text(name)
    return writer.out.build()


@dataclass
class _Writer:
    """Writes blocks; ``levels`` are heading levels by style, ``notes`` texts by kind and id."""

    out: TextBuilder
    levels: dict[str, int]
    notes: dict[str, dict[str, str]]
    path: HeadingPath = field(default_factory=HeadingPath)

    def paragraph(self, element: Any) -> None:
        """Write a paragraph and its notes; a heading begins a section."""
        marks: list[tuple[str, str]] = []
        text = _text(element, marks).strip("\n")
        if not text.strip():
            return
        level = self._level(element)
        if level:
            self.out.mark("section", self.path.enter(level, text))
        self.out.add(f"{text}\n\n")
        self._notes(marks)

    def table(self, element: Any) -> None:
        """Write a table, one line per row, cells apart by tabs."""
        marks: list[tuple[str, str]] = []
        for row in element.iter(f"{_W}tr"):
            if any(up.tag == f"{_W}tc" for up in _ancestors(row, element)):
                continue  # a table in a cell is part of that cell's text
            cells = (" ".join(_text(cell, marks).split()) for cell in _cells(row))
            line = "\t".join(cells)
            if line.strip():
                self.out.add(f"{line}\n")
        self.out.add("\n")
        self._notes(marks)

    def _notes(self, marks: list[tuple[str, str]]) -> None:
        """Write the notes that a block refers to."""
        for kind, identity in marks:
            if note := self.notes[kind].get(identity, ""):
                self.out.add(f"[{identity}] {note}\n\n")

    def _level(self, element: Any) -> int:
        properties = element.find(f"{_W}pPr")
        if properties is None:
            return 0
        own = _outline(properties)
        style = properties.find(f"{_W}pStyle")
        return own or (self.levels.get(style.get(f"{_W}val"), 0) if style is not None else 0)


def _blocks(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables in order, also those inside content controls and accepted insertions."""
    for child in parent.iterchildren():
        if child.tag in _BLOCKS:
            yield child
        elif child.tag not in _GONE and isinstance(child.tag, str):
            yield from _blocks(child)


def _cells(row: Any) -> Iterator[Any]:
    for child in row.iterchildren():
        if child.tag == f"{_W}tc":
            yield child
        elif isinstance(child.tag, str) and child.tag not in _GONE:
            yield from _cells(child)


def _text(element: Any, marks: list[tuple[str, str]] | None = None) -> str:
    """The text of an element as it reads with all changes accepted; note marks as ``[1]``, and added to ``marks``."""
    said: list[str] = []
    waiting = [iter((element,))]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
        elif node.tag == f"{_W}t":
            said.append(node.text or "")
        elif node.tag in _CHARACTERS:
            said.append(_CHARACTERS[node.tag])
        elif node.tag in _NOTES:
            identity = node.get(f"{_W}id", "")
            said.append(f"[{identity}]")
            if marks is not None:
                marks.append((_NOTES[node.tag], identity))
        elif node.tag not in _GONE and node.tag != _FALLBACK:
            if node.tag == f"{_W}p" and said:
                said.append("\n")
            waiting.append(iter(node))
    return "".join(said)


def _heading_styles(styles: Any) -> dict[str, int]:
    """Heading level by style id: by its name (English in every file), its outline level, or the style it builds on."""
    found: dict[str, int] = {}
    bases: dict[str, str] = {}
    for style in styles.iter(f"{_W}style"):
        identity = style.get(f"{_W}styleId", "")
        name = style.find(f"{_W}name")
        named = _STYLE_NAME.fullmatch(name.get(f"{_W}val", "")) if name is not None else None
        properties = style.find(f"{_W}pPr")
        level = (int(named[1]) if named else 0) or (_outline(properties) if properties is not None else 0)
        base = style.find(f"{_W}basedOn")
        if level:
            found[identity] = level
        elif base is not None:
            bases[identity] = base.get(f"{_W}val", "")
    for identity in bases:
        base_id = identity
        for _ in range(_MAX_BASES):
            base_id = bases.get(base_id, base_id)
        if base_id in found:
            found[identity] = found[base_id]
    return found


def _outline(properties: Any) -> int:
    """The outline level that properties name, from 1; 0 for body text."""
    level = properties.find(f"{_W}outlineLvl")
    value = level.get(f"{_W}val", "") if level is not None else ""
    return int(value) + 1 if value.isdigit() and int(value) < 9 else 0


def _notes(part: Any, kind: str, name: str) -> dict[str, str]:
    """Texts of the footnotes or endnotes by id; separators have ids below 1."""
    for relation in part.rels.values():
        if relation.reltype.endswith(f"/{kind}") and not relation.is_external:
            tree = xml_tree(relation.target_part.blob, name)
            notes = tree.iter(f"{_W}footnote", f"{_W}endnote")
            return {
                note.get(f"{_W}id", ""): " ".join(_text(note).split()) for note in notes if not note.get(f"{_W}type")
            }
    return {}


def _ancestors(node: Any, root: Any) -> Iterator[Any]:
    while (node := node.getparent()) is not None and node is not root:
        yield node
