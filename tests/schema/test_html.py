"""Texts in pages: to the letter, and never as markup."""

from html import unescape

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.schema.html import LONG, Html, box, facts, folded, shown, styled, table

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;</div></td></table>"
PARSER = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)


def parsed(markup):
    """The elements of a piece of HTML, which has to be without any fault."""
    return PARSER.parseFragment(str(markup))


def test_markup_in_a_text_is_text():
    found = parsed(styled(HOSTILE, "quote", "div"))
    assert [element.tag for element in found.iter()] == ["DOCUMENT_FRAGMENT", "div"]
    assert found[0].text == HOSTILE


@pytest.mark.parametrize(
    ("character", "written"),
    [
        ("\0", "[U+0000]"),
        ("\x1b", "[U+001B]"),
        ("\r", "[U+000D]"),
        ("\x9b", "[U+009B]"),
        ("\u202e", "[U+202E]"),
        ("\u2066", "[U+2066]"),
        ("\u061c", "[U+061C]"),
        ("\u200b", "[U+200B]"),
        ("\ufeff", "[U+FEFF]"),
        ("\ud800", "[U+D800]"),
        ("\U000e0041", "[U+E0041]"),
        ("\ufdd0", "[U+FDD0]"),
        ("\ufffe", "[U+FFFE]"),
        ("\U0010ffff", "[U+10FFFF]"),
    ],
)
def test_what_cannot_be_seen_is_written_out(character, written):
    assert shown(f"a{character}b") == f"a{written}b"


@pytest.mark.parametrize("text", ["tab\tand\nline", "\U0001f468\u200d\U0001f469", "نص", "ק\u05b0"])
def test_what_can_be_seen_stays(text):
    assert shown(text) == text


def test_a_long_text_is_cut_and_says_by_how_much():
    assert "[… 7 more characters]" in shown("<" * (LONG + 7)) and shown("<" * (LONG + 7)).count("&lt;") == LONG
    assert "more characters" not in shown("x" * LONG)


@given(st.text(st.characters(codec=None)))
def test_any_text_gives_sound_markup_that_holds_it_all(text):
    markup = shown(text, most=10**9)
    markup.encode()
    assert "".join(parsed(markup).itertext()) == unescape(markup)
    assert "<" not in markup


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5), st.text())
def test_every_shape_is_sound(rows, text):
    whole = box(text, text, table((text, text), rows), facts({text: text}), folded(text, text), styled(text, "warning"))
    assert len(parsed(whole).findall(".//tr")) == 1 + len(rows) + bool(text)


def test_markup_stays_markup_and_is_not_escaped_twice():
    assert shown(Html("<b>1</b>")) == "<b>1</b>"
    assert shown(styled("a & b", "")).count("&amp;") == 1


def test_a_long_table_says_how_many_rows_are_left():
    found = table(("n",), [(n,) for n in range(60)], most=50)
    assert len(parsed(found).findall(".//td")) == 50 and "and 10 more" in found


def test_empty_facts_are_left_out():
    assert facts({"a": "", "b": None, "c": (), "d": {}}) == ""
    assert "0" in facts({"a": 0})
