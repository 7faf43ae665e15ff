"""PDF: every planted sentence is cited with its page and section; what is broken gets one clear line."""

import io
import time
from pathlib import Path
from random import Random

import pytest
from reportlab.lib import pdfencrypt
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate, Paragraph, SimpleDocTemplate, Table

from rereader.schema import InputError
from rereader.tools.formats import pdf
from rereader.tools.formats.base import Options
from rereader.tools.loaders import load_source

RNG = Random()


def draw(pages, *, size=A4, prepare=None, finish=None, font="Helvetica", **options):
    """A PDF with one list of paragraphs per page; ``prepare(canvas, index)`` runs before each page's text."""
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=size, **options)
    for index, paragraphs in enumerate(pages):
        if prepare:
            prepare(sheet, index)
        sheet.setFont(font, 11)
        height = size[1] - 90
        for paragraph in paragraphs:
            for line in simpleSplit(paragraph, font, 11, size[0] - 140):
                sheet.drawString(70, height, line)
                height -= 15
            height -= 10
        sheet.showPage()
    if finish:
        finish(sheet)
    sheet.save()
    return stream.getvalue()


def book(filler, fact, pages=9):
    """Texts of pages with the fact on one of them: ``(pages, index)``."""
    texts = [filler() for _ in range(pages)]
    index = RNG.randrange(1, pages - 1)
    texts[index].insert(RNG.randrange(1, 3), fact)
    return texts, index


def plain(filler, fact):
    texts, index = book(filler, fact)
    return draw(texts), {"page": str(index + 1), "section": None}


def page_labels(filler, fact):
    texts, index = book(filler, fact, 12)
    front = RNG.randrange(2, 5)

    def finish(sheet):
        sheet.addPageLabel(0, style="ROMAN_LOWER")
        sheet.addPageLabel(front, style="ARABIC", start=1)

    roman = ["i", "ii", "iii", "iv", "v"]
    label = roman[index] if index < front else str(index - front + 1)
    return draw(texts, finish=finish), {"page": label}


def prefixed_labels(filler, fact):
    texts, index = book(filler, fact)
    data = draw(texts, finish=lambda sheet: sheet.addPageLabel(0, style="ARABIC", start=1, prefix="A-"))
    return data, {"page": f"A-{index + 1}"}


def outline_of_whole_pages(filler, fact):
    texts, index = book(filler, fact)

    def prepare(sheet, at):
        if at % 2 == 0:
            sheet.bookmarkPage(f"c{at}")
            sheet.addOutlineEntry(f"Chapter {at // 2 + 1}", f"c{at}", level=0)

    return draw(texts, prepare=prepare), {"page": str(index + 1), "section": f"Chapter {index // 2 + 1}"}


def outline_in_mid_page(filler, fact):
    texts, index = book(filler, fact, 6)
    above = texts[index][0]
    lines = len(simpleSplit(above, "Helvetica", 11, A4[0] - 140))
    texts[index] = [above, fact, "Letters from Home", *filler(1)]
    height = A4[1] - 90 - 15 * (lines + 1) - 20

    def prepare(sheet, at):
        if at == 0:
            sheet.bookmarkPage("first")
            sheet.addOutlineEntry("The Mill", "first", level=0)
        if at == index:
            sheet.bookmarkHorizontalAbsolute("letters", height + 12)
            sheet.addOutlineEntry("Letters from Home", "letters", level=1)

    return draw(texts, prepare=prepare), {"page": str(index + 1), "section": "The Mill"}


def outline_below_mid_page(filler, fact):
    texts, index = book(filler, fact, 6)
    texts[index] = [*filler(1), "Letters from Home", *filler(1), fact]

    def prepare(sheet, at):
        sheet.bookmarkPage(f"p{at}")
        if at == 0:
            sheet.addOutlineEntry("The Mill", "p0", level=0)
        if at == index:
            sheet.addOutlineEntry("Letters  from home", f"p{at}", level=1)

    return draw(texts, prepare=prepare), {"page": str(index + 1), "section": "The Mill › Letters from home"}


def running_headers(filler, fact):
    texts, index = book(filler, fact)

    def prepare(sheet, at):
        sheet.setFont("Helvetica-Oblique", 9)
        sheet.drawString(70, A4[1] - 40, "The Keeper of the Bees")
        sheet.drawCentredString(A4[0] / 2, 30, f"- {at + 1} -")

    return draw(texts, prepare=prepare), {"page": str(index + 1)}


