"""The bank keeps its limit and its files in order, whatever is done to it and when."""

import os
import shutil
import tempfile
from pathlib import Path

from banked import MODEL, compress, cut, cut_short, flip, means, put
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rereader.memory.library import Library
from rereader.schema import StoreError


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
