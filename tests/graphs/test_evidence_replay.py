"""Evidence replay: the published choice against a plain one, windows, rounds, heat, and what must not be read twice."""

import threading

import numpy as np
import pytest
import torch
from local_models import wrap

from rereader.agents.looker import attend
from rereader.memory.heat import heats
from rereader.models.base import Segment
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import load
from rereader.schema import Budget, InputError, Interrupted
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant
from rereader.tools.sentences import sentence_spans

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
GRAPH = "evidence-replay"
HEADS = ((0, 1), (1, 2), (1, 3))


@pytest.fixture
def text():
    return plant(essay(1, 400), [FACT])


@pytest.fixture
def scorer():
    return ScriptedModel(lambda prompt: "A", name="scorer", attends=True, context_window=2000)


@pytest.fixture
def reading(tmp_path, scorer):
    """A session whose scorer takes 2,000 words at once, and whose reader takes any text."""
    reader = ScriptedModel(quoting_reply, name="reader", context_window=10**6)
    made = scripted_session(tmp_path / "ws", Models(reader=reader, scorer=scorer, embedder=HashingEmbedder()))
    yield made
    made.library.close()


def ask(session, text, **settings):
    document = session.add_text(text, title="essay", source="essay.txt", graph=GRAPH)
    return session.ask(QUESTION, [document.id], graph=GRAPH, settings={"decline_below": 0, **settings})


def rounds_of(session, answer):
    return heats(session.library.records.of_run(answer.run_id))


def looks(scorer):
    return [call.prompt for call in scorer.calls if call.method == "attention"]


@pytest.mark.parametrize(
    ("same", "settings", "whole"),
    [
        (True, {}, True),
        (True, {"answer": False}, False),
        (True, {"window_tokens": 700}, False),
        (False, {}, False),
    ],
)
def test_all_layers_are_read_only_if_the_same_model_answers_from_the_text(
    tmp_path, scorer, monkeypatch, same, settings, whole
):
    plain, seen = ScriptedModel.attention, []

    def noted(self, *given, **named):
        seen.append(named["whole"])
        return plain(self, *given, **named)

    monkeypatch.setattr(ScriptedModel, "attention", noted)
    reader = scorer if same else ScriptedModel(quoting_reply, name="reader")
    session = scripted_session(tmp_path / "ws", Models(reader=reader, scorer=scorer, embedder=HashingEmbedder()))
    length = 40 if "window_tokens" not in settings else 200
    ask(session, plant(essay(1, length), [FACT]), **settings)
    session.close()
    assert seen and set(seen) == {whole}


# The published preset


def plain_prompt(text, spans, pool):
    """The prompt of a round, and the place of its first sentence."""
    evidence = []
    for block in pool:
        for sentence in sorted(block):
            words = text[slice(*spans[sentence])].strip()
            evidence += [Segment("user", words, trusted=False), Segment("user", "\n")]
    filling = {
        "T": [Segment("user", text[start:end], trusted=False) for start, end in spans],
        "E": [*evidence, Segment("user", "\n")] if evidence else [],
    }
    prompt, where = [], 0
    for segment in load("replay").render(before=[], document="T", evidence="E", question=QUESTION):
        if segment.text == "T":
            where = len(prompt)
        prompt += filling.get(segment.text, [segment])
    return tuple(prompt), where


def plain_scores(model, rendered):
    """The running score of the last eight tokens, from whole attention matrices of all layers."""
    config = model._config
    config._attn_implementation, before = "eager", config._attn_implementation
    with torch.inference_mode():
        network = model._engine.prefill_model
        layers = network(torch.tensor([rendered.ids]), output_attentions=True, use_cache=False).attentions
    config._attn_implementation = before
    score = np.zeros(len(rendered.ids))
    for cue in range(len(rendered.ids) - 8, len(rendered.ids)):
        row = np.mean([layers[layer][0, head, cue].numpy() for layer, head in HEADS], axis=0)
        score = (row + 0.75 * score) / (row + 0.75 * score).sum()
    return score


