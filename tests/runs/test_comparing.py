"""One question, several graphs: the figures are those of plain runs, and one graph's trouble is not another's."""

import dataclasses
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.agents.settings import ReadingSettings
from rereader.graphs import registry
from rereader.memory.library import Library
from rereader.memory.runs import Step
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models, RoleNames
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import estimate_counter
from rereader.runs import isolated
from rereader.runs.comparing import Comparison, compare
from rereader.runs.isolated import Apart, copy_document
from rereader.runs.rows import Failure, failed, stage_seconds
from rereader.runs.session import Session
from rereader.runs.systems import System, every_system, read_systems, with_common
from rereader.schema import Budget, InputError, Interrupted, Place, StoreError, Usage
from rereader.testing.sessions import quoting_reply, scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 120), [FACT])
SYSTEMS = read_systems(["retrieval,compressed-memory,evidence-replay,full-context"])
WITHOUT = RoleNames("extractive", "none", "none", "hashing")


@pytest.fixture
def session(workspace):
    made = scripted_session(workspace)
    yield made
    made.close()


def stored(session):
    return [session.library.documents.add(TEXT, title="book", source="book.txt", loader="text/1").id]


def counts(usage):
    return usage.model_dump(exclude={"seconds", "peak_host_bytes", "peak_device_bytes", "embedded_tokens"})


def broken(error):
    def build(settings):
        raise error

    return registry.ReadingGraph("broken", "nothing", "analogue", ReadingSettings, build, "Breaks.", lambda *_: [])


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_figures_are_those_of_a_plain_run(session, tmp_path, system):
    found = compare(session, QUESTION, stored(session), SYSTEMS)
    row = next(row for row in found.rows if row.system == system)
    alone = scripted_session(tmp_path / "alone")
    answer = alone.ask(QUESTION, stored(alone), graph=system.graph)
    alone.close()
    assert (row.answer.answer, row.answer.status) == (answer.answer, answer.status)
    spans = [[(one.start, one.end, one.quote, one.line) for one in made.evidence] for made in (row.answer, answer)]
    assert spans[0] == spans[1]
    assert spans[0] or system.graph == "full-context"  # the script quotes no whole text
    assert counts(row.usage) == counts(answer.usage)
    assert row.usage.calls > 0
    kept = session.library.runs.get(row.run.id)
    assert (kept.answer, kept.graph, row.failure) == (row.answer, system.graph, None)
    assert row.ingest_seconds <= sum(row.stages.values()) <= row.wall_seconds


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (InputError("No such thing.", "Mend it."), "No such thing.", 2),
        (RuntimeError("boom"), "Internal error: RuntimeError: boom", 1),
    ],
)
def test_a_graph_that_fails_is_a_row_and_the_others_go_on(session, monkeypatch, error, words, code):
    registry.all_graphs()
    monkeypatch.setitem(registry._GRAPHS, "broken", broken(error))
    systems = [System("broken", "broken"), System("retrieval", "retrieval")]
    heard = []
    found = compare(
        session,
        QUESTION,
        stored(session),
        systems,
        begun=lambda system: heard.append(system.name),
        ended=lambda row: heard.append(row.status),
    )
    first, second = found.rows
    assert (first.failure.message, first.failure.exit_code, first.status) == (words, code, "failed")
    assert (second.status, found.answered) == ("answered", True)
    assert heard == ["broken", "failed", "retrieval", "answered"]


def test_a_graph_without_its_model_fails_with_its_run_kept(workspace):
    session = Session(Library(workspace), Models(), estimate_counter())
    found = compare(session, QUESTION, stored(session), read_systems(["full-context,retrieval"]))
    assert "needs a reader" in found.rows[0].failure.message and found.rows[0].failure.exit_code == 5
    assert session.library.runs.get(found.rows[0].run.id).status == "failed"
    assert found.rows[0].usage == session.library.runs.get(found.rows[0].run.id).usage
    assert found.rows[1].status == "answered"
    session.close()


def test_settings_that_do_not_fit_are_a_row(session):
    found = compare(session, QUESTION, stored(session), [System("odd", "retrieval", {"waves": 3})])
    assert (found.rows[0].run, found.rows[0].failure.exit_code) == (None, 2)
    assert not found.answered


def test_each_graph_has_the_whole_budget(session):
    budget = Budget(tokens=700)
    systems = read_systems(["retrieval,again=retrieval:passage_words=30,full-context"])
    found = compare(session, QUESTION, stored(session), systems, budget=budget)
    assert [row.status for row in found.rows] == ["answered", "answered", "budget_spent"]
    assert all(row.run.budget == budget and row.usage.total_tokens <= 700 for row in found.rows)
    assert sum(row.usage.total_tokens for row in found.rows) > 700


