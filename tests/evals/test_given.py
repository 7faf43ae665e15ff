"""Benchmarks of given texts: splits by text, gold in place, published forms, hub data sets, and what is absent."""

import json
from itertools import islice

import huggingface_hub.constants
import pytest
from bench_data import article, hops, meeting, story, write_data, write_lines

from rereader.evals.items import load_benchmark
from rereader.evals.longdoc import only_place
from rereader.evals.origins import read_rows
from rereader.evals.scoring import score_answer
from rereader.schema.errors import InputError, StoreError

NAMES = ("quality", "longdoc", "squality", "qmsum", "multihop_short", "flenqa")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def all_items(bench):
    return [item for split in ("dev", "test") for item in bench.items(split, 0)]


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_text_and_seeds_only_change_the_order(data, name):
    bench = load_benchmark(name, data, {})
    dev, test = list(bench.items("dev", 0)), list(bench.items("test", 0))
    assert dev and test
    assert not {item.documents for item in dev} & {item.documents for item in test}
    assert len({item.id for item in dev + test}) == len(dev + test)
    again, other = list(bench.items("test", 0)), list(bench.items("test", 1))
    assert [item.id for item in again] == [item.id for item in test]
    assert sorted(item.id for item in other) == sorted(item.id for item in test)
    assert {item.seed for item in other} == {1}
    assert bench.facts() and bench.data_hash()


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_is_right(data, name):
    for item in all_items(load_benchmark(name, data, {})):
        said = item.answers[0]
        assert score_answer(item, said, declined=False)["right"] == pytest.approx(1.0)
        assert score_answer(item, "", declined=False)["right"] == 0.0


def test_groups_come_in_turns(data):
    kinds = [item.kind for item in load_benchmark("longdoc", data, {"per_text": 1}).items("test", 0)]
    assert len(set(kinds[:3])) == 3
    only = load_benchmark("longdoc", data, {"sets": ["legal_contracts"]})
    assert {item.kind for item in all_items(only)} == {"legal_contracts"}
    with pytest.raises(InputError, match="no set 'novels'"):
        load_benchmark("longdoc", data, {"sets": ["novels"]})


def test_an_answer_that_stands_once_is_gold(data):
    bench = load_benchmark("longdoc", data, {})
    for item in all_items(bench):
        told = [bench.text(key)[start:end] for key, start, end in item.gold]
        assert told == ([item.answers[0]] if item.id.endswith("-0") else [])
    assert only_place("one two\nthree one", "two three") == (4, 13)
    assert only_place("one two one", "one") is None
    assert only_place("someone", "one") is None
    assert only_place("one", "") is None


def test_turns_of_a_meeting_are_gold(data):
    bench = load_benchmark("qmsum", data, {})
    for item in all_items(bench):
        told = [bench.text(key)[start:end] for key, start, end in item.gold]
        turns = [4, 5, 19] if item.kind == "specific" else []
        assert [line.split()[3] for line in told] == [str(turn) for turn in turns]  # past the end there is nothing


def test_supporting_facts_of_the_short_form(data):
    bench = load_benchmark("multihop_short", data, {})
    for item in all_items(bench):
        raw = hops(int(item.id.removeprefix("hops-")))
        told = [bench.text(key)[start:end] for key, start, end in item.gold]
        assert told == [one["sentences"][0] for one in raw["paragraphs"][:2]]


def test_of_paragraphs_with_one_title_the_marked_one_counts(data, tmp_path):
    raw = hops(1)
    twin = {"title": raw["paragraphs"][0]["title"], "sentences": ["Something else."], "is_supporting": False}
    raw["paragraphs"] = [twin, *({**one, "is_supporting": True} for one in raw["paragraphs"])]
    write_lines(tmp_path / "mine.jsonl", [raw])
    bench = load_benchmark("multihop_short", tmp_path, {"sets": ["musique"], "file": "mine.jsonl"})
    (item,) = all_items(bench)
    assert "Something" not in next(bench.text(key)[start:end] for key, start, end in item.gold)
    with pytest.raises(InputError, match="several sets"):
        load_benchmark("multihop_short", tmp_path, {"file": "mine.jsonl"})


def test_options_are_lettered_and_chosen_by_letter(data):
    for item in all_items(load_benchmark("quality", data, {})):
        letter = "ABCD"[["red", "blue"].index(item.answers[0])]
        assert f"\n{letter}. {item.answers[0]}\n" in item.question
        assert score_answer(item, f"{letter}.", declined=False)["right"] == 1.0
        assert score_answer(item, "D", declined=False)["right"] == 0.0