def reference_rounds(model, text, rounds, count):
    """Sentences of each round, with loops."""
    spans = sentence_spans(text)
    words = [" ".join(text[start:end].split()) for start, end in spans]
    pool = []
    for _ in range(rounds):
        prompt, where = plain_prompt(text, spans, pool)
        rendered = model._renderer.render(prompt)
        score = plain_scores(model, rendered)
        ranked = []
        for sentence in range(len(spans)):
            ranked += [(-score[token], token, sentence) for token in range(*rendered.ranges[where + sentence])]
        taken, known, wasted = [], {words[sentence] for block in pool for sentence in block}, 0
        for place, (_, _, sentence) in enumerate(sorted(ranked)):
            if place >= count + wasted:
                break
            if words[sentence] not in known:
                known.add(words[sentence])
                taken.append(sentence)
            elif place < count:
                wasted += 1
        pool.append(taken)
    return [sorted(spans[sentence] for sentence in taken) for taken in pool]


@pytest.mark.parametrize("seed", range(3))
def test_the_published_preset_takes_the_sentences_of_a_plain_implementation(tmp_path, seed):
    model = wrap("llama", seed)
    session = scripted_session(tmp_path, Models(reader=model, scorer=model, embedder=HashingEmbedder()))
    text = " ".join(f"The river {word} the tower in {1890 + i}." for i, word in enumerate("abcdefghijklmnop"))
    text += " The river a the tower in 1890."  # what stands twice is taken once
    heads = " ".join(f"{layer}-{head}" for layer, head in HEADS)
    answer = ask(session, text, preset="paper", sentences=2, heads=heads)
    taken = [
        sorted((hot.span.start, hot.span.end) for hot in heat.sentences if hot.taken)
        for heat in rounds_of(session, answer)
    ]
    assert len(taken) == 3
    assert taken == reference_rounds(model, text, 3, 2)
    session.close()


def test_where_reader_and_scorer_are_one_model_the_text_is_read_once(tmp_path):
    model = wrap("qwen2")
    session = scripted_session(tmp_path, Models(reader=model, scorer=model, embedder=HashingEmbedder()))
    text = " ".join(f"The river {i} and the tower." for i in range(60))
    read = []
    layer = model._engine.prefill_model.model.layers[0]
    hook = layer.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0].shape[1]))
    size = model.count_tokens([text])[0]
    for sentences in (1, 2):
        read.clear()
        answer = ask(session, text, heads="0-1", rounds=2, stand_out=0.9, evidence_words=20, sentences=sentences)
        assert len(rounds_of(session, answer)) == 2
        assert sum(read) < (size + 1400 if sentences == 1 else 1400)
        assert answer.usage.prompt_tokens >= sum(read) - answer.usage.completion_tokens
    hook.remove()
    session.close()


# Rounds


def test_a_round_that_finds_nothing_new_is_the_last(reading, text):
    answer = ask(reading, plant(essay(2, 12), [FACT]), rounds=9)
    found = rounds_of(reading, answer)
    assert [heat.round for heat in found] == list(range(1, len(found) + 1))
    assert 1 < len(found) < 9
    spans = list(answer.evidence)
    assert len({(item.start, item.end) for item in spans}) == len(spans)
    assert sum(len(item.quote.split()) for item in spans) <= 300


def test_evidence_stands_between_text_and_question_or_before_the_text(reading, scorer, text):
    short = plant(essay(2, 12), [FACT])
    ask(reading, short, rounds=2, fill=0.2)
    last = looks(scorer)[-1]
    assert last.count(FACT) == 2
    assert last.index("Passages of the text that may matter") > last.index(FACT)
    scorer.calls.clear()
    ask(reading, short, preset="last-layer", rounds=2, sentences=1)
    first, second = looks(scorer)
    assert second.index(first[first.index("Text:") : first.index("Question:")].strip()) > 0
    assert len(second) > len(first) and second.index("Text:") > first.index("Text:")


def test_what_an_empty_question_looks_at_is_asked_once_for_all_questions(reading, scorer, text):
    short = plant(essay(2, 12), [FACT])
    ask(reading, short, rounds=1)
    assert len(looks(scorer)) == 2
    document = reading.add_text(short, title="essay", source="essay.txt", graph=GRAPH)
    reading.ask("Who keeps the ferry?", [document.id], graph=GRAPH, settings={"rounds": 1})
    assert len(looks(scorer)) == 3


# Past the window


def test_a_long_text_is_looked_at_window_by_window_at_linear_cost(reading, scorer, text):
    answer = ask(reading, text, window_tokens=1000)
    [heat] = rounds_of(reading, answer)
    prompts = looks(scorer)
    assert heat.windows == len(prompts) // 2 > 3
    words = len(text.split())
    assert scorer.count_tokens(["".join(prompts[::2])])[0] < 1.3 * scorer.count_tokens([text])[0] + 200 * heat.windows
    assert words > 4000
    assert sum(FACT in prompt for prompt in prompts) == 2
    assert any(FACT in item.quote for item in answer.evidence)
    shown = [call.prompt for call in reading.models.reader.calls]
    assert FACT in shown[-1] and len(shown[-1].split()) < 500