def test_an_interrupted_comparison_goes_on_without_repeating_a_call(workspace):
    asked = []

    def reply(prompt):
        asked.append(prompt)
        return quoting_reply(prompt)

    reader = ScriptedModel(reply, name="reader")
    session = scripted_session(workspace, Models(reader=reader, embedder=HashingEmbedder()))
    documents, cancel = stored(session), threading.Event()

    def begun(system):
        if system.name == "compressed-memory":
            cancel.set()

    systems = read_systems(["retrieval,compressed-memory"])
    with pytest.raises(Interrupted, match=r"in compressed-memory; done are: retrieval \(run \w+\)\. Run the same"):
        compare(session, QUESTION, documents, systems, cancel=cancel, begun=begun)
    before = len(asked)
    assert before == 1
    found = compare(session, QUESTION, documents, systems)
    first, second = found.rows
    assert first.usage.cached_calls == first.usage.calls == 1
    assert len(asked) == before + second.usage.calls - second.usage.cached_calls
    assert any("were stored before" in note and "retrieval" in note for note in found.notes())
    session.close()


def test_a_workspace_that_cannot_be_used_stops_everything(session, monkeypatch):
    registry.all_graphs()
    monkeypatch.setitem(registry._GRAPHS, "broken", broken(StoreError("Full.")))
    with pytest.raises(StoreError):
        compare(session, QUESTION, stored(session), [System("broken", "broken"), System("retrieval", "retrieval")])


def test_nothing_to_compare_is_refused(session):
    with pytest.raises(InputError, match="no document"):
        compare(session, QUESTION, [], SYSTEMS)
    with pytest.raises(InputError, match="no graph"):
        compare(session, QUESTION, stored(session), [])


def test_loading_models_is_no_stage():
    steps = [
        Step(1, "gate", 0.0, 3.5, 0, {}, Usage(seconds={"gate": 1.5, "loading": 2.0})),
        Step(2, "reason", 0.0, 1.25, 0, {}, Usage(seconds={"reason": 1.0, "waiting": 0.25})),
        Step(3, "gate", 0.0, 0.25, 0, {}, Usage(seconds={"loading": 0.25})),
    ]
    assert stage_seconds(steps) == {"gate": 1.5, "reason": 1.0}


def test_models_that_load_during_a_run_are_told_apart(workspace):
    names = {"reader": "reader", "gister": "none", "scorer": "none", "embedder": "hashing"}
    instant = ScriptedModel(quoting_reply, name="reader")

    def load():
        threading.Event().wait(0.3)
        return instant

    loaders = {"reader": load, "embedder": HashingEmbedder, "gister": lambda: None, "scorer": lambda: None}
    session = Session(Library(workspace), Models.lazy(names, loaders), estimate_counter())
    row = compare(session, QUESTION, stored(session), read_systems(["retrieval"])).rows[0]
    assert row.load_seconds >= 0.3
    assert row.seconds == pytest.approx(row.wall_seconds - row.load_seconds)
    session.close()


def test_json_is_plain_and_whole(session):
    found = compare(session, QUESTION, stored(session), [*SYSTEMS, System("odd", "retrieval", {"waves": 3})])
    plain = json.loads(json.dumps(found.as_json()))
    assert plain["schema_version"] == 1 and plain["fresh"] is False
    assert [row["system"] for row in plain["rows"]] == [row.system.name for row in found.rows]
    for row, shown in zip(found.rows, plain["rows"], strict=True):
        assert shown["usage"] == json.loads(row.usage.model_dump_json())
        assert (shown["answer"] is None) == (shown["error"] is not None)
        assert shown["run_id"] == (row.run.id if row.run else None)
    assert plain["rows"][-1]["error"]["exit_code"] == 2


def test_warnings_of_all_and_of_one(session):
    session.warnings = ("The reader is small.",)
    systems = read_systems(["retrieval,cut=full-context:window_tokens=1000"])
    found = compare(session, QUESTION, stored(session), systems)
    assert found.warnings == ["The reader is small."]
    assert found.own_warnings(found.rows[0]) == []
    assert found.own_warnings(found.rows[1]) == ["The text does not fit the window; its middle was left out."]


# --- systems ---------------------------------------------------------------------------------------------------------


