"""The bank of compressed chunks: what goes in comes out, damage is found, old blocks make room, nothing is left."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rereader.memory import bank as banks
from rereader.memory.bank import Means
from rereader.memory.invariants import check_library
from rereader.memory.library import Library
from rereader.models.base import Segment
from rereader.models.kvmemory import Compression, UnusableBlock
from rereader.models.scripted import ScriptedModel
from rereader.schema import Budget, Chunk, RecordKind, Span, StoreError

MODEL = ScriptedModel([], name="blocks", attends=True)
HOW = Compression(ratio=2.0)
WORDS = ("river", "tower", "winter", "island", "lamp", "harbour", "letter", "stone")


def means(**changes):
    fields = {"model": MODEL.name, "fingerprint": MODEL.fingerprint, "opening": "o", "scorer": HOW.scorer}
    return Means(**{**fields, "ratio": HOW.ratio, "budgets": HOW.budgets, "precision": "bfloat16", **changes})


def text_of(seed, words=40):
    return " ".join(f"{WORDS[(seed * 7 + i * i) % len(WORDS)]}{(seed + i) % 11}" for i in range(words))


def compress(text):
    [block] = MODEL.compress_kv([(Segment("system", "Open."), Segment("user", text, trusted=False))], HOW)
    return block


def cut(library, seed=0, chunks=6):
    """A document of so many chunks, each of its own words."""
    texts = [f"{text_of(100 * seed + number)}\n" for number in range(chunks)]
    document = library.documents.add("".join(texts), title=f"t{seed}", source="s", loader="text/1")
    at, found = 0, []
    for number, text in enumerate(texts):
        span = Span(document_id=document.id, start=at, end=at + len(text))
        found.append(Chunk(id=str(number), span=span, token_count=40, ordinal=number))
        at += len(text)
    passages = [(c.ordinal, c.span.start, c.span.end, library.documents.text_of(c.span)) for c in found]
    return library.chunks.add(document.id, "size", found, passages)


def put(library, block_set, ordinals):
    for ordinal in ordinals:
        chunk = library.chunks.chunk(block_set.chunking, ordinal)
        text = library.documents.text_of(chunk.span)
        library.bank.enter(block_set, [library.bank.write(block_set, chunk, text, compress(text))])


def files(library):
    return sorted(path for path in (library.workspace / "kv").rglob("*") if path.is_file())


def faults(library):
    return [finding for finding in check_library(library) if finding.state != "ok"]


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


def flip(path):
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def swap(path):
    others = [other for other in path.parent.parent.rglob("*.safetensors") if other != path]
    shutil.copyfile(others[0], path)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("harm", "why"),
    [(flip, "damaged"), (swap, "damaged"), (cut_short, "damaged"), (os.unlink, "missing")],
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

    class Full:
        def save(self, path, precision):
            block.save(path, precision)
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left"):
        library.bank.write(block_set, chunk, text, Full())
    assert files(library) == []


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
    half = library.bank.files.path(entry.key).with_suffix(".77.making")
    half.write_bytes(b"half")
    [told] = faults(library)
    assert told.state == "warning" and entry.key in told.what and "making" in told.what
    assert library.bank.missing(other) == [0]
    library.bank.make_room(0, ())
    assert len(files(library)) == 8  # they may be somebody's who is at work
    old = time.time() - 2 * banks._STALE_SECONDS
    for path in (library.bank.files.path(entry.key), half):
        os.utime(path, (old, old))
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
        assert library.being_read() == {document}
        assert library.bank.sets_of(library.being_read()) == [filled.id]


def test_workspaces_of_before_are_migrated(tmp_path):
    from rereader.memory import database
    from rereader.memory.migrations import MIGRATIONS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", MIGRATIONS[:4])
        database.Database(tmp_path / "library.db").close()
    with Library(tmp_path) as library:
        assert library.bank.held() == 0


class Sequences(RuleBasedStateMachine):
    """Any order of making, reading, harming, removing and making room."""

    sets = Bundle("sets")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.library = Library(self.folder, kv_bytes=6000)
        self.seed = 0

    def teardown(self):
        self.library.close()
        shutil.rmtree(self.folder)

    @rule(target=sets, precision=st.sampled_from(["exact", "int8"]))
    def add(self, precision):
        self.seed += 1
        return self.library.bank.block_set(cut(self.library, self.seed, 3), means(precision=precision))

    @rule(block_set=sets, ordinal=st.integers(0, 2))
    def make(self, block_set, ordinal):
        if self.removed(block_set):
            return
        try:
            self.library.bank.make_room(900, [block_set.id])
        except StoreError:
            return
        put(self.library, block_set, [ordinal])

    @rule(block_set=sets)
    def read(self, block_set):
        bank = self.library.bank
        missing = set(range(3)) if self.removed(block_set) else set(bank.missing(block_set))
        found, lost = bank.read(block_set, range(3), MODEL.load_kv)
        assert set(found) | set(lost) | missing == {0, 1, 2}
        for ordinal, held in found.items():
            text = self.library.documents.text_of(self.library.chunks.chunk(block_set.chunking, ordinal).span)
            assert held.block == compress(text)

    @rule(block_set=sets, ordinal=st.integers(0, 2), harm=st.sampled_from([flip, cut_short, os.unlink]))
    def harm(self, block_set, ordinal, harm):
        if self.removed(block_set):
            return
        text = self.library.documents.text_of(self.library.chunks.chunk(block_set.chunking, ordinal).span)
        path = self.library.bank.files.path(block_set.means.key(text))
        if path.exists():
            harm(path)

    @rule(block_set=sets)
    def remove(self, block_set):
        if not self.removed(block_set):
            self.library.remove(block_set.chunking.document_id)

    @rule(needed=st.integers(0, 5000))
    def make_room(self, needed):
        self.library.bank.make_room(needed, ())
        assert self.library.bank.held() + needed <= 6000

    def removed(self, block_set):
        return self.library.chunks.chunking(block_set.chunking.document_id, "size") is None

    @invariant()
    def the_limit_is_kept_and_no_file_belongs_to_nothing(self):
        assert self.library.bank.held() <= 6000
        assert self.library.bank.leftovers() == []


Sequences.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestSequences = Sequences.TestCase
