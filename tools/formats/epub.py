"""EPUB: the chapters in the order of the spine, sections by the table of contents and the headings."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from rereader.schema.errors import InputError
from rereader.tools.decoding import decode
from rereader.tools.formats.archive import open_archive, read_member
from rereader.tools.formats.base import Options, Parsed, TextBuilder, damaged, path_label, without_text
from rereader.tools.formats.html import declared_encoding
from rereader.tools.formats.markup import Heading, Markup, attribute, local_name, xhtml_tree, xml_tree

_KIND = "EPUB book"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_LICENCE = "META-INF/license.lcpl"
_FONT_SCRAMBLING = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_NO_CHAPTERS = ("image/", "audio/", "video/", "font/", "application/pdf")
"""Beginnings of the media types of what holds no text; what is wrongly declared is read all the same."""
_LOWEST = 6


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The text of the book in reading order.

    Raises:
        InputError: If it is damaged, protected (DRM), too large, or holds no text.
        MissingExtra: If lxml is not installed.
    """
    with open_archive(data, name, _KIND, options) as archive:
        book = _Book(archive, name, options)
        book.refuse_protected()
        chapters = book.chapters()
        contents = book.contents()
        out = TextBuilder(name, options.max_bytes)
        markup = Markup(out)
        sections = _Sections(out)
        absent = 0
        for chapter in chapters:
            content = book.member(chapter)
            if content is None:
                absent += 1
                continue
            heads = len(markup.headings)
            markup.read(xhtml_tree(content, _decoded(content, chapter, options), f"{name}/{chapter}"))
            sections.add(contents.get(chapter, ()), markup, markup.headings[heads:])
    if not out.length:
        raise without_text(name)
    out.add("\n")
    warnings = (f"{absent:,} of its {len(chapters):,} chapters are missing",) if absent else ()
    return out.build(warnings)


@dataclass(frozen=True)
class _Entry:
    """An entry of the table of contents: the id it leads to (empty: the chapter's beginning), its path of titles."""

    anchor: str
    path: tuple[str, ...]


@dataclass
class _Book:
    """The package: what lies where."""

    archive: zipfile.ZipFile
    name: str
    options: Options
    _items: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    _spine: Any = None

    def refuse_protected(self) -> None:
        """Raise if the book's chapters are encrypted; scrambled fonts do not matter."""
        names = set(self.archive.namelist())
        tree = self._xml(_ENCRYPTION) if _ENCRYPTION in names else None
        ways = [] if tree is None else [n for n in tree.iter() if local_name(n) == "encryptionmethod"]
        in_data = [n for n in ways if local_name(n.getparent()) == "encrypteddata"]
        if any(n.get("Algorithm") not in _FONT_SCRAMBLING for n in in_data) or _LICENCE in names:
            msg = f"{self.name} is protected (DRM): its text is encrypted."
            raise InputError(msg, "Give a copy without protection; Rereader does not break it.")

    def chapters(self) -> list[str]:
        """Paths of the chapters in reading order."""
        roots = [n for n in self._xml(_CONTAINER).iter() if local_name(n) == "rootfile"]
        if not roots:
            raise damaged(self.name, _KIND, "it names no package file")
        package = unquote(roots[0].get("full-path", ""))
        tree = self._xml(package)
        for node in tree.iter():
            if local_name(node) == "item":
                path = _resolved(package, node.get("href", ""))[0]
                self._items[node.get("id", "")] = (path, node.get("media-type", ""), node.get("properties", ""))
        self._spine = next((n for n in tree.iter() if local_name(n) == "spine"), None)
        named = [] if self._spine is None else [n.get("idref", "") for n in self._spine if local_name(n) == "itemref"]
        items = [self._items[identity] for identity in named if identity in self._items]
        found = [path for path, kind, _ in items if not kind.startswith(_NO_CHAPTERS)]
        if not found:
            raise damaged(self.name, _KIND, "it names no chapters")
        return list(dict.fromkeys(found))

    def contents(self) -> dict[str, list[_Entry]]:
        """The table of contents by chapter: the navigation file's, else the NCX file's; empty without either."""
        nav = next((path for path, _, properties in self._items.values() if "nav" in properties.split()), None)
        named = self._spine.get("toc", "") if self._spine is not None else ""
        ncx = self._items.get(named, ("", "", ""))[0] or next(
            (path for path, kind, _ in self._items.values() if kind == "application/x-dtbncx+xml"), ""
        )
        entries: list[tuple[str, tuple[str, ...]]] = []
        home = nav or ncx
        content = self.member(home) if home else None
        if content is not None:
            tree = xhtml_tree(content, _decoded(content, home, self.options), f"{self.name}/{home}")
            if tree is not None:
                entries = list(_nav_entries(tree) if nav else _ncx_entries(tree))
        found: dict[str, list[_Entry]] = {}
        for target, path in entries:
            chapter, anchor = _resolved(home, target)
            found.setdefault(chapter, []).append(_Entry(anchor, path))
        return found

    def member(self, path: str) -> bytes | None:
        """A file's bytes; ``None`` if it is not there."""
        try:
            entry = self.archive.getinfo(path)
        except KeyError:
            return None
        return read_member(self.archive, entry, f"{self.name}/{path}", self.options.password)

    def _xml(self, path: str) -> Any:
        content = self.member(path)
        if content is None:
            raise damaged(self.name, _KIND, f"{path or 'its package file'} is missing")
        return xml_tree(content, f"{self.name}/{path}")


