"""Active recap: what each prompt holds, what is carried and kept, budgets, resume, declared calls."""

import math
import threading

import pytest
from recapping import BASE, FACT, GRAPH, QUESTION, add, ask, recaps_of, size, steps_of

from rereader.agents import recapper
from rereader.agents.recapper import CLOSE, OPEN
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.schema import Budget, InputError, Interrupted
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

# The linear variant


@pytest.mark.parametrize(("budget", "counts"), [(None, False), (Budget(calls=90), False), (Budget(tokens=9**9), True)])
def test_prompts_are_counted_once_more_only_where_tokens_are_short(session, text, monkeypatch, budget, counts):
    counted = []
    monkeypatch.setattr(recapper, "_tokens_due", lambda *given: counted.append(given) or 0)
    ask(session, [add(session, text)], budget=budget)
    assert bool(counted) is counts


def test_every_part_is_read_with_the_recap_of_those_before_and_without_the_question(session, reader, text):
    document = add(session, text)
    answer = ask(session, [document])
    parts = math.ceil(size(text) / 200)
    assert parts >= 5
    prompts = [call.prompt for call in reader.calls]
    assert len(prompts) == answer.usage.calls == answer.usage.serial_depth == parts
    recaps = recaps_of(session, answer)
    assert len(recaps) == parts - 1
    at = 0
    for number, (prompt, record) in enumerate(zip(prompts, recaps, strict=False)):
        [span] = record.spans
        part = text[span.start : span.end]
        assert span.start == at and size(part) == 200
        at = span.end
        assert part in prompt and "strongbox of the Ulpelhala office open?" not in prompt
        assert prompt.count(OPEN) == (number > 0)
        if number:
            before = recaps[number - 1]
            assert f"{OPEN}\n" in prompt and f"\n{before.content}\n" in prompt and f"\n{CLOSE}\n" in prompt
            assert record.parents == (before.id,)
            assert prompt.index(before.content) < prompt.index(part)
            assert not any(old.content in prompt for old in recaps[: number - 1])
    last = prompts[-1]
    assert text[at:] in last and recaps[-1].content in last and recaps[-2].content not in last
    assert last.index(recaps[-1].content) < last.rindex(text[at:], 0, last.index(QUESTION))
    assert all(call.sampling.max_new_tokens == 40 and call.sampling.stop == (CLOSE,) for call in reader.calls[:-1])


def test_old_recaps_stay_and_the_last_one_is_in_the_working_memory(session, text):
    answer = ask(session, [add(session, text)])
    memory = session.library.working_memory(answer.run_id)
    steps = steps_of(session, answer, "recap")
    recaps = recaps_of(session, answer)
    held = [[entry.record for entry in memory.read(step.memory_version, "note")] for step in steps]
    assert held == [[record] for record in recaps]
    assert [step.detail["recap"] for step in steps] == [record.id for record in recaps]
    assert set(answer.usage.seconds) >= {"recap", "answer"}


def test_a_second_question_repeats_no_reading(session, reader, text):
    document = add(session, text)
    first = ask(session, [document])
    made = len(reader.calls)
    second = ask(session, [document], question="Who walks on the stone road in winter?")
    assert len(reader.calls) == made + 1
    assert second.usage.calls == first.usage.calls
    assert second.usage.cached_calls == second.usage.calls - 1


def test_the_answer_is_quoted_from_what_was_read(session, text):
    answer = ask(session, [add(session, plant(essay(1, 90), [FACT], seed=1) + FACT)])
    assert answer.answer == "5265"
    assert "5265" in answer.evidence[answer.claims[0].evidence[0]].quote
    assert all(item.verified for item in answer.evidence)


def test_recaps_off_answers_from_the_last_part_alone(session, reader, text):
    text = f"{FACT} {text} The strongbox is empty, said the keeper of the office."
    document = add(session, text)
    answer = ask(session, [document], recaps="off")
    [call] = reader.calls
    assert OPEN not in call.prompt and answer.usage.calls == 1
    shown = call.prompt.split("<user>\n")[2][:-1]
    assert text.endswith(shown) and 0 < size(shown) <= 200
    assert answer.evidence and all(item.end > len(text) - len(shown) for item in answer.evidence)
    assert recaps_of(session, answer) == []
    assert {step.node for step in session.library.runs.steps(answer.run_id)} == {"chunk", "answer", "finish"}


@pytest.mark.parametrize("short", ["Bees.", FACT])
def test_a_text_of_one_part_is_not_condensed(session, reader, short):
    answer = ask(session, [add(session, short)])
    [call] = reader.calls
    assert short in call.prompt and OPEN not in call.prompt
    assert recaps_of(session, answer) == []


def test_several_documents_are_read_one_after_the_other(session, reader):
    one, two = add(session, plant(essay(3, 30), [FACT]), "one"), add(session, "".join(essay(4, 45)), "two")
    answer = ask(session, [one, two])
    spans = [record.spans[0] for record in recaps_of(session, answer)]
    assert [span.document_id for span in spans] == sorted([s.document_id for s in spans], key=[one.id, two.id].index)
    assert {span.document_id for span in spans} == {one.id, two.id}
    counts = [math.ceil(size(session.library.documents.text(d.id)) / 200) for d in (one, two)]
    assert len(reader.calls) == sum(counts)


