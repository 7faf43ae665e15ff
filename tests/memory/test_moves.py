"""What came and went from version to version gives every version, in room that grows with the changes alone."""

import tempfile
import tracemalloc
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import RUN, write_long_run

from rereader.memory.library import Library
from rereader.runs.knowledge import held_after, states_of
from rereader.schema import Budget, Record, RecordKind

RECORDS = [Record.create(run_id="r", kind=RecordKind.NOTE, content=f"note {n}", agent="a") for n in range(4)]
NUMBERS = st.lists(st.integers(0, 3), max_size=2, unique=True)
WRITES = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from(["note", "desk"]), st.integers(0, 3)), max_size=2), NUMBERS, NUMBERS),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(WRITES, st.data())
def test_following_the_moves_gives_what_each_version_holds(writes, data):
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        asked = {"question": "?", "graph": "g", "settings": {}, "models": {}, "budget": Budget(), "document_ids": []}
        library.runs.create("r", **asked)
        library.records.add(RECORDS)
        memory, version = library.working_memory("r"), 0
        for added, dropped, pinned in writes:
            notes = [(slot, RECORDS[number]) for slot, number in added]
            gone, kept = ([RECORDS[number] for number in numbers] for numbers in (dropped, pinned))
            version = memory.write(version, notes, gone, pinned=kept)
        rows = sorted(data.draw(st.lists(st.integers(0, version), max_size=6)))
        held = {}
        for number, (came, went) in zip(rows, memory.moves(rows), strict=True):
            held = {name: slot for name, slot in held.items() if name not in went} | came
            assert list(held.items()) == [(entry.record.id, entry.slot) for entry in memory.read(number)]


def test_a_memory_that_grows_for_a_thousand_versions_takes_little_room(tmp_path):
    with Library(tmp_path) as library:
        write_long_run(library, steps=1_000)
        run = library.runs.get(RUN)
        states_of(library, run)
        tracemalloc.start()
        states = states_of(library, run)
        names = {name for state in states for name in state.came}
        most = max(len(held) for _, held in held_after(states, names))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most == 1_001
    assert peak < 5_000_000  # whole memories, of 500 entries in the mean, took 18 MB
