"""Runs and steps in few words: what is cut says so, and nothing of the machine is told."""

import pytest
from long_runs import RUN, write_long_run

from rereader.memory.library import Library
from rereader.memory.runs import Step
from rereader.runs.digests import MOST_STEPS, excerpt, run_digest, step_digest
from rereader.runs.finding import find_passages
from rereader.schema import Budget, InputError, Record, RecordKind, Usage
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACT = "The strongbox of the Ulpelhala office opens with 5265."
STEPS = 2 * MOST_STEPS + 7


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with Library(tmp_path_factory.mktemp("ws")) as library:
        write_long_run(library, STEPS)
        yield library


def test_a_long_run_is_listed_part_by_part(library):
    seen, after = [], 0
    while True:
        part = run_digest(library, RUN, after)
        seen += [line.number for line in part.steps]
        if not part.note:
            break
        after = part.steps[-1].number
        assert part.note == f"{STEPS - len(seen):,} more steps: go on after {after}."
        assert len(part.steps) == MOST_STEPS
    assert seen == list(range(1, STEPS + 1))
    assert run_digest(library, RUN, STEPS).steps == ()


def test_a_run_of_a_graph_that_is_gone_shows_all_its_settings(library):
    found = run_digest(library, RUN)
    assert found.graph == "g" and found.settings == {"k": 1}
    assert found.status == "interrupted"  # it says that it is running, and no process runs it


def test_a_step_names_what_it_rewrote_and_quoted(library):
    found = step_digest(library, RUN, 3)
    assert (found.entries_before, found.entries_after) == (3, 4)
    assert [record.slot for record in found.added] == ["quote"] and len(found.rewritten) == 1
    assert "[-2-]{+3+}" in found.rewritten[0].diff
    assert found.quoted[0].spans[0].start == 3_000 and found.considered == len(found.let_in) == 1
    assert found.calls[0].reply == found.rewritten[0].record.text and found.note == ""


def test_long_records_and_lists_are_cut_and_say_so(tmp_path):
    with Library(tmp_path) as library:
        run = library.runs.create(
            "a" * 12,
            question="What?",
            graph="g",
            settings={"trained_gate": "/srv/gates/mine.bin"},
            models={"reader": "/srv/models/tiny.gguf"},
            budget=Budget(),
            document_ids=[],
        )
        long = [
            Record.create(run_id=run.id, kind=RecordKind.NOTE, content=f"{n} " + "x" * 2_500, agent="a", ordinal=n)
            for n in range(120)
        ]
        version = library.working_memory(run.id).write(0, [("note", record) for record in long])
        detail = {"file": "/srv/notes/a.txt", "work": [1], "empty": []}
        library.runs.add_step(run.id, Step(1, "read", 0.0, 0.5, version, detail, Usage()), Usage())
        library.runs.update(run.id, status="failed", failure="Cannot read /srv/notes/a.txt.")
        found, whole = step_digest(library, run.id, 1), run_digest(library, run.id)
    assert len(found.added) == 100 and found.note == "Cut: added (20 more)."
    assert found.added[0].text.endswith("[… 502 more characters]")
    assert found.detail == {"file": "a.txt"}
    assert whole.settings == {"trained_gate": "mine.bin"} and whole.models == {"reader": "tiny.gguf"}
    assert whole.failure == "Cannot read a.txt."


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (10**9, 10**9 + 1), (5, 5), (5, 4)])
def test_a_span_outside_of_the_document_is_refused(library, start, end):
    with pytest.raises(InputError):
        excerpt(library, "long.txt", start, end)


def test_what_a_search_has_indexed_a_question_need_not_index_again(tmp_path):
    session = scripted_session(tmp_path)
    text = plant(essay(1, 200), [FACT])
    document = session.library.documents.add(text, title="t", source="t", loader="text/1")
    told = []
    found = find_passages(session, "strongbox of Ulpelhala", [document.id, "t"], limit=2, listen=told.append)
    assert FACT in found[0].text and len(found) == 2 and any(event.progress for event in told)
    answer = session.ask("With which number does the strongbox open?", [document.id], graph="retrieval")
    index = next(step for step in session.library.runs.steps(answer.run_id) if step.node == "index")
    assert index.usage.embedded_tokens == 0
    session.close()
