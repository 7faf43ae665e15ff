"""EPUB: reading order, table of contents and headings as sections, printed pages, protection, damage."""

import io
import zipfile
from random import Random

import pytest
from ebooklib import epub as writer

from rereader.schema import InputError
from rereader.tools.formats import epub
from rereader.tools.formats.base import Options

RNG = Random()
CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
XHTML = (
    '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" '
    'xmlns:epub="http://www.idpf.org/2007/ops"><head><title/></head><body>{}</body></html>'
)


def paragraphs(texts):
    return "".join(f"<p>{text}</p>" for text in texts)


def written(chapters, *, toc=None, nav=True, ncx=True, spine=None, version="3.0"):
    """A book by ebooklib: ``chapters`` are ``(file, title, body)``; ``toc`` is made of their ``Link`` unless given."""
    book = writer.EpubBook()
    book.set_identifier("urn:x")
    book.set_title("The Book")
    book.set_language("en")
    items = {}
    for file, title, body in chapters:
        item = writer.EpubHtml(title=title, file_name=file, lang="en")
        item.content = f"<html><head></head><body>{body}</body></html>"
        book.add_item(item)
        items[file] = item
    book.toc = [writer.Link(file, title, file) for file, title, _ in chapters] if toc is None else toc
    book.spine = [items[file] for file in (spine or items)]
    if ncx:
        book.add_item(writer.EpubNcx())
    if nav:
        book.add_item(writer.EpubNav())
    stream = io.BytesIO()
    writer.write_epub(stream, book, {})
    return stream.getvalue()


def by_hand(files, *, spine, items="", extra=None):
    """A book as a plain ZIP file: XHTML bodies by file name."""
    stream = io.BytesIO()
    manifest = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(files)
    )
    order = "".join(f'<itemref idref="i{list(files).index(name)}"/>' for name in spine)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr(
            "OEBPS/book.opf",
            f'<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>{manifest}{items}</manifest>'
            f"<spine>{order}</spine></package>",
        )
        for name, body in files.items():
            archive.writestr(f"OEBPS/{name}", XHTML.format(body))
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return stream.getvalue()


def chapters(filler, fact, count=6):
    """``(file, title, body)`` of chapters with the fact in one of them, and that one's title."""
    index = RNG.randrange(count)
    made = []
    for number in range(count):
        texts = filler(4)
        if number == index:
            texts.insert(RNG.randrange(1, 4), fact)
        title = f"Chapter {number + 1}: The Road"
        made.append((f"c{number}.xhtml", title, f"<h1>{title}</h1>{paragraphs(texts)}"))
    return made, made[index][1]


def epub3(filler, fact):
    made, title = chapters(filler, fact)
    return written(made, ncx=False), title


def epub2(filler, fact):
    made, title = chapters(filler, fact)
    return written(made, nav=False), title


def without_headings(filler, fact):
    made, title = chapters(filler, fact)
    return written([(file, name, body.partition("</h1>")[2]) for file, name, body in made]), title


def without_contents(filler, fact):
    made, title = chapters(filler, fact)
    return written(made, toc=[], nav=False, ncx=False), title


def nested_contents(filler, fact):
    made, _ = chapters(filler, fact, 4)
    index = next(n for n, (_, _, body) in enumerate(made) if fact in body)
    links = [writer.Link(file, title, file) for file, title, _ in made]
    toc = [(writer.Section("Part One"), links[:2]), (writer.Section("Part Two"), links[2:])]
    part = "Part One" if index < 2 else "Part Two"
    return written(made, toc=toc), f"{part} › {made[index][1]}"


def subheadings(filler, fact):
    body = (
        f"<h1>The Mill</h1>{paragraphs(filler(2))}<h2>Of Flour</h2>{paragraphs(filler(2))}"
        f"<h2>Of Letters</h2>{paragraphs([*filler(1), fact])}<h2>Of Bread</h2>{paragraphs(filler(2))}"
    )
    made = [("a.xhtml", "Front", paragraphs(filler(1))), ("b.xhtml", "The Mill", body)]
    return written(made), "The Mill › Of Letters"


def many_chapters_in_one_file(filler, fact):
    parts, links, index = [], [], RNG.randrange(5)
    for number in range(5):
        texts = [*filler(2), fact, *filler(1)] if number == index else filler(3)
        parts.append(f'<h2 id="k{number}">Letter {number + 1}</h2>{paragraphs(texts)}')
        links.append(writer.Link(f"all.xhtml#k{number}", f"Letter {number + 1}", f"k{number}"))
    return written([("all.xhtml", "All", "".join(parts))], toc=links), f"Letter {index + 1}"


def spine_against_names(filler, fact):
    made, title = chapters(filler, fact)
    return written(made, spine=[file for file, _, _ in reversed(made)]), title


def badly_written(filler, fact):
    body = f"<h1>Caf&eacute; &amp; Mill</h1><p>One<br>two &nbsp; three<p>{fact}<div><p>{filler(1)[0]}"
    return by_hand({"a.xhtml": body}, spine=["a.xhtml"]), "Café & Mill"


def scrambled_fonts(filler, fact):
    made, title = chapters(filler, fact)
    data = written(made)
    return added(data, "META-INF/encryption.xml", encryption("http://www.idpf.org/2008/embedding")), title


CORPUS = [
    epub3,
    epub2,
    without_headings,
    without_contents,
    nested_contents,
    subheadings,
    many_chapters_in_one_file,
    spine_against_names,
    badly_written,
    scrambled_fonts,
]


