"""Documents of every format on the command line: names and places in the answer, one line for what cannot be read."""

import io
import json
import zipfile

import pytest
from docx import Document
from reportlab.lib import pdfencrypt
from reportlab.pdfgen import canvas

from rereader.cli.where import where
from rereader.schema import Evidence, Match
from rereader.testing.texts import essay

FACT = "The strongbox of the Ulpelhala office opens with 5265."
SECOND = "The winter road of Ulpelhala ends at the Tarvesund mill."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"


def pdf(pages, **options):
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, **options)
    for number, lines in enumerate(pages, 1):
        sheet.bookmarkPage(f"p{number}")
        sheet.addOutlineEntry(f"Chapter {number}", f"p{number}")
        for row, line in enumerate(lines):
            sheet.drawString(60, 780 - 16 * row, line)
        sheet.showPage()
    sheet.save()
    return stream.getvalue()


def scanned():
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream)
    sheet.rect(10, 10, 300, 300, fill=1)
    sheet.showPage()
    sheet.save()
    return stream.getvalue()


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def locked():
    return pdf([["secret"]], encrypt=pdfencrypt.StandardEncryption("sesame", strength=128))


def protected():
    way = '<e xmlns="x"><EncryptedData><EncryptionMethod Algorithm="http://x/aes"/></EncryptedData></e>'
    return zipped(
        {"mimetype": "application/epub+zip", "META-INF/container.xml": "<c/>", "META-INF/encryption.xml": way}
    )


def pages_of(filler):
    return [[line.strip() for line in essay(seed, 20)] for seed in filler]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = pages_of(range(5))
    pages[2].insert(4, FACT)
    (tmp_path / "report.pdf").write_bytes(pdf(pages))
    document = Document()
    document.add_heading("Roads", 1)
    for sentence in essay(9, 30):
        document.add_paragraph(sentence.strip())
    document.add_heading("In winter", 2)
    document.add_paragraph(SECOND)
    document.save(tmp_path / "roads.docx")
    return tmp_path


def test_documents_asked_together_are_cited_by_name_page_and_section(command, files):
    code, out, err = command("ask", "report.pdf", "roads.docx", QUESTION)
    assert (code, err.count("warning")) == (0, 0)
    assert "report.pdf, p. 3, § Chapter 3, line " in out
    code, out, _ = command("ask", "report.pdf", "roads.docx", "Where does the winter road of Ulpelhala end?")
    assert "roads.docx, § Roads › In winter, line " in out


def test_json_names_the_places(command, files):
    answer = json.loads(command("ask", "report.pdf", QUESTION, "--json", "--quiet")[1])
    [item] = [item for item in answer["evidence"] if "5265" in item["quote"]]
    assert (item["page"], item["section"], item["row"], item["time"]) == ("3", "Chapter 3", None, None)


def test_a_password_opens_and_is_not_kept(command, files, workspace, monkeypatch):
    lock = pdfencrypt.StandardEncryption("sesame-5265-open", strength=128)
    (files / "locked.pdf").write_bytes(pdf(pages_of(range(3)), encrypt=lock))
    assert command("add", "locked.pdf", "--password", "sesame-5265-open")[0] == 0
    monkeypatch.setenv("REREADER_PASSWORD", "sesame-5265-open")
    assert command("add", "locked.pdf")[0] == 0
    for path in workspace.rglob("*"):
        assert not path.is_file() or b"sesame-5265" not in path.read_bytes()


def test_pages_without_text_are_a_warning(command, files):
    pages = pages_of(range(4))
    pages[1] = pages[2] = []
    (files / "part.pdf").write_bytes(pdf(pages))
    code, _, err = command("add", "part.pdf")
    assert (code, "pages 2-3 hold no text (scanned?)" in err) == (0, True)


BAD = {
    "broken.pdf": (lambda: b"%PDF-1.7 and nothing more", [], "damaged PDF"),
    "cut.pdf": (lambda: pdf([["some text"]] * 9)[:-900], [], "damaged PDF"),
    "locked.pdf": (locked, [], "--password"),
    "wrong.pdf": (locked, ["--password", "x"], "password does not open"),
    "scanned.pdf": (scanned, [], "OCR"),
    "million.pdf": (lambda: pdf([["x"]]).replace(b"/Count 1", b"/Count 1000000"), [], "1,000,000 pages"),
    "drm.epub": (protected, [], "protected (DRM)"),
    "cut.epub": (lambda: protected()[:-9], [], "damaged EPUB"),
    "cut.docx": (lambda: zipped({"word/document.xml": "<x/>"})[:-9], [], "damaged DOCX"),
    "many.zip": (lambda: zipped(dict.fromkeys(map(str, range(100_000)), "x")), [], "100,000 files"),
    "empty.csv": (lambda: b"a,b\n", [], "no readable text"),
    "none.srt": (lambda: b"not a subtitle", [], "damaged subtitle"),
    "none.html": (lambda: b"<html><script>x</script></html>", [], "no readable text"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_documents_get_one_line_and_leave_nothing(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, options, words = BAD[name]
    (tmp_path / name).write_bytes(make())
    code, out, err = command("ask", name, "Who?", *options)
    assert (code, out) == (2, "")
    assert words in err
    assert name in err
    assert len(err.splitlines()) == 1
    assert json.loads(command("documents", "--json")[1]) == []


def test_where_names_what_is_known():
    bare = Evidence(document="a.txt", document_id="d", start=0, end=1, quote="x", match=Match.EXACT, verified=True)
    assert where(bare) == "a.txt"
    assert where(bare.model_copy(update={"line": 3})) == "a.txt, line 3"
    full = {"page": "xii-1", "section": "One › Two", "row": "7", "time": "00:12:05", "line": 3}
    assert where(bare.model_copy(update=full)) == "a.txt, p. xii-1, § One › Two, row 7, at 00:12:05"
