"""Passages keep to one section, one row and, as far as sentences do, one page."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.chunker import Borders, cut_passages, join_sentences
from rereader.schema import Chunk, Span
from rereader.testing.texts import essay

TEXT = "One two three. Four five\nsix seven. Eight nine.\n"


def pieces(text, borders, words=50):
    return [text[start:end] for start, end in join_sentences(text, words, borders)]


def test_a_hard_border_cuts_a_sentence_and_a_soft_one_does_not():
    at = TEXT.index("six")
    assert pieces(TEXT, Borders()) == [TEXT]
    assert pieces(TEXT, Borders(hard=[at])) == [TEXT[:at], TEXT[at:]]
    assert pieces(TEXT, Borders(soft=[at])) == [TEXT]
    assert pieces(TEXT, Borders(soft=[TEXT.index("Eight")])) == [TEXT[: TEXT.index("Eight")], "Eight nine.\n"]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 1500), max_size=8), st.integers(1, 40), st.integers(50, 400))
def test_passages_partition_the_chunks_and_hold_no_border_inside(seed, offsets, words, size):
    text = "".join(essay(seed, 30))
    offsets = sorted(set(offsets))
    chunks = [
        Chunk(id=f"{n}", span=Span(document_id="d", start=at, end=min(at + size, len(text))), token_count=1, ordinal=n)
        for n, at in enumerate(range(0, len(text), size))
    ]
    made = list(cut_passages(text, chunks, words, Borders(hard=offsets)))
    assert made[0][1] == 0
    assert made[-1][2] == len(text)
    assert all(one[2] == other[1] for one, other in pairwise(made))
    assert all(body == text[start:end] for _, start, end, body in made)
    assert not any(start < offset < end for _, start, end, _ in made for offset in offsets)
