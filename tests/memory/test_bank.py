"""The bank of compressed chunks: what goes in comes out, damage is found, old blocks make room, nothing is left."""

import os
import time

import pytest
from banked import MODEL, a_folder, compress, cut, cut_short, faults, files, flip, means, put, swap, text_of

from rereader.memory import bank as banks
from rereader.memory.library import Library
from rereader.models.kvmemory import UnusableBlock
from rereader.schema import Budget, Chunk, Record, RecordKind, Span, StoreError


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "ws") as opened:
        yield opened


@pytest.fixture
def filled(library):
    block_set = library.bank.block_set(cut(library), means())
    put(library, block_set, range(6))
    return block_set


def test_what_goes_in_comes_out_with_its_record(library, filled):
    found, lost = library.bank.read(filled, [4, 1], MODEL.load_kv)
    assert (sorted(found), lost) == ([1, 4], {})
    for ordinal, held in found.items():
        span = library.chunks.chunk(filled.chunking, ordinal).span
        assert held.block == compress(library.documents.text_of(span))
        [record] = library.records.get([held.record])
        assert (record.kind, record.content, record.spans) == (RecordKind.KV, held.block.digest, (span,))
        assert record.run_id == filled.chunking.document_id
    assert library.bank.missing(filled) == []
    assert library.bank.held() == sum(path.stat().st_size for path in files(library))
    assert all(path.parent.name == path.name[:2] for path in files(library))
    assert faults(library) == []


OTHERS = {"fingerprint": "f", "opening": "p", "scorer": "recent", "ratio": 4.0, "budgets": "heads", "precision": "int8"}


@pytest.mark.parametrize("change", [{name: value} for name, value in OTHERS.items()], ids=str)
def test_blocks_made_by_other_means_are_others(library, filled, change):
    other = library.bank.block_set(filled.chunking, means(**change))
    assert other.id != filled.id
    assert len(library.bank.missing(other)) == 6
    assert other.means.key("a text") != filled.means.key("a text")


def test_the_models_name_decides_nothing(library, filled):
    assert library.bank.block_set(filled.chunking, means(model="renamed")).id == filled.id


@pytest.mark.parametrize(
    ("harm", "why"),
    [(flip, "damaged"), (swap, "another text"), (cut_short, "damaged"), (os.unlink, "missing")],
)
def test_harm_is_found_at_reading_said_once_and_mended(library, filled, harm, why):
    chunk = library.chunks.chunk(filled.chunking, 2)
    harm(library.bank.files.path(filled.means.key(library.documents.text_of(chunk.span))))
    found, lost = library.bank.read(filled, range(6), MODEL.load_kv)
    assert sorted(found) == [0, 1, 3, 4, 5]
    assert list(lost) == [2] and why in lost[2]
    assert library.bank.missing(filled) == [2]
    assert library.bank.read(filled, [2], MODEL.load_kv) == ({}, {})
    put(library, filled, [2])
    assert len(library.bank.read(filled, range(6), MODEL.load_kv)[0]) == 6
    assert faults(library) == []


def test_a_file_that_the_model_refuses_is_lost(library, filled):
    def refuse(_path):
        raise UnusableBlock("it is another model's")

    found, lost = library.bank.read(filled, [0], refuse)
    assert (found, lost) == ({}, {0: "it is another model's"})


def test_files_that_are_gone_are_found_without_reading_them(library, filled):
    paths = files(library)
    paths[0].unlink()
    cut_short(paths[3])
    [told] = faults(library)
    assert told.state == "note" and "2 compressed memories are missing" in told.what
    lost = library.bank.lost(filled)
    assert len(lost) == 2 and library.bank.missing(filled) == lost


def test_which_keys_have_a_whole_file(library, filled):
    keys = [path.name.partition(".")[0] for path in files(library)]
    assert library.bank.whole([*keys, "none"]) == set(keys)
    cut_short(files(library)[0])
    assert library.bank.whole(keys) == set(keys[1:])
    assert library.bank.whole([]) == set()


def test_one_text_in_two_chunks_has_one_file(library):
    text = f"{text_of(1)}\n"
    document = library.documents.add(text * 2, title="t", source="s", loader="text/1")
    spans = [Span(document_id=document.id, start=at, end=at + len(text)) for at in (0, len(text))]
    chunks = [Chunk(id=str(i), span=span, token_count=40, ordinal=i) for i, span in enumerate(spans)]
    passages = [(c.ordinal, c.span.start, c.span.end, text) for c in chunks]
    block_set = library.bank.block_set(library.chunks.add(document.id, "size", chunks, passages), means())
    assert library.bank.adopt(block_set, chunks[0], text) is None
    put(library, block_set, [0])
    adopted = library.bank.adopt(block_set, chunks[1], text)
    library.bank.enter(block_set, [adopted])
    assert len(files(library)) == 1
    found, _ = library.bank.read(block_set, [0, 1], MODEL.load_kv)
    assert found[0].block == found[1].block and found[0].record != found[1].record
    assert library.bank.held() == files(library)[0].stat().st_size
    flip(files(library)[0])  # of the same size, so it looks whole
    assert list(library.bank.read(block_set, [0], MODEL.load_kv)[1]) == [0]
    assert library.bank.missing(block_set) == [0, 1]


