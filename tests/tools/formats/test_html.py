"""HTML as readable text: sections, boilerplate, encodings, tables, entities, depth."""

from random import Random

import pytest

from rereader.schema import InputError
from rereader.tools.formats import html
from rereader.tools.formats.base import Options

RNG = Random()


def paragraphs(texts):
    return "".join(f"<p>{text}</p>\n" for text in texts)


def article(filler, fact):
    page = f"""<!DOCTYPE html><html lang="en"><head><title>Bees</title><style>p {{ color: red }}</style>
    <script>var a = "<p>{fact[:20]}</p>";</script></head><body><header><h1>The Bee Paper</h1></header>
    <nav><ul><li><a href="/">Home</a></li><li>Archive</li></ul></nav><main><article>{paragraphs(filler(2))}
    <h2>Winter</h2>{paragraphs(filler(2))}<h2>The <em>Old</em> Strongbox</h2>{paragraphs([*filler(1), fact])}
    <h2>Spring</h2>{paragraphs(filler(2))}</article></main><footer>Imprint</footer></body></html>"""
    return page.encode(), "The Bee Paper › The Old Strongbox"


def latin(filler, fact):
    page = f'<html><head><meta charset="iso-8859-1"></head><h1>Über “Bienen”</h1>{paragraphs([*filler(2), fact])}'
    return page.encode("cp1252"), "Über “Bienen”"


def wide(filler, fact):
    page = f"<html><body><h1>One</h1>{paragraphs(filler(2))}<h3>Deep</h3>{paragraphs([fact])}</body></html>"
    return page.encode("utf-16"), "One › Deep"


def data_table(filler, fact):
    rows = "".join(f"<tr><td>{n}</td><td>a hive</td></tr>" for n in range(9))
    page = f"<h1>Ledger</h1><table><caption>Hives</caption>{rows}<tr><td>10</td><td>{fact}</td></tr></table>"
    return f"<html>{page}<h1>After</h1>{paragraphs(filler(1))}".encode(), "Ledger"


def layout_table(filler, fact):
    texts = filler(3)
    cell = f"<h2>Letters</h2>{paragraphs([texts[0], fact])}"
    page = f"<table><tr><td><a href=x>Menu</a></td><td><div>{texts[1]}</div>{cell}</td></tr></table>"
    return f"<html><body bgcolor=white>{page}".encode(), "Letters"


def tag_soup(filler, fact):
    page = f"<H1>Caf&eacute; &amp; Mill<P>{filler(1)[0]}<H2 ID=x>Bread</h1><p>{fact}<br><b><i>{filler(1)[0]}</b></i>"
    return f"<HTML><BODY>{page.replace('<P>', '</H1><P>')}".replace(
        "Bread</h1>", "Bread</H2>"
    ).encode(), "Café & Mill › Bread"


CORPUS = [article, latin, wide, data_table, layout_table, tag_soup]


@pytest.mark.parametrize("make", CORPUS, ids=lambda make: make.__name__)
def test_a_planted_sentence_is_cited_with_its_section(make, cite, fact, filler):
    sentence = fact()
    data, section = make(filler, sentence)
    found, heard = cite("page.html", data, sentence)
    assert found.section == section
    assert heard == []


def test_boilerplate_is_left_out_and_blocks_are_lines(filler):
    data, _ = article(filler, "A fact.")
    text = read(data).text
    assert not any(word in text for word in ("Home", "Archive", "Imprint", "color", "var a"))
    assert "The Bee Paper\n\n" in text
    assert "The Old Strongbox\n\n" in text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a  <b>b</b>\n c<i> d </i>e", "a b c d e"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<ul><li>a<li>b</ul>c", "a\nb\n\nc"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<pre>  x\n    y\n</pre>z", "  x\n    y\n\nz"),
        ("<pre><b>Name</b>\nAddress</pre>", "Name\nAddress"),
        ("<pre><i>a</i>\n\n  <i>b</i> <i>c</i></pre>", "a\n\n  b c"),
        ("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ("&lt;&nbsp;&#x41;&#0;&#xD800;", "< A��"),
        ("<p>a<!-- b -->c<script>d</script>e</p>", "ace"),
        ("<div hidden>a</div><div style='display: none'>b</div>c<p aria-hidden=true>d</p>", "c"),
        ("<nav>only this</nav>", "only this"),
        ("1 &lt; 2 <3 a", "1 < 2 <3 a"),
    ],
)
def test_markup_becomes_text(markup, text):
    assert read(f"<html><body>{markup}".encode()).text.rstrip("\n") == text


@pytest.mark.parametrize("count", [300, 1500])
def test_deeply_nested_pages_lose_nothing(count):
    assert read(("<div>" * count + "deep" + "</div>" * count + "<p>after").encode()).text.split() == ["deep", "after"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>" + b"<div>" * 100_000 + b"deep", "nested too deeply"),
        (b"<html><script>x</script></html>", "no readable text"),
        (b"<!-- nothing -->", "no readable text"),
        (b"", "no readable text"),
    ],
)
def test_what_cannot_be_read_gets_one_line(data, words):
    with pytest.raises(InputError, match=words) as raised:
        read(data)
    assert raised.value.hint


def test_long_texts_are_not_cut_off():
    assert len(read(b"<p>" + b"a" * 11_000_000 + b"</p>").text) == 11_000_001


def test_a_wrong_charset_is_overruled():
    page = '<meta charset="utf-16"><p>Größe und Länge der Bäche über Tal</p>'
    assert "Größe" in read(page.encode()).text
    assert "Größe" in read(page.replace("utf-16", "klingon").encode()).text
    assert "Größe" in read(page.replace("utf-16", "utf-8").encode("cp1252")).text


def read(data, **options):
    return html.load(data, "a.html", Options(**options))


@pytest.mark.parametrize(
    ("said", "written"),
    [("us-ascii", "utf-8"), ("iso-8859-1", "utf-8"), ("latin1", "utf-8"), ("us-ascii", "cp1252"), ("latin1", "cp1252")],
)
def test_browsers_readings_of_charsets(said, written):
    page = f'<meta charset="{said}"><p>Größe und “Länge” der Bäche über Tal</p>'
    assert "“Länge”" in read(page.encode(written)).text
