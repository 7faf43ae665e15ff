"""Every rule of the conformance suite can fail: a small graph that breaks it, beside one that breaks none."""

import secrets
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Annotated

import pytest

from rereader.agents.calls import Request
from rereader.agents.chunker import chunk, ensure_chunks
from rereader.agents.context import Outcome
from rereader.agents.costs import StageCost, Work, costs
from rereader.agents.fixing import EVERY_STEP, FIRST_STEP, fixed_by
from rereader.agents.ledger import add_quotes
from rereader.agents.settings import ReadingSettings
from rereader.graphs import registry
from rereader.graphs.registry import ReadingGraph
from rereader.graphs.routing import connect, new_graph
from rereader.models.base import Sampling
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import Piece, load
from rereader.schema import BudgetSpent, Event, InputError, Record, RecordKind, Span
from rereader.testing.conformance import (
    RULES,
    ConformanceError,
    assert_conforms,
    check_graph,
    conformance_cases,
)
from rereader.tools.quotes import find_quotes

RULE = {rule.name: rule for rule in RULES}
SAMPLING = Sampling(max_new_tokens=20)


def passage(context, **more):
    """The first chunk as a piece of a prompt."""
    first = context.library.chunks.chunk(ensure_chunks(context, context.documents[0]), 0)
    return Piece(context.library.documents.text_of(first.span), span=first.span, **more)


def request(state, context, **more):
    return Request(load("answer"), {"question": state["question"], "passages": [passage(context, **more)]})


def conclude(state, context, text, **update):
    piece = passage(context)
    quotes = [quote for quote in find_quotes([text], [(piece.span, piece.text)]) if quote]
    version, scores = add_quotes(state, context, [(quote.span, quote.text, 1.0) for quote in quotes], "reader")
    detail = {"draft": text, "cited": list(scores), "scores": scores}
    return Outcome({"status": "answered", "memory_version": version, **update}, detail)


def call_cost(settings, facts):
    return StageCost("", (Work("generate", "reader", 100, 10, 1, 20),))


@costs(call_cost)
def sound(state, context):
    reply = context.need("reader").generate([request(state, context)], SAMPLING)[0]
    return conclude(state, context, reply.text)


def undeclared(state, context):
    return sound(state, context)


@costs(call_cost)
def miscounting(state, context):
    context.usage.calls += 1
    return sound(state, context)


@costs(call_cost)
def misquoting(state, context):
    span = Span(document_id=context.documents[0].id, start=0, end=9)
    made = Record.create(
        run_id=context.run_id, kind=RecordKind.QUOTE, content="misquoted", agent="reader", spans=[span], step=2
    )
    return Outcome({"status": "answered", "memory_version": context.memory.write(0, [("quote", made)])})


@costs(call_cost)
def unasked(state, context):
    """Calls the model past budget and cache."""
    reply = context.models.reader.generate([request(state, context).prompt], SAMPLING)[0]
    context.usage.calls += 1
    context.usage.prompt_tokens += reply.prompt_tokens
    return conclude(state, context, reply.text)


@costs(call_cost)
def silent(state, context):
    """Hides that the budget is spent."""
    try:
        return sound(state, context)
    except BudgetSpent:
        return Outcome({"status": "budget_spent"})


@costs(call_cost)
def overrunning(state, context):
    try:
        return sound(state, context)
    except BudgetSpent as error:
        context.warn(str(error))
        return unasked(state, context)


def keeping(state, context):
    """Leaves for the next node what does not outlive the process."""
    context.kept = passage(context).text[:40]
    return Outcome()


@costs(call_cost)
def forgetting(state, context):
    return conclude(state, context, getattr(context, "kept", ""))


@costs(call_cost)
def talkative(state, context):
    return conclude(state, context, "fine", accepted=[[passage(context).text]])


@costs(call_cost)
def random(state, context):
    return conclude(state, context, secrets.token_hex(8))