@dataclass
class _Sections:
    """Joins the table of contents and the headings of the chapters into one path of sections.

    The table of contents leads; a heading that an entry points at is that entry, the others stand below the entry
    that is open, unless they rank above it.
    """

    out: TextBuilder
    base: tuple[str, ...] = ()
    base_level: int = 0
    below: list[tuple[int, str]] = field(default_factory=list)
    empty: tuple[str, ...] | None = None

    def add(self, entries: Sequence[_Entry], markup: Markup, headings: Sequence[Heading]) -> None:
        """Mark the sections of the chapter that was read last; an entry without text begins with the next text."""
        begin = markup.begin
        places = [(markup.anchors.get(entry.anchor) if entry.anchor else begin, entry.path) for entry in entries]
        placed = sorted(((at, path) for at, path in places if at is not None), key=lambda pair: pair[0])
        if begin is not None and self.empty is not None:
            placed.insert(0, (begin, self.empty))
            self.empty = None
        self.empty = next((path for at, path in reversed(places) if at is None), self.empty)
        if not placed and not self.base_level:
            self.base_level = _LOWEST
        waiting = list(headings)
        for at, path in placed:
            while waiting and waiting[0].at < at:
                self._heading(waiting.pop(0))
            self.base, self.base_level, self.below = path, 0, []
            self.out.mark("section", path_label(path), at)
            if waiting and self._is_entry(waiting[0], at, placed):
                self.base_level = waiting.pop(0).level
        for heading in waiting:
            self._heading(heading)

    def _is_entry(self, heading: Heading, at: int, placed: list[tuple[int, tuple[str, ...]]]) -> bool:
        """Whether a heading is the one that the entry at ``at`` points at."""
        following = min((other for other, _ in placed if other > at), default=heading.at + 1)
        same = _folded(heading.title) in _folded(self.base[-1]) or _folded(self.base[-1]) in _folded(heading.title)
        return heading.at < following and (same or heading.at - at <= 2)

    def _heading(self, heading: Heading) -> None:
        if heading.level <= self.base_level:
            self.base, self.base_level, self.below = (), 0, []
        while self.below and self.below[-1][0] >= heading.level:
            self.below.pop()
        self.below.append((heading.level, heading.title))
        self.out.mark("section", path_label((*self.base, *(title for _, title in self.below))), heading.at)


def _nav_entries(tree: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """``(target, path of titles)`` of an EPUB 3 navigation file's table of contents."""
    navs = [node for node in tree.iter() if local_name(node) == "nav"]
    tocs = [node for node in navs if "toc" in attribute(node, "type").split() or node.get("role") == "doc-toc"]
    for nav in (tocs or navs)[:1]:
        for link in (node for node in nav.iter() if local_name(node) == "a" and node.get("href")):
            titles = [_said(link)]
            for up in link.iterancestors():
                if up is nav:
                    break
                if local_name(up) == "li" and (head := _item_head(up)) is not None and head is not link:
                    titles.insert(0, _said(head))
            yield link.get("href"), tuple(title for title in titles if title)


def _item_head(item: Any) -> Any:
    return next((child for child in item if local_name(child) in ("a", "span")), None)


def _ncx_entries(tree: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """``(target, path of titles)`` of an EPUB 2 table of contents."""
    for point in (node for node in tree.iter() if local_name(node) == "navpoint"):
        content = next((child for child in point if local_name(child) == "content"), None)
        chain = [point, *(up for up in point.iterancestors() if local_name(up) == "navpoint")]
        titles = tuple(title for node in reversed(chain) if (title := _ncx_title(node)))
        if content is not None and titles:
            yield content.get("src", ""), titles


def _ncx_title(point: Any) -> str:
    return next((_said(child) for child in point if local_name(child) == "navlabel"), "")


def _said(node: Any) -> str:
    return " ".join("".join(node.itertext()).split())


def _resolved(home: str, target: str) -> tuple[str, str]:
    """The path in the archive and the anchor of a link in the file ``home``."""
    path, _, anchor = target.partition("#")
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(home), unquote(path))) if path else home
    return joined.lstrip("/"), unquote(anchor)


def _decoded(content: bytes, name: str, options: Options) -> str:
    return decode(content, name, declared_encoding(content)).text


def _folded(title: str) -> str:
    return " ".join(title.casefold().split())
