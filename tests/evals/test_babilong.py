"""Facts among the sentences of books, and made needles: lengths, places, the same bytes again, nothing said twice."""

import hashlib
import re
from random import Random

import pytest
from bench_data import BABI, PLACES, WORDS, babi, write_data, write_lines, write_text
from hypothesis import example, given
from hypothesis import strategies as st

from rereader.evals.babilong import Babilong
from rereader.evals.fitting import TOLERANCE
from rereader.evals.needle_makers import KINDS, LATENT, Planter
from rereader.evals.needles_made import MadeNeedles
from rereader.evals.scoring import score_answer
from rereader.models.tokens import estimate_counter
from rereader.schema.errors import InputError
from rereader.testing.texts import essay
from rereader.tools.words import STOP_WORDS, content_words


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    return folder


def made(data, tokens=(0, 300, 2000), **options):
    return Babilong(data, {"tokens": list(tokens), "samples": 3, **options}, counter=WORDS)


def test_facts_keep_their_order_and_the_text_its_length(data):
    bench = made(data, tasks=list(BABI))
    items = [*bench.items("test", 0), *bench.items("dev", 0)]
    assert {item.kind for item in items} == set(BABI)
    for item in items:
        text, raw = bench.text(item.documents[0]), babi(item.kind, int(item.base.rsplit("-", 1)[1]))
        lines = text.splitlines()
        assert [line for line in lines if line in raw["facts"]] == raw["facts"]
        assert [text[start:end] for _, start, end in item.gold] == [raw["facts"][1]]
        (size,) = WORDS([text])
        low, high = (item.length * (1 - TOLERANCE), item.length) if item.length else (1, 20)
        assert low <= size <= high


