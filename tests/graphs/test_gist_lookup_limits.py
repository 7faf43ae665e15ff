"""Gist look-up: what is stored and charged, budgets, stops, odd documents, small windows."""

import re
import threading
from dataclasses import replace
from itertools import pairwise

import pytest
from paged_books import (
    GRAPH,
    QUESTION,
    Script,
    add,
    ask,
    book,
    detail,
    keeper_gists,
    paragraph,
    paragraphs_in,
    spans_of,
    two_books,
)

from rereader.agents.costs import Facts
from rereader.graphs.registry import get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.runs.facts import known_documents
from rereader.schema import Budget, InputError, Interrupted, ModelError
from rereader.testing.sessions import scripted_session

# Stored once, charged once


def test_a_second_question_looks_up_and_answers_only(start):
    script = Script(["[1]", "[2]", "5", "stop"])
    session = start(script)
    document = add(session, book())
    ask(session, document)
    answer = ask(session, document, question="Who hides it?")
    assert (answer.usage.calls, answer.usage.cached_calls) == (2, 0)
    assert len(script.prompts("page_break")) == len(script.prompts("page_gist")) == 5
    ask(session, document, question="Who else?", lookup="sequential")
    assert len(script.prompts("page_break")) == len(script.prompts("page_gist")) == 5


def test_pages_of_other_sizes_are_others(start):
    script = Script(["[]", "[]"])
    session = start(script)
    document = add(session, book())
    ask(session, document)
    ask(session, document, max_words=300, min_words=100)
    assert len(spans_of(session, document)) == 5
    assert len(spans_of(session, document, max_words=300, min_words=100)) > 5


@pytest.mark.parametrize(
    ("settings", "calls"), [({}, 2), ({"lookup": "sequential", "turns": 4}, 5), ({"lookup": "none"}, 1)]
)
def test_the_declared_calls_are_those_of_the_run(start, settings, calls):
    session = start(Script(["1", "2", "3", "4", "1", "2", "3", "5"]))
    document = add(session, book())
    ask(session, document, **settings)
    found = session.estimate("Who?", [(document.id, document.length)], graph=GRAPH, settings=settings)
    answer = ask(session, document, question="Who?", **settings)
    assert found.total("calls") == answer.usage.calls == calls


def test_half_made_memories_are_foretold_by_what_is_missing(start):
    script = Script()
    session = start(script)
    document = add(session, book())
    ask(session, document, budget=Budget(calls=6))
    stages = session.estimate(QUESTION, [(document.id, document.length)], graph=GRAPH).stages
    assert {stage.stage: stage.calls for stage in stages if stage.calls} == {"gist": 5, "lookup": 1, "answer": 1}


@pytest.mark.parametrize("limit", [0, 3, 5, 9, 10, 11])
def test_a_spent_budget_ends_the_run_and_is_never_passed(start, limit):
    script = Script(["[4]"])
    session = start(script)
    answer = ask(session, add(session, book()), budget=Budget(calls=limit))
    assert answer.status == "budget_spent"
    assert answer.usage.calls == len(script.model.calls) <= limit


def test_a_run_that_is_stopped_at_any_call_goes_on_without_repeating_one(start):
    whole_script = Script(["4", "2", "stop"])
    whole_session = start(whole_script)
    whole = ask(whole_session, *two_books(whole_session), lookup="sequential")
    made = [(call.method, call.prompt) for call in whole_script.model.calls]
    assert len(made) == 14
    for stop_at in (1, 2, 4, 7, 10, 11, 13, 14):
        script, cancel = Script(["4", "2", "stop"]), threading.Event()
        session = start(script)
        answer = stopped_and_resumed(session, two_books(session), script, cancel, stop_at)
        assert [(call.method, call.prompt) for call in script.model.calls] == made
        assert (answer.answer, answer.usage.calls) == (whole.answer, whole.usage.calls)
        assert answer.usage.prompt_tokens == whole.usage.prompt_tokens
        assert [item.quote for item in answer.evidence] == [item.quote for item in whole.evidence]


def stopped_and_resumed(session, documents, script, cancel, stop_at):
    """Ask; a Ctrl-C comes after the batch that holds the given call."""
    model = script.model
    generate, choose = model.generate, model.choose

    def counted(method):
        def call(*arguments):
            made = method(*arguments[:-1], None)
            if len(model.calls) >= stop_at:
                cancel.set()
                model.generate, model.choose = generate, choose
            return made

        return call

    model.generate, model.choose = counted(generate), counted(choose)
    settings = {"decline_below": 0, "lookup": "sequential"}
    try:
        return session.ask(QUESTION, [d.id for d in documents], graph=GRAPH, settings=settings, cancel=cancel)
    except Interrupted:
        return session.resume(session.library.runs.all()[0].id)


