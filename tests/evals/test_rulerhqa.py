"""The same questions among few and many documents: places, pairs, strangers that tell nothing, one text for all."""

import hashlib
import re

import pytest
from bench_data import hops, write_data, write_lines

from rereader.evals.length_table import length_tables
from rereader.evals.paragraphs import Pool, tells
from rereader.evals.rulerhqa import RulerHqa
from rereader.schema.errors import InputError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    write_lines(folder / "multihop" / "hotpotqa.jsonl.gz", map(hops, range(40)))
    return folder


def made(data, documents=(9, 30), questions=(1, 1), **options):
    return RulerHqa(data, {"documents": list(documents), "questions": list(questions), **options})


def told(bench, item):
    text = bench.text(item.documents[0])
    return sorted(text[start:end] for _, start, end in item.gold)


def test_gold_sentences_are_where_they_are_said_to_be(data):
    bench = made(data)
    items = [*bench.items("test", 0), *bench.items("dev", 1)]
    assert len(items) == 80
    for item in items:
        raw = hops(int(item.base.removeprefix("hops-")))
        assert told(bench, item) == sorted(one["sentences"][0] for one in raw["paragraphs"][:2])
        text = bench.text(item.documents[0])
        assert text.count("Document ") == item.length
        assert len(re.findall(rf"\b{item.answers[0]}\b", text)) == 1  # no stranger holds the answer


def test_each_question_is_asked_at_every_length_before_the_next(data):
    items = list(made(data).items("test", 0))
    assert [item.length for item in items] == [9, 30] * (len(items) // 2)
    assert all(short.base == long.base for short, long in zip(items[::2], items[1::2], strict=True))
    assert len({item.id for item in items}) == len(items)
    other = list(made(data, (12,), (1,)).items("test", 0))
    assert [item.base for item in other] == [item.base for item in items[::2]]  # the same questions at any length


def test_gold_stands_anywhere(data):
    bench = made(data, (30,), (1,))
    places = [item.gold[0][1] / len(bench.text(item.documents[0])) for item in bench.items("test", 0)]
    assert len({int(10 * place) for place in places}) >= 5


def test_one_text_holds_the_gold_of_all_questions(data):
    bench = made(data, (60,), (50,), clean=False)
    items = list(bench.items("test", 0))
    assert {item.documents for item in items} == {("test/0/60/0",)}
    for item in items:
        assert len(told(bench, item)) == 2
    spans = [span for item in items for span in item.gold]
    assert len(set(spans)) == len(spans)


def test_questions_that_share_a_text_follow_one_another(data):
    bench = made(data, (9, 30), (3, 1), most=7)
    items = [item for item in bench.items("dev", 0) if item.length == 9]
    assert [item.documents[0][-1] for item in items] == list("0001112")[: len(items)]


def test_documents_come_from_further_sources_and_never_twice(data):
    (item,) = list(made(data, (250,), (1,), most=1).items("test", 0))
    text = made(data, (250,), (1,)).text(item.documents[0])
    titles = re.findall(r"^Document \d+: (.*)$", text, re.MULTILINE)
    assert len(set(titles)) == len(titles) == 250
    assert any("passage" in title for title in titles)  # books come last
    with pytest.raises(InputError, match="other documents"):
        list(made(data, (9_000,), (1,)).items("test", 0))


def test_a_stranger_tells_the_answer_by_whole_words():
    def one(text, title="Title"):
        return {"title": title, "sentences": [text]}

    assert tells(one("He sang with Beyonc\u00e9."), ["Beyonce"])
    assert tells(one("Made in the U.S. in 1999."), ["US"])
    assert tells(one("Smith's house."), ["the smith"])
    assert tells(one("Nothing.", title="Blue Lantern"), ["red", "blue lantern"])
    assert not tells(one("The lantern is blue."), ["blue lantern"])
    assert not tells(one("no, yes"), ["yes", "no"])
    assert not tells(one("12"), ["2"])


def test_a_pool_gives_each_paragraph_once_and_leaves_out_what_it_is_told(data):
    from random import Random

    titles = [one["title"] for one in Pool(data).drawn(Random(1), {"3-0"}, ["3004"])]
    assert len(set(titles)) == len(titles)
    assert "3-0" not in titles
    assert "4-1" not in titles  # it holds 3004
    assert "5-1" in titles
    pool = Pool(data)
    assert [[one["title"] for one in pool.drawn(Random(1), set())] for _ in range(2)].count(titles) == 0


EXPECTED = "4be7554e77dc663ae45315b9317d4d5688b8a9ff8e3759c3bcfa56915db4b197"


def test_one_seed_gives_one_set_of_bytes(data):
    digest = hashlib.sha256()
    for bench in (made(data), made(data, (9, 60), (3, 50), clean=False)):
        for item in bench.items("test", 3):
            digest.update(repr((item.id, item.gold, bench.text(item.documents[0]))).encode())
    assert digest.hexdigest() == EXPECTED  # if this must change, GENERATOR must go up


@pytest.mark.parametrize("options", [{"questions": [1]}, {"documents": [9, 9]}, {"documents": [0, 9]}, {"size": 4}])
def test_wrong_options_are_refused(data, options):
    with pytest.raises(InputError, match="Unusable benchmark options"):
        made(data, **{"documents": (9, 30), "questions": (1, 1), **options})


@pytest.mark.parametrize("key", ["test/0/9", "test/0/9/999", "test/0/10/0", "all/0/9/0", "test/x/9/0"])
def test_unknown_texts_are_refused(data, key):
    with pytest.raises(InputError, match="no text"):
        made(data).text(key)


def row(base, length, recall, system="a"):
    scores = {"evidence_recall": recall}
    return {"system": system, "seed": 0, "base": base, "length": length, "scores": scores}


def test_lengths_are_paired_by_question():
    rows = [row("q1", 7, 1.0), row("q1", 1600, 0.5), row("q2", 7, 1.0), row("q2", 1600, 1.0), row("q3", 7, 0.0)]
    ((title, header, lines),) = length_tables(rows)
    assert title.startswith("Evidence recall by length")
    assert header[2:] == ["7", "1,600", "1,600 minus 7, paired"]
    assert lines == [["a", "2", "0.67 [0.00, 1.00]", "0.75 [0.50, 1.00]", "-0.250 [-0.500, +0.000]"]]
    assert length_tables([row("q1", 7, 1.0), row("q2", 7, 1.0)]) == []
    assert length_tables([{**row("q1", 7, 1.0), "base": ""}, {**row("q1", 9, 1.0), "base": ""}]) == []
