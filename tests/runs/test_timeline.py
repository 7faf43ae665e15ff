"""The timeline: what each step of a run knew, decided, quoted and asked, and what changed between two of them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from long_runs import RUN, WIDTH, write_long_run

from rereader.memory.library import Library
from rereader.memory.runs import RunStore
from rereader.memory.timeline import change_between
from rereader.memory.working import Entry
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.timeline import memory_diff, moment, timeline, with_whole_memory
from rereader.schema import InputError, Record, RecordKind
from rereader.testing.sessions import scripted_models, scripted_session
from rereader.testing.texts import essay, plant
from rereader.tools.word_diff import marked

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 90), [FACT])


@pytest.fixture
def ask(tmp_path):
    opened = []

    def run(graph, settings, models=None):
        session = scripted_session(tmp_path / f"ws{len(opened)}", models)
        opened.append(session)
        document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")
        answer = session.ask(QUESTION, [document.id], graph=graph, settings={"decline_below": 0, **settings})
        return session.library, session.library.runs.get(answer.run_id)

    yield run
    for session in opened:
        session.close()


def numbering():
    count = iter(range(1000))
    reader = ScriptedModel(lambda prompt: f"The memory is number {next(count)} now.", name="reader")
    return Models(reader=reader, embedder=HashingEmbedder())


@pytest.fixture
def remembered(ask):
    """A run of memory-agent, whose memory is overwritten block after block."""
    return ask("memory-agent", {"block_tokens": 200, "memory_tokens": 50}, numbering())


# One step


def test_a_step_has_its_place_cost_and_calls(remembered):
    library, run = remembered
    for found, step in zip(timeline(library, run), library.runs.steps(run.id), strict=True):
        assert (found.run_id, found.number, found.node) == (run.id, step.number, step.node)
        assert (found.started_at, found.seconds, found.usage) == (step.started_at, step.seconds, step.usage)
        assert tuple(asked.call for asked in found.calls) == step.calls
        assert found.detail == step.detail


def test_each_step_goes_on_from_where_the_last_one_ended(remembered):
    library, run = remembered
    before, version = (), 0
    for found in timeline(library, run):
        memory = with_whole_memory(library, run, found.memory)
        assert memory.before == before and memory.before_version == version
        assert (memory.before_count, memory.after_count) == (len(memory.before), len(memory.after))
        before, version = memory.after, memory.after_version
    assert before == tuple(library.working_memory(run.id).read(version))


def test_an_overwritten_memory_is_a_pair_with_what_changed(remembered):
    library, run = remembered
    first, second, third = [found for found in timeline(library, run) if found.node == "read"][:3]
    assert [entry.record.content for entry in first.memory.added] == ["The memory is number 0 now."]
    assert first.memory.superseded == () and first.evidence == ()
    for number, found in ((1, second), (2, third)):
        assert found.memory.added == found.memory.dropped == ()
        [pair] = found.memory.superseded
        assert (pair.slot, pair.new.parents) == ("note", (pair.old.id,))
        assert marked(pair.diff) == f"The memory is number [-{number - 1}-]{{+{number}+}} now."


def test_of_several_memories_the_one_of_the_same_place_is_superseded(ask):
    library, run = ask("memory-agent", {"block_tokens": 200, "memory_tokens": 50, "memories": 2}, numbering())
    pairs = [pair for found in timeline(library, run) for pair in found.memory.superseded if pair.slot == "note"]
    assert pairs and {pair.new.ordinal for pair in pairs} == {0, 1}
    assert all(pair.old.ordinal == pair.new.ordinal for pair in pairs)


def test_gate_decisions_name_document_chunk_scores_and_characters(ask):
    library, run = ask("compressed-memory", {"gate": "choose", "chunk_tokens": 60, "accept": 2}, scripted_models())
    gates = [found for found in timeline(library, run) if found.node == "gate"]
    [document] = run.document_ids
    for found in gates:
        rows = found.detail["decisions"]
        assert [[0, d.chunk, d.recalled, d.judged, d.accepted] for d in found.decisions] == rows
        assert all(d.document_id == document and d.log_odds is None for d in found.decisions)
    spans = {d.chunk: d.span for found in gates for d in found.decisions}
    chunking = library.chunks.chunking(document, library.runs.cut(run.id))
    assert spans and all(library.chunks.chunk(chunking, ordinal).span == span for ordinal, span in spans.items())
    assert sum(d.accepted for d in gates[0].decisions) == 2


def test_a_trained_gates_log_odds_stand_with_their_chunks(remembered):
    library, run = remembered
    detail = '{"decisions": [[0, 2, null, 0.9, true], [0, 1, null, 0.1, false]], "log_odds": [2.2, -2.2]}'
    library.database.execute("UPDATE steps SET detail = ? WHERE run_id = ? AND step = 2", (detail, run.id))
    high, low = moment(library, run, 2).decisions
    assert (high.chunk, high.judged, high.log_odds, high.accepted) == (2, 0.9, 2.2, True)
    assert (low.chunk, low.recalled, low.log_odds, low.accepted) == (1, None, -2.2, False)


def test_a_run_that_did_not_write_down_its_cut_has_no_characters(remembered):
    library, run = remembered
    detail = '{"decisions": [[0, 2, null, 0.9, true]]}'
    library.database.execute("UPDATE steps SET detail = ? WHERE run_id = ?", (detail, run.id))
    assert moment(library, run, 2).decisions[0].span is None


@pytest.mark.parametrize(
    ("graph", "settings"),
    [("compressed-memory", {"chunk_tokens": 60}), ("retrieval", {}), ("evidence-replay", {"rounds": 2})],
)
def test_evidence_is_what_its_span_covers_with_its_score(ask, graph, settings):
    library, run = ask(graph, settings, scripted_models())
    found = [(one, evidence) for one in timeline(library, run) for evidence in one.evidence]
    assert found
    for one, evidence in found:
        assert evidence.source == (evidence.record.content,)
        assert evidence.record in [entry.record for entry in one.memory.added]
        assert evidence.score == one.detail["scores"].get(evidence.record.id)


def test_cache_hits_are_those_of_the_step(ask):
    settings = {"block_tokens": 200, "memory_tokens": 50}
    reader = ScriptedModel(lambda prompt: "always the same", name="reader")
    library, run = ask("memory-agent", settings, Models(reader=reader, embedder=HashingEmbedder()))
    session = scripted_session(library.workspace, Models(reader=reader, embedder=HashingEmbedder()))
    again = session.ask(QUESTION, run.document_ids, graph="memory-agent", settings={"decline_below": 0, **settings})
    found = list(timeline(session.library, session.library.runs.get(again.run_id)))
    session.close()
    assert sum(one.usage.cached_calls for one in found) == sum(a.call.cached for one in found for a in one.calls) > 2


@pytest.mark.parametrize("number", [0, -1, 99])
def test_a_step_that_is_not_there_is_told_with_those_that_are(remembered, number):
    library, run = remembered
    last = library.runs.step_numbers(run.id)[-1]
    with pytest.raises(InputError, match=f"has no step {number}.*1 to {last}"):
        moment(library, run, number)


def test_a_run_without_steps_says_so(remembered):
    library, run = remembered
    library.database.execute("DELETE FROM steps WHERE run_id = ?", (run.id,))
    assert list(timeline(library, run)) == []
    with pytest.raises(InputError, match="None of its steps has ended"):
        moment(library, run, 1)


# Two steps


def test_between_two_steps_lies_what_became_of_the_memory_in_all(remembered):
    library, run = remembered
    reads = [found.number for found in timeline(library, run) if found.node == "read"]
    [pair] = memory_diff(library, run, reads[0], reads[3]).superseded
    assert marked(pair.diff) == "The memory is number [-0-]{+3+} now."
    [back] = memory_diff(library, run, reads[3], reads[0]).superseded
    assert marked(back.diff) == "The memory is number [-3-]{+0+} now."


def test_step_0_is_the_empty_beginning_and_a_step_against_itself_is_nothing(remembered):
    library, run = remembered
    last = library.runs.step_numbers(run.id)[-1]
    whole = memory_diff(library, run, 0, last)
    assert whole.before == () and whole.added == whole.after != ()
    same = memory_diff(library, run, last, last)
    assert same.before == same.after and not (same.added or same.dropped or same.superseded)
    with pytest.raises(InputError, match="0 is the empty beginning"):
        memory_diff(library, run, 0, last + 1)


SLOTS = ("quote", "note", "question", "draft")


@st.composite
def memories(draw):
    """Two working memories out of one pool of records, some of which name others as parents."""
    records = []
    for number in range(draw(st.integers(0, 8))):
        parents = draw(st.lists(st.sampled_from(records), max_size=2)) if records else []
        ordinal, content = draw(st.integers(0, 2)), f"{number}"
        kind, slot = RecordKind.NOTE, draw(st.sampled_from(SLOTS))
        record = Record.create(
            run_id="r",
            kind=kind,
            content=content,
            agent="a",
            ordinal=ordinal,
            parents=[parent.record.id for parent in parents],
        )
        records.append(Entry(slot, record, draw(st.booleans())))
    picks = st.lists(st.sampled_from(records), unique=True) if records else st.just([])
    return draw(picks), draw(picks)


@given(memories())
def test_every_entry_of_both_memories_is_told_once(pair):
    before, after = pair
    change = change_between(before, after)
    old, new = ({entry.record.id for entry in entries} for entries in (before, after))
    gone = [entry.record.id for entry in change.dropped] + [one.old.id for one in change.replaced]
    come = [entry.record.id for entry in change.added] + [one.new.id for one in change.replaced]
    assert sorted(gone) == sorted(old - new) and sorted(come) == sorted(new - old)
    for one in change.replaced:
        assert one.old.id in one.new.parents or (one.slot != "quote" and one.old.ordinal == one.new.ordinal)


@given(memories())
def test_a_memory_against_itself_is_no_change(pair):
    change = change_between(pair[0], pair[0])
    assert not (change.added or change.dropped or change.replaced or change.pinned or change.unpinned)


def test_pinning_is_a_change_of_its_own():
    record = Record.create(run_id="r", kind=RecordKind.NOTE, content="x", agent="a")
    loose, pinned = Entry("note", record), Entry("note", record, pinned=True)
    assert change_between([loose], [pinned]).pinned == (pinned,)
    assert change_between([pinned], [loose]).unpinned == (loose,)


# Long runs


def test_one_step_of_two_thousand_is_read_without_the_others(tmp_path, monkeypatch):
    with Library(tmp_path / "ws") as library:
        write_long_run(library)
        run = library.runs.get(RUN)
        monkeypatch.setattr(RunStore, "steps", None)  # which would read them all
        began = time.monotonic()
        found = moment(library, run, 1_999)
        took = time.monotonic() - began
    assert (found.memory.before_count, found.memory.after_count) == (1_999, 2_000)
    [pair] = found.memory.superseded
    assert marked(pair.diff) == "Seen up to step [-1998-]{+1999+}: nothing yet."
    [asked] = found.calls
    section = next(part for part in asked.prompt.parts if part.slot == "memory")
    assert section.text.startswith("  1998 ") and len(section.text) == WIDTH
    assert [evidence.score for evidence in found.evidence] == [0.75]
    assert took < 2