@costs(call_cost)
def ghostly(state, context):
    context.listen(Event("step", "another", 9, node="ghost"))
    return sound(state, context)


@costs(call_cost)
def trusting(state, context):
    reply = context.need("reader").generate([request(state, context, trusted=True)], SAMPLING)[0]
    return conclude(state, context, reply.text)


def read_half(state, context, *, second):
    """Reads half of the text, more of it the longer the question is."""
    document = context.documents[0]
    middle = document.length // 2 + len(state["question"])
    start, end = (middle, document.length) if second else (0, middle)
    span = Span(document_id=document.id, start=start, end=end)
    slots = {"question": state["question"], "passages": [Piece(context.library.documents.text_of(span), span=span)]}
    return context.need("reader").generate([Request(load("answer"), slots)], SAMPLING)[0].text


@costs(call_cost)
def halving(state, context):
    read_half(state, context, second=False)
    return Outcome()


@costs(call_cost)
def ending(state, context):
    return conclude(state, context, read_half(state, context, second=True))


@costs(call_cost)
def faulty(state, context):
    raise KeyError("oops")


def build(works, settings):
    names = [name for name, _ in works] + ["finish"]
    graph = new_graph(works)
    for origin, goal in pairwise(names):
        connect(graph, origin, goal)
    return graph


def made_of(*nodes):
    works = [("chunk", chunk), *((node.__name__, node) for node in nodes)]
    return ReadingGraph("tiny", "ours", "ours", ReadingSettings, partial(build, works), "A tiny graph.", None, "here")


@pytest.fixture
def register(monkeypatch):
    """Register a graph of some nodes as ``tiny`` while the test runs."""

    def add(*nodes, **more):
        monkeypatch.setitem(registry._GRAPHS, "tiny", replace(made_of(*nodes), **more))

    return add


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_sound_graph_breaks_none(rule, register, tmp_path):
    register(sound)
    rule.check("tiny", tmp_path)


@pytest.mark.parametrize(
    ("rule", "nodes", "fault"),
    [
        ("contract", [miscounting], "its usage says 2 calls"),
        ("spans", [misquoting], "evidence 0 is not what stands at 0:9"),
        ("budgets", [unasked], "a budget of 0 calls: 1 calls were made"),
        ("budgets", [silent], "no warning says that the budget is spent"),
        ("shares", [overrunning], "a budget of 0 calls: 1 calls were made"),
        ("resume", [keeping, forgetting], "stopped at step 2: the answer is"),
        ("killed", [unasked], "killed after step 2: 1 model calls were made"),
        ("forks", [unasked], "forked at step 0: 1 model calls were made"),
        ("forks", [random], "forked at step 0: the answer is"),
        ("questions", [halving, ending], "from step 2 on: parts of the text are not read, or are read twice"),
        ("state", [talkative], "the checkpoints hold text of the document"),
        ("seed", [random], "the answer of two runs under one seed differ"),
        ("progress", [ghostly], "(9, 'ghost')"),
        ("progress", [ghostly], "events name the runs ['another']"),
        ("costs", [undeclared], "a run made 1 model calls, its costs declare 0"),
        ("untrusted", [trusting], "prompts trust text that is a document's"),
    ],
)
def test_a_broken_graph_is_found(rule, nodes, fault, register, tmp_path):
    register(*nodes)
    with pytest.raises(ConformanceError) as caught:
        RULE[rule].check("tiny", tmp_path)
    assert fault in str(caught.value)
    assert {finding.rule for finding in caught.value.findings} == {rule}


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"doc": ""}, "has no docstring"),
        ({"honesty": "perfect"}, "none of baseline"),
        ({"honesty": "faithful"}, "names no source"),
        ({"honesty": "analogue", "system": "Some 2602.08382", "doc": "Like it."}, "does not say where it departs"),
    ],
)
def test_a_dishonest_label_is_found(more, fault, register, tmp_path):
    register(sound, **{"system": "tiny", **more})
    with pytest.raises(ConformanceError, match=fault):
        RULE["label"].check("tiny", tmp_path)