def test_every_sentence_stands_in_one_window(reading, scorer, text):
    ask(reading, text, window_tokens=700)
    texts = [prompt.split("Text:\n", 1)[1].split("Question:")[0] for prompt in looks(scorer)[::2]]
    joined = "".join(part.replace("\n<user>\n", "") for part in texts)
    assert "".join(joined.split()) == "".join(text.split())


def test_a_killed_look_goes_on_where_it_was(reading, scorer, text, monkeypatch):
    document = reading.add_text(text, title="essay", source="essay.txt", graph=GRAPH)
    plain = ScriptedModel.attention
    cancel = threading.Event()

    def stopping(self, *given, **named):
        if len(looks(self)) == 5:
            cancel.set()
        return plain(self, *given, **named)

    monkeypatch.setattr(ScriptedModel, "attention", stopping)
    with pytest.raises(Interrupted) as stopped:
        reading.ask(QUESTION, [document.id], graph=GRAPH, settings={"window_tokens": 700}, cancel=cancel)
    assert "runs resume" in stopped.value.hint
    done = len(looks(scorer))
    monkeypatch.setattr(ScriptedModel, "attention", plain)
    [run] = reading.library.runs.all()
    answer = reading.resume(run.id)
    [heat] = rounds_of(reading, answer)
    assert len(looks(scorer)) == 2 * heat.windows and done == 5
    assert answer.usage.cached_calls == done


def test_a_reader_with_a_smaller_window_answers_from_the_evidence(tmp_path, text):
    scorer = ScriptedModel(["A"], name="scorer", attends=True)
    reader = ScriptedModel(quoting_reply, name="reader", context_window=900)
    session = scripted_session(tmp_path, Models(reader=reader, scorer=scorer, embedder=HashingEmbedder()))
    answer = ask(session, text)
    assert any("evidence alone" in warning for warning in answer.warnings)
    assert "5265" in answer.answer
    session.close()


def test_several_documents_are_looked_at_together(reading, scorer):
    first = reading.add_text("".join(essay(3, 5)), title="one", source="one.txt", graph=GRAPH)
    second = reading.add_text(plant(essay(4, 5), [FACT]), title="two", source="two.txt", graph=GRAPH)
    answer = reading.ask(QUESTION, [first.id, second.id], graph=GRAPH, settings={"decline_below": 0})
    assert any(item.document == "two" and FACT in item.quote for item in answer.evidence)


# Heat


def test_heat_holds_the_tokens_of_the_best_sentences(reading, text):
    answer = ask(reading, text[:4000] + FACT, rounds=1)
    [heat] = rounds_of(reading, answer)
    scores = [hot.score for hot in heat.sentences]
    assert scores == sorted(scores, reverse=True)
    whole = text[:4000] + FACT
    best = heat.sentences[0]
    assert FACT in whole[best.span.start : best.span.end] and best.taken
    assert {hot.span.start for hot in heat.sentences if hot.taken} == {item.start for item in answer.evidence}
    hottest = max(best.tokens, key=lambda token: token[2])
    sentence = whole[best.span.start : best.span.end]
    assert sentence[hottest[0] : hottest[1]] in ("strongbox", "Ulpelhala", "office")
    assert all(0 <= start < end <= len(sentence) for start, end, _ in best.tokens)


# Bad input


def test_what_cannot_look_is_refused(tmp_path, reading, text):
    blind = Models(reader=None, scorer=ScriptedModel(["A"], name="blind"), embedder=HashingEmbedder())
    session = scripted_session(tmp_path / "blind", blind)
    with pytest.raises(InputError, match="attention of the scorer blind cannot be read"):
        ask(session, text)
    session.close()
    with pytest.raises(InputError, match="names no heads"):
        ask(reading, text, heads="seven")
    with pytest.raises(InputError, match="heads 0-0 and 0-1"):
        ask(reading, text, heads="9-9")
    without = scripted_session(tmp_path / "tiny", Models(scorer=wrap(), embedder=HashingEmbedder()))
    with pytest.raises(InputError, match="no list of retrieval heads") as error:
        ask(without, text[:500])
    assert "--detect" in error.value.hint
    without.close()


