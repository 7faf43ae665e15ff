"""Prompts of finished runs are rendered again to the letter, or it is said why they cannot be."""

import sys
from dataclasses import replace

import pytest
from recursive_runs import SEARCH, Runs

from rereader.graphs.registry import all_graphs
from rereader.prompts.loader import parse, prompt_sha256
from rereader.runs.prompting import rendered
from rereader.testing.conformance_room import SETTINGS, echoing_models
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 90), [FACT])
MORE = [
    ("active-recap", {"every": 300, "recap_tokens": 60}),
    ("active-recap", {"variant": "tree", "every": 300, "recap_tokens": 60}),
    ("compressed-memory", {"gate": "choose", "reasoner": "model"}),
    ("compressed-memory", {"gate": "likelihood"}),
    ("compressed-memory", {"gist": "model", "gate": "choose", "rerank": "attention"}),
    ("compressed-memory", {"reads": "kv", "accept": 2, "working_tokens": 40}),
    ("compressed-memory", {"order": "scan", "reads": "both", "threshold": 0.4, "working_tokens": 40}),
    ("compressed-memory", {"order": "scan", "reads": "raw", "threshold": 0.4, "working_tokens": 40}),
    ("evidence-replay", {"rounds": 3, "sentences": 1}),
    ("gist-lookup", {"lookup": "sequential", "min_words": 60, "max_words": 150, "rest_words": 80}),
    ("ledger", {"kind": "whole", "every": 300, "recap_tokens": 60}),
    ("memory-agent", {"block_tokens": 300, "memory_tokens": 100, "memories": 2, "recall": True}),
    ("retrieval", {"rerank": "attention"}),
]
CASES = [(graph.name, {}) for graph in all_graphs()] + MORE


def asked(session, graph, settings):
    document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")
    return session.ask(QUESTION, [document.id], graph=graph, settings={**SETTINGS, **settings})


def calls_of(library, answer):
    return [call for step in library.runs.steps(answer.run_id) for call in step.calls]


@pytest.fixture
def session(tmp_path):
    made = scripted_session(tmp_path / "ws", echoing_models())
    yield made
    made.close()


@pytest.mark.parametrize(("graph", "settings"), CASES, ids=str)
def test_every_prompt_of_every_graph_comes_out_as_the_model_saw_it(session, graph, settings):
    answer = asked(session, graph, settings)
    calls = calls_of(session.library, answer)
    found = [rendered(session.library, call) for call in calls]
    assert [shown.reason for shown in found if shown.parts is None] == []


ACTIONS = [f"found = {SEARCH}", 'map(found, "What opens it?")', 'answer("5265")']
CODE = [
    "```repl\nhit = P.index('strongbox')\nr = llm_query('What opens it? ' + P[hit - 100:hit + 300])\n```",
    "```repl\nFINAL(r)\n```",
]
code_only = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no sandbox here")


@pytest.mark.parametrize(("mode", "lines"), [("actions", ACTIONS), pytest.param("code", CODE, marks=code_only)])
def test_what_recursive_runs_put_together_themselves_comes_out_too(tmp_path, mode, lines):
    runs = Runs(tmp_path)
    answer, _, session = runs(lines, mode=mode)
    shown = [rendered(session.library, call) for call in calls_of(session.library, answer)]
    assert len(shown) >= 3 and all(one.parts is not None for one in shown)
    runs.close()


def test_the_parts_are_what_the_model_was_sent(session):
    answer = asked(session, "memory-agent", {"block_tokens": 300, "memory_tokens": 100})
    calls = [call for call in calls_of(session.library, answer) if call.role == "reader" and call.method == "generate"]
    sent = [call.prompt for call in session.models.reader.calls if call.method == "generate"]
    for call, prompt in zip(calls, sent, strict=True):
        parts = rendered(session.library, call).parts
        assert "".join(f"<{part.role}>\n{part.text}\n" for part in parts) == prompt
        assert all(part.trusted == (not part.slot) for part in parts if part.slot != "memory")
        sections = [part for part in parts if part.slot == "section"]
        assert all(part.text == session.library.documents.text_of(part.span) for part in sections)


# What cannot be had


@pytest.fixture
def gone(session):
    """The library and a call whose prompt showed the memory that was written before."""
    answer = asked(session, "memory-agent", {"block_tokens": 300, "memory_tokens": 100})
    call = next(call for call in calls_of(session.library, answer) if any("record" in p for p in call.slots["memory"]))
    assert rendered(session.library, call).parts
    return session.library, call


def test_a_record_that_is_gone_is_said(gone):
    library, call = gone
    identity = call.slots["memory"][0]["record"]
    library.database.execute("DELETE FROM records WHERE id = ?", (identity,))
    shown = rendered(library, call)
    assert shown.parts is None and identity[:12] in shown.reason and "gone" in shown.reason


def test_a_text_that_is_gone_or_another_one_is_not_shown(gone):
    library, call = gone
    library.database.execute("UPDATE text_blocks SET text = replace(text, 'the', 'teh'), start = start")
    library.database.execute("UPDATE text_blocks SET text = upper(text)")
    shown = rendered(library, call)
    assert shown.parts is None and "sha256" in shown.reason
    library.database.execute("DELETE FROM text_blocks")
    assert rendered(library, call).parts is None


def test_a_prompt_file_that_changed_is_said_with_both_hashes(gone):
    library, call = gone
    name, _, digest = call.template.partition("@")
    shown = rendered(library, replace(call, template=f"{name}@{'0' * 16}"))
    assert shown.parts is None and "0" * 16 in shown.reason and digest in shown.reason


def test_slots_that_are_not_the_templates_are_never_guessed(gone):
    library, call = gone
    shown = rendered(library, replace(call, slots={**call.slots, "memory": [{"text": "made up", "trusted": True}]}))
    assert shown.parts is None and "sha256" in shown.reason
    less = {name: value for name, value in call.slots.items() if name != "memory"}
    assert rendered(library, replace(call, slots=less)).parts is None


def test_compressing_under_another_opening_is_said(gone):
    library, call = gone
    shown = rendered(library, replace(call, template=f"kv_opening@{'0' * 16}", slots={"text": []}))
    assert shown.parts is None and "changed" in shown.reason


OWN = "---\nname: limerick\nversion: 1\nslots: question\n---\n# user\nRhyme: {question}\n"


def test_prompt_files_of_somebodys_own_graph_are_found_in_its_folder(gone, tmp_path):
    library, call = gone
    template = parse("limerick", OWN)
    slots = {"question": [{"text": "why?", "trusted": False}]}
    digest = prompt_sha256(template.render(question="why?"))
    own = replace(call, template=f"limerick@{template.digest}", slots=slots, prompt_sha256=digest)
    shown = rendered(library, own, [tmp_path / "none"])
    assert shown.parts is None and "limerick.md" in shown.reason
    folder = tmp_path / "graphs" / "mine"
    folder.mkdir(parents=True)
    (folder / "limerick.md").write_text(OWN, encoding="utf-8")
    (folder.parent / "limerick.md").write_bytes(b"\xff no prompt at all")
    assert "".join(part.text for part in rendered(library, own, [tmp_path / "graphs"]).parts) == "Rhyme: why?"
