"""What holds of every benchmark under any seed: gold in its text, lengths, splits apart, and the same bytes again."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench_data import write_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rereader.evals.fitting import TOLERANCE
from rereader.evals.items import load_benchmark
from rereader.models.tokens import estimate_counter, tiktoken_counter

OPTIONS = {
    "ruler": {"tokens": 900, "samples": 1, "tokenizer": "estimate"},
    "rulerhqa": {"documents": [9, 20], "questions": [1, 3], "most": 4},
    "multihop": {"documents": 9},
    "babilong": {"tokens": [0, 600], "samples": 1, "tokenizer": "estimate"},
    "needles": {"tokens": 4000, "group": 5, "gap": 2},
    "needles_made": {"tokens": 6000, "gap": 2, "each": 1, "lookalikes": 1, "lookalike_kinds": ["single", "two_hop"]},
    **{name: {} for name in ("flenqa", "quality", "squality", "qmsum", "longdoc", "multihop_short", "books")},
}
FRESH = settings(max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture])
SEEDS = st.integers(0, 10**6)
DIGESTS = """
import json, sys
from pathlib import Path
sys.path += sys.argv[2:]
from test_fresh_seeds import OPTIONS, digest
json.dump({name: digest(name, Path(sys.argv[1])) for name in OPTIONS}, sys.stdout)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def made(name, data):
    return load_benchmark(name, data, OPTIONS[name])


def digest(name, data):
    """Everything that a reader of the benchmark is given, in one number."""
    bench, told = made(name, data), hashlib.sha256()
    for split in ("dev", "test"):
        for item in bench.items(split, 7):
            texts = [bench.text(key) for key in item.documents]
            told.update(repr((item.id, item.question, item.answers, item.gold, texts)).encode())
    return told.hexdigest()


@pytest.fixture(scope="module")
def elsewhere(data):
    """The digests as another process has them, that hashes, sorts and counts threads otherwise."""
    here = Path(__file__).parent
    odd = {"PYTHONHASHSEED": "77", "LC_ALL": "C", "OMP_NUM_THREADS": "3"}
    command = [sys.executable, "-c", DIGESTS, str(data), str(here), str(here.parent / "helpers")]
    done = subprocess.run(command, env={**os.environ, **odd}, capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", OPTIONS)
def test_another_process_makes_the_same_bytes(data, elsewhere, name):
    assert elsewhere[name] == digest(name, data)


@FRESH
@given(seed=SEEDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_gold_stands_in_its_text_and_texts_do_not_depend_on_the_order_of_asking(data, name, seed):
    bench, other = made(name, data), made(name, data)
    items = [item for split in ("dev", "test") for item in bench.items(split, seed)]
    assert len({(item.documents, item.id) for item in items}) == len(items)
    for item in items:
        for key, start, end in item.gold:
            assert key in item.documents
            assert bench.text(key)[start:end].strip() == bench.text(key)[start:end] != ""
    keys = dict.fromkeys(key for item in items for key in item.documents)
    assert [other.text(key) for key in reversed(keys)] == [bench.text(key) for key in reversed(keys)]


@FRESH
@given(seed=SEEDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_asked_of_one_split_is_not_asked_of_the_other(data, name, seed):
    bench = made(name, data)
    dev, test = (list(bench.items(split, seed)) for split in ("dev", "test"))
    assert dev and test
    if name in ("ruler", "needles_made"):  # they ask one question of many texts, each made for it
        asked = ({bench.text(key) for item in items for key in item.documents} for items in (dev, test))
    else:
        asked = ({item.base or item.id for item in items} for items in (dev, test))
    assert set.isdisjoint(*asked)


@FRESH
@given(seed=SEEDS)
@pytest.mark.parametrize("name", ["ruler", "babilong", "needles_made"])
def test_lengths_are_within_two_per_cent(data, name, seed):
    bench = made(name, data)
    counter = tiktoken_counter() if name == "needles_made" else estimate_counter()
    for item in bench.items("test", seed):
        (size,) = counter([bench.text(item.documents[0])])
        if name == "ruler":
            size += counter([item.question])[0] + item.answer_budget
        wanted = 6000 if name == "needles_made" else item.length
        assert not wanted or abs(size - wanted) <= TOLERANCE * wanted, item