@pytest.mark.parametrize("make", CORPUS, ids=lambda make: make.__name__)
def test_a_planted_sentence_is_cited_with_its_section(make, cite, fact, filler):
    sentence = fact()
    data, section = make(filler, sentence)
    found, heard = cite("novel.epub", data, sentence)
    assert (found.section, found.page, found.document) == (section, None, "novel.epub")
    assert heard == []


def test_printed_pages_are_cited(cite, fact, filler):
    sentence = fact()
    index = RNG.randrange(1, 6)
    marks = ['<span epub:type="pagebreak" id="p{0}" title="{0}"/>', '<a role="doc-pagebreak" aria-label="Page {0}."/>']
    parts = []
    for number in range(1, 7):
        texts = [*filler(1), sentence] if number == index else filler(2)
        parts.append(f"{marks[number % 2].format(number + 40)}{paragraphs(texts)}")
    data = by_hand({"a.xhtml": f"<h1>One</h1>{''.join(parts)}"}, spine=["a.xhtml"])
    found, _ = cite("paged.epub", data, sentence)
    assert (found.page, found.section) == (str(index + 40), "One")


def test_chapters_come_in_the_order_of_the_spine():
    files = {"z.xhtml": "<p>First.</p>", "b.xhtml": "<p>Second.</p>", "a.xhtml": "<p>Third.</p>"}
    assert read(by_hand(files, spine=["z.xhtml", "b.xhtml", "a.xhtml"])).text.split() == ["First.", "Second.", "Third."]


def encryption(way):
    return (
        '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" '
        'xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
        f'<e:EncryptionMethod Algorithm="{way}"/><e:CipherData><e:CipherReference URI="OEBPS/a.xhtml"/></e:CipherData>'
        "</e:EncryptedData></encryption>"
    )


def added(data, name, content):
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def bomb():
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "boom">{levels}]><container>&a11;</container>'


GOOD = {"a.xhtml": "<p>Some text.</p>"}
AES = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"


def good(**extra):
    """A sound book of one chapter, with more files in ``META-INF``."""
    files = {f"META-INF/{name.replace('_', '.')}": content for name, content in extra.items()}
    return by_hand(GOOD, spine=["a.xhtml"], extra=files)


BAD = {
    "protected": (lambda: good(encryption_xml=encryption(AES)), "protected"),
    "licensed": (lambda: good(license_lcpl="{}"), "protected"),
    "cut off": (lambda: good()[:-80], "damaged EPUB"),
    "no container": (lambda: good().replace(b"META-INF/c", b"META-INF/k"), "container.xml is missing"),
    "no chapters": (lambda: by_hand(GOOD, spine=[]), "names no chapters"),
    "no text": (lambda: by_hand({"a.xhtml": "<img src='x'/>"}, spine=["a.xhtml"]), "no readable text"),
    "only an empty file": (lambda: rebuilt("OEBPS/a.xhtml", b"", {"a.xhtml": ""}), "no readable text"),
    "entities that explode": (lambda: rebuilt("META-INF/container.xml", bomb()), "damaged|names no package"),
    "no XML": (lambda: rebuilt("OEBPS/book.opf", "<package"), "damaged XML"),
}


def rebuilt(name, content, files=None):
    files = files or GOOD
    source = zipfile.ZipFile(io.BytesIO(by_hand(files, spine=list(files))))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, content if entry.filename == name else source.read(entry))
    return stream.getvalue()


@pytest.mark.parametrize("case", BAD)
def test_a_book_that_cannot_be_read_gets_one_line(case):
    make, words = BAD[case]
    with pytest.raises(InputError, match=words) as raised:
        read(make())
    assert raised.value.hint
    assert "\n" not in str(raised.value)


def test_missing_chapters_are_said():
    data = by_hand({"a.xhtml": "<p>One.</p>", "b.xhtml": "<p>Two.</p>"}, spine=["a.xhtml", "b.xhtml"])
    parsed = read(data.replace(b"OEBPS/b.xhtml", b"OEBPS/x.xhtml"))
    assert parsed.warnings == ("1 of its 2 chapters are missing",)


def read(data, **options):
    return epub.load(data, "a.epub", Options(**options))


def test_a_section_begins_where_its_text_begins():
    plates = {"a.xhtml": "<p>Before.</p>", "b.xhtml": "<img src='plate.png'/>", "c.xhtml": "<p>After.</p>"}
    nav = '<nav epub:type="toc"><ol><li><a href="b.xhtml">Plate</a></li></ol></nav>'
    item = '<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    extra = {"OEBPS/nav.xhtml": XHTML.format(nav)}
    parsed = read(by_hand(plates, spine=list(plates), items=item, extra=extra))
    assert [(parsed.text[place.start :], place.label) for place in parsed.places] == [("After.\n", "Plate")]


def test_empty_chapters_and_pictures_in_the_spine_are_passed_over():
    content = rebuilt("OEBPS/a.xhtml", "<!-- nothing -->", {"a.xhtml": "", "b.xhtml": "<p>Ana keeps the bees.</p>"})
    assert epub.load(content, "b.epub", Options()).text == "Ana keeps the bees.\n"
    picture = '<item id="p" href="p.jpg" media-type="image/jpeg"/>'
    book = by_hand({"b.xhtml": "<p>Ana.</p>"}, spine=["b.xhtml"], items=picture, extra={"OEBPS/p.jpg": b"\xff\xd8\xff"})
    package = zipfile.ZipFile(io.BytesIO(book)).read("OEBPS/book.opf").decode()
    shown = package.replace("<spine>", '<spine><itemref idref="p"/>')
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, zipfile.ZipFile(io.BytesIO(book)) as source:
        for entry in source.infolist():
            archive.writestr(entry.filename, shown if entry.filename.endswith(".opf") else source.read(entry))
    assert epub.load(stream.getvalue(), "b.epub", Options()).text == "Ana.\n"
