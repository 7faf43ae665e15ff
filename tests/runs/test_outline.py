"""The sketch of a run, and what became of its chunks, against the whole timeline read step by step."""

import time
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from long_runs import RUN, WIDTH, write_long_run

from rereader.memory.library import Library
from rereader.memory.timeline import change_between
from rereader.runs.fates import fates
from rereader.runs.forking import find_point
from rereader.runs.outline import outline
from rereader.runs.timeline import timeline
from rereader.schema import Budget, Record, RecordKind
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 90), [FACT])
GRAPHS = {
    "compressed-memory": {"decline_below": 0},
    "memory-agent": {"block_tokens": 200, "memory_tokens": 50},
    "retrieval": {"decline_below": 0},
    "full-context": {},
}


@pytest.fixture(params=GRAPHS)
def made(request, tmp_path):
    with closing(scripted_session(tmp_path)) as session:
        documents = [
            session.library.documents.add(text, title=title, source=title, loader="text/1").id
            for text, title in ((TEXT, "one"), (plant(essay(2, 60), []), "two"))
        ]
        answer = session.ask(QUESTION, documents, graph=request.param, settings=GRAPHS[request.param])
        yield session.library, session.library.runs.get(answer.run_id)


def test_a_line_has_the_figures_of_its_step(made):
    library, run = made
    for line, found in zip(outline(library, run).steps, timeline(library, run), strict=True):
        assert (line.number, line.node, line.started_at, line.seconds) == (
            found.number,
            found.node,
            found.started_at,
            found.seconds,
        )
        assert (line.calls, line.cached_calls) == (found.usage.calls, found.usage.cached_calls)
        assert line.tokens == found.usage.total_tokens
        assert (line.considered, line.accepted) == (
            len(found.decisions),
            sum(decision.accepted for decision in found.decisions),
        )
        assert line.quotes == sum(entry.slot == "quote" for entry in found.memory.added)
        assert line.memory_version == found.memory.after_version


def test_a_fork_leaves_before_the_step_that_decides(made):
    library, run = made
    lines = outline(library, run).steps
    first = next(place for place, line in enumerate(lines) if line.decides)
    assert lines[first - 1].number == find_point(library, run.id, lines[-1].number).open_step


def test_a_spent_budget_decides_too(tmp_path):
    with closing(scripted_session(tmp_path)) as session:
        document = session.library.documents.add(TEXT, title="one", source="one", loader="text/1").id
        for graph in GRAPHS:
            answer = session.ask(QUESTION, [document], graph=graph, budget=Budget(calls=1))
            lines = outline(session.library, session.library.runs.get(answer.run_id)).steps
            decided = next(line.number for line in lines if line.decides)
            assert decided - 1 == find_point(session.library, answer.run_id, lines[-1].number).open_step


def test_its_changes_make_every_version_of_the_working_memory(made):
    library, run = made
    sketch, held = outline(library, run), {}
    changes = iter(sketch.changes)
    change = next(changes, None)
    for line in sketch.steps:
        while change and change[0] <= line.memory_version:
            _, what, slot, record = change
            if what == "add":
                held[record] = slot
            elif what == "drop":
                held.pop(record, None)
            change = next(changes, None)
        stored = library.working_memory(run.id).read(line.memory_version)
        assert list(held.items()) == [(entry.record.id, entry.slot) for entry in stored]
    assert change is None


def test_what_is_new_goes_on_from_what_is_known(made):
    library, run = made
    whole = outline(library, run)
    for number in range(len(whole.steps) + 1):
        rest = outline(library, run, after=number)
        assert rest.steps == whole.steps[number:]
        version = whole.steps[number - 1].memory_version if number else 0
        assert rest.changes == tuple(change for change in whole.changes if change[0] > version)


def test_a_step_that_ends_while_one_looks_comes_whole_the_next_time(made, monkeypatch):
    library, run = made
    whole = outline(library, run)
    last = whole.steps[-1]
    seen, real = [], library.runs.steps_alone

    def without_the_last(run_id, after=0):
        """The last step is stored just after the steps were read."""
        return [step for step in real(run_id, after) if seen or step.number < last.number]

    monkeypatch.setattr(library.runs, "steps_alone", without_the_last)
    first = outline(library, run)
    assert [found.number for found in timeline(library, run)] == [line.number for line in first.steps]
    seen.append(True)
    rest = outline(library, run, after=first.steps[-1].number)
    assert first.steps + rest.steps == whole.steps
    assert first.changes + rest.changes == whole.changes


