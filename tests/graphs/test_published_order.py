"""The published order of ``compressed-memory``: one pass, a gate that sees what is known, a write for each chunk."""

import re
from dataclasses import replace

import pytest

from rereader.graphs.registry import get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import InputError
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACTS = ["The strongbox of the Ulpelhala office opens with 5265.", "The ferry of Ulpelhala leaves at nine."]
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
SETTINGS = {"order": "scan", "chunk_tokens": 60, "gist": "extract", "reads": "raw", "decline_below": 0, "ahead": 1}


def lets_in(words):
    """A gate that lets in chunks which hold any of the words."""

    def choose(prompt, options):
        note = prompt.split("Note: ")[-1] if "Note: " in prompt else prompt
        return [0.0, -5.0] if any(word in note for word in words) else [-5.0, 0.0]

    return ScriptedModel(lambda prompt: "A", name="gatekeeper", choose=choose)


@pytest.fixture
def ask(tmp_path):
    opened = []

    def run(gatekeeper, settings=None, window=32768, *, chooses=True):
        count = iter(range(1000))

        def reply(prompt):
            return f"known {next(count)}: 5265" if "<piece>" in prompt else "5265"

        reader = ScriptedModel(reply, name="reader", context_window=window)
        reader.capabilities = replace(reader.capabilities, choose=chooses)
        models = Models(reader=reader, scorer=gatekeeper, embedder=HashingEmbedder())
        session = scripted_session(tmp_path / f"ws{len(opened)}", models)
        opened.append(session)
        text = plant(essay(1, 120), FACTS)
        document = session.library.documents.add(text, title="t", source="t", loader="text/1")
        values = {**SETTINGS, **(settings or {})}
        answer = session.ask(QUESTION, [document.id], graph="compressed-memory", settings=values)
        return answer, reader, session

    yield run
    for session in opened:
        session.close()


def flat(prompt):
    return re.sub(r"\s+", " ", re.sub(r"<(?:user|system|assistant)>\n", "", prompt))


def decisions(session, answer):
    return [row for step in session.library.runs.steps(answer.run_id) for row in step.detail.get("decisions", [])]


def test_every_chunk_is_gated_once_in_order_and_only_those_let_in_are_read(ask):
    gatekeeper = lets_in(["Ulpelhala"])
    answer, reader, session = ask(gatekeeper)
    found = decisions(session, answer)
    assert [row[1] for row in found] == list(range(len(found)))
    let_in = [row[1] for row in found if row[-1]]
    assert 1 <= len(let_in) <= 2
    writes = [call for call in reader.calls if "<piece>" in call.prompt]
    assert len(writes) == len(let_in)
    assert all("Ulpelhala" in flat(call.prompt).split("<piece>")[1] for call in writes)
    assert "5265" in answer.answer
    assert any(FACTS[0] in item.quote for item in answer.evidence)


def test_the_gate_sees_what_is_known_once_something_is(ask):
    gatekeeper = lets_in(["Ulpelhala"])
    answer, _, session = ask(gatekeeper)
    first = next(row[1] for row in decisions(session, answer) if row[-1])
    prompts = [
        flat(call.prompt) for call in gatekeeper.calls if call.method == "choose" and "Note: <" not in call.prompt
    ]
    with_known = ["Known already: known" in prompt for prompt in prompts]
    assert any(with_known) and not all(with_known)
    assert with_known == sorted(with_known)  # from some chunk on, all of them
    assert with_known.count(False) >= first


def test_the_working_memory_is_rewritten_from_the_last_one_and_the_answer_sees_nothing_else(ask):
    answer, reader, session = ask(lets_in(["Ulpelhala", "garden"]))
    writes = [flat(call.prompt) for call in reader.calls if "<piece>" in call.prompt]
    assert len(writes) >= 3
    assert "There is no memory yet." in writes[0]
    assert all(f"known {i}: 5265" in prompt for i, prompt in enumerate(writes[1:]))
    last = flat(reader.calls[-1].prompt)
    assert f"known {len(writes) - 1}: 5265" in last
    assert "harbour" not in last
    kept = [r for r in session.library.records.of_run(answer.run_id) if r.agent == "recaller"]
    assert [list(record.parents) for record in kept] == [[], *([record.id] for record in kept[:-1])]


@pytest.mark.parametrize("ahead", [2, 5, 100])
def test_gating_ahead_comes_to_the_same_decisions_in_fewer_dependent_calls(ask, ahead):
    one, _, session = ask(lets_in(["Ulpelhala", "garden"]))
    other, _, again = ask(lets_in(["Ulpelhala", "garden"]), {"ahead": ahead})
    assert decisions(session, one) == decisions(again, other)
    assert (one.answer, [e.quote for e in one.evidence]) == (other.answer, [e.quote for e in other.evidence])
    assert other.usage.serial_depth < one.usage.serial_depth


def test_one_by_one_the_calls_are_one_for_each_chunk_one_for_each_write_and_the_answer(ask):
    answer, _, session = ask(lets_in(["Ulpelhala"]))
    found = decisions(session, answer)
    assert answer.usage.calls == len(found) + sum(row[-1] for row in found) + 1


def test_when_nothing_is_let_in_it_declines_to_cite(ask):
    answer, reader, _ = ask(lets_in(["nowhere"]))
    assert len(reader.calls) == 1
    assert answer.evidence == []


def test_a_gist_is_read_in_place_of_the_text(ask):
    _, reader, _ = ask(lets_in(["Ulpelhala"]), {"reads": "gist", "chunk_tokens": 200})
    pieces = [flat(call.prompt).split("<piece>")[1] for call in reader.calls if "<piece>" in call.prompt]
    assert pieces
    assert all(len(piece.split()) < 150 for piece in pieces)


def test_only_this_order_is_called_faithful():
    graph = get_graph("compressed-memory")
    assert graph.settings({"order": "scan"}).honesty == "faithful"
    assert graph.settings({}).honesty == "analogue"


def test_a_window_for_no_chunk_is_refused_before_any_call(ask):
    gatekeeper = lets_in(["Ulpelhala"])
    with pytest.raises(InputError, match="beside the working memory"):
        ask(gatekeeper, window=1500)
    assert gatekeeper.calls == []


def test_a_reader_that_cannot_choose_is_no_gate(ask):
    with pytest.raises(InputError, match="cannot be the gate"):
        ask(None, chooses=False)


@pytest.mark.parametrize(("reads", "gisted"), [("raw", False), ("gist", True)])
def test_gists_are_made_only_for_who_reads_them(reads, gisted):
    graph = get_graph("compressed-memory")
    assert ("gist" in graph.build(graph.settings({"order": "scan", "reads": reads})).nodes) == gisted