def published(name):
    """A row as its authors publish it, and the row of ours that says the same."""
    if name == "quality":
        ours = article(3)
        questions = [
            {"question": q["question"], "options": q["options"], "gold_label": q["gold"] + 1, "difficult": at}
            for at, q in enumerate(ours["questions"])
        ]
        return [{**ours, "questions": [one]} for one in questions], ours["article"]  # over two rows, as theirs
    if name == "squality":
        ours = story(3)
        questions = [
            {"question_text": q["question"], "responses": [{"response_text": one} for one in q["references"]]}
            for q in ours["questions"]
        ]
        row = {"metadata": {"passage_id": "3"}, "document": ours["document"], "questions": questions}
        return [row], ours["document"]
    if name == "qmsum":
        ours = meeting(3)
        specific = [{**one, "relevant_text_span": one.pop("turns")} for one in ours["specific"]]
        turns = [{"speaker": speaker, "content": said} for speaker, said in ours["transcript"]]
        row = {"general_query_list": ours["general"], "specific_query_list": specific, "meeting_transcripts": turns}
        return [row], "Speaker 0: turn 0 of meeting 3."
    raw = hops(3)
    context = [[one["title"], one["sentences"]] for one in raw["paragraphs"]]
    kept = {name: raw[name] for name in ("question", "answer", "type", "supporting_facts")}
    return [{"_id": "hops-3", "context": context, **kept}], raw["paragraphs"][0]["sentences"][0]


@pytest.mark.parametrize("name", ["quality", "squality", "qmsum", "multihop_short"])
def test_published_files_read_as_ours(data, tmp_path, name):
    rows, told = published(name)
    (tmp_path / "their.json").write_text(json.dumps(rows))
    options = {"sets": ["hotpotqa"]} if name == "multihop_short" else {}
    theirs = load_benchmark(name, tmp_path, {"file": "their.json", **options})
    items = all_items(theirs)
    assert told in theirs.text(items[0].documents[0])
    same = [one for one in all_items(load_benchmark(name, data, options)) if one.question == items[-1].question]
    assert items[-1].answers in [one.answers for one in same]
    assert len(items[-1].gold) in [len(one.gold) for one in same]
    if name == "quality":
        assert [item.kind for item in items] == ["easy", "hard"]


def test_a_data_set_of_the_hub_is_read_from_its_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "datasets--somebody--stories"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123")
    write_lines(home / "snapshots" / "0123" / "quality.jsonl.gz", [article(1)])
    bench = load_benchmark("quality", tmp_path, {"hub": "somebody/stories"})
    assert len(all_items(bench)) == 2
    with pytest.raises(InputError, match=r"other\.jsonl of the data set somebody/stories cannot be had"):
        all_items(load_benchmark("quality", tmp_path, {"hub": "somebody/stories", "file": "other.jsonl"}))


@pytest.mark.parametrize("name", [*NAMES, "babilong"])
def test_absent_data_is_named_with_its_publisher(tmp_path, name):
    with pytest.raises(InputError, match=r"data is not here: .*jsonl\.gz.*REREADER_DATA.*published by \S+"):
        all_items(load_benchmark(name, tmp_path, {}))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_texts_and_options_are_refused(data, name):
    with pytest.raises(InputError, match="no text"):
        load_benchmark(name, data, {}).text("nothing")
    with pytest.raises(InputError, match="sizee"):
        load_benchmark(name, data, {"sizee": 1})


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{"b":')
    with pytest.raises(StoreError, match="is not JSON"):
        read_rows(tmp_path / "bad.jsonl")


def test_flenqa_asks_one_question_at_every_length(data):
    bench = load_benchmark("flenqa", data, {})
    items = list(bench.items("test", 0))
    assert [item.length for item in items] == [250, 500] * (len(items) // 2)
    assert all(one.base == two.base for one, two in zip(items[::2], items[1::2], strict=True))
    for item in items:
        text = bench.text(item.documents[0])
        assert [text[start:end].split()[0] for _, start, end in item.gold] == ["Ann", "Bo"]
    assert {item.length for item in load_benchmark("flenqa", data, {"lengths": [500]}).items("dev", 0)} == {500}
    assert not list(load_benchmark("flenqa", data, {"placements": ["start"]}).items("dev", 0))


def test_a_key_sentence_that_is_not_there_is_told(tmp_path):
    row = {"id": "x", "base": "ages-0", "task": "ages", "length": 5, "placement": "end", "context": "Nothing."}
    row |= {"key_sentences": ["Ann."], "question": "?", "label": True}
    write_lines(tmp_path / "mine.jsonl", [row])
    with pytest.raises(StoreError, match="key sentence"):
        all_items(load_benchmark("flenqa", tmp_path, {"file": "mine.jsonl"}))


@pytest.mark.parametrize("name", [*NAMES, "ruler", "rulerhqa", "babilong", "needles_made"])
def test_the_real_data_reads_and_its_gold_is_there(data_dir, name):
    options = {
        "babilong": {"tokens": [0, 1000]},
        "ruler": {"tokens": 2048},
        "needles_made": {"each": 1, "tokens": 20_000},
    }
    bench = load_benchmark(name, data_dir, options.get(name, {}))
    for split in ("dev", "test"):
        items = list(islice(bench.items(split, 0), 13))
        assert len(items) >= 10
        for item in items:
            assert all(bench.text(key)[start:end].strip() for key, start, end in item.gold)
            said = ", ".join(item.answers) if item.expects == "all" else item.answers[0]
            if item.expects != "decline" and len(said.split()) <= item.answer_budget:
                assert score_answer(item, said, declined=False)["right"] == pytest.approx(1.0), item
