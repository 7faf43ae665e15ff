"""Recursive runs: caps, choosing among actions, and that after a kill no call is made twice."""

import re
import threading

import pytest
from recursive_runs import FACT, GRAPH, QUESTION, SEARCH, TEXT, Runs, helped, rooted, turns_of

from rereader.graphs.registry import get_graph
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import Budget, Interrupted
from rereader.testing.sessions import scripted_session


@pytest.fixture
def ask(tmp_path):
    runs = Runs(tmp_path)
    yield runs
    runs.close()


# Caps


def test_sub_calls_are_capped_and_the_model_is_told(ask):
    lines = ["split(doc, 6)", 'map(parts1, "q1")', 'map(parts1, "q2")', 'map(parts1[0:2], "q3")', 'answer("5265")']
    answer, reader, session = ask(lines, sub_calls=8)
    turns = turns_of(session, answer)
    assert [turn["sub_calls"] for turn in turns] == [0, 6, 0, 2, 0]
    assert "6 calls of the helper are too many, 2 are left" in turns[2]["error"]
    assert len(helped(reader)) == 8
    assert "2 calls of it are left" in rooted(reader)[2]


def test_a_part_that_does_not_fit_is_refused_at_depth_one(ask):
    answer, reader, session = ask(['ask(doc, "q")', SEARCH, 'answer("5265")'], window=2000)
    assert "too long for the helper" in turns_of(session, answer)[0]["error"]
    assert helped(reader) == []


def test_at_depth_two_a_long_part_is_a_run_of_its_own(ask):
    inner = [SEARCH, 'map(found1, "What opens it?")', 'answer("5265, says the sub-run")']
    lines = ["all = split(doc, 2)", 'deep = ask(all[0:2], "Which number?")', *inner, "answer(deep)"]
    answer, reader, session = ask(lines, window=2000, depth=2)
    assert answer.answer == "5265, says the sub-run"
    turns = turns_of(session, answer)
    assert [turn["action"] for turn in turns] == ["split", "ask", "answer"]
    assert turns[1]["sub_calls"] == 3 + len(helped(reader))
    asked = [prompt for prompt in rooted(reader) if "Which number?" in prompt and QUESTION not in prompt]
    assert len(asked) == 3  # the sub-run's question stands for the run's
    assert "deep" in rooted(reader)[-1] and "says the sub-run" in rooted(reader)[-1]
    assert FACT in answer.evidence[0].quote


def test_a_sub_run_that_fails_is_an_error_and_bounded(ask):
    lines = ['ask(doc, "Which?")', "fly", "fly", "fly", SEARCH, 'answer("5265")']
    answer, _, session = ask(lines, window=2000, depth=2)
    assert "came to no answer on this part" in turns_of(session, answer)[0]["error"]
    endless = iter(f"peek({n})" for n in range(1000))
    answer, reader, session = ask(
        lambda prompt: 'ask(doc, "Which?")' if QUESTION in prompt else next(endless), window=2000, depth=2, sub_calls=20
    )
    assert len(rooted(reader)) <= 20 + 12


def test_costs_bound_the_calls():
    graph = get_graph(GRAPH)
    settings = graph.settings({"turns": 5, "sub_calls": 10, "fallback_parts": 2, "plan": "choose"})
    from rereader.agents.costs import DocumentFacts, Facts

    facts = Facts((DocumentFacts.guessed(100_000, 512),), bound=frozenset({"reader"}))
    calls = {cost.stage: sum(work.calls for work in cost.works) for cost in graph.costs(settings, facts)}
    assert (calls["plan"], calls["act"], calls["answer"]) == (10, 10, 3)
    none = Facts((DocumentFacts.guessed(100_000, 512),))
    assert sum(work.calls for cost in graph.costs(settings, none) for work in cost.works) == 0


@pytest.mark.parametrize("mode", ["actions", "code"])
@pytest.mark.parametrize("tokens", [3_000, 6_000])
def test_the_budget_holds_for_sub_calls_too_and_what_was_found_is_kept(ask, mode, tokens):
    if mode == "code":
        lines = ["```\nr = llm_query_batched(['q' + P[i:i + 3000] for i in range(0, len(P), 3000)])\n```"] * 12
    else:
        lines = [SEARCH, "split(doc, 12)", 'map(parts1, "q")']
    answer, _, _ = ask(lines, mode=mode, budget=Budget(tokens=tokens))
    assert answer.status == "budget_spent"
    assert answer.usage.total_tokens <= tokens
    assert any("budget" in warning for warning in answer.warnings)
    assert FACT in answer.answer


# Choosing


def chooser(wanted):
    """Scores the wanted kinds in turn, by the letter that the prompt gives them."""
    kinds = iter(wanted)

    def score(prompt, options):
        if QUESTION not in prompt:
            return [0.0] * len(options)
        kind = next(kinds)
        letter = re.search(rf"(\w)\. {kind}:", prompt)[1]
        return [5.0 if option == letter else 0.0 for option in options]

    return score


