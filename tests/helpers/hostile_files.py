"""Files made to exhaust, to escape or to confuse: each a function that gives its bytes."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="word/document.xml"/></Relationships>'
)
_NOTHING: Mapping[str, str] = {}
_SLIPPED = {"../../../slipped.txt": "The bees hum.", "/etc/slipped.txt": "The bees hum again."}
_CONTAINER = '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>'
_PACKAGE = (
    '<package><manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
    '<spine><itemref idref="a"/></spine></package>'
)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def epub(chapter: str | bytes, more: Mapping[str, str] = _NOTHING) -> bytes:
    """An EPUB book of one chapter, with more files beside it."""
    files = {"META-INF/container.xml": _CONTAINER, "book.opf": _PACKAGE, "a.xhtml": chapter}
    return zipped({"mimetype": "application/epub+zip", **files, **more})


def docx(body: str, before: str = "", more: Mapping[str, str] = _NOTHING) -> bytes:
    """A DOCX document with this XML in its body, this before its root element, and more files beside it."""
    document = f"<?xml version='1.0'?>{before}<w:document {_W}><w:body>{body}</w:body></w:document>"
    files = {"[Content_Types].xml": _TYPES, "_rels/.rels": _RELATIONS, "word/document.xml": document}
    return zipped({**files, **more})


def pdf(content: bytes, filters: bytes = b"/FlateDecode", pages: bytes = b"1") -> bytes:
    """A PDF file that claims so many pages and has one, whose content stream is this."""
    font = b"<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count %s>>" % pages,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources%s>>" % font,
        b"<</Length %d/Filter[%s]>>stream\n%s\nendstream" % (len(content), filters, content),
    ]
    made, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(made))
        made += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size 5/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % len(made)
    return made + b"xref\n0 5\n0000000000 65535 f \n" + table + end


def pdf_of(line: bytes) -> bytes:
    """A PDF file of one page that draws one line of text."""
    return pdf(zlib.compress(b"BT /F1 12 Tf 50 700 Td (%s) Tj ET" % line))


def pdf_bomb(mebibytes: int) -> bytes:
    """A PDF file of some kilobytes whose page unpacks to so much of drawing."""
    line = b"BT /F1 12 Tf 50 700 Td (x) Tj ET\n"
    packer = zlib.compressobj(9)
    once = b"".join(packer.compress(line * (2**20 // len(line))) for _ in range(mebibytes)) + packer.flush()
    return pdf(zlib.compress(once, 9), b"/FlateDecode/FlateDecode")


def laughs(levels: int = 9) -> str:
    """A document type whose entity ``l9`` is a billion words."""
    entities = [f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, levels + 1)]
    return f'<!DOCTYPE x [<!ENTITY l0 "haha ">{"".join(entities)}]>'


def outside(path: Path) -> str:
    """A document type whose entity ``e`` is a file of the machine."""
    return f'<!DOCTYPE x [<!ENTITY e SYSTEM "{path.as_uri()}">]>'


DEEP = 100_000
REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "bomb.txt.gz": (lambda: gzip.compress(bytes(2**20) * 64, 9), "decompression bomb"),
    "bomb.zip": (lambda: zipped({"a.txt": b"a" * 2**25}), "decompression bomb"),
    "bomb.epub": (lambda: epub(b"<p>" + b"a" * 2**25), "decompression bomb"),
    "bomb.docx": (lambda: docx("<w:p/>" + " " * 2**25), "decompression bomb"),
    "bomb.pdf": (lambda: pdf_bomb(400), "of memory to unpack"),
    "nested.zip": (lambda: zipped({f"{n}.zip": zipped({"a.txt": "x"}) for n in range(9)}), "skipped 9 archives"),
    "many.zip": (lambda: zipped(dict.fromkeys(map(str, range(10_001)), "x")), "10,001 files"),
    "million.pdf": (lambda: pdf(b"", pages=b"1000000"), "1,000,000 pages"),
    "laughs.docx": (lambda: docx("<w:p><w:r><w:t>&l9;</w:t></w:r></w:p>", laughs()), "laughs.docx"),
    "deep.html": (lambda: b"<div>" * DEEP + b"text", "nested too deeply"),
    "deep.epub": (lambda: epub("<div>" * DEEP + "text" + "</div>" * DEEP), "nested too deeply"),
    "deep.docx": (lambda: docx("<w:sdt><w:sdtContent>" * DEEP), "damaged DOCX"),
    "zeros.txt": (lambda: b"some text\0with zeros" * 99, "binary file"),
    "half.txt": (lambda: b"\xff\xfe" + "text\ud800".encode("utf-16-le", "surrogatepass"), "not utf-16"),
    "controls.txt": (lambda: bytes(range(1, 9)) * 500, "binary file"),
}
"""Name of each file that must be refused, its bytes, and words of the one line that says so."""

READ: Mapping[str, Callable[[], bytes]] = {
    "slip.zip": lambda: zipped(_SLIPPED),
    "slip.docx": lambda: docx("<w:p><w:r><w:t>The bees hum.</w:t></w:r></w:p>", more=_SLIPPED),
    "slip.epub": lambda: epub("<p>The bees hum.</p>", _SLIPPED),
    "laughs.epub": lambda: epub(f"{laughs()}<html><p>The bees hum &l9;.</p></html>"),
    "laughs.html": lambda: f"{laughs()}<p>The bees hum &l9;.</p>".encode(),
    "bidi.txt": lambda: "The bees \u202emuh\u202c at \u2066night\u2069 and \u200f\u200e hum.".encode(),
    "half.html": lambda: b"<p>The bees &#55296; hum &#xDFFF;&#0;&#1114112;.</p>",
    "half.jsonl": lambda: b'{"text": "The bees \\ud800 hum \\u0000."}\n',
    "deep.jsonl": lambda: b'{"a": "The bees hum."}\n' + b"[" * DEEP + b"]" * DEEP + b"\n" + b'{"a":' * DEEP,
    "wide.csv": lambda: b",".join([b"bees"] * DEEP) + b"\n" + b",".join([b"hum"] * DEEP),
    "quotes.csv": lambda: b'a,b\n"' + b'bees ""hum"" \n' * 9_000,
    "letters.txt": lambda: b"a" * 1_000_000,
    "dots.txt": lambda: b"Mr. " * 100_000 + b"." * 100_000 + b"The bees hum.",
    "marks.md": lambda: b"# " + b"[a](" * 50_000 + b"\n\nThe bees hum.\n" + b"*_`" * 50_000,
    "tags.html": lambda: b"<" * 50_000 + b"<p" + b" a" * 50_000 + b">The bees hum." + b"&" * 50_000,
    "marks.txt": lambda: ("e" + "\u0301" * 200_000 + " The bees hum.").encode(),
    "pages.pdf": lambda: pdf_of(b"The bees hum."),
}
"""Files that are odd and can be read."""
