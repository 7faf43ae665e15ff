"""What a notebook shows of answers, records, runs, steps, moments and graphs."""

import html5lib
import pytest

from rereader.agents.settings import ReadingSettings
from rereader.graphs.registry import all_graphs, get_graph
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.edits import Edit
from rereader.runs.timeline import timeline
from rereader.schema import Budget
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

MARKUP = "<script>alert(1)</script><b onclick='x'>"
FACT = f"The strongbox of Ulpelhala \u202e{MARKUP} opens with 5265."
QUESTION = f"With which number does the strongbox of Ulpelhala open? {MARKUP}"
GRAPHS = ["retrieval", "compressed-memory", "ledger", "memory-agent", "active-recap"]
PARSER = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)


def seen(value):
    """The text that a browser would show of a value, once it is sure that it is harmless HTML."""
    found = PARSER.parseFragment(value._repr_html_())
    tags = {element.tag for element in found.iter()} - {"DOCUMENT_FRAGMENT"}
    assert tags <= {"div", "span", "table", "tbody", "tr", "td", "th", "details", "summary"}
    assert all(set(element.attrib) <= {"style"} for element in found.iter())
    assert all("url(" not in element.attrib.get("style", "") for element in found.iter())
    text = "".join(found.itertext())
    assert "\u202e" not in text
    return text


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    reader = ScriptedModel(lambda prompt: f"It opens with 5265. {MARKUP}", name="reader")
    session = scripted_session(tmp_path_factory.mktemp("ws"), Models(reader=reader, embedder=HashingEmbedder()))
    text = plant(essay(1, 90), [FACT])
    session.library.documents.add(text, title=f"notes {MARKUP}", source="t", loader="text/1")
    yield session
    session.close()


@pytest.fixture(scope="module")
def runs(session):
    """A run of several graphs each."""
    ids = [document.id for document in session.library.documents.all()]
    found = {}
    for name in GRAPHS:
        known = get_graph(name).settings_type.__dataclass_fields__
        small = {"decline_below": 0, "block_tokens": 200, "memory_tokens": 50, "chunk_tokens": 128, "gist": "extract"}
        settings = {key: value for key, value in small.items() if key in known}
        answer = session.ask(QUESTION, ids, graph=name, settings=settings)
        found[name] = session.library.runs.get(answer.run_id)
    return found


@pytest.mark.parametrize("graph", GRAPHS)
def test_answers_and_runs_are_shown(runs, graph):
    run = runs[graph]
    for value in (run, run.answer):
        text = seen(value)
        assert MARKUP in text and run.id in text and "tokens" in text
        assert all(claim.text in text for claim in run.answer.claims)
    quoted = [quote for quote in run.answer.evidence if "5265" in quote.quote]
    assert quoted and f"characters {quoted[0].start}-{quoted[0].end}" in seen(run.answer)
    assert "[U+202E]" in seen(run.answer)


@pytest.mark.parametrize("graph", GRAPHS)
def test_steps_and_moments_are_shown(session, runs, graph):
    steps = session.library.runs.steps(runs[graph].id)
    moments = list(timeline(session.library, runs[graph]))
    for step, moment in zip(steps, moments, strict=True):
        for value in (step, moment):
            text = seen(value)
            assert f"step {step.number}: {step.node}" in text
            assert all(call.template in text for call in step.calls)
    assert any(MARKUP in seen(moment) for moment in moments)


def test_a_moment_shows_prompts_and_what_changed_word_by_word(session, runs):
    moments = list(timeline(session.library, runs["memory-agent"]))
    rewriting = next(moment for moment in moments if moment.memory.superseded or moment.memory.added)
    text = seen(rewriting)
    assert "prompt of call 1" in text and "working memory v" in text
    gate = next(moment for moment in timeline(session.library, runs["compressed-memory"]) if moment.decisions)
    assert f"of {len(gate.decisions)} chunks let in" in seen(gate)


def test_a_record_is_shown(session, runs):
    records = session.library.records.of_run(runs["retrieval"].id)
    quote = next(record for record in records if "5265" in record.content)
    text = seen(quote)
    assert "[U+202E]" in text and quote.id[:12] in text and f"characters {quote.spans[0].start}-" in text


def test_a_fork_says_what_it_goes_on_from(session, runs):
    parent = runs["memory-agent"]
    first = next(moment for moment in timeline(session.library, parent) if moment.memory.added)
    edit = Edit("pin", first.memory.added[0].record.id)
    fork = session.library.runs.get(session.fork(parent.id, first.number, edits=[edit]).run_id)
    assert f"{parent.id}, after step {first.number}" in seen(fork)
    assert any("pinned: note" in seen(moment) for moment in timeline(session.library, fork))


def test_a_run_that_failed_says_why(session):
    run = session.library.runs.create(
        "f" * 12, question="Who?", graph="retrieval", settings={}, models={}, budget=Budget(), document_ids=[]
    )
    session.library.runs.update(run.id, status="failed", failure=f"It broke. {MARKUP}")
    assert f"It broke. {MARKUP}" in seen(session.library.runs.get(run.id))


@pytest.mark.parametrize("name", [graph.name for graph in all_graphs()])
def test_every_graph_is_shown_with_its_nodes_and_settings(name):
    graph = get_graph(name)
    text = seen(graph)
    assert name in text and graph.summary in text
    assert all(node in text for node in graph.build(graph.settings({})).nodes)
    assert all(field in text for field in ReadingSettings.__dataclass_fields__)