def test_choosing_scores_what_makes_sense_and_writes_only_words(tmp_path):
    words = iter(["strongbox Ulpelhala", "What opens it?", "5265"])

    def reply(prompt):
        if "The next action: " in prompt:
            return next(words)
        return "It opens with 5265." if FACT in prompt else "nothing"

    reader = ScriptedModel(reply, name="reader", choose=chooser(["search", "map", "answer"]), context_window=2000)
    session = scripted_session(tmp_path, Models(reader=reader))
    document = session.add_text(TEXT, title="t", source="t", graph=GRAPH)
    answer = session.ask(QUESTION, [document.id], graph=GRAPH, settings={"decline_below": 0, "chunk_tokens": 128})
    assert (answer.answer, answer.warnings) == ("5265", [])
    lines = [r.content for r in session.library.records.of_run(answer.run_id) if r.agent == "planner"]
    assert lines[0] == 'search("strongbox Ulpelhala", 5)' and lines[-1] == 'answer("5265")'
    first = next(call.prompt for call in reader.calls if call.method == "choose")
    assert "A. search: " in first and "B. split: " in first
    assert "map: " not in first and "answer: " not in first  # there is nothing to map or answer from
    assert "ask: " not in first  # the text does not fit a helper
    session.close()


def test_choosing_leads_to_an_answer_whatever_the_scores_are(tmp_path):
    def reply(prompt):
        if "The next action: " in prompt:
            return "1. strongbox Ulpelhala"
        return "It opens with 5265." if FACT in prompt else "nothing"

    def first(prompt, options):
        return [float(len(options) - i) for i in range(len(options))] if QUESTION in prompt else [0.0] * len(options)

    reader = ScriptedModel(reply, name="reader", choose=first, context_window=2000)
    session = scripted_session(tmp_path, Models(reader=reader))
    document = session.add_text(TEXT, title="t", source="t", graph=GRAPH)
    answer = session.ask(QUESTION, [document.id], graph=GRAPH, settings={"decline_below": 0, "chunk_tokens": 128})
    lines = [r.content for r in session.library.records.of_run(answer.run_id) if r.agent == "planner"]
    assert lines[0] == 'search("strongbox Ulpelhala", 5)'  # its numbering is no word to search for
    assert len(lines) <= 8 and len({line.split("(")[0] for line in lines}) > 1
    session.close()


# Kills


def stopped_at(session, documents, stop_at, settings):
    """Ask, stop before the node with this number, and go on."""
    cancel, steps = threading.Event(), []

    def listen(event):
        if event.kind == "step":
            steps.append(event.node)
            if len(steps) == stop_at:
                cancel.set()

    try:
        return session.ask(QUESTION, documents, graph=GRAPH, settings=settings, listen=listen, cancel=cancel)
    except Interrupted:
        return session.resume(session.library.runs.all()[0].id)


ACTIONS = [SEARCH, "all = split(doc, 5)", 'map(all, "What opens it?")', "bad line", 'answer("5265")']
BLOCKS = [
    "```repl\nhits = [m.start() for m in re.finditer('strongbox', P)]\nprint(hits)\n```",
    "```repl\nr = llm_query_batched(['What opens it? ' + P[h - 100:h + 300] for h in hits])\n"
    "kept = llm_query('Say ' + r[0])\n```",
    "```repl\nprint(len(r), kept)\n```",
    "```repl\nFINAL(kept)\n```",
]


@pytest.mark.parametrize(("mode", "lines"), [("actions", ACTIONS), ("code", BLOCKS)])
def test_a_run_stopped_before_any_node_resumes_and_repeats_no_call(tmp_path, mode, lines):
    settings = {"plan": "generate", "mode": mode, "decline_below": 0, "chunk_tokens": 128}

    def by_turn(prompt):
        """As :class:`Script`, but by the turn that the prompt names, since a call may be made again."""
        turn = re.search(r"Turn (\d+) of", prompt)
        return lines[int(turn[1]) - 1] if turn else "It opens with 5265." if FACT in prompt else "5265 it is"

    reader = ScriptedModel(by_turn, name="reader")
    session = scripted_session(tmp_path, Models(reader=reader))
    document = session.add_text(TEXT, title="t", source="t", graph=GRAPH)
    whole = session.ask(QUESTION, [document.id], graph=GRAPH, settings=settings)
    nodes = len(session.library.runs.steps(whole.run_id))
    assert nodes == 1 + 2 * len(lines) + 2 and whole.warnings == []
    for stop_at in range(1, nodes + 1):
        session.library.database.execute("DELETE FROM calls")
        reader.calls.clear()
        answer = stopped_at(session, [document.id], stop_at, settings)
        made = [(call.method, call.prompt) for call in reader.calls]
        assert len(made) == len(set(made))
        assert (answer.answer, answer.usage.calls, answer.warnings) == (whole.answer, whole.usage.calls, [])
        assert [e.quote for e in answer.evidence] == [e.quote for e in whole.evidence]
    session.close()