def over_a_page_border(filler, fact):
    texts, index = book(filler, fact, 6)
    words = fact.split()
    texts[index] = [*filler(2), " ".join(words[:5])]
    texts[index + 1] = [" ".join(words[5:]), *filler(2)]
    return draw(texts), {"page": f"{index + 1}-{index + 2}"}


def hyphenated(filler, fact):
    texts, index = book(filler, fact)
    head, tail = fact.split("office")
    texts[index] = [*filler(1), f"{head}of-", f"fice{tail}", *filler(1)]
    return draw(texts), {"page": str(index + 1)}


def two_columns(filler, fact):
    stream = io.BytesIO()
    columns = [Frame(50, 50, 240, 720), Frame(310, 50, 240, 720)]
    layout = BaseDocTemplate(stream, pagesize=A4)
    layout.addPageTemplates(PageTemplate(frames=columns))
    style = getSampleStyleSheet()["BodyText"]
    pages, index = book(filler, fact, 5)
    story = []
    for texts in pages:
        story += [*(Paragraph(text, style) for text in texts), PageBreak()]
    layout.build(story)
    return stream.getvalue(), {"page": str(index + 1)}


def flowing_with_bookmarks(filler, fact):
    stream = io.BytesIO()
    styles = getSampleStyleSheet()
    places = {}

    class Layout(SimpleDocTemplate):
        def afterFlowable(self, flowable):  # the name is reportlab's
            text = flowable.getPlainText() if isinstance(flowable, Paragraph) else ""
            if fact in text:
                places["page"] = str(self.page)
            if flowable.__class__ is Paragraph and flowable.style.name == "Heading1":
                self.canv.bookmarkPage(text)
                self.canv.addOutlineEntry(text, text, 0)

    chapter = RNG.randrange(1, 6)
    story = []
    for number in range(1, 7):
        texts = filler(RNG.randrange(9, 14), 8)
        if number == chapter:
            texts.insert(RNG.randrange(2, 8), fact)
        story.append(Paragraph(f"{number}. The House by the {number} Rivers", styles["Heading1"]))
        story += [Paragraph(text, styles["BodyText"]) for text in texts]
    Layout(stream, pagesize=A4).build(story)
    return stream.getvalue(), {**places, "section": f"{chapter}. The House by the {chapter} Rivers"}


def wide_table(filler, fact):
    stream = io.BytesIO()
    body = getSampleStyleSheet()["BodyText"]
    index = RNG.randrange(1, 5)
    story = []
    for page in range(6):
        rows = [[Paragraph(text, body) for text in filler(3, 2)] for _ in range(4)]
        if page == index:
            rows[2][1] = Paragraph(fact, body)
        story += [Table(rows), PageBreak()]
    SimpleDocTemplate(stream, pagesize=landscape(A4)).build(story)
    return stream.getvalue(), {"page": str(index + 1)}


def other_letters(filler, fact):
    import matplotlib

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    pdfmetrics.registerFont(TTFont("DejaVu", str(file)))
    texts, index = book(filler, fact)
    texts = [["Мой дядя самых честных правил, когда не в шутку занемог.", *paragraphs] for paragraphs in texts]
    return draw(texts, font="DejaVu"), {"page": str(index + 1)}


def partly_scanned(filler, fact):
    texts, index = book(filler, fact, 8)
    texts[0] = texts[-1] = []

    def prepare(sheet, at):
        sheet.rect(100, 100, 300, 500, fill=1)

    return draw(texts, prepare=prepare), {"page": str(index + 1)}


CORPUS = [
    plain,
    page_labels,
    prefixed_labels,
    outline_of_whole_pages,
    outline_in_mid_page,
    outline_below_mid_page,
    running_headers,
    over_a_page_border,
    hyphenated,
    two_columns,
    flowing_with_bookmarks,
    wide_table,
    other_letters,
    partly_scanned,
]


@pytest.mark.parametrize("make", CORPUS, ids=lambda make: make.__name__)
def test_a_planted_sentence_is_cited_with_its_page_and_section(make, cite, fact, filler):
    sentence = fact()
    data, expected = make(filler, sentence)
    found, _ = cite("report.pdf", data, sentence)
    assert {key: getattr(found, key) for key in expected} == expected, found
    assert found.document == "report.pdf"


