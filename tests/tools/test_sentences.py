# ruff: noqa: RUF001 - typographic characters are what is tested
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.tools.sentences import MAX_SENTENCE, sentence_spans

MARKS = "Mr. Fox ran|. |! |? |...|\n|\n\n| |a|Z|3.14|“|”|'|。|- item|\f|\r|1. |# Head|é|\u0301|, |No. |\u2029|J. "
PIECES = st.sampled_from([*MARKS.split("|"), "y" * 700])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join))


def split(text):
    return [text[start:end].strip() for start, end in sentence_spans(text)]


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_spans_partition_the_text(text):
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)
    assert all(end - start <= MAX_SENTENCE for start, end in spans)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["One came", ". ", "! ", "\n", "\n\n", "  ", "a", "Z", "“"]), max_size=40).map("".join))
def test_white_space_belongs_to_the_sentence_before(text):
    assert not any(text[start].isspace() for start, _ in sentence_spans(text)[1:])


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from("abcXYZ ,.’"), min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_a_blank_line_always_ends_a_sentence(paragraphs):
    text = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    ends = {end for _, end in sentence_spans(text)}
    place = 0
    for paragraph in paragraphs:
        place = min(place + len(paragraph.strip()) + 2, len(text))
        assert place in ends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One came. Two left! Three? Four.", ["One came.", "Two left!", "Three?", "Four."]),
        ("Mr. and Mrs. Day met Dr. No. Then they left.", ["Mr. and Mrs. Day met Dr. No.", "Then they left."]),
        ("He lives at No. 5 in St. Ives. No. He left.", ["He lives at No. 5 in St. Ives.", "No.", "He left."]),
        ("J. R. R. Tolkien paid 3.14. It was I. He ran.", ["J. R. R. Tolkien paid 3.14.", "It was I.", "He ran."]),
        ("See Fig. 3 and pp. 4, e.g. Smith.", ["See Fig. 3 and pp. 4, e.g. Smith."]),
        ("The U.S. Army came at 5 p.m. The end.", ["The U.S. Army came at 5 p.m.", "The end."]),
        ("Well... maybe. So... Then he left.", ["Well... maybe.", "So...", "Then he left."]),
        ("“Go!” he said. “Why?” She wept.", ["“Go!” he said.", "“Why?”", "She wept."]),
        ("(He left.) [She came.] It ended.", ["(He left.)", "[She came.]", "It ended."]),
        ("北冥有鱼。鲲之大！真的吗？", ["北冥有鱼。", "鲲之大！", "真的吗？"]),
        ("¿Qué pasa? ¡Nada! El Sr. García vino.", ["¿Qué pasa?", "¡Nada!", "El Sr. García vino."]),
        ("Prose that wraps\nover lines goes on.", ["Prose that wraps\nover lines goes on."]),
        ("Shall I compare thee\nThou art more lovely", ["Shall I compare thee", "Thou art more lovely"]),
        ("- one thing\n- other thing\n1. First. Second.", ["- one thing", "- other thing", "1. First.", "Second."]),
        ("# Heading\nsome text", ["# Heading", "some text"]),
        ("CHAPTER I\n\nIt was late.", ["CHAPTER I", "It was late."]),
        ("example.com and v1.2.3 stay whole.", ["example.com and v1.2.3 stay whole."]),
        ("", []),
        ("  \n ", [""]),
    ],
)
def test_where_sentences_end(text, expected):
    assert split(text) == expected


def test_overlong_sentences_are_cut_after_clauses_then_spaces_then_anywhere():
    clause = "x" * 1_500 + ", " + "y " * 900
    first, second = sentence_spans(clause)[:2]
    assert clause[: first[1]].endswith(", ")
    spaced = "word " * 1_000
    assert all(spaced[end - 1] == " " for _, end in sentence_spans(spaced))
    assert second[0] == first[1]
    assert len(sentence_spans("z" * 10_001)) == 6


def test_a_combining_mark_stays_with_its_letter():
    text = "x" + "e\u0301" * 5_000
    assert all(text[start] == "e" for start, _ in sentence_spans(text)[1:])


@pytest.mark.parametrize("unit", [".", ". ", "\n", "a\n", '."', "((", " ", "\u0301", "M. ", "...\n"])
def test_hostile_runs_are_linear(unit):
    text = unit * (200_000 // len(unit))
    spans = sentence_spans(text)
    assert spans[-1][1] == len(text)


def test_a_whole_book_has_sensible_sentences():
    folder = os.environ.get("REREADER_DATA")
    if not folder:
        pytest.skip("REREADER_DATA does not name the benchmark data")
    text = gzip.decompress((Path(folder) / "books" / "frankenstein.txt.gz").read_bytes()).decode()
    spans = sentence_spans(text)
    assert "".join(text[start:end] for start, end in spans) == text
    assert 60 < len(text) / len(spans) < 200
