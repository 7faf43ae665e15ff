"""Subtitles by time, tables and JSON Lines by row, Markdown by section."""

import csv
import gzip
import io
import json
from random import Random

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.schema import InputError
from rereader.tools.formats import jsonl, markdown, subtitles, table
from rereader.tools.formats.base import Options
from rereader.tools.loaders import load_source

RNG = Random()


def cues(fact, kind):
    """Subtitles in which the fact is said over two cues, and the time of the first."""
    made = pysubs2.SSAFile()
    index = RNG.randrange(20, 900)
    said = ["The sea was quiet.", "And the wind?", "It came in the morning."]
    for number in range(1000):
        text = fact if number == index else said[number % 3]
        made.append(pysubs2.SSAEvent(start=number * 4500, end=number * 4500 + 4000, text=text))
    made.insert(0, pysubs2.SSAEvent(start=10**6, end=10**6, text="Never shown", type="Comment"))
    seconds = index * 4500 // 1000
    time = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return made.to_string(kind).encode(), time


@pytest.mark.parametrize("kind", ["srt", "vtt", "ass", "ssa"])
def test_subtitles_are_cited_by_time(kind, cite, fact):
    sentence = fact()
    data, time = cues(sentence, kind)
    found, _ = cite(f"film.{kind}", data, sentence)
    first, _, last = found.time.partition("-")
    assert first <= time <= (last or first)
    assert "Never shown" not in found.quote


def test_tags_and_drawings_are_not_read():
    text = (
        "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        r"Dialogue: 0,0:00:05.00,0:00:06.00,Default,,0,0,0,,{\i1}Later,\Nshe said{\i0}" + "\n"
        r"Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\p1}m 0 0 l 9 9{\p0}" + "\n"
        "Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,First\n"
    )
    parsed = subtitles.load(text.encode(), "a.ass", Options())
    assert parsed.text == "First\nLater, she said\n"
    assert [place.label for place in parsed.places] == ["00:00:02", "00:00:05"]


def grid(fact, delimiter, encoding="utf-8"):
    """A table with the fact in one of its rows, and that row's number in a spreadsheet."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(["town", "note", "bees"])
    index = RNG.randrange(2, 300)
    for number in range(2, 302):
        note = f"line one\nüber, {fact}" if number == index else "nothing; nowhere, “quoted”"
        writer.writerow(["Tarvesund", note, number])
    return stream.getvalue().encode(encoding), str(index)


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    [("a.csv", ",", "utf-8"), ("b.csv", ";", "cp1252"), ("c.tsv", "\t", "utf-16"), ("d.csv", "|", "utf-8-sig")],
)
def test_tables_are_cited_by_row(name, delimiter, encoding, cite, fact):
    sentence = fact()
    data, row = grid(sentence, delimiter, encoding)
    found, _ = cite(name, data, sentence)
    assert found.row == row
    assert found.quote.startswith("town: Tarvesund; note: line one über, The")


def test_json_lines_are_cited_by_line(cite, fact):
    sentence = fact()
    index = RNG.randrange(3, 200)
    rows = [
        {"id": n, "author": {"name": "Anna"}, "tags": ["a", "b"], "text": "The sea.", "gone": None} for n in range(200)
    ]
    rows[index]["text"] = sentence
    lines = [json.dumps(row) for row in rows]
    lines.insert(1, "")
    found, _ = cite("log.jsonl", "\n".join(lines).encode(), sentence)
    assert found.row == str(index + 2)
    assert found.quote.strip() == f"id: {index}; author.name: Anna; tags: a, b; text: {sentence}"


def test_damaged_json_lines_stay_with_a_warning():
    parsed = jsonl.load(b'{"a": 1}\nnot json\n{"b": "\\ud800"}\n' + b"[" * 99_999, "a.jsonl", Options())
    assert parsed.text.startswith("a: 1\n\nnot json\n\nb: �\n\n")
    assert parsed.warnings == ("2 lines are no JSON and stay as they are; the first is line 2",)


def test_json_itself_stays_source_code(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}')
    [loaded] = load_source(tmp_path / "a.json")
    assert (loaded.text, loaded.loader) == ('{"a": 1}', "source-code/1")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"1,2\n3,4\n", "column 1: 1; column 2: 2\ncolumn 1: 3; column 2: 4\n"),
        (b"a,b\n1,2,3\n", "a: 1; b: 2; column 3: 3\n"),
        (b"a,b\n,\n,x\n", "b: x\n"),
        (b"name\nAnna\nBob\n", "name: Anna\nname: Bob\n"),
        (b'a,b\n"x ""y"", z",2\n', 'a: x "y", z; b: 2\n'),
    ],
)
def test_rows_become_lines(data, text):
    assert table.load(data, "a.csv", Options()).text == text.replace("\n", "\n\n")


def test_long_cells_are_read():
    assert len(table.load(b"a,b\nx," + b"y" * 500_000, "a.csv", Options()).text) > 500_000


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4), max_size=6))
def test_any_table_is_read_or_refused_in_one_line(rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    try:
        parsed = table.load(stream.getvalue().encode(), "a.csv", Options())
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(parsed.places) == parsed.text.count("\n\n")


ATX = """---
title: # no heading
---
Before.