def test_removing_a_document_takes_its_blocks_and_leaves_those_of_others(library, filled):
    other = library.bank.block_set(cut(library, seed=5, chunks=3), means())
    put(library, other, range(3))
    library.remove(filled.chunking.document_id)
    assert len(files(library)) == 3
    assert len(library.bank.read(other, range(3), MODEL.load_kv)[0]) == 3
    assert library.records.of_run(filled.chunking.document_id) == []
    assert faults(library) == []


def test_a_file_that_another_document_has_too_stays(library):
    made = [library.bank.block_set(cut(library, seed=0, chunks=count), means()) for count in (2, 3)]
    for block_set in made:
        put(library, block_set, range(block_set.chunking.chunks))
    assert len(files(library)) == 3
    library.remove(made[0].chunking.document_id)
    assert len(files(library)) == 3
    assert len(library.bank.read(made[1], range(3), MODEL.load_kv)[0]) == 3


def test_the_block_used_longest_ago_goes_first(tmp_path):
    with Library(tmp_path / "ws") as library:
        old, new = (library.bank.block_set(cut(library, seed), means()) for seed in (1, 2))
        put(library, old, range(6))
        put(library, new, range(6))
        library.bank.read(old, [0, 1], MODEL.load_kv)
        size, held = library.bank.held() // 12, library.bank.held()
    with Library(tmp_path / "ws", kv_bytes=held) as library:
        assert library.bank.make_room(2 * size, ()) in (2, 3)
        gone = library.bank.missing(old)
        assert gone and set(gone) <= {2, 3, 4} and library.bank.missing(new) == []
        library.bank.make_room(held // 3, [new.id])
        assert len(library.bank.missing(old)) in (4, 5) and library.bank.missing(new) == []
        assert library.bank.make_room(0, ()) == 0
        assert faults(library) == []


def test_blocks_of_a_run_never_go_and_what_does_not_fit_beside_them_is_refused(tmp_path):
    with Library(tmp_path / "ws", kv_bytes=4000) as library:
        ours, others = (library.bank.block_set(cut(library, seed, 3), means()) for seed in (1, 2))
        put(library, ours, range(3))
        put(library, others, range(3))
        before = files(library)
        with pytest.raises(StoreError, match="that must stay") as error:
            library.bank.make_room(4000, [ours.id])
        assert "kv_megabytes" in error.value.hint and "ratio" in error.value.hint
        assert files(library) == before


def test_a_full_disk_is_said_before_anything_is_written(library, filled, monkeypatch):
    monkeypatch.setattr(library.bank.files, "free", lambda: banks._RESERVE + 100)
    with pytest.raises(StoreError, match="the disk of"):
        library.bank.make_room(1_000_000, [filled.id])
    assert library.bank.missing(filled) == []


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_file(library, monkeypatch):
    block_set = library.bank.block_set(cut(library), means())
    chunk = library.chunks.chunk(block_set.chunking, 0)
    text = library.documents.text_of(chunk.span)
    block = compress(text)

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        library.bank.write(block_set, chunk, text, block)
    assert files(library) == []


def test_a_disk_that_lets_no_block_be_read_is_told_and_no_block_is_called_damaged(library, filled):
    chunk = library.chunks.chunk(filled.chunking, 2)
    a_folder(library.bank.files.path(filled.means.key(library.documents.text_of(chunk.span))))
    with pytest.raises(StoreError, match="Cannot read"):
        library.bank.read(filled, [2], MODEL.load_kv)
    assert library.bank.missing(filled) == []


def test_a_disk_that_lets_nothing_be_deleted_is_told(library, filled, monkeypatch):
    path = files(library)[0]
    a_folder(path)
    with pytest.raises(StoreError):
        library.bank.files.delete(path.name.partition(".")[0])
    monkeypatch.setattr(library.bank, "leftovers", lambda _age: [path])
    with pytest.raises(StoreError):
        library.bank.make_room(0, ())


def test_the_limit_is_half_of_what_the_disk_has_for_blocks(library, filled, monkeypatch):
    monkeypatch.setattr(library.bank.files, "free", lambda: 10_000)
    assert library.bank.limit == (10_000 + library.bank.held()) // 2
    monkeypatch.setattr(library.bank.files, "free", lambda: 10**15)
    assert library.bank.limit == banks.LIMIT


def test_a_crash_between_file_and_row_leaves_a_file_that_is_told_and_swept(library, filled):
    other = library.bank.block_set(cut(library, seed=3, chunks=1), means())
    chunk = library.chunks.chunk(other.chunking, 0)
    text = library.documents.text_of(chunk.span)
    entry = library.bank.write(other, chunk, text, compress(text))  # and the process dies here
    half = library.bank.files.path(entry.key).with_suffix(".77.part")
    half.write_bytes(b"half")
    [told] = faults(library)
    assert told.state == "note" and "2 compressed memories are written and not entered" in told.what
    assert library.bank.missing(other) == [0]
    library.bank.make_room(0, ())
    assert len(files(library)) == 8  # they may be somebody's who is at work
    old = time.time() - 2 * banks.STALE_SECONDS
    for path in (library.bank.files.path(entry.key), half):
        os.utime(path, (old, old))
    [told] = faults(library)
    assert told.state == "warning" and entry.key in told.what and ".part" in told.what
    library.bank.make_room(0, ())
    assert len(files(library)) == 6
    put(library, other, [0])
    assert faults(library) == []


def test_a_run_that_is_at_work_keeps_what_it_reads(library, filled):
    from filelock import FileLock

    document = filled.chunking.document_id
    run = library.runs.create(
        "busy", question="?", graph="g", settings={}, models={}, budget=Budget(), document_ids=[document]
    )
    assert library.being_read() == set()
    with FileLock(library.run_lock(run.id)):
        assert library.being_read() == library.being_read(but="another") == {document}
        assert library.being_read(but=run.id) == set()
        assert library.bank.sets_of(library.being_read()) == [filled.id]


def test_workspaces_of_before_are_migrated(tmp_path):
    from rereader.memory import database
    from rereader.memory.migrations import MIGRATIONS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", MIGRATIONS[:4])
        database.Database(tmp_path / "library.db").close()
    with Library(tmp_path) as library:
        assert library.bank.held() == 0


BEFORE = """CREATE TABLE kv_blocks (
    kv_set INTEGER NOT NULL REFERENCES kv_sets(id) ON DELETE CASCADE, chunk INTEGER NOT NULL,
    start INTEGER NOT NULL, end INTEGER NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL,
    places INTEGER NOT NULL, length INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    record_id TEXT NOT NULL REFERENCES records(id) ON DELETE CASCADE, used_at REAL NOT NULL,
    PRIMARY KEY (kv_set, chunk)) WITHOUT ROWID"""


def test_blocks_of_before_are_kept_without_their_second_checksum(tmp_path):
    with Library(tmp_path) as library:
        block_set = library.bank.block_set(cut(library), means())
        put(library, block_set, range(6))
        old = "start, end, key, digest, places, length, bytes"
        for statement in (
            "CREATE TABLE kept AS SELECT * FROM kv_blocks",
            "DROP TABLE kv_blocks",
            BEFORE,
            f"INSERT INTO kv_blocks SELECT kv_set, chunk, {old}, 'sum', record_id, used_at FROM kept",
            "DROP TABLE kept",
            "CREATE INDEX kv_blocks_by_key ON kv_blocks (key)",
            "ALTER TABLE runs DROP COLUMN failure",
            "ALTER TABLE runs DROP COLUMN forked_at",
            "PRAGMA user_version = 5",
        ):
            library.database.execute(statement)
    with Library(tmp_path) as library:
        assert sorted(library.bank.read(block_set, range(6), MODEL.load_kv)[0]) == list(range(6))
        assert faults(library) == []
        indexes = library.database.rows("SELECT name FROM sqlite_master WHERE name GLOB 'kv_blocks_by_*'")
        assert len(indexes) == 3


def test_what_recursive_runs_of_before_hold_is_found_in_its_slot(tmp_path):
    with Library(tmp_path) as library:
        record = Record.create(run_id="r", kind=RecordKind.NOTE, content="a line", agent="planner")
        for name, graph in (("r", "recursive"), ("other", "memory-agent")):
            asked = {"question": "?", "settings": {}, "models": {}, "budget": Budget(), "document_ids": []}
            library.runs.create(name, graph=graph, **asked)
            library.working_memory(name).write(0, [("note", record)])
        library.database.execute("ALTER TABLE runs DROP COLUMN failure")
        library.database.execute("ALTER TABLE runs DROP COLUMN forked_at")
        library.database.execute("PRAGMA user_version = 5")
    with Library(tmp_path) as library:
        held = {name: [entry.slot for entry in library.working_memory(name).read(1)] for name in ("r", "other")}
        assert held == {"r": ["desk"], "other": ["note"]}
