# ruff: noqa: RUF001 - typographic characters are what is tested
import gzip
import json
import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rereader.schema import InputError, Match, Span
from rereader.tools.citations import supports
from rereader.tools.quote_tokens import is_hard, splits_token, tokenize
from rereader.tools.quotes import find_quotes, match_quote

SOURCE = (
    "Prince Vasíli paid 43,000 rubles to Dólokhov on July 5, 1805. He can’t go, and he did not want to. The inter-\n"
    "national   treaty — “signed” in Paris — was a beautiful, well-known thing. It fell to -5 degrees; p < 0.05 and\n"
    "12% of $5 were lost. It was colour, to-day. He will always be certainly not true. 你好世界。不是。 Anna went to\n"
    "market; John stayed home. Straße und Fluß. She saw ３０ ships. The area is 10² acres. Harm can be harmless."
)


def match(claimed, text=SOURCE, **kwargs):
    quote = match_quote(claimed, text, document_id="d", **kwargs)
    if quote is None:
        return None
    assert quote.text == text[quote.span.start : quote.span.end]
    assert quote.claimed == claimed
    return quote.match.value, quote.text


@pytest.mark.parametrize(
    ("claimed", "kind", "text"),
    [
        ("43,000 rubles", "exact", "43,000 rubles"),
        (" “Prince Vasíli paid” ", "exact", "Prince Vasíli paid"),
        ("你好世", "exact", "你好世"),
        ("1805", "exact", "1805"),
        ("43000 Rubles", "normalised", "43,000 rubles"),
        ("he cannot go and he did not want to", "normalised", "He can’t go, and he did not want to"),
        ("treaty -- 'signed' in paris", "normalised", "treaty — “signed” in Paris"),
        ("STRASSE UND FLUSS", "normalised", "Straße und Fluß"),
        ("She saw 30 ships", "normalised", "She saw ３０ ships"),
        ("...paid 43,000 rubles to Dólokhov...", "normalised", "paid 43,000 rubles to Dólokhov"),
        ("signed in Paris was a beautifull well known thing", "aligned", None),
        ("the international treaty signed in Paris", "aligned", "The inter-\nnational   treaty — “signed” in Paris"),
        ("Vasili paid 43,000 rubles to Dolokhov", "aligned", "Vasíli paid 43,000 rubles to Dólokhov"),
        ("was color, today. He will always", "aligned", "was colour, to-day. He will always"),
        ("Anna went to the market", "aligned", "Anna went to\nmarket"),
        ("Prince Vasíli paid ... on July 5, 1805", "aligned", SOURCE[:60]),
    ],
)
def test_found(claimed, kind, text):
    found = match(claimed)
    assert found is not None
    assert found[0] == kind
    assert text is None or found[1] == text


@pytest.mark.parametrize(
    "claimed",
    [
        "43,001 rubles",
        "000 rubles",
        "43 rubles",
        "Vasily paid 43,000 rubles to Dólokhov",
        "Prince Vasíli paid 43,000 rubles to Dolohov",
        "Vasíli paid 43,000 rubles to Dólokhov on July 6, 1805",
        "Vasíli paid 43,000 rubles to Dólokhov on June 5, 1805",
        "He can",
        "He can go and he did not want to",
        "he can’t go, and he did want to",
        "It fell to 5 degrees",
        "p > 0.05 and 12%",
        "12% of €5 were lost",
        "12 of $5 were lost",
        "He will ... be true",
        "He will always be ... true",
        "anna went to market jack stayed home",
        "signed in London was a beautiful well known thing",
        "The area is 102 acres",
        "Harm can not be harmless",
        "Harm can be harmful",
        "你不好世界",
        "art",
    ],
)
def test_near_misses_are_refused(claimed):
    assert match(claimed) is None


@pytest.mark.parametrize("claimed", ["", "   ", "a", "…", "the of and", "!!!", "to be or not to be", "\n\n", "I"])
def test_trivial_claims_are_refused(claimed):
    assert match(claimed, "a the of and to be or not to be I … !!!") is None


