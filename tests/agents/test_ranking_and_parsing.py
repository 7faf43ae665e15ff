"""Small pieces of agents: fused scores, numbers in replies, prompts, budgets, confidence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.answerer import _stem
from rereader.agents.answerer import parse as parse_answer
from rereader.agents.confidence import Signals, confidence
from rereader.agents.gate import add_hops
from rereader.agents.reasoner import parse_numbers
from rereader.agents.searcher import Query, asked, hop
from rereader.models.base import Generation
from rereader.prompts.loader import Piece, load, parse, references
from rereader.schema import Budget, BudgetMeter, BudgetSpent, InputError, Record, RecordKind, Span
from rereader.tools.ranking import Ranking, add_up, add_z_scores


@given(st.dictionaries(st.integers(), st.floats(-1e6, 1e6), min_size=2), st.floats(0.1, 10), st.floats(-5, 5))
def test_z_scores_do_not_depend_on_scale_or_shift(scores, scale, shift):
    keys = list(scores)
    if max(scores.values()) - min(scores.values()) < 1e-3:
        return
    plain = Ranking(scores).z_scores(keys)
    moved = Ranking({k: v * scale + shift for k, v in scores.items()}).z_scores(keys)
    assert all(math.isclose(*pair, rel_tol=1e-4, abs_tol=1e-4) for pair in zip(plain, moved, strict=True))
    assert math.isclose(sum(plain), 0, abs_tol=1e-4)
    scores_of = add_z_scores([Ranking(scores), Ranking(scores, 2.0)], keys)
    assert all(math.isclose(scores_of[k], 3 * z, abs_tol=1e-9) for k, z in zip(keys, plain, strict=True))


def test_scores_are_added_by_weight_and_what_was_not_found_counts_as_absent():
    dense = {key: 0.5 - key / 100 for key in range(10)}
    added = add_up([Ranking({3: 1.0}, 0.4, absent=0.0), Ranking(dense)])
    assert max(added, key=added.__getitem__) == 3
    assert added[3] == pytest.approx(0.4 + 0.47)
    assert added[5] == pytest.approx(0.45)
    assert add_up([Ranking({1: 2.0, 2: 4.0}), Ranking({})], [1, 2, 7]) == {1: 2.0, 2: 4.0, 7: 2.0}
    assert add_up([Ranking({}), Ranking({})]) == {}


def test_hops_add_the_best_of_the_others_and_never_subtract():
    queries = [Query(()), Query(()), Query((), share=0.5)]
    scores = [{"a": 1.0, "b": 0.0}, {"a": -3.0, "b": 2.0}, {"a": -1.0, "b": 6.0}]
    assert add_hops(queries, scores, 0.5) == {"a": 1.0, "b": 1.5}
    assert add_hops(queries[:1], scores[:1], 0.5) == scores[0]


def test_a_hop_searches_for_the_rarest_words_that_the_question_did_not_have_and_that_stand_elsewhere():
    question = "With whom does the ferryman of Ulpelhala lodge?"
    quote = "Kormel Kelhesfala is the only ferryman in the old town of Ulpelhala, says footnote 292."
    passages = {"town": 40, "old": 90, "kormel": 3, "kelhesfala": 4, "footnote": 500, "says": 60, "292": 1}
    query = hop(quote, question, 0.5, passages.__getitem__)
    assert query.words == ("kormel", "kelhesfala", "town")
    assert (query.text, query.share) == ("", 0.5)
    assert hop(quote, question, 0.5, lambda _word: 1).words == ()
    assert asked(question, 0.6) == Query(("ferryman", "ulpelhala", "lodge"), question, beside=0.6)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("2, 5", [1, 4]), ("[3]", [2]), ("none", []), ("None of them", []), ("2 2 2", [1]), ("9 and 1", [0]),
     ("no idea", None), ("", None), ("99999999999", None)],
)  # fmt: skip
def test_numbers_in_a_reply(reply, expected):
    assert parse_numbers(reply, 5) == expected


@pytest.mark.parametrize(
    ("reply", "text", "cited"),
    [("Bald Hills", "Bald Hills", (1,)), ("Answer: Bald Hills\nbecause", "Bald Hills", (1,)), ("5265", "5265", (0,)),
     ("- \"Bald Hills\"", "Bald Hills", (1,)), ("5265, Bald Hills", "5265, Bald Hills", {0, 1}),
     ("the moon", "the moon", ()), ("", "", ())],
)  # fmt: skip
def test_answers_are_tied_to_the_quotes_that_carry_their_words(reply, text, cited):
    evidence = [quote_record("The strongbox opens with 5265."), quote_record("He lives at Bald Hills.")]
    draft = parse_answer(Generation(reply, (), "stop", 1), evidence)
    assert draft.text == text
    assert (set(draft.cited) if isinstance(cited, set) else draft.cited) == cited


def test_of_quotes_that_carry_as_much_the_one_that_answers_the_question_is_cited():
    evidence = [quote_record("The kingdom of Og was large."), quote_record("The bedstead of Og was of iron.")]
    draft = parse_answer(Generation("Og", (), "stop", 1), evidence, "Whose bedstead was of iron?")
    assert draft.cited == (1,)


def quote_record(text):
    return Record.create(run_id="r", kind=RecordKind.QUOTE, content=text, agent="a")


def test_prompts_are_strict():
    template = load("answer")
    with pytest.raises(InputError, match="takes the slots"):
        template.render(question="q")
    with pytest.raises(InputError, match="no prompt"):
        load("poem")
    for text in ("# user\nhi", "---\nname: x\n---\n# user\nhi", "---\nname: x\nversion: 1\nslots: a\n---\n# user\nhi"):
        with pytest.raises(InputError, match="malformed"):
            parse("x", text)


def test_what_fills_a_slot_is_not_trusted_and_stored_by_reference():
    span = Span(document_id="d", start=2, end=6)
    slots = {"question": "who?", "passages": [Piece("[1] ", trusted=True), Piece("text", span=span)]}
    prompt = load("answer").render(**slots)
    assert {s.text: s.trusted for s in prompt if s.text in ("who?", "[1] ", "text")} == {
        "who?": False, "[1] ": True, "text": False,
    }  # fmt: skip
    assert references(slots)["passages"][1] == {"span": ["d", 2, 6]}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30), st.integers(0, 300))
def test_a_budget_is_never_overrun(batches, limit):
    meter = BudgetMeter(Budget(tokens=limit))
    used = 0
    for tokens, unused in batches:
        before = meter.tokens
        try:
            meter.reserve(tokens=tokens)
        except BudgetSpent:
            assert before + tokens > limit
            assert meter.tokens == before
            continue
        meter.refund(tokens=min(tokens, unused))
        used += tokens - min(tokens, unused)
        assert meter.tokens == used <= limit


def test_seconds_are_a_budget_too():
    now = [0.0]
    meter = BudgetMeter(Budget(seconds=5), spent_seconds=2, clock=lambda: now[0])
    meter.reserve(tokens=1)
    now[0] = 3.0
    with pytest.raises(BudgetSpent, match="--max-seconds"):
        meter.reserve(tokens=1)


@pytest.mark.parametrize("logprob", [-9999.0, -1e300, 9999.0])
def test_absurd_log_probabilities_are_no_error(logprob):
    assert 0.0 <= confidence(Signals(0.5, 0.5, 0.5, logprob)) <= 1.0


def test_confidence_grows_with_every_signal():
    low = Signals(similarity=0.1, coverage=0.1, support=0.0, logprob=-3.0)
    for name in ("similarity", "coverage", "support", "logprob"):
        better = Signals(**{**low.__dict__, name: getattr(low, name) + 0.5})
        assert 0 < confidence(low) <= confidence(better) < 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("lodge", "lodges", True), ("lodging", "lodged", True), ("open", "opens", True), ("barge", "chapel", False),
     ("mary", "mark", False), ("1914", "1915", False), ("cat", "car", False), ("smith", "smite", False)],
)  # fmt: skip
def test_words_with_one_stem(one, other, same):
    assert (_stem(one) == _stem(other)) is same
