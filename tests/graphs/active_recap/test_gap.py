"""Active recap: which words rest on something far back, and what deserves a recap for them."""

import math

import pytest
from recapping import BASE, GRAPH, QUESTION, add, ask, recaps_of, size, steps_of

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import Budget, InputError


def far_apart(between=60):
    """A text in which a number stands again, far from where it was told; nothing else repeats."""
    words = iter(f"word{i}" for i in range(10_000))

    def filler(sentences):
        return "".join(" ".join(next(words) for _ in range(9)).capitalize() + ". " for _ in range(sentences))

    told, again = "Keeper Tamwenis wrote 5265 upon the strongbox. ", "Then our clerk Tamwenis wrote 5265 once more. "
    other = "Some clerk sang songs of old. "  # shares a word with the place, and leads nowhere
    return filler(20) + other + filler(30) + told + filler(between) + again + filler(20), told, again


def test_only_the_part_with_a_key_token_is_condensed_together_with_its_segment(session, reader, scorer):
    text, told, again = far_apart()
    answer = ask(session, [add(session, text)], deserve="gap", short_tokens=100)
    [gap] = steps_of(session, answer, "gap")
    [[position, start, end, first, last]] = gap.detail["keys"]
    assert position == 0
    place = text.index(again)
    assert place <= start < place + len(again) and text[start:end] in again.split()
    assert told.strip() in text[first:last] and last < text.index(again)
    [long, short] = gap.detail["losses"][0]
    assert short - long > 2 and math.exp(-long) > 0.1
    steps = steps_of(session, answer, "recap")
    condensed = [step for step in steps if "recap" in step.detail]
    assert len(condensed) == 1 and sum(step.detail.get("carried", False) for step in steps) == len(steps) - 1
    [begin, stop] = condensed[0].detail["span"][1:]
    assert begin <= start < stop
    written, answered = [call.prompt for call in reader.calls]
    assert "Earlier passages" in written and told.strip() in written and text[begin:stop] in written
    [record] = recaps_of(session, answer)
    assert [(span.start, span.end) for span in record.spans] == [(begin, stop), (first, last)]
    assert record.content in answered
    [kept] = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "gap"]
    assert kept.content == text[first:last]


def test_every_candidate_is_tried_and_the_likeliest_is_taken(session, scorer):
    text, _, _ = far_apart()
    answer = ask(session, [add(session, text)], deserve="gap", short_tokens=100, candidates=4)
    tried = [call for call in scorer.calls if call.method == "log_likelihood"]
    assert len(tried) == 2 and any("clerk sang" in call.prompt for call in tried)
    assert len({call.options for call in tried}) == 1
    [gap] = steps_of(session, answer, "gap")
    [[_, start, end, first, last]] = gap.detail["keys"]
    assert tried[0].options == (text[start - 1 : end],)
    assert any(text[first:last] in call.prompt for call in tried)
    assert "5265" in text[first:last]
    assert all(text[start - 50 : start - 1] in call.prompt for call in tried)


def test_a_text_without_key_tokens_is_carried_through_with_one_call(session, reader, scorer):
    text = "".join(f"Word{i} and other{i} go with thing{i}. " for i in range(150))
    answer = ask(session, [add(session, text)], deserve="gap", short_tokens=100)
    assert steps_of(session, answer, "gap")[0].detail["keys"] == []
    assert len(reader.calls) == 1 and recaps_of(session, answer) == []


def test_a_text_no_longer_than_the_short_context_is_not_scored(session, scorer, text):
    ask(session, [add(session, text)], deserve="gap", short_tokens=5000)
    assert scorer.calls == []


def test_losses_are_read_block_by_block_and_only_once(session, scorer, text):
    document = add(session, text)
    settings = {"deserve": "gap", "short_tokens": 50, "long_tokens": 400}
    ask(session, [document], **settings)
    blocks = [call for call in scorer.calls if call.method == "token_losses"]
    assert len(blocks) == math.ceil(size(text) / 200)
    assert [len(call.prompt.split()) for call in blocks[1:-1]] == [400] * (len(blocks) - 2)
    scorer.calls.clear()
    ask(session, [document], question="Who walks on the stone road in winter?", **settings)
    assert scorer.calls == []


def test_the_gap_needs_a_scorer_that_shows_its_losses(session, text):
    document = add(session, text)
    session.models = Models(reader=session.models.reader, scorer=ScriptedModel(["A"]), embedder=session.models.embedder)
    with pytest.raises(InputError, match="does not tell how likely"):
        ask(session, [document], deserve="gap")


def test_a_budget_too_small_for_the_gap_ends_with_quotes(session, text):
    answer = ask(session, [add(session, text)], deserve="gap", short_tokens=50, budget=Budget(tokens=100))
    assert answer.status == "budget_spent" and answer.evidence


def test_declared_calls_of_the_gap_are_an_upper_bound(session):
    text, _, _ = far_apart()
    document = add(session, text)
    values = {**BASE, "deserve": "gap", "short_tokens": 100}
    found = session.estimate(QUESTION, [(document.id, document.length)], graph=GRAPH, settings=values)
    answer = ask(session, [document], deserve="gap", short_tokens=100)
    assert answer.usage.calls <= found.total("calls")