def test_only_the_window_is_looked_at():
    text = "The fox ran. The dog slept. The fox ran."
    assert match_quote("The fox ran", text, document_id="d", start=5).span.start == 28
    assert match_quote("The dog slept", text, document_id="d", end=20) is None
    assert match_quote("3,000 men", "13,000 men", document_id="d", start=1) is None
    assert match_quote("the can", "the cannon", document_id="d", end=7) is None


VOCABULARY = """
river Anna not 43 stone walked the old never seven naïve Müller don't bridge 1,805 você 好 in light remembered harbour
12.5% никогда e\u0301t İzmir ﬁne
"""
WORDS = st.sampled_from(VOCABULARY.split())
GAPS = st.sampled_from([" ", "  ", "\n", ", ", ". ", " — ", "; “", "” ", " ... ", "\u00a0"])
DOCUMENTS = st.lists(st.tuples(WORDS, GAPS), min_size=4, max_size=60)


def build(parts):
    return "".join(word + gap for word, gap in parts)


@settings(deadline=None, max_examples=120)
@given(st.one_of(st.text(), DOCUMENTS.map(build)), st.one_of(st.text(max_size=60), DOCUMENTS.map(build)))
def test_every_quote_is_the_source_slice(text, claimed):
    match(claimed, text)


@settings(deadline=None, max_examples=120)
@given(DOCUMENTS, st.data())
def test_every_slice_on_token_borders_is_found_exactly(parts, data):
    text = build(parts)
    tokens = tokenize(text)
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, len(tokens) - 1))
    claimed = text[tokens.starts[first] : tokens.ends[last]]
    found = match(claimed, text)
    assume(found is not None or not any(is_hard(w, w.lower()) for w in re.findall(r"\w+", claimed)))
    if found is not None:
        assert found == ("exact", claimed)


@settings(deadline=None, max_examples=120)
@given(DOCUMENTS, GAPS, st.booleans())
def test_other_punctuation_and_case_are_found_normalised(parts, gap, upper):
    text = build(parts)
    assume("İ" not in text and " ... " not in gap)
    text = "lantern " + text
    claimed = "lantern" + gap + "".join(word + gap for word, _ in parts)
    found = match(claimed.upper() if upper else claimed, text)
    assert found is not None
    assert len(tokenize(found[1])) == len(tokenize(text))


CHANGES = {
    "43": "44",
    "1,805": "1,806",
    "12.5%": "12.6%",
    "Anna": "Anne",
    "Müller": "Möller",
    "not": "",
    "never": "ever",
    "seven": "eleven",
    "don't": "do",
    "никогда": "всегда",
    "好": "坏",
}


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, st.data())
def test_a_changed_number_name_or_negation_never_matches(parts, data):
    places = [number for number, (word, _) in enumerate(parts) if word in CHANGES]
    assume(places)
    place = data.draw(st.sampled_from(places))
    changed = [(CHANGES[word] if number == place else word, gap) for number, (word, gap) in enumerate(parts)]
    claimed = " ".join(word for word, _ in changed)
    found = match(claimed, build(parts))
    assert found is None or hard_words(found[1]) == hard_words(claimed)


@settings(deadline=None, max_examples=150)
@given(DOCUMENTS, st.data())
def test_hard_tokens_of_claim_and_slice_are_the_same(parts, data):
    """Random edits of any kind: whatever is found carries the claim's numbers, names and negations in their order."""
    words = [word for word, _ in parts]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(words) - 1))
        edit = data.draw(st.sampled_from(["drop", "add", "swap", "typo"]))
        if edit == "drop" and len(words) > 1:
            del words[place]
        elif edit == "add":
            words.insert(place, data.draw(WORDS))
        elif edit == "swap":
            words[place] = data.draw(WORDS)
        else:
            words[place] = words[place][:-1] + data.draw(st.sampled_from("aeß9 "))
    claimed = " ".join(words)
    found = match(claimed, build(parts))
    if found is not None:
        assert hard_words(found[1]) == hard_words(claimed)


def hard_words(text):
    tokens = tokenize(text)
    return [plain(norm) for raw, norm in zip(tokens.raws, tokens.norms, strict=True) if is_hard(raw.lower(), norm)] + [
        plain(norm) for raw, norm in zip(tokens.raws, tokens.norms, strict=True) if norm in NAMES
    ]


