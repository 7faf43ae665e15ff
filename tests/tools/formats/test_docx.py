"""DOCX: headings, tables, notes, tracked changes, content controls."""

import io
import zipfile
from random import Random

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from rereader.schema import InputError
from rereader.tools.formats import docx as reader
from rereader.tools.formats.base import Options
from rereader.tools.loaders import load_source

RNG = Random()
W = nsdecls("w")


def saved(document):
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def appended(document, xml):
    """Put raw XML before the body's section properties."""
    document.element.body.insert(len(document.element.body) - 1, parse_xml(xml))


def fill(document, texts):
    for text in texts:
        document.add_paragraph(text)


def headings(filler, fact):
    document = docx.Document()
    document.add_heading("A Report", 0)
    index = RNG.randrange(4)
    for number in range(4):
        document.add_heading(f"{number + 1} Harvest", 1)
        fill(document, filler(2))
        document.add_heading("Weights", 2)
        fill(document, [*filler(1), fact, *filler(1)] if number == index else filler(2))
    return document, f"{index + 1} Harvest › Weights"


def table_row(filler, fact):
    document = docx.Document()
    document.add_heading("Ledger", 1)
    fill(document, filler(2))
    table = document.add_table(rows=6, cols=3)
    for row in table.rows:
        for cell, text in zip(row.cells, ("a bee", "a hive", "a jar"), strict=True):
            cell.text = text
    table.rows[RNG.randrange(1, 5)].cells[2].text = fact
    document.add_heading("After", 1)
    return document, "Ledger"


def own_styles(filler, fact):
    document = docx.Document()
    style = document.styles.add_style("Kapitel", docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    document.add_heading("One", 1)
    fill(document, filler(2))
    document.add_paragraph("Die Briefe", style="Kapitel")
    fill(document, [*filler(2), fact])
    return document, "One › Die Briefe"


def tracked_changes(filler, fact):
    document = docx.Document()
    document.add_heading("Draft", 1)
    head, tail = fact.split("office")
    appended(
        document,
        f'<w:p {W}><w:r><w:t xml:space="preserve">{head}</w:t></w:r>'
        '<w:del w:id="1" w:author="a"><w:r><w:delText>secret wing</w:delText></w:r></w:del>'
        '<w:ins w:id="2" w:author="a"><w:r><w:t>office</w:t></w:r></w:ins>'
        f'<w:r><w:t xml:space="preserve">{tail}</w:t></w:r></w:p>',
    )
    fill(document, filler(2))
    return document, "Draft"


def content_controls(filler, fact):
    document = docx.Document()
    document.add_heading("Form", 1)
    fill(document, filler(1))
    appended(document, f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>{fact}</w:t></w:r></w:p></w:sdtContent></w:sdt>")
    return document, "Form"


def outline_levels(filler, fact):
    document = docx.Document()
    for title in ("First", "Second"):
        appended(
            document,
            f'<w:p {W}><w:pPr><w:outlineLvl w:val="0"/></w:pPr><w:r><w:t>{title}</w:t></w:r></w:p>',
        )
        fill(document, filler(2))
    fill(document, [fact])
    return document, "Second"


CORPUS = [headings, table_row, own_styles, tracked_changes, content_controls, outline_levels]


@pytest.mark.parametrize("make", CORPUS, ids=lambda make: make.__name__)
def test_a_planted_sentence_is_cited_with_its_section(make, cite, fact, filler):
    sentence = fact()
    document, section = make(filler, sentence)
    found, _ = cite("report.docx", saved(document), sentence)
    assert (found.section, found.page) == (section, None)
    assert "secret" not in found.quote


def test_rows_are_lines_with_tabs():
    document = docx.Document()
    table = document.add_table(rows=2, cols=2)
    for index, text in enumerate(("town", "bees", "Tarve\nsund", "12")):
        table.cell(index // 2, index % 2).text = text
    assert read(saved(document)).text.strip().split("\n") == ["town\tbees", "Tarve sund\t12"]


def test_notes_stand_under_their_paragraph(fact):
    document = docx.Document()
    document.add_heading("One", 1)
    paragraph = document.add_paragraph("The mill was sold")
    paragraph._p.append(parse_xml(f'<w:r {W}><w:footnoteReference w:id="2"/></w:r>'))
    document.add_heading("Two", 1)
    note = f'<w:footnotes {W}><w:footnote w:id="2"><w:p><w:r><w:t>In 1871.</w:t></w:r></w:p></w:footnote></w:footnotes>'
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    uri = docx.opc.packuri.PackURI("/word/footnotes.xml")
    content_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    part = docx.opc.part.Part(uri, content_type, note.encode(), document.part.package)
    document.part.relate_to(part, kind)
    text = read(saved(document)).text
    assert text.index("sold[2]") < text.index("[2] In 1871.") < text.index("Two")


def without(data, name):
    source = zipfile.ZipFile(io.BytesIO(data))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for entry in source.infolist():
            if entry.filename != name:
                archive.writestr(entry.filename, source.read(entry))
    return stream.getvalue()


def flipped(data, member):
    at = data.index(member) + len(member) + 30
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


BAD = {
    "cut off": lambda data: data[:-100],
    "no body": lambda data: without(data, "word/document.xml"),
    "a flipped bit": lambda data: flipped(data, b"word/document.xml"),
    "no types": lambda data: without(data, "[Content_Types].xml"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_file_gets_one_line(case):
    document = docx.Document()
    document.add_paragraph("Text.")
    with pytest.raises(InputError, match="damaged DOCX") as raised:
        read(BAD[case](saved(document)))
    assert "\n" not in str(raised.value)


def test_a_file_without_text_is_refused():
    with pytest.raises(InputError, match="no readable text"):
        read(saved(docx.Document()))


def read(data):
    return reader.load(data, "a.docx", Options())


def test_an_encrypted_file_says_what_to_do(tmp_path):
    path = tmp_path / "a.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match="old Microsoft Office file") as raised:
        load_source(path)
    assert "encrypted" in raised.value.hint
