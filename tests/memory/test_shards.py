"""FAISS files of bounded size find what one exhaustive search finds, and are replaced whole."""

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.memory import shards
from rereader.memory.shards import open_shards, remove_shards, shard_paths, write_shards


def unit_vectors(count, dimension=8, seed=0):
    made = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def batches(matrix, sizes):
    start = 0
    while start < len(matrix):
        yield matrix[start : start + sizes[0]]
        start += sizes[0]
        sizes = [*sizes[1:], sizes[0]]


@given(st.integers(1, 60), st.integers(1, 20), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 70))
def test_many_files_find_what_one_search_finds(tmp_path_factory, count, size, steps, limit):
    folder = tmp_path_factory.mktemp("index")
    matrix, queries = unit_vectors(count), unit_vectors(3, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD", size)
        write_shards(folder, 7, batches(matrix, steps), count)
    found = open_shards(folder, 7)
    assert (found.total, len(found.paths)) == (count, -(-count // size))
    scores, ordinals = found.search(queries, limit)
    expected = np.sort(queries @ matrix.T, axis=1)[:, ::-1][:, :limit]
    assert np.allclose(scores, expected, atol=1e-6)
    rows = np.arange(len(queries))[:, None]
    assert np.allclose((queries @ matrix.T)[rows, ordinals], expected, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in ordinals.tolist())


def test_files_of_other_spaces_are_left_alone(tmp_path):
    for space in (1, 12):
        write_shards(tmp_path, space, [unit_vectors(4)], 4)
    remove_shards(tmp_path, 1)
    assert not shard_paths(tmp_path, 1) and len(shard_paths(tmp_path, 12)) == 1
    assert open_shards(tmp_path, 1) is None


def test_what_was_there_before_is_gone_after_writing(tmp_path, monkeypatch):
    (tmp_path / "space-3.faiss").write_bytes(b"an earlier version's")
    monkeypatch.setattr(shards, "SHARD", 5)
    write_shards(tmp_path, 3, [unit_vectors(20)], 20)
    write_shards(tmp_path, 3, [unit_vectors(7)], 7)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["space-3-0000.faiss", "space-3-0001.faiss"]
    assert open_shards(tmp_path, 3).total == 7


def test_a_file_that_cannot_be_read_makes_the_index_none(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", 5)
    write_shards(tmp_path, 3, [unit_vectors(12)], 12)
    shard_paths(tmp_path, 3)[1].write_bytes(b"no index")
    assert open_shards(tmp_path, 3) is None


def test_above_the_limit_there_is_one_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "FLAT_LIMIT", 10)
    write_shards(tmp_path, 3, [unit_vectors(6), unit_vectors(6, seed=2)], 12)
    [path] = shard_paths(tmp_path, 3)
    assert isinstance(faiss.read_index(str(path)), faiss.IndexHNSWFlat)