def test_each_question_is_asked_at_every_length_and_tasks_in_turn(data):
    items = list(made(data).items("test", 0))
    assert [item.length for item in items] == [0, 300, 2000] * (len(items) // 3)
    assert [item.kind for item in items[::3]][:5] == ["qa1", "qa2", "qa3", "qa4", "qa5"]
    assert len({item.id for item in items}) == len(items)
    assert {item.base for item in items[:3]} == {items[0].base}


def test_facts_stand_anywhere(data):
    bench = made(data, (2000,), samples=6)
    places = [item.gold[0][1] / len(bench.text(item.documents[0])) for item in bench.items("test", 0)]
    assert len({int(10 * place) for place in places}) >= 4


def test_a_reader_is_scored_by_the_labels_of_the_task(data):
    for item in made(data, (0,), tasks=list(BABI)).items("test", 0):
        said = {"qa8": "the apple and the milk", "qa19": "south, east"}.get(item.kind, f"In the {item.answers[0]}.")
        assert score_answer(item, said, declined=False)["right"] == 1.0
        assert score_answer(item, f"{said[:-1]} or the garden, kitchen, n", declined=False)["right"] == 0.0


def test_only_babis_own_question_takes_labels_away(data):
    # "Answer with one word." stands behind every question, and "one" is an answer of the task that counts.
    asked = "How many objects does Mary carry to the garden?"
    rows = [
        {**babi("qa7", at), "question": asked, "answer": ("none", "one", "two", "garden")[at % 4]} for at in range(24)
    ]
    write_lines(data / "babi" / "counts.jsonl.gz", rows)
    bench = made(data, (0,), tasks=["qa7"], samples=24, file="babi/counts.jsonl.gz")
    right = {
        item.answers[0]: score_answer(item, item.answers[0], declined=False)["right"] for item in bench.items("test", 0)
    }
    assert right == {"none": 1.0, "one": 1.0, "two": 1.0, "garden": 0.0}


def test_stories_that_do_not_fit_the_shortest_text_are_asked_at_no_length(data):
    long = {"facts": [f"Mary went to the {PLACES[at % 3]} again." for at in range(60)], "supporting": [7]}
    rows = [{**babi("qa3", at), **(long if at % 2 else {})} for at in range(24)]
    write_lines(data / "babi" / "stories.jsonl.gz", rows)
    short, even = (
        {
            item.base
            for item in made(data, tokens, tasks=["qa3"], samples=24, file="babi/stories.jsonl.gz").items("test", 0)
        }
        for tokens in ((0, 300, 2000), (0, 2000))
    )
    assert short and short < even
    assert not [name for name in short if int(name.rpartition("-")[2]) % 2]


def test_what_cannot_be_made_is_refused(data):
    with pytest.raises(InputError, match="no task 'qa99'"):
        list(made(data, tasks=["qa99"]).items("dev", 0))
    with pytest.raises(InputError, match="too short"):
        list(made(data, (10_000_000,)).items("dev", 0))
    for key in ("dev/0/300", "dev/0/300/nobody", "dev/0/x/babi-qa1-0"):
        with pytest.raises(InputError, match="no text"):
            made(data).text(key)


def digest(bench, seed=0):
    told = [(item.id, item.question, item.answers, item.gold) for item in bench.items("test", seed)]
    texts = [bench.text(item.documents[0]) for item in bench.items("test", seed)]
    return hashlib.sha256(repr((told, texts)).encode()).hexdigest()


BABILONG = "6fa30fee1a656dc67884dd82b25c569d3503aae165de561aba9bf4dc990b3f0f"
NEEDLES = "24d84e5acbb62190586bc3b6f3d8c0b5ac319e23b897431975914bf14b3ec33c"


def test_one_seed_gives_one_set_of_bytes(data):
    assert digest(Babilong(data, {"tokens": [0, 700]}, counter=estimate_counter())) == BABILONG
    assert digest(planted(data)) == NEEDLES  # if one must change, its GENERATOR must go up
    assert digest(planted(data), 1) != NEEDLES


def planted(data, **options):
    return MadeNeedles(data, {"tokens": 6_000, "gap": 2, "each": 2, **options}, counter=estimate_counter())


@pytest.mark.parametrize("tokens", [5_000, 9_000])
def test_made_needles_stand_where_they_are_said_to_and_nowhere_else(data, tokens):
    bench = planted(data, tokens=tokens)
    for seed in range(3):
        items = bench.items("test", seed)
        text = bench.text(f"test-{seed}")
        assert sorted(item.kind for item in items) == sorted([*KINDS] * 2)
        for item in items:
            needles = item.meta["needles"]
            assert [text[start:end] for _, start, end in item.gold] == ([] if item.kind == "absent" else needles)
            assert all(text.count(needle) == 1 for needle in needles)
            rest = text
            for needle in needles:
                rest = rest.replace(needle, "")
            told = () if item.kind in {"count", "absent"} else item.answers
            assert not [answer for answer in told if re.search(rf"\b{re.escape(answer)}\b", rest)]
        (size,) = estimate_counter()([text])
        assert (1 - TOLERANCE) * tokens <= size <= (1 + TOLERANCE) * tokens


def test_seeds_ask_other_things(data):
    bench = planted(data)
    asked = [item.question for seed in range(4) for item in bench.items("dev", seed) if item.kind != "latent"]
    assert len(set(asked)) == len(asked)


def test_lookalikes_of_made_needles_use_other_names(data):
    bench = planted(data, each=1, lookalikes=2)
    for item in bench.items("test", 0):
        text = bench.text("test-0")
        assert all(text.count(needle) == 1 for needle in item.meta["needles"])


def test_numbers_and_names_of_the_background_are_not_used(tmp_path):
    crowded = " ".join(f"Box {number}." for number in range(1_000, 9_990))
    write_text(tmp_path / "essays" / "one.txt.gz", "".join(essay(1, 300)) + crowded)
    bench = planted(tmp_path, tokens=3_000, kinds=["single"], each=8)
    answers = {answer for item in bench.items("dev", 0) for answer in item.answers}
    assert len(answers) == 8
    assert all(int(answer) >= 9_990 for answer in answers)


@given(st.integers(), st.sampled_from(KINDS))
@example(21473, "three_hop")  # once a village that a mill was named after
def test_the_answer_is_in_the_needles_and_the_question_is_not_its_answer(seed, kind):
    raw = Planter(Random(seed)).make(kind, "x")
    told = " ".join(raw["needles"])
    if kind == "count":
        assert raw["answers"] == [str(len(raw["needles"]))]
    elif kind != "absent":
        assert all(answer in told for answer in raw["answers"])
    if kind == "compare":
        trees = {needle.split(" of ")[1].split(" has")[0]: int(needle.split()[-2]) for needle in raw["needles"]}
        assert raw["answers"] == [max(trees, key=lambda name: trees[name])]
    elif kind == "absent":
        assert "chapel" not in told
    else:
        assert not [answer for answer in raw["answers"] if answer in raw["question"]]


def test_latent_questions_share_no_content_word_with_their_fact():
    for told, question in LATENT:
        assert not set(content_words(told)) & set(content_words(question)) - STOP_WORDS


def test_wrong_kinds_are_refused(data):
    with pytest.raises(InputError, match="no kind 'rare'"):
        planted(data, kinds=["rare"])
    with pytest.raises(InputError, match="each"):
        planted(data, each=99)
