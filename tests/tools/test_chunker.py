import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.tokens import estimate_counter, tiktoken_counter
from rereader.schema import InputError
from rereader.tools.chunker import FULL_ENOUGH, chunk_document, chunk_id
from rereader.tools.sentences import sentence_spans

WORDS = [
    "alpha",
    "Beta",
    "gamma,",
    "delta.",
    "Élan!",
    "你好。",
    "12.5",
    "\n",
    "\n\n",
    "\n\n# Head\n\n",
    "x" * 60,
    "🙂",
    " ",
]
TEXTS = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=120).map(" ".join))


def count_pieces(texts):
    """Each word costs its length in threes, each other character one."""
    return [sum(-(-len(piece) // 3) for piece in re.findall(r"\w+|\W", text)) for text in texts]


def count_more_together(texts):
    """A whole costs more than its parts."""
    return [len(text) + len(text) ** 2 // 500 for text in texts]


COUNTERS = [count_pieces, count_more_together, tiktoken_counter().count, estimate_counter().count]


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.sampled_from(COUNTERS), st.integers(1, 60))
def test_chunks_partition_the_text_within_the_limit(text, count_tokens, max_tokens):
    chunks = chunk_document(text, document_id="d", count_tokens=count_tokens, max_tokens=max_tokens)
    slices = [text[chunk.span.start : chunk.span.end] for chunk in chunks]
    assert "".join(slices) == text
    assert [chunk.token_count for chunk in chunks] == count_tokens(slices)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.token_count <= max_tokens or len(part) == 1 for chunk, part in zip(chunks, slices, strict=True))
    assert all(chunk.id == chunk_id("d", chunk.span.start, chunk.span.end) for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.sampled_from(COUNTERS), st.integers(8, 60), st.data())
def test_overlap_repeats_whole_sentences_within_its_limit(text, count_tokens, max_tokens, data):
    overlap = data.draw(st.integers(1, max_tokens - 1))
    chunks = chunk_document(
        text, document_id="d", count_tokens=count_tokens, max_tokens=max_tokens, overlap_tokens=overlap
    )
    assert not chunks or (chunks[0].span.start == 0 and chunks[-1].span.end == len(text))
    for before, after in pairwise(chunks):
        assert before.span.start < after.span.start <= before.span.end < after.span.end
    assert all(chunk.token_count <= max_tokens or len(chunk.span) == 1 for chunk in chunks)


def test_overlap_is_there_and_at_sentence_borders():
    text = " ".join(f"Sentence number {n} is here." for n in range(400))
    chunks = chunk_document(text, document_id="d", count_tokens=count_pieces, max_tokens=200, overlap_tokens=50)
    starts = {start for start, _ in sentence_spans(text)}
    for before, after in pairwise(chunks):
        repeated = text[after.span.start : before.span.end]
        assert after.span.start in starts
        assert 0 < count_pieces([repeated])[0] <= 50


def paragraphs(seed):
    rng = random.Random(seed)
    return [
        " ".join(f"{rng.choice('ABCD')}bc {'de ' * rng.randrange(4, 12)}end." for _ in range(rng.randrange(2, 5)))
        for _ in range(200)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_paragraph_borders_are_preferred(seed):
    text = "\n\n".join(paragraphs(seed))
    chunks = chunk_document(text, document_id="d", count_tokens=count_pieces, max_tokens=400)
    slices = [text[chunk.span.start : chunk.span.end] for chunk in chunks]
    assert all(part.endswith("\n\n") for part in slices[:-1])
    assert all(chunk.token_count >= FULL_ENOUGH * 400 * 0.9 for chunk in chunks[:-1])


def test_headings_begin_chunks_and_never_end_them():
    blocks = [f"CHAPTER {n}\n\n" + "\n\n".join(paragraphs(n)[:6]) for n in range(1, 30)]
    text = "\n\n".join(blocks)
    chunks = chunk_document(text, document_id="d", count_tokens=count_pieces, max_tokens=900)
    slices = [text[chunk.span.start : chunk.span.end] for chunk in chunks]
    assert not any(re.search(r"CHAPTER \d+\s*\Z", part) for part in slices)
    assert sum(part.startswith("CHAPTER") for part in slices) > len(slices) * 0.8


def test_long_sentences_are_split_between_words():
    text = "abcdefghi " * 150
    chunks = chunk_document(text, document_id="d", count_tokens=count_pieces, max_tokens=50)
    assert all(text[chunk.span.start : chunk.span.end].endswith(" ") for chunk in chunks)


def test_sentences_are_counted_in_batches():
    calls = []

    def counting(texts):
        calls.append(len(texts))
        return count_pieces(texts)

    text = "A sentence is here. " * 20_000
    chunk_document(text, document_id="d", count_tokens=counting, max_tokens=300)
    assert sum(calls) > 20_000
    assert len(calls) < 12


@pytest.mark.parametrize(("max_tokens", "overlap"), [(0, 0), (-5, 0), (10, 10), (10, -1)])
def test_senseless_limits_are_refused(max_tokens, overlap):
    with pytest.raises(InputError, match="cannot be made"):
        chunk_document("x", document_id="d", count_tokens=count_pieces, max_tokens=max_tokens, overlap_tokens=overlap)


def test_ids_depend_on_the_document_and_the_place_only():
    assert chunk_id("d", 0, 5) == chunk_id("d", 0, 5)
    assert len({chunk_id("d", 0, 5), chunk_id("e", 0, 5), chunk_id("d", 1, 5), chunk_id("d", 0, 6)}) == 4


def test_one_endless_line_is_bounded():
    text = "a" * 1_000_000
    chunks = chunk_document(text, document_id="d", count_tokens=estimate_counter(), max_tokens=512)
    assert sum(len(chunk.span) for chunk in chunks) == len(text)


def test_a_run_of_marks_is_halved_like_any_other_text():
    rounds = []

    def count(texts):
        rounds.append(len(texts))
        return [len(text) for text in texts]

    text = "e" + "\u0301" * 20_000
    chunks = chunk_document(text, document_id="d", count_tokens=count, max_tokens=50)
    assert "".join(text[chunk.span.start : chunk.span.end] for chunk in chunks) == text
    assert len(rounds) < 20


def test_marks_stay_with_their_character():
    text = "xe\u0301\u0302\u0303" * 40
    chunks = chunk_document(text, document_id="d", count_tokens=lambda texts: [len(t) for t in texts], max_tokens=7)
    assert not [chunk for chunk in chunks if text[chunk.span.start] in "\u0301\u0302\u0303"]