def test_a_recap_holds_no_tags_and_an_empty_one_does_not_overwrite(tmp_path, text):
    replies = iter([f"{OPEN}First of all.{CLOSE} and more", f"  {OPEN} ", "Third.", *["Later."] * 20])
    model = ScriptedModel(lambda prompt: next(replies), name="reader")
    session = scripted_session(tmp_path, Models(reader=model, embedder=HashingEmbedder()))
    answer = ask(session, [add(session, text)])
    recaps = recaps_of(session, answer)
    assert [record.content for record in recaps[:2]] == ["First of all.", "Third."]
    assert recaps[1].parents == (recaps[0].id,)
    assert "\nFirst of all.\n" in model.calls[2].prompt
    assert answer.usage.parse_failures == 1
    session.close()


def test_evidence_only_reads_and_quotes_without_an_answer(session, reader, text):
    answer = ask(session, [add(session, text)], answer=False)
    assert answer.answer == "" and answer.evidence
    assert len(reader.calls) == math.ceil(size(text) / 200) - 1


def test_parts_shrink_to_the_window_and_say_so(session, reader, text):
    reader.context_window = 1000
    answer = ask(session, [add(session, text)], every=4000, summary_tokens=100)
    assert any("instead of 4,000" in warning for warning in answer.warnings)
    assert len(reader.calls) > 1
    with pytest.raises(InputError, match="No block of text fits"):
        ask(session, [add(session, text)], recap_tokens=480)


# Budgets and resume


def test_reading_ends_in_time_for_an_answer(session, reader, text):
    document = add(session, text)
    whole = ask(session, [document])
    reader.calls.clear()
    session.library.database.execute("DELETE FROM calls")
    answer = ask(session, [document], budget=Budget(calls=3))
    assert (answer.status, answer.usage.calls) == ("budget_spent", 3)
    recaps = recaps_of(session, answer)
    assert [r.content for r in recaps] == [r.content for r in recaps_of(session, whole)][:2]
    last = reader.calls[-1].prompt
    assert QUESTION in last and recaps[-1].content in last
    assert text[recaps[-1].spans[0].end :][:40] in last
    assert answer.answer and any("2 of" in warning for warning in answer.warnings)
    for tokens in range(450, whole.usage.total_tokens, 80):
        less = ask(session, [document], budget=Budget(tokens=tokens))
        assert less.status == "budget_spent" and less.answer in ("5265", "the harbour")
        assert less.usage.total_tokens <= tokens


def test_without_room_for_an_answer_the_best_quote_is_shown(session, reader, text):
    answer = ask(session, [add(session, text)], budget=Budget(calls=0))
    assert (answer.status, reader.calls) == ("budget_spent", [])
    assert answer.evidence and answer.answer


@pytest.mark.parametrize(
    "settings", [{}, {"deserve": "gap", "short_tokens": 60}, {"variant": "tree"}, {"request": "whole"}]
)
def test_a_run_that_is_stopped_anywhere_repeats_no_call(session, reader, scorer, settings):
    text = plant(essay(5, 80), [FACT, FACT])
    document = add(session, text)
    whole = ask(session, [document], **settings)
    steps = len(session.library.runs.steps(whole.run_id))
    for stop_at in range(1, steps + 1):
        session.library.database.execute("DELETE FROM calls")
        session.library.database.execute("DELETE FROM records WHERE run_id = ?", (document.id,))
        reader.calls.clear(), scorer.calls.clear()
        cancel, seen = threading.Event(), []

        def listen(event, cancel=cancel, seen=seen, stop_at=stop_at):
            if event.kind == "step":
                seen.append(event.node)
                if len(seen) == stop_at:
                    cancel.set()

        try:
            answer = session.ask(
                QUESTION, [document.id], graph=GRAPH, settings={**BASE, **settings}, listen=listen, cancel=cancel
            )
        except Interrupted:
            answer = session.resume(session.library.runs.all()[0].id)
        made = [(call.method, call.prompt, call.options) for model in (reader, scorer) for call in model.calls]
        assert len(made) == len(set(made))
        assert (answer.answer, answer.usage.calls) == (whole.answer, whole.usage.calls)
        assert [r.content for r in recaps_of(session, answer)] == [r.content for r in recaps_of(session, whole)]


# Costs


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"recaps": "off"},
        {"variant": "tree"},
        {"variant": "tree", "fan": 3},
        {"variant": "tree", "request": "whole"},
    ],
)
def test_declared_calls_are_those_that_are_made(session, reader, text, settings):
    session.counter = TokenCounter("words", True, reader.count_tokens)
    document = add(session, text)
    values = {**BASE, **settings}
    found = session.estimate(QUESTION, [(document.id, document.length)], graph=GRAPH, settings=values)
    answer = ask(session, [document], **settings)
    assert found.total("calls") == answer.usage.calls == len(reader.calls)
    assert found.total("tokens_in") == pytest.approx(answer.usage.prompt_tokens, rel=0.4)
