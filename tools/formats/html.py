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
    try:
        encoding = found[1].decode().lower()
        data.decode({"iso-8859-1": "cp1252", "latin-1": "cp1252", "us-ascii": "utf-8"}.get(encoding, encoding))
    except (LookupError, ValueError):
        return None  # the file does not keep its word: find out
    return "cp1252" if encoding in ("iso-8859-1", "latin-1", "latin1") else encoding
