"""Paging without a model: paragraphs, possible ends, labels, gists that cannot be used, replies that name pages."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.costs import DocumentFacts
from rereader.agents.page_gister import fault, lead
from rereader.agents.page_lookup import Choice, parse_next, parse_pages
from rereader.agents.pages import expected_pages, most_pages
from rereader.graphs.gist_lookup import GistLookupSettings
from rereader.graphs.registry import get_graph
from rereader.schema import InputError
from rereader.tools.paging import Limits, page_ends, parse_label, possible_ends, thinned
from rereader.tools.paragraphs import paragraph_spans, size_in_words, words_in_paragraphs

TEXTS = st.text(alphabet="ab .!?\n\t\u2029\u5b57\u3002|", max_size=400)
PARTS = st.sampled_from(
    [
        "One two three. ",
        "A word\n",
        "\n\n",
        "\u5b57\u3002",
        "\u5b57" * 30,
        "\u0e01" * 90,
        "=-" * 60,
        "giant" * 500,
        "| 1 | ",
    ]
)
ODD_TEXTS = st.lists(PARTS, min_size=1, max_size=60).map("".join)
"""Texts with and without spaces: Chinese, Thai, tables of signs, words of 2,500 letters."""
SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=60)
LIMITS = Limits(least=280, most=600, rest=350)


# Paragraphs


@given(TEXTS, st.integers(1, 20))
def test_paragraphs_cover_every_character_in_order(text, most):
    spans = paragraph_spans(text, most)
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end for start, end in spans)


def test_blank_lines_end_paragraphs_and_belong_to_them():
    text = "\n One.\n\nTwo\nlines.\n \n\n\tThree.\n"
    assert [text[slice(*span)] for span in paragraph_spans(text, 99)] == [
        "\n One.\n\n",
        "Two\nlines.\n \n\n\t",
        "Three.\n",
    ]


def test_a_long_paragraph_is_cut_where_lines_and_sentences_end_together():
    text = "One two three. Four\nfive six.\nSeven eight. Nine ten.\n"
    assert [text[slice(*span)] for span in paragraph_spans(text, 6)] == [
        "One two three. Four\nfive six.\n",
        "Seven eight. Nine ten.\n",
    ]


def test_what_is_still_too_long_is_cut_at_sentences_and_a_sentence_stays_whole():
    text = "One two three. Four five six seven eight. Nine."
    assert [text[slice(*span)] for span in paragraph_spans(text, 4)] == [
        "One two three. ",
        "Four five six seven eight. ",
        "Nine.",
    ]


def test_signs_without_words_fill_pages_too():
    assert size_in_words("-+-" * 400) == 100
    assert size_in_words("one two") == 2
    assert len(paragraph_spans("=-" * 40_000, 600)) > 10


# Pages


@given(SIZES, st.integers(1, 300), st.integers(300, 600), st.integers(0, 400), st.randoms())
def test_pages_partition_the_paragraphs_and_keep_their_limits(sizes, least, most, rest, rng):
    asked = []

    def pick(before, start, ends):
        asked.append((before, start, list(ends)))
        return rng.randrange(len(ends))

    ends = page_ends(sizes, Limits(least, most, rest), pick)
    starts = [0, *ends[:-1]]
    assert ends[-1] == len(sizes) and starts == sorted(set(starts))
    words = [sum(sizes[first:last]) for first, last in zip(starts, ends, strict=True)]
    assert all(count <= most for count in words[:-1])
    assert words[-1] <= max(most, rest - 1)
    for one, two in pairwise(words):
        assert one >= least or one + two > most  # too short a page ends where the next paragraph would not fit
    for before, start, possible in asked:
        assert len(possible) > 1
        page = starts.index(start)
        assert before == starts[max(0, page - 1)]
        assert all(sum(sizes[start:end]) >= least for end in possible[:-1])
    assert len(asked) <= len(ends)


def test_labels_begin_after_the_least_words_and_one_stands_at_the_end():
    assert possible_ends([100] * 20, 0, LIMITS) == [3, 4, 5, 6]
    assert possible_ends([100] * 20, 17, LIMITS) == [20]
    assert possible_ends([200, 500, 100], 0, LIMITS) == [1]  # the next would pass: too short a page is the only one
    assert possible_ends([900, 100], 0, LIMITS) == [1]


def test_what_little_is_left_is_the_last_page_without_a_question():
    def never(before, start, ends):
        raise AssertionError("asked")

    assert page_ends([100, 100, 100, 49], LIMITS, never) == [4]
    with pytest.raises(AssertionError, match="asked"):
        page_ends([100, 100, 100, 50], LIMITS, never)


@given(st.integers(1, 500), st.integers(1, 26))
def test_of_too_many_labels_some_are_left_out_and_never_the_last(count, most):
    kept = thinned(count, most)
    assert kept == sorted(set(kept)) and kept[-1] == count - 1 and kept[0] >= 0
    assert len(kept) == min(count, most)


@pytest.mark.parametrize(
    ("reply", "position"),
    [
        ("<2>", 1),
        ("Break point: <3>", 2),
        ("2", 1),
        ("Of 3 places, <1>", 0),
        ("<4>", None),
        ("0", None),
        ("<57>", None),
        ("the second", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_a_label_is_read_from_a_reply(reply, position):
    assert parse_label(reply, 3) == position


def test_limits_that_contradict_one_another_are_refused():
    with pytest.raises(InputError, match="min_words must not be above max_words"):
        get_graph("gist-lookup").settings({"min_words": 700})


def test_the_expected_number_of_pages_is_the_stored_one_once_there_is_one():
    settings = GistLookupSettings(pagination="uniform")
    key = "pages:none:uniform:280-600-350"
    assert expected_pages(settings, DocumentFacts(5_800, 1_350, 3)) == 2
    assert expected_pages(settings, DocumentFacts(5_800, 1_350, 3, gists={key: 7})) == 7
    assert expected_pages(settings, DocumentFacts(5_800, 1_350, 3, gists={f"page-gists:x:{key}": 7})) == 2


def foretold(settings, text, *, known=True):
    """The most pages of a text whose tokens tell nothing."""
    words = partial(words_in_paragraphs, text) if known else None
    return most_pages(settings, DocumentFacts(len(text), 1, 1, words=words))


@given(ODD_TEXTS, st.integers(1, 40), st.integers(0, 60), st.integers(0, 30), st.data())
def test_whoever_picks_the_ends_no_more_pages_come_of_it_than_are_foretold_at_most(text, least, more, rest, data):
    settings = GistLookupSettings(min_words=least, max_words=least + more, rest_words=rest)
    sizes = [size_in_words(text[start:end]) for start, end in paragraph_spans(text, settings.max_words)]

    def pick(_before, _start, ends):
        return data.draw(st.sampled_from([0, len(ends) - 1, len(ends) // 2]))

    limits = Limits(least, least + more, rest)
    made = len(page_ends(sizes, limits, pick))
    assert made <= foretold(settings, text) <= foretold(settings, text, known=False)
    uniform = replace(settings, pagination="uniform")
    made = len(page_ends(sizes, limits, lambda _before, _start, ends: len(ends) - 1))
    assert made <= foretold(uniform, text) <= foretold(uniform, text, known=False)


def test_stored_pages_are_all_that_there_are():
    settings = GistLookupSettings(pagination="uniform")
    facts = DocumentFacts(5_800, 1_350, 3, words=lambda most: 1_200)
    assert most_pages(settings, facts) == 5
    assert most_pages(settings, replace(facts, gists={"pages:none:uniform:280-600-350": 2})) == 2


# Gists

PAGE = "The lamp stood in the window. " * 12 + "Nobody came in winter, and the road lay white. " * 10


@pytest.mark.parametrize(
    ("gist", "reason"),
    [
        ("A lamp in the window; nobody came.", ""),
        ("", "empty"),
        ("...", "empty"),
        (f"{PAGE} And so on.", "longer than the page"),
        (PAGE[:300], "copied"),
        (f"Here: {PAGE[:400]}", "copied"),
        (PAGE[200:260], ""),
    ],
)
def test_a_reply_that_cannot_be_a_gist_is_told(gist, reason):
    assert fault(gist, PAGE) == reason


def test_a_page_as_short_as_a_gist_may_be_its_own():
    assert fault("The lamp stood in the window.", "The lamp stood in the window.") == ""


def test_first_sentences_stand_in_and_are_no_longer_than_a_gist():
    assert lead("\n One two. Three.\n") == "One two. Three."
    made = lead(PAGE)
    assert PAGE.startswith(made) and made.endswith(".") and 70 < len(made.split()) <= 90
    assert len(lead("word " * 400).split()) == 90
    assert 0 < len(lead("=-" * 4000)) <= 1000


# Replies to a look-up


@pytest.mark.parametrize(
    ("reply", "chosen", "rejected"),
    [
        ("[3, 1]", (3, 1), ()),
        ("I want to look up pages [2] and [4].", (2,), ()),
        ("Page 3, page 5", (3, 5), ()),
        ("[Page 2, Page 3]", (2, 3), ()),
        ("[2, 2, 9, 0, 1]", (2, 1), (2, 9, 0)),
        ("[1, 2, 3, 4]", (1, 2, 3), (4,)),
        ("[]", (), ()),
        ("None.", (), ()),
        ("[1, 2", (1, 2), ()),
        ("[7]", (), (7,)),
    ],
)
def test_pages_are_read_from_a_reply(reply, chosen, rejected):
    choice = parse_pages(reply, range(1, 6), 3)
    assert (choice.chosen, choice.rejected) == (chosen, rejected)


@pytest.mark.parametrize("reply", ["", "the first ones", "9" * 400])
def test_a_reply_without_pages_is_a_failure(reply):
    assert parse_pages(reply, range(1, 6), 3) is None


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("2", Choice((2,), (2,))),
        ("Page 3.", Choice((3,), (3,))),
        ("STOP", Choice()),
        ("stop, 2 is enough", Choice()),
        ("1", Choice((1,), (), (1,))),
        ("99", Choice((99,), (), (99,))),
        ("unstoppable", None),
        ("", None),
    ],
)
def test_the_next_page_is_read_from_a_reply(reply, choice):
    assert parse_next(reply, {2, 3}) == choice
