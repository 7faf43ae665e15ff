"""Multi-hop questions in a crowd: whole texts, gold sentences at drawn places, disjoint halves."""

import gzip
import json

import pytest

from rereader.evals.multihop import Multihop
from rereader.schema.errors import InputError


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "multihop"
    folder.mkdir()
    rows = []
    for i in range(40):
        paragraphs = [
            {"title": f"T{i}-{j}", "sentences": [f"First of {i}-{j}.", f" Second of {i}-{j}."]} for j in range(3)
        ]
        row = {
            "id": f"q{i}",
            "question": f"What is {i}?",
            "answer": str(i),
            "answer_aliases": [f"no. {i}"],
            "type": "bridge",
        }
        rows.append({**row, "paragraphs": paragraphs, "supporting_facts": [[f"T{i}-0", 1], [f"T{i}-2", 0]]})
    (folder / "hotpotqa.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    return tmp_path


def test_gold_sentences_are_where_they_are_said_to_be(data):
    bench = Multihop(data, {"documents": 20})
    items = bench.items("test", 0) + bench.items("dev", 0)
    assert len(items) == 40
    for item in items:
        number = item.id[1:]
        text = bench.text(item.documents[0])
        assert sorted(text[start:end] for _, start, end in item.gold) == [
            f"First of {number}-2.",
            f"Second of {number}-0.",
        ]
        assert text.count("Document ") == 20
        assert item.answers == (number, f"no. {number}")


def test_gold_stands_at_other_places_in_every_item_and_seed(data):
    bench = Multihop(data, {"documents": 20})
    places = {(seed, item.id): item.gold[0][1] for seed in (0, 1) for item in bench.items("test", seed)}
    assert len(set(places.values())) > len(places) / 3


def test_the_same_seed_gives_the_same_bytes_and_halves_do_not_meet(data):
    one, other = Multihop(data, {"documents": 9}), Multihop(data, {"documents": 9})
    assert [i.id for i in one.items("test", 3)] == [i.id for i in other.items("test", 3)]
    key = one.items("test", 3)[0].documents[0]
    assert one.text(key) == other.text(key)
    assert not {i.id for i in one.items("dev", 0)} & {i.id for i in one.items("test", 0)}


def test_too_many_documents_and_unknown_texts_are_refused(data):
    with pytest.raises(InputError, match="other documents"):
        Multihop(data, {"documents": 500}).items("test", 0)
    for key in ("0/nobody", "test/0/999", "test/x/0", "other/0/0"):
        with pytest.raises(InputError, match="no text"):
            Multihop(data, {"documents": 9}).text(key)
    with pytest.raises(InputError, match="source"):
        Multihop(data, {"source": "nowhere"})


def test_several_questions_are_put_to_one_text(data):
    bench = Multihop(data, {"documents": 20, "questions": 3})
    items = bench.items("test", 0)
    texts = [item.documents[0] for item in items]
    assert texts == [f"test/0/{i // 3}" for i in range(len(items))]
    for item in items:
        text, number = bench.text(item.documents[0]), item.id[1:]
        assert text.count("Document ") == 20
        assert sorted(text[start:end] for _, start, end in item.gold) == [
            f"First of {number}-2.",
            f"Second of {number}-0.",
        ]


def test_gold_paragraphs_go_before_others_where_room_is_scarce(data):
    bench = Multihop(data, {"documents": 7, "questions": 3})
    for item in bench.items("dev", 1)[:6]:
        text = bench.text(item.documents[0])
        assert text.count("Document ") == 7
        assert len(item.gold) == 2
