import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.tools.extract import central_sentences, document_frequencies
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

METHODS = ["central", "coverage", "informative"]
VOCABULARY = "ship storm Captain Ahab 1851 the of whale harpoon sea cold été 好 don't"
WORDS = st.sampled_from(VOCABULARY.split())
SENTENCES = st.lists(WORDS, min_size=1, max_size=12).map(lambda words: " ".join(words) + ". ")
TEXTS = st.lists(SENTENCES, min_size=1, max_size=15).map("".join)


def gist(text, method, budget, df=None, total=1):
    spans = sentence_spans(text)
    kept = central_sentences(text, spans, budget_words=budget, method=method, document_frequency=df or {}, total=total)
    return kept, [text[start:end].strip() for start, end in (spans[number] for number in kept)]


def test_document_frequencies_count_texts_not_words():
    frequencies, total = document_frequencies(iter(["the whale, the whale", "a Whale and a ship", ""]))
    assert total == 3
    assert frequencies == {"whale": 2, "ship": 1}


@settings(deadline=None, max_examples=150)
@given(TEXTS, st.sampled_from(METHODS), st.integers(0, 80))
def test_gists_keep_to_the_budget_and_are_never_empty(text, method, budget):
    df, total = document_frequencies([text, "storm at sea"])
    spans = sentence_spans(text)
    kept, parts = gist(text, method, budget, df, total)
    assert kept == sorted(set(kept))
    assert kept
    assert all(0 <= number < len(spans) for number in kept)
    assert sum(map(count_words, parts)) <= budget or len(kept) == 1
    assert gist(text, method, budget, df, total)[0] == kept


@settings(deadline=None)
@given(st.text(), st.sampled_from(METHODS), st.integers(-3, 40))
def test_any_text_is_taken(text, method, budget):
    kept, _ = gist(text, method, budget)
    assert bool(kept) == (count_words(text) > 0)


def test_nothing_gives_nothing():
    for method in METHODS:
        assert gist("", method, 50)[0] == []
        assert gist("... !!!", method, 50)[0] == []


def test_central_keeps_what_the_others_resemble():
    text = (
        "The whale sank the ship in the storm. The storm drove the ship to the whale. "
        "The ship met the whale before the storm. My uncle enjoys marmalade sandwiches daily. "
    )
    kept, parts = gist(text, "central", 16)
    assert 3 not in kept
    assert parts


def test_central_says_nothing_twice():
    text = "The grey whale sank the ship. " * 6 + "A cold storm broke the mast at night. "
    kept, _ = gist(text, "central", 60)
    assert len([number for number in kept if number < 6]) == 1


def test_coverage_spreads_over_what_is_said():
    text = (
        "Whales swim in cold northern water. Whales swim in cold water. Whales swim in northern water. "
        "Harpoons are forged from old nails. "
    )
    kept, _ = gist(text, "coverage", 13)
    assert kept == [0, 3]


@pytest.mark.parametrize("seed", range(5))
def test_informative_keeps_names_and_numbers(seed):
    rng = random.Random(seed)
    plain = ["rain", "wind", "water", "stone", "road", "house", "field", "light", "cloud", "grass"]
    sentences = [" ".join(rng.sample(plain, 6)).capitalize() + ". " for _ in range(20)]
    place = rng.randrange(20)
    sentences[place] = "The old strongbox of Ulpelhala opens with 5265. "
    df, total = document_frequencies(sentences * 5)
    kept, _ = gist("".join(sentences), "informative", 25, df, total)
    assert place in kept


def test_rare_words_weigh_more_than_common_ones():
    text = "Common people walked along common roads. Peculiar zeppelins hovered above quarries. "
    df, total = document_frequencies(["common people walked along roads"] * 50 + ["zeppelins hovered"])
    assert gist(text, "coverage", 6, df, total)[0] == [1]


def test_a_long_chunk_is_no_matrix():
    text = " ".join(f"Sentence {n} names item {n % 977} and item {n % 613}." for n in range(8_000))
    kept, parts = gist(text, "central", 500)
    assert 0 < sum(map(count_words, parts)) <= 500
    assert kept