def test_the_fates_of_chunks_are_those_that_the_steps_show(made):
    library, run = made
    found = fates(library, run)
    assert [strip.document_id for strip in found.documents] == list(run.document_ids)
    for strip in found.documents:
        length = library.documents.get(strip.document_id).length
        assert strip.chunks[0][0] == 0 and strip.chunks[-1][1] == length
        assert all(one[1] == other[0] for one, other in zip(strip.chunks, strip.chunks[1:], strict=False))
        assert strip.cut == (library.runs.cut(run.id) is not None)
    assert {tuple(turn) for turn in found.fates} == set(_expected(library, run, found.documents))
    assert [turn.step for turn in found.fates] == sorted(turn.step for turn in found.fates)
    seen = {turn.fate for turn in found.fates}
    assert "read" in seen and ("quoted" in seen) == bool(run.answer.evidence)


def _expected(library, run, strips):
    """Every chunk is held against everything that every step shows."""
    first = set()
    moments = list(timeline(library, run))
    for found in moments:
        for decision in found.decisions:
            document = run.document_ids.index(decision.document_id)
            yield found.number, document, decision.chunk, "in" if decision.accepted else "out"
        touched = [
            ("read" if asked.call.role == "reader" else "gisted", part.span)
            for asked in found.calls
            for part in asked.prompt.parts
            if part.span and asked.call.method == "generate"
        ]
        touched += [("quoted", span) for evidence in found.evidence for span in evidence.record.spans]
        if found is moments[-1]:
            touched += [("quoted", quote) for quote in run.answer.evidence]
        for document, strip in enumerate(strips):
            for chunk, (start, end) in enumerate(strip.chunks):
                fates_now = {
                    fate
                    for fate, span in touched
                    if span.document_id == strip.document_id and span.start < end and span.end > start
                }
                if found.node == "gist":
                    fates_now.add("gisted")
                for fate in fates_now:
                    if (document, chunk, fate) not in first:
                        first.add((document, chunk, fate))
                        yield found.number, document, chunk, fate


def test_a_long_run_is_sketched_at_once(tmp_path):
    with Library(tmp_path / "ws") as library:
        write_long_run(library)
        run = library.runs.get(RUN)
        began = time.monotonic()
        sketch, strip = outline(library, run), fates(library, run)
        took = time.monotonic() - began
    assert len(sketch.steps) == 2_000
    assert len(sketch.changes) == 2 * 2_000 + 1_999
    assert len(strip.documents[0].chunks) == 400 and not strip.documents[0].cut
    assert sum(turn.fate == "read" for turn in strip.fates) == 400
    assert {turn.step for turn in strip.fates} <= set(range(1, 2_001))
    assert strip.documents[0].chunks[-1][1] == 2_000 * WIDTH
    assert took < 5


@given(st.lists(st.tuples(st.sampled_from(["add", "drop", "pin", "unpin"]), st.integers(0, 5)), max_size=25), st.data())
def test_entries_that_differ_say_what_changed(tmp_path_factory, changes, data):
    with Library(tmp_path_factory.mktemp("ws")) as library:
        library.runs.create("r", question="What?", graph="g", settings={}, models={}, budget=Budget(), document_ids=[])
        memory = library.working_memory("r")
        records = [_note(number) for number in range(6)]
        library.records.add(records)
        version = 0
        for what, number in changes:
            record = records[number]
            version = memory.write(
                version,
                [("quote" if number % 2 else "note", record)] if what == "add" else (),
                [record] if what == "drop" else (),
                pinned=[record] if what == "pin" else (),
                unpinned=[record] if what == "unpin" else (),
            )
        one, two = (data.draw(st.integers(0, version)) for _ in range(2))
        whole, parts = memory.read_two(one, two), memory.differing(one, two)
        assert [part.count for part in parts] == [len(entries) for entries in whole]
        assert change_between(*(part.entries for part in parts)) == change_between(*whole)


def _note(number):
    return Record.create(
        run_id="r", kind=RecordKind.NOTE, content=f"note {number}", agent="reader", step=number, ordinal=0
    )