def test_an_encrypted_file_is_read_with_its_password(cite, fact, filler):
    sentence = fact()
    texts, index = book(filler, sentence)
    for strength in (40, 128):
        lock = pdfencrypt.StandardEncryption("sesame", ownerPassword="other", strength=strength)
        data = draw(texts, encrypt=lock)
        found, _ = cite("locked.pdf", data, sentence, password="sesame")
        assert found.page == str(index + 1)
        with pytest.raises(InputError, match="password does not open"):
            read(data, password="wrong")
        with pytest.raises(InputError, match="--password"):
            read(data)


def test_a_file_that_anybody_may_open_needs_no_password(filler):
    lock = pdfencrypt.StandardEncryption("", ownerPassword="owner", canCopy=0)
    assert read(draw([filler(1)], encrypt=lock)).text.strip()


def test_pages_without_text_are_named(cite, fact, filler):
    sentence = fact()
    _, heard = cite("part.pdf", partly_scanned(filler, sentence)[0], sentence)
    assert any("pages 1, 8 hold no text (scanned?)" in line for line in heard)


def test_hyphens_at_line_ends_stay():
    read_back = read(draw([["The mill stood by the ri-", "ver all winter."]])).text
    assert "ri-\n" in read_back
    assert "ver all winter." in read_back


def test_runs_of_pages_are_named_shortly():
    assert pdf._ranges([3]) == "page 3"
    assert pdf._ranges([1, 2, 3, 7, 9, 10]) == "pages 1-3, 7, 9-10"
    assert pdf._ranges(list(range(1, 101, 2))).endswith("and 40 more")


def image_only(filler):
    return draw([[], [], []], prepare=lambda sheet, at: sheet.rect(10, 10, 400, 400, fill=1))


def million_pages(filler):
    return draw([filler(1)]).replace(b"/Count 1", b"/Count 1000000")


def many_claimed_pages(filler):
    return draw([filler(1)]).replace(b"/Count 1", b"/Count 40000")


def page_tree_that_loops(filler):
    data = draw([filler(1), filler(1)])
    kids = data.index(b"/Kids [")
    own = data.rindex(b" 0 obj", 0, kids)
    number = data[data.rindex(b"\n", 0, own) + 1 : own]
    return data[: kids + 7] + b" " + number + b" 0 R " + data[kids + 7 :].replace(b"/Count 2", b"/Count 9")


BROKEN = {
    "garbage after the magic": (lambda filler: b"%PDF-1.7\n" + RNG.randbytes(5000), "damaged PDF"),
    "cut off": (lambda filler: draw([filler(3)] * 5)[:-2000], "damaged PDF"),
    "only the magic": (lambda filler: b"%PDF-1.4", "damaged PDF"),
    "images only": (image_only, "3 pages are empty or scanned"),
    "a million pages": (million_pages, "1,000,000 pages"),
    "pages that are not there": (many_claimed_pages, "lacks most of them"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_cannot_be_read_gets_one_line_soon(case, filler):
    make, words = BROKEN[case]
    data = make(filler)
    begun = time.monotonic()
    with pytest.raises(InputError) as raised:
        read(data)
    assert words in raised.value.message
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    assert time.monotonic() - begun < 10


def test_an_image_only_file_is_sent_to_ocr(filler):
    with pytest.raises(InputError) as raised:
        read(image_only(filler))
    assert "OCR" in raised.value.hint


def test_a_page_tree_that_loops_ends(filler):
    begun = time.monotonic()
    try:
        assert read(page_tree_that_loops(filler)).text.strip()
    except InputError as error:
        assert "\n" not in str(error)
    assert time.monotonic() - begun < 10


def test_damaged_bytes_give_text_or_one_line(filler):
    whole = draw([filler(2)] * 3)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(RNG.randrange(1, 30)):
            data[RNG.randrange(9, len(data))] = RNG.randrange(256)
        try:
            read(bytes(data))
        except InputError as error:
            assert error.hint
            assert "\n" not in str(error)


def test_the_loader_names_itself(tmp_path, filler):
    path = tmp_path / "a.bin"
    path.write_bytes(draw([filler(1)]))
    [loaded] = load_source(path)
    assert (loaded.loader, loaded.encoding, loaded.title) == ("pdf/1", "none", "a.bin")


def read(data, **options):
    return pdf.load(data, "a.pdf", Options(**options))
