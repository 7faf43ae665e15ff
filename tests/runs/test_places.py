"""Places as people write them: one parser for `blame` and for edits of a fork."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.runs.places import place_of
from rereader.schema import Document, InputError


def document(identity, title, length=500):
    return Document(id=identity, title=title, source="s", length=length, loader="text/1")


BOOK = document("3f2a9c" + "0" * 58, "book: part 1.txt")
OTHER = document("3f77aa" + "0" * 58, "abc")


@pytest.mark.parametrize(
    "name", ["3f2a9c:", BOOK.id + ":", "book: part 1.txt:", "  3f2a:"], ids=["beginning", "id", "title", "space"]
)
def test_a_document_is_named_by_its_id_the_beginning_of_it_or_its_title(name):
    span = place_of([BOOK, OTHER], f"{name}12-40")
    assert (span.document_id, span.start, span.end) == (BOOK.id, 12, 40)


def test_one_document_needs_no_name():
    assert place_of([BOOK], "0-500").document_id == BOOK.id


def test_a_title_goes_before_the_beginning_of_another_ones_id():
    titled = document("9" * 64, "3f")
    assert place_of([BOOK, titled], "3f:0-1").document_id == titled.id


@given(st.integers(0, 499), st.integers(1, 500))
def test_any_place_inside_is_taken_as_it_is_written(start, end):
    if start < end:
        span = place_of([BOOK], f"{start}-{end}")
        assert (span.start, span.end) == (start, end)
    else:
        with pytest.raises(InputError, match="has no place"):
            place_of([BOOK], f"{start}-{end}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no place"),
        ("12", "is no place"),
        ("a-b", "is no place"),
        ("-3-5", "is no place"),
        ("\u0663-\u0665", "is no place"),
        ("1" * 13 + "-" + "2" * 13, "is no place"),
        ("3f2a:5-5", "has no place 5-5"),
        ("3f2a:0-501", "has no place 0-501"),
        ("zzz:0-5", "no document zzz"),
        ("3f:0-5", "2 documents 3f"),
        ("0-5", "2 documents that a place without a name could mean"),
    ],
)
def test_what_is_no_place_is_refused_with_the_way_out(text, message):
    with pytest.raises(InputError, match=message) as refused:
        place_of([BOOK, OTHER], text)
    assert "3f2a9c" in refused.value.hint or "500 characters" in refused.value.hint
