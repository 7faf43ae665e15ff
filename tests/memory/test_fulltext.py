"""Words of passages: ranked by BM25, covered, shared with the neighbours."""

from itertools import accumulate

import pytest
from cutting import chunk_text, cut
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.memory.library import Library


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


def test_full_text_ranks_and_stems_and_knows_one_document_only(library):
    one = library.documents.add("The ferryman lodges here. " + "Nothing else. " * 50, title="a", source="a", loader="t")
    two = library.documents.add("A ferryman. " * 20, title="b", source="b", loader="t")
    first, second = cut(library, one, 26), cut(library, two, 12)
    [(best, score), *rest] = library.fulltext.search(first.id, ["lodge", 'ferry"man'], 10)
    assert library.chunks.passages_by_id(first, [best])[best].span.start == 0
    assert score > 0
    assert not rest
    assert len(library.fulltext.search(second.id, ["ferryman"], 100)) == 20
    assert library.fulltext.search(first.id, [], 10) == []
    assert library.fulltext.frequency(second.id, "ferryman") == (20, 20)


def test_coverage_is_the_share_of_the_words_whatever_the_length(library):
    parts = ["A red fox. ", "Of the blue dog nothing else is told, though the line is long, and long again. "]
    parts += ["One tan cat. "] * 9
    document = library.documents.add("".join(parts), title="a", source="a", loader="t")
    ends = list(accumulate(len(part) for part in parts))
    passages = [(0, end - len(part), end, part) for end, part in zip(ends, parts, strict=True)]
    chunking = library.chunks.add(document.id, "by hand", chunk_text(document, 10_000), passages)
    for words in (["red", "fox"], ["blue", "dog"]):
        [(_, share)] = library.fulltext.coverage(chunking.id, words, 5)
        assert share == pytest.approx(1.0, abs=0.2)
        [(_, half)] = library.fulltext.coverage(chunking.id, [words[0], "wasp"], 5)
        assert 0.3 < half < 0.6
    assert library.fulltext.coverage(chunking.id, ["wasp"], 5) == []


def by_hand(library, parts):
    """A chunking of which each part is a passage, behind another document's, and its first passage's id."""
    other = library.documents.add("Red foxes elsewhere. " * 3, title="o", source="o", loader="t")
    cut(library, other, 21)
    document = library.documents.add("".join(parts), title="a", source="a", loader="t")
    ends = list(accumulate(len(part) for part in parts))
    passages = [(0, end - len(part), end, part) for end, part in zip(ends, parts, strict=True)]
    chunking = library.chunks.add(document.id, "by hand", chunk_text(document, 10_000), passages)
    return chunking.id, library.chunks.passages(chunking)[0].id


def test_words_of_a_neighbour_count_less_than_own_ones(library):
    parts = ["The fox is red, red, red. ", "It barks. ", "A dog. ", *["One tan cat. "] * 9, "Barks, too. "]
    chunking, first = by_hand(library, parts)
    found = dict(library.fulltext.shares(chunking, ["fox", "barking"], 20, 0.5))
    shares = {identity - first: round(share, 3) for identity, share in found.items()}
    fox, bark = (library.fulltext.rarity(*library.fulltext.frequency(chunking, word)) for word in ("fox", "bark"))
    assert shares == {
        0: round((fox + bark / 2) / (fox + bark), 3),
        1: round((bark + fox / 2) / (fox + bark), 3),
        2: round(bark / 2 / (fox + bark), 3),
        11: round(bark / 2 / (fox + bark), 3),
        12: round(bark / (fox + bark), 3),
    }
    assert list(found) == sorted(found, key=lambda identity: (-found[identity], identity))
    assert len(library.fulltext.shares(chunking, ["fox", "bark"], 2, 0.5)) == 2
    assert library.fulltext.shares(chunking, ["fox"], 9, 0.0) == [(first, 1.0)]
    assert library.fulltext.shares(chunking, [], 9, 0.5) == library.fulltext.shares(chunking, ["wasp"], 9, 0.5) == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), min_size=1, max_size=5), min_size=1, max_size=9),
    st.sets(st.sampled_from(["fox", "dog", "owl", "wasp"]), max_size=4),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.sets(st.integers(0, 8)) | st.none(),
)
def test_shares_are_those_of_a_plain_count(tmp_path_factory, passages, words, beside, within):
    texts = [" ".join(words) + ". " for words in passages]
    with Library(tmp_path_factory.mktemp("shares")) as library:
        chunking, first = by_hand(library, texts)
        asked = None if within is None else [first + place for place in within if place < len(texts)]
        found = library.fulltext.shares(chunking, sorted(words), 99, beside, asked)
        rarity = {word: library.fulltext.rarity(*library.fulltext.frequency(chunking, word)) for word in words}
    expected = {}
    for place in range(len(texts)):
        near = [word for other in (place - 1, place + 1) if 0 <= other < len(texts) for word in passages[other]]
        worth = sum(rarity[w] * (1 if w in passages[place] else beside if w in near else 0) for w in words)
        if worth and (within is None or place in within):
            expected[first + place] = pytest.approx(worth / sum(rarity.values()))
    assert dict(found) == expected


def test_passages_of_a_chunking_are_counted_once(library, monkeypatch):
    document = library.documents.add("A ferryman. " * 20, title="b", source="b", loader="t")
    chunking = cut(library, document, 12)
    said, plain = [], library.database.rows

    def heard(sql, *rest):
        said.append(sql)
        return plain(sql, *rest)

    monkeypatch.setattr(library.database, "rows", heard)
    first, second = (library.fulltext.coverage(chunking.id, ["ferryman", "wasp"], 5) for _ in range(2))
    assert first == second
    assert sum("FROM passages WHERE chunking" in sql for sql in said) == 1