# One

```python
# a comment
```

## Letters {#letters}

{fact}

### Deep [link](x) ###
"""
SETEXT = """The Mill
========

Some text.

Of *Bread*
----------

{fact}

- an item
---

    # code
"""


@pytest.mark.parametrize(("text", "section"), [(ATX, "One › Letters"), (SETEXT, "The Mill › Of Bread")])
def test_markdown_is_cited_by_section_and_stays_as_it_is(text, section, cite, fact):
    sentence = fact()
    written = text.replace("{fact}", sentence)
    found, _ = cite("notes.md", written.encode(), sentence)
    assert found.section == section
    assert written[found.start : found.end] == found.quote


def test_headings_of_markdown():
    assert [title for _, _, title in markdown.headings(ATX)] == ["One", "Letters", "Deep link"]
    assert [(level, title) for _, level, title in markdown.headings(SETEXT)] == [(1, "The Mill"), (2, "Of Bread")]


@pytest.mark.parametrize(("kind", "data"), [("srt", b"no subtitles at all"), ("vtt", b"WEBVTT\n\n"), ("ass", b"[x]\n")])
def test_subtitles_without_any_are_refused(kind, data):
    with pytest.raises(InputError, match="damaged subtitle file"):
        subtitles.load(data, f"a.{kind}", Options())


@pytest.mark.parametrize(
    ("data", "name", "mark"),
    [
        ("1,5;2,5\n3,25;4,5\n", "a.csv", ";"),
        ("12\tParis, France, Europe\n13\tRome, Italy, Europe\n", "a.tsv", "\t"),
        ("1,2\n3,4\n", "a.csv", ","),
        ("1,a;b\n3,c;d\n", "a.csv", ","),
    ],
)
def test_cells_of_tables_without_column_names(data, name, mark):
    assert table.delimiter(data, name) == mark


def test_packed_subtitles_of_substation_are_read(tmp_path):
    text = (
        "[Script Info]\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        "Dialogue: 0,0:00:12.00,0:00:13.00,Default,,0,0,0,,Ana keeps the bees.\n"
    )
    (tmp_path / "a.ass.gz").write_bytes(gzip.compress(text.encode()))
    [loaded] = load_source(tmp_path / "a.ass.gz")
    assert loaded.text == "Ana keeps the bees.\n" and loaded.places[0].label == "00:00:12"


@pytest.mark.parametrize("line", ["# a" + " " * 200_000 + "b", "# " + "[" * 200_000, "a" * 200_000])
def test_long_lines_are_no_headings_and_cost_little(line):
    assert markdown.headings(f"{line}\n# Real\n") == [(len(line) + 1, 1, "Real")]