NAMES = {"anna", "müller", "muller", "i̇zmir"}


def plain(norm):
    return norm.replace("ü", "u")


def test_repeated_text_gives_the_first_place():
    text = "the red house. " * 500
    assert match_quote("The red house.", text, document_id="d").span.start == 0
    assert match("the red house. The red huose", text)[0] == "aligned"


@pytest.mark.parametrize(
    "unit", ["a", "a ", "the cat ", "x1 ", "ab cd ef gh ", ".", "'", "1,", "-1", "a'", "aé", "好", "… "]
)
@pytest.mark.parametrize(
    "claimed", ["aaa aa", "a a b " * 30, "the cat sat ... the cat " * 9, "x1 x2 " * 40, "1,1 -1 ''"]
)
def test_hostile_windows_are_bounded(unit, claimed):
    text = unit * (50_000 // len(unit))
    match(claimed, text)
    match(text[:-1] + " zebra", text)


def test_exact_in_any_passage_comes_before_normalised_before_aligned():
    texts = [
        "The treaty was signd in Paris, then.",
        "the treaty was SIGNED in Paris.",
        "x The treaty was signed in Paris.",
    ]
    passages = [(Span(document_id="d", start=100 * n, end=100 * n + len(t)), t) for n, t in enumerate(texts)]
    claims = ["The treaty was signed in Paris", "The treaty was signed in London", "TREATY WAS signed in Paris"]
    exact, none, normalised = find_quotes(claims, passages)
    assert (exact.match, exact.span.start) == (Match.EXACT, 202)
    assert none is None
    assert (normalised.match, normalised.span.start) == (Match.NORMALISED, 104)
    assert normalised.text == "treaty was SIGNED in Paris"
    (aligned,) = find_quotes(claims[:1], passages[:1])
    assert (aligned.match, aligned.text) == (Match.ALIGNED, "The treaty was signd in Paris")


def test_a_passage_must_be_as_long_as_its_span():
    with pytest.raises(InputError, match="span"):
        find_quotes(["x"], [(Span(document_id="d", start=0, end=3), "four")])


def test_borders_inside_tokens():
    text = "can't 43,000 -5 end 好好"
    inside = [at for at in range(len(text) + 1) if splits_token(text, at)]
    assert inside == [1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 17, 18]


@pytest.mark.parametrize(
    ("claim", "quote", "score"),
    [
        ("Pierre paid 43,000 rubles", "Pierre paid 43,000 rubles", 1.0),
        ("Pierre paid 43,000 rubles", "Pierre paid nothing", 0.5),
        ("The ships were not lost", "the ship was lost", 2 / 3),
        ("Anna's house", "the houses of Anna", 1.0),
        ("the of", "the of", 0.0),
        ("", "anything", 0.0),
        ("a b", "", 0.0),
    ],
)
def test_supports_is_the_share_of_what_the_claim_says(claim, quote, score):
    assert supports(claim, quote) == pytest.approx(score)


@settings(deadline=None)
@given(st.text(), st.text())
def test_supports_is_between_nothing_and_all(claim, quote):
    assert 0.0 <= supports(claim, quote) <= 1.0
    assert supports(claim, claim) in (0.0, 1.0)


def test_quotes_of_a_whole_book_are_found():
    folder = os.environ.get("REREADER_DATA")
    if not folder:
        pytest.skip("REREADER_DATA does not name the benchmark data")
    books = Path(folder) / "books"
    text = gzip.decompress((books / "sherlock_holmes.txt.gz").read_bytes()).decode()
    passages = [(Span(document_id="d", start=0, end=len(text)), text)]
    rng = random.Random(7)
    claims = []
    for start in rng.sample(range(len(text) - 400), 50):
        tokens = tokenize(text[start : start + 300])
        claims.append(" ".join(text[start + tokens.starts[1] : start + tokens.ends[-2]].split()))
    for line in (books / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        if question["book"] == "sherlock_holmes":
            claims += [evidence["quote"] for evidence in question["evidence"]]
    for quote in find_quotes(claims, passages):
        assert quote is not None
        assert quote.text == text[quote.span.start : quote.span.end]
