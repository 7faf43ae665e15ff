import gzip
import json
import os
from pathlib import Path

import pytest

from rereader.evals.books import PLAIN, Books, locate
from rereader.schema.errors import InputError

needs_data = pytest.mark.skipif(not os.environ.get("REREADER_DATA"), reason="REREADER_DATA is not set")
TEXT = "The ship\nsailed. \u201cGood-bye,\u201d said Ann\u2019s friend. Much later the ship sailed. The end."


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One book with four questions, another with one."""
    folder = tmp_path / "books"
    folder.mkdir()
    questions = [
        ("tale", "single", [{"quote": "the ship sailed", "position": 0.7}]),
        ("tale", "multi", [{"quote": "The ship sailed", "position": 0.0}, {"quote": "Ann's friend", "position": 0.4}]),
        ("tale", "unanswerable", []),
        ("other", "single", [{"quote": "One word", "position": 0.0}]),
        ("tale", "single", [{"quote": "The end", "position": 1.0}]),
    ]
    lines = [
        {"id": f"q{i}", "book": book, "question": "?", "answers": ["x"], "kind": kind, "evidence": evidence}
        for i, (book, kind, evidence) in enumerate(questions)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "tale.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "other.txt.gz").write_bytes(gzip.compress(b"One word only."))
    return tmp_path


def test_the_split_goes_by_parity_within_a_book(data: Path) -> None:
    bench = Books(data, {})
    assert [item.id for item in bench.items("dev", 0)] == ["q0", "q2", "q3"]
    assert [item.id for item in bench.items("test", 0)] == ["q1", "q4"]
    only = Books(data, {"books": ["tale"]})
    assert [item.id for item in only.items("dev", 0)] == ["q0", "q2"]
    assert only.data_hash() != bench.data_hash()


def test_gold_spans_are_the_quotes(data: Path) -> None:
    bench = Books(data, {})
    items = {item.id: item for split in ("dev", "test") for item in bench.items(split, 0)}
    assert [[TEXT[start:end] for _, start, end in items[name].gold] for name in ("q0", "q1", "q2")] == [
        ["the ship sailed"],
        ["The ship\nsailed", "Ann\u2019s friend"],
        [],
    ]
    assert items["q2"].expects == "decline"
    assert items["q0"].expects == "any"


def test_the_nearest_occurrence_counts() -> None:
    text = "owl " * 10
    assert locate(text, "owl", 0.0) == (0, 3)
    assert locate(text, "owl", 0.52) == (20, 23)
    assert locate(text, "owl", 1.0) == (36, 39)


def test_a_quote_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="not in its book"):
        locate(TEXT.translate(PLAIN), "the ship sank", 0.5)


def test_an_unknown_book_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match="'gone'"):
        Books(data, {"books": ["gone"]})


def test_plain_marks_keep_every_offset() -> None:
    assert len(TEXT.translate(PLAIN)) == len(TEXT)


@needs_data
def test_the_evidence_of_the_real_questions_is_found_near_its_place() -> None:
    bench = Books(Path(os.environ["REREADER_DATA"]), {})
    items = [item for split in ("dev", "test") for item in bench.items(split, 0)]
    assert len(items) == len({item.id for item in items}) == 66
    for item in items:
        assert bool(item.gold) == (item.kind != "unanswerable")
        for key, start, end in item.gold:
            assert 0 <= start < end <= len(bench.text(key))