def test_a_window_without_room_for_text_is_refused(reading, scorer, text):
    scorer.context_window = 100
    with pytest.raises(InputError, match="No text fits"):
        ask(reading, text)


def test_a_sentence_that_is_longer_than_a_window_is_refused(reading, text):
    with pytest.raises(InputError, match="does not fit a window of 3"):
        ask(reading, text, window_tokens=3)


def test_a_spent_budget_ends_the_run_with_what_it_has(reading, text):
    document = reading.add_text(text, title="essay", source="essay.txt", graph=GRAPH)
    settings = {"window_tokens": 700, "rounds": 2}
    answer = reading.ask(QUESTION, [document.id], graph=GRAPH, settings=settings, budget=Budget(tokens=4000))
    assert answer.status == "budget_spent"
    assert answer.usage.total_tokens <= 4000


def test_windows_that_were_looked_at_count_when_the_budget_is_spent(reading, text):
    document = reading.add_text(FACT + " " + text, title="essay", source="essay.txt", graph=GRAPH)
    settings = {"window_tokens": 700}
    answer = reading.ask(QUESTION, [document.id], graph=GRAPH, settings=settings, budget=Budget(tokens=4000))
    assert answer.status == "budget_spent" and FACT in answer.evidence[0].quote
    [heat] = rounds_of(reading, answer)
    assert heat.sentences and any("spent" in warning for warning in answer.warnings)


def test_a_round_over_several_windows_leaves_words_for_the_next(reading):
    facts = [f"The strongbox of the Ulpelhala office opens with {number} on day {number}." for number in range(60)]
    document = reading.add_text(plant(essay(1, 300), facts), title="e", source="e.txt", graph=GRAPH)
    settings = {"window_tokens": 900, "rounds": 2, "decline_below": 0}
    answer = reading.ask(QUESTION, [document.id], graph=GRAPH, settings=settings)
    first, second = rounds_of(reading, answer)
    assert sum(hot.taken for hot in first.sentences) > sum(hot.taken for hot in second.sentences) > 0


def test_evidence_never_outgrows_the_window(tmp_path):
    scorer = ScriptedModel(["A"], name="scorer", attends=True, context_window=850)
    session = scripted_session(tmp_path, Models(scorer=scorer, embedder=HashingEmbedder()))
    facts = [f"The strongbox of the Ulpelhala office opens with {number} on day {number}." for number in range(60)]
    short = plant(essay(1, 61), facts)
    for settings in ({"evidence_words": 600, "rounds": 3}, {"preset": "paper", "sentences": 400, "heads": "0-0"}):
        answer = ask(session, short, **settings)  # a prompt past the window would be an error
        assert any("no room" in warning for warning in answer.warnings)
        assert len(answer.evidence) > 10
    session.close()


def test_looking_declares_its_cost():
    assert attend.cost is not None


# Kept texts


def test_a_kept_text_is_announced_used_and_removed_with_its_document(tmp_path):
    text = " ".join(f"The river {i} and the tower." for i in range(60))
    settings = {"heads": "0-1", "rounds": 1, "stand_out": 0.9, "evidence_words": 20, "keep": "exact"}
    spent = []
    for question in ("Who?", "Where is the tower?"):
        model = wrap("qwen2")
        session = scripted_session(tmp_path, Models(scorer=model, embedder=HashingEmbedder()))
        document = session.add_text(text, title="t", source="t.txt", graph=GRAPH)
        answer = session.ask(question, [document.id], graph=GRAPH, settings=settings)
        spent.append(answer.usage.prompt_tokens)
        [kept] = (tmp_path / "kv").iterdir()
        assert any("MB are kept" in warning for warning in answer.warnings) == (question == "Who?")
        session.close()
    assert spent[1] < spent[0] / 3
    many = scripted_session(tmp_path / "many", Models(scorer=wrap("qwen2"), embedder=HashingEmbedder()))
    ids = [many.add_text(f"River {i}.", title=f"t{i}", source=f"t{i}", graph=GRAPH).id for i in range(13)]
    answer = many.ask("Who?", ids, graph=GRAPH, settings=settings)
    assert any("more than 12 documents" in warning for warning in answer.warnings)
    many.close()
    session = scripted_session(tmp_path)
    session.library.remove(document.id)
    assert not kept.exists()
    session.close()