@pytest.mark.parametrize(
    ("stages", "fault"), [(["ghost"], "none of its nodes"), (["chunk", "chunk"], "declared twice")]
)
def test_costs_of_other_stages_are_found(stages, fault, register, tmp_path):
    works = (Work("generate", "reader", calls=1),)
    register(sound, estimator=lambda settings, facts: [StageCost(stage, works) for stage in stages])
    with pytest.raises(ConformanceError, match=fault):
        RULE["costs"].check("tiny", tmp_path)


@dataclass(frozen=True)
class Misdeclared(ReadingSettings):
    ghostly: Annotated[bool, fixed_by("ghost")] = False


def switched(mark):
    """Settings with one that decides whether there is a second node, and a builder that asks it."""

    @dataclass(frozen=True)
    class Switched(ReadingSettings):
        twice: Annotated[bool, mark] = True

    def build_switched(settings):
        works = [("chunk", chunk), ("0", sound), ("1", sound)]
        return build(works if settings.twice else works[:2], settings)

    return {"settings_type": Switched, "build": build_switched}


def test_a_setting_that_names_no_node_is_found(register, tmp_path):
    register(sound, settings_type=Misdeclared)
    with pytest.raises(ConformanceError, match="ghostly is fixed by the node ghost, which no form of the graph has"):
        RULE["settings"].check("tiny", tmp_path)


@pytest.mark.parametrize(("mark", "conforms"), [(EVERY_STEP, False), (fixed_by("0"), False), (fixed_by("1"), True)])
def test_a_setting_that_takes_a_node_away_is_fixed_by_it(mark, conforms, register, tmp_path):
    register(sound, **switched(mark))
    found = [finding.fault for finding in RULE["settings"].findings("tiny", tmp_path)]
    assert found == ([] if conforms else ["twice decides whether there is the node 1, but is not fixed by it"])


@pytest.mark.parametrize("mark", [FIRST_STEP, "nothing of the kind"], ids=str)
def test_a_setting_that_says_nothing_is_fixed_by_the_first_step(mark, register, tmp_path):
    register(sound, **switched(mark))
    assert registry.get_graph("tiny").fixed_by("twice") is None
    assert RULE["settings"].findings("tiny", tmp_path) == []


def test_all_broken_rules_are_named_at_once(register, tmp_path):
    register(faulty, doc="", settings_type=Misdeclared)
    found = check_graph("tiny", tmp_path / "a")
    assert {finding.rule for finding in found} == {rule.name for rule in RULES}
    assert any("KeyError" in finding.fault for finding in found)
    with pytest.raises(AssertionError) as caught:
        assert_conforms("tiny", tmp_path / "b")
    assert all(f"\n- {rule}: " in str(caught.value) for rule in RULES)


def test_what_a_node_raises_is_not_hidden_from_a_test(register, tmp_path):
    register(faulty)
    with pytest.raises(KeyError, match="oops"):
        RULE["seed"].check("tiny", tmp_path)


def test_cases_take_a_folder_and_the_callers_models_and_settings(register, tmp_path):
    seen = []

    def reply(prompt):
        seen.append(prompt)
        return "nothing"

    register(sound)
    models = partial(lambda: Models(reader=ScriptedModel(reply)))
    cases = dict(conformance_cases("tiny", models=models, settings={"chunk_tokens": 64}))
    cases["contract"](tmp_path)
    assert set(cases) == set(RULE)
    assert 0 < len(seen[0].split()) < 128


def test_a_graph_that_calls_no_model_may_answer_on_any_budget_but_none_of_time(register, tmp_path):
    register(keeping, forgetting)
    RULE["budgets"].check("tiny", tmp_path)


def test_an_unknown_graph_is_refused(tmp_path):
    with pytest.raises(InputError, match="no graph 'nowhere'"):
        check_graph("nowhere", tmp_path)