# Documents of all shapes


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Only this.", id="tiny"),
        pytest.param("\n \n?\n", id="one sign"),
        pytest.param(" ".join(f"Sentence {i} tells of a lamp and a road." for i in range(400)), id="one paragraph"),
        pytest.param("\n".join(f"A: line {i} of a talk that goes on for long." for i in range(300)), id="lines"),
        pytest.param(f"{paragraph(1, 3000)}", id="one sentence"),
        pytest.param("\n\n".join(paragraph(i, 3) for i in range(700)), id="many short paragraphs"),
        pytest.param("\u5b57\u3002" * 3000, id="chinese"),
        pytest.param("=-" * 9000, id="signs"),
    ],
)
@pytest.mark.parametrize("pagination", ["choose", "uniform"])
def test_every_text_has_pages(start, text, pagination):
    script = Script(gist=lambda page: "A gist.")
    session = start(script)
    document = add(session, text)
    ask(session, document, pagination=pagination)
    spans = spans_of(session, document, pagination=pagination)
    assert (spans[0].start, spans[-1].end) == (0, document.length)
    assert all(one.end == two.start for one, two in pairwise(spans))
    for call in script.model.calls:
        if call.method == "choose":
            assert len(call.options) <= 20


# Small windows


def test_gists_least_like_the_question_are_left_out_where_they_do_not_fit(start):
    def gist(page):
        return keeper_gists(page) if page.startswith("p12w0") else " ".join(page.split()[:140:2])

    script = Script(["[4]"], gist=gist, window=1400)
    session = start(script)
    answer = ask(session, add(session, book(40)), pages=1)
    [prompt] = script.prompts("lookup")
    shown = [int(number) for number in re.findall(r"Page (\d+):", prompt)]
    assert 4 in shown and 1 < len(shown) < 10 and shown == sorted(shown)
    [warning] = [warning for warning in answer.warnings if "least like the question" in warning]
    assert "gists of 10 pages" in warning and f"the {10 - len(shown)} least" in warning
    assert detail(session, answer, "lookup")[0]["left_out"] == 10 - len(shown)
    assert paragraphs_in(script.prompts("answer")[0]) == [12, 13, 14, 15]  # room was set aside for it


def test_of_too_many_pages_the_last_named_come_back_as_gists(start):
    script = Script(["[4, 2, 1]"], window=1200)
    session = start(script)
    answer = ask(session, add(session, book()))
    assert any("no room for page 1 in full" in warning for warning in answer.warnings)
    [prompt] = script.prompts("answer")
    assert paragraphs_in(prompt) == [4, 5, 6, 7, 12, 13, 14, 15]
    assert "Gist of p0w0." in prompt
    assert [page["page"] for page in detail(session, answer, "answer")[0]["expanded"]] == [2, 4]


def test_the_page_before_is_left_out_where_the_window_is_too_small(start):
    script = Script(window=1000)
    session = start(script)
    answer = ask(session, add(session, book()), pages=1)
    assert "The page before" not in script.prompts("page_break")[1]
    assert any("too small to show the page before" in warning for warning in answer.warnings)


@pytest.mark.parametrize("pagination", ["choose", "uniform"])
def test_a_window_too_small_for_a_page_is_refused_with_what_to_lower(start, pagination):
    session = start(Script(window=500))
    with pytest.raises(InputError, match="page of up to 600 words") as caught:
        ask(session, add(session, book()), pagination=pagination)
    assert "max_words" in caught.value.hint


def test_no_reader_is_said(tmp_path):
    session = scripted_session(tmp_path / "ws", Models(reader=None, embedder=HashingEmbedder()))
    with pytest.raises(ModelError, match="needs a reader"):
        ask(session, add(session, book()))
    session.library.close()


def test_a_reader_that_cannot_choose_labels_is_refused_with_what_to_do(start):
    script = Script(["[1]"])
    script.model.capabilities = replace(script.model.capabilities, choose=False)
    session = start(script)
    document = add(session, book())
    with pytest.raises(InputError, match="pagination=generate"):
        ask(session, document)
    assert script.model.calls == []


# Declared calls

UNSPACED = {
    "chinese": "\u5b57" * 40 + "\u3002",
    "chinese and words": "\u5b57" * 40 + "\u3002" + "One two. ",
    "thai": "\u0e01" * 70 + " ",
    "signs": "=-" * 70,
    "one word": "giant" * 30,
    "numbers": "1 2 3 4 5 6 7 8 9. ",
}


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("pagination", ["generate", "uniform"])
@pytest.mark.parametrize("kind", UNSPACED)
def test_texts_without_spaces_keep_to_the_declared_calls(start, kind, pagination, cut):
    session = start(Script(label="<1>", gist=lambda page: "A gist."))  # as short pages as there may be
    document = add(session, UNSPACED[kind] * 60)
    settings = {"pagination": pagination, "min_words": 40, "max_words": 200, "rest_words": 0}
    if cut:
        session.ask(QUESTION, [document.id], graph="retrieval", settings={"answer": False})
    declared = most_calls(session, document, settings)
    assert ask(session, document, **settings).usage.calls <= declared <= 3 + 2 * document.length / 40


def most_calls(session, document, settings):
    """The calls that a run may make at most, as they are declared before it."""
    values = get_graph(GRAPH).settings(settings)
    cut = f"{values.cut};tokens={session.counter.name}"
    known = known_documents(session.library, [(document.id, document.length)], cut, values.chunk_tokens, "", "hashing")
    costs = get_graph(GRAPH).costs(values, Facts(tuple(known), bound=frozenset({"reader", "embedder"})))
    return sum(work.calls_at_most for cost in costs for work in cost.works if work.kind in ("generate", "score"))