def test_systems_are_read_from_lists():
    found = read_systems(["retrieval, paper=evidence-replay:preset=paper:rounds=2", "retrieval:evidence-words=60"])
    assert found == [
        System("retrieval", "retrieval"),
        System("paper", "evidence-replay", {"preset": "paper", "rounds": "2"}),
        System("retrieval:evidence-words=60", "retrieval", {"evidence_words": "60"}),
    ]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ("retreival", "Did you mean 'retrieval'"),
        ("retrieval,", "no system"),
        ("=retrieval", "no system"),
        ("a=", "no system"),
        ("compressed-memory:wave=3", "Did you mean 'waves'"),
        ("compressed-memory:waves", "no setting"),
        ("compressed-memory:waves=many", "waves"),
        ("retrieval,retrieval", "Two systems are called 'retrieval'. Name one of them: other=retrieval"),
    ],
)
def test_systems_that_do_not_exist_are_refused(entries, words):
    with pytest.raises(InputError) as caught:
        read_systems([entries])
    assert words in str(caught.value)


@given(st.text(alphabet="ab-=:, ", max_size=20))
def test_any_text_is_systems_or_an_input_error(entries):
    try:
        found = read_systems([entries])
    except InputError:
        return
    assert len({system.name for system in found}) == len(found)


def test_every_graph_is_a_system():
    assert [system.graph for system in every_system()] == [graph.name for graph in registry.all_graphs()]


def test_common_settings_go_to_the_graphs_that_have_them():
    systems = read_systems(["retrieval,compressed-memory:evidence_words=60"])
    made, notes = with_common(systems, {"evidence_words": "90", "gist": "extract"})
    assert [system.settings for system in made] == [
        {"evidence_words": "90"},
        {"gist": "extract", "evidence_words": "60"},
    ]
    assert notes == ["The setting gist does not exist for retrieval."]
    with pytest.raises(InputError, match="Did you mean 'evidence_words'"):
        with_common(systems, {"evidence_word": "90"})
    with pytest.raises(InputError, match="evidence_words"):
        with_common(systems, {"evidence_words": "few"})


# --- apart -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(workspace):
    made = Session(Library(workspace), Models(), estimate_counter())
    yield made
    made.close()


@pytest.mark.slow
def test_apart_each_graph_has_its_own_process_and_keeps_nothing(bare, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    events = []
    apart = Apart(WITHOUT, tmp_path / "models", warnings=("The reader is small.",))
    systems = read_systems(["retrieval,full-context"])
    found = compare(bare, QUESTION, stored(bare), systems, apart=apart, listen=events.append)
    first, second = found.rows
    assert FACT in first.answer.answer and first.answer.evidence[0].verified
    assert "The reader is small." in first.answer.warnings
    assert first.stages["chunk"] > 0 and first.usage.peak_host_bytes > 10_000_000
    assert "needs a reader" in second.failure.message
    assert {event.node for event in events if event.kind == "step"} >= {"chunk", "retrieve", "answer"}
    assert bare.library.runs.all() == []
    assert list(folder.glob("rereader-*")) == []
    plain = found.as_json()
    assert plain["fresh"] is True and {row["run_id"] for row in plain["rows"]} == {None}


def test_apart_a_stop_reaches_the_other_process(bare, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Interrupted, match="done were: none"):
        compare(
            bare,
            QUESTION,
            stored(bare),
            read_systems(["retrieval"]),
            apart=Apart(WITHOUT, tmp_path),
            cancel=cancel,
            begun=lambda system: cancel.set(),
        )


def test_apart_a_model_that_is_not_there_is_a_row(bare, tmp_path):
    names = dataclasses.replace(WITHOUT, reader="smollm2-135m")
    row = compare(bare, QUESTION, stored(bare), read_systems(["retrieval"]), apart=Apart(names, tmp_path)).rows[0]
    assert (row.status, row.failure.exit_code, "models pull" in row.failure.hint) == ("failed", 2, True)


def test_apart_a_process_that_ends_without_an_answer_is_a_row(bare, tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "_work", print)
    row = compare(bare, QUESTION, stored(bare), read_systems(["retrieval"]), apart=Apart(WITHOUT, tmp_path)).rows[0]
    assert "ended with code 0 before" in row.failure.message


def test_a_copied_document_keeps_its_id_and_its_places(tmp_path):
    places = [Place(kind="page", start=0, label="iv"), Place(kind="section", start=3, label="Chapter 1 › Letters")]
    with Library(tmp_path / "one") as origin, Library(tmp_path / "two") as goal:
        document = origin.documents.add("Some text.", title="t", source="t.pdf", loader="pdf/1", places=places)
        assert copy_document(origin, goal, document.id) == document
        assert goal.documents.places_at(document.id, [5]) == {5: {"page": "iv", "section": "Chapter 1 › Letters"}}


def test_a_comparison_of_failures_has_no_answer():
    row = failed(System("retrieval", "retrieval"), Failure("No.", "", 5))
    found = Comparison("Who?", (), {}, Budget(), False, (row,))
    assert (found.answered, found.warnings, row.usage, row.seconds) == (False, [], Usage(), 0.0)
