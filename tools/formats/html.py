"""HTML as readable text: block elements as lines, headings as sections, no scripts, styles and navigation."""

from __future__ import annotations

import re

from rereader.tools.decoding import decode
from rereader.tools.formats.base import HeadingPath, Options, Parsed, TextBuilder, without_text
from rereader.tools.formats.markup import Markup, html_tree

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_DECLARED = re.compile(rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_HEAD = 4096
_READ_AS = dict.fromkeys(("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"), "cp1252")
"""As browsers do."""


def load(data: bytes, name: str, options: Options) -> Parsed:
    """The text that a browser would show, without navigation, page footers, forms and what is hidden."""
    encoding = options.encoding or declared_encoding(data)
    decoded = decode(data, name, encoding)
    out = TextBuilder(name, options.max_bytes)
    markup = Markup(out)
    tree = html_tree(decoded.text, name)
    if tree is not None:
        markup.read(tree)
        if not out.length:
            markup.read(tree, boilerplate=True)
    if not out.length:
        raise without_text(name)
    out.add("\n")
    path = HeadingPath()
    for heading in markup.headings:
        out.mark("section", path.enter(heading.level, heading.title), heading.at)
    return out.build(decoded.warnings, decoded.encoding)


def declared_encoding(data: bytes) -> str | None:
    """The encoding that the file names itself; a byte order mark overrules it, and so does UTF-8 that is sound."""
    head = data[:_HEAD]
    found = _CHARSET.search(head) or _DECLARED.match(head)
    if not found or data.startswith(_BOMS):
        return None
    encoding = found[1].decode().lower()
    encoding = _READ_AS.get(encoding, encoding)
    if not data.isascii() and _is_sound(data, "utf-8"):
        return None
    return encoding if _is_sound(data, encoding) else None  # a file that does not keep its word: find out


def _is_sound(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (LookupError, ValueError):
        return False
    return True
