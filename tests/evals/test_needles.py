import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.evals.haystack import SENTENCE_BREAK, background, plant
from rereader.evals.items import Item
from rereader.evals.lookalikes import Lookalikes, invented_words
from rereader.evals.needles import Needles, accepted, parse_key, split_items
from rereader.models.tokens import estimate_counter, tiktoken_counter
from rereader.schema.errors import InputError

KINDS = {"single": 28, "two_hop": 14, "update_last": 14, "list_all": 14, "count": 14, "absent": 14}
SENTENCE = "Every word of this sentence {n} is plain and dull. "

needs_data = pytest.mark.skipif(not os.environ.get("REREADER_DATA"), reason="REREADER_DATA is not set")


def raw(kind: str, number: int) -> dict[str, object]:
    many = 3 if kind in {"update_last", "list_all", "count"} else 2 if kind == "two_hop" else 1
    needles = [f"Fact {part} of {kind} {number} is told here." for part in range(many)]
    return {
        "id": f"{kind}-{number:02}",
        "kind": kind,
        "needles": needles,
        "question": f"What of {kind} {number}?",
        "answers": ["3"] if kind == "count" else ["x"],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of our own: two essays of about 4,000 tokens, one book."""
    for folder, names in {"needles": (), "essays": ("one", "two"), "books": ("book",)}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            paragraphs = ["".join(SENTENCE.format(n=f"{name} {p} {n}") for n in range(5)).strip() for p in range(60)]
            content = "\n\n".join(paragraphs).encode()
            (tmp_path / folder / f"{name}.txt.gz").write_bytes(gzip.compress(content, mtime=0))
    raws = [raw(kind, number) for kind, many in KINDS.items() for number in range(many)]
    lines = "".join(json.dumps(one) + "\n" for one in raws)
    (tmp_path / "needles" / "planted_facts.jsonl").write_text(lines)
    return tmp_path


def made(data: Path, **options: object) -> Needles:
    return Needles(data, {"tokens": 6_000, "gap": 2, **options}, counter=estimate_counter())


def test_the_split_takes_the_first_of_each_kind() -> None:
    raws = [raw(kind, number) for number in range(28) for kind, many in KINDS.items() if number < many]
    dev, test = split_items(raws, "dev"), split_items(raws, "test")
    assert Counter(one["kind"] for one in dev) == {**dict.fromkeys(KINDS, 4), "single": 8}
    assert {one["id"] for one in dev} | {one["id"] for one in test} == {one["id"] for one in raws}
    assert not {one["id"] for one in dev} & {one["id"] for one in test}
    assert max(one["id"] for one in dev if one["kind"] == "single") == "single-07"


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_seeds_of_one_round_ask_every_item_once(data: Path, split) -> None:
    bench = made(data)
    rounds = [
        [[item.id for item in bench.items(split, seed + first)] for seed in range(bench.groups(split))]
        for first in (0, bench.groups(split))
    ]
    for groups in rounds:
        asked = Counter(name for group in groups for name in group)
        assert set(asked.values()) == {1}
        assert len(asked) == {"dev": 28, "test": 70}[split]
        assert all(len(group) <= 20 for group in groups)
    assert rounds[0] != rounds[1]


def test_gold_spans_are_the_needles_in_order(data: Path) -> None:
    bench = made(data)
    for seed in range(3):
        for item in bench.items("test", seed):
            text = bench.text(item.documents[0])
            found = [text[start:end] for _, start, end in item.gold]
            assert found == ([] if item.kind == "absent" else item.meta["needles"])
            assert all(text.count(needle) == 1 for needle in item.meta["needles"])
            assert list(item.gold) == sorted(item.gold)
            assert item.expects == {"absent": "decline", "list_all": "all"}.get(item.kind, "any")


def test_needles_stand_apart_between_whole_sentences(data: Path) -> None:
    bench = made(data, gap=3)
    spans = sorted(span[1:] for item in bench.items("test", 1) for span in item.gold)
    text = bench.text("test-1")
    for start, end in spans:
        assert text[end] == " "
        assert start == 0 or text[:start].rstrip().endswith(".")
        assert text[end + 1].isupper()
    for (_, end), (start, _) in pairwise(spans):
        assert len(SENTENCE_BREAK.findall(text[end : start + 1])) >= 3


def test_a_haystack_has_the_wanted_size(data: Path) -> None:
    for tokens in (3_000, 8_000):
        bench = made(data, tokens=tokens)
        (count,) = estimate_counter()([bench.text("dev-0")])
        assert tokens * 0.98 <= count <= tokens * 1.02  # the sum over paragraphs is not quite the whole


def test_books_follow_when_the_essays_are_used_up(data: Path) -> None:
    assert "book" not in made(data, tokens=4_000).text("dev-0")
    assert "book" in made(data, tokens=11_000).text("dev-0")
    with pytest.raises(InputError, match="too short"):
        made(data, tokens=50_000).text("dev-0")


def test_the_same_seed_gives_the_same_bytes_in_another_process(data: Path) -> None:
    program = (
        "import hashlib, sys; from pathlib import Path; from rereader.evals.needles import Needles;"
        "from rereader.models.tokens import estimate_counter, tiktoken_counter;"
        "bench = Needles(Path(sys.argv[1]), {'tokens': 6000, 'gap': 2}, counter=estimate_counter());"
        "sys.stdout.write(hashlib.sha256(bench.text('test-2').encode()).hexdigest())"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", program, str(data)], env=environ, capture_output=True, check=True)
    assert other.stdout.decode() == hashlib.sha256(made(data).text("test-2").encode()).hexdigest()


def test_seeds_and_splits_differ(data: Path) -> None:
    bench = made(data)
    assert len({bench.text(key) for key in ("dev-0", "dev-1", "test-0", "test-1")}) == 4


def test_limits_that_cannot_be_kept_are_refused(data: Path) -> None:
    with pytest.raises(InputError, match="too few sentences"):
        made(data, gap=40).text("test-0")
    with pytest.raises(InputError, match="no haystack"):
        made(data).text("train-0")
    assert parse_key("test-12") == ("test", 12)


def test_data_hash_covers_needles_and_texts(data: Path) -> None:
    before = made(data).data_hash()
    path = data / "essays" / "one.txt.gz"
    path.write_bytes(gzip.compress(b"Other words.", mtime=0))
    assert made(data).data_hash() != before


def test_a_count_may_be_written_as_a_word() -> None:
    assert accepted("count", ["6"]) == ("6", "six")
    assert accepted("count", ["37"]) == ("37",)
    assert accepted("single", ["6"]) == ("6",)


@settings(deadline=None, max_examples=40)
@given(st.integers(), st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 4))
def test_planting_adds_the_needles_and_nothing_else(seed: int, sizes: list[int], gap: int) -> None:
    text = "".join(SENTENCE.format(n=n) for n in range(100))
    needles = {f"item{i}": [f"Needle {i} {part}." for part in range(size)] for i, size in enumerate(sizes)}
    haystack = plant(text, needles, gap, Random(seed))
    spans = sorted((span for spans in haystack.planted.values() for span in spans), reverse=True)
    without = haystack.text
    for start, end in spans:
        without = without[:start] + without[end + 1 :]
    assert without == text
    assert all(list(many) == sorted(many) for many in haystack.planted.values())


def test_the_background_starts_anywhere_and_repeats_nothing(data: Path) -> None:
    tiers = [sorted((data / "essays").glob("*.gz"))]
    texts = {background(tiers, 5_000, estimate_counter(), Random(seed)) for seed in range(8)}
    assert len({text[:60] for text in texts}) > 3
    for text in texts:
        paragraphs = text.split("\n\n")
        assert len(set(paragraphs)) == len(paragraphs)


@needs_data
def test_the_real_needles_give_at_least_a_hundred_test_items() -> None:
    bench = Needles(Path(os.environ["REREADER_DATA"]), {}, counter=estimate_counter())
    items: list[Item] = [item for seed in range(bench.groups("test")) for item in bench.items("test", seed)]
    assert len({item.id for item in items}) == len(items) == 110
    assert len({item.kind for item in items}) == 10
    for item in items:
        text = bench.text(item.documents[0])
        assert [text[start:end] for _, start, end in item.gold] == (
            [] if item.kind == "absent" else item.meta["needles"]
        )


@needs_data
@pytest.mark.parametrize("tokens", [4_000, 20_000])
def test_real_haystacks_have_the_wanted_size(tokens: int) -> None:
    count = tiktoken_counter()
    bench = Needles(Path(os.environ["REREADER_DATA"]), {"tokens": tokens, "group": 5, "gap": 2}, counter=count)
    sizes = count([bench.text(f"{split}-{seed}") for split in ("dev", "test") for seed in range(8)])
    assert tokens * 0.98 <= min(sizes) <= max(sizes) <= tokens * 1.02


HOPS = (
    "Kormel Kelhesfala is the only ferryman in the town of Ulpelhala.",
    "Every spring Kormel Kelhesfala lodges here.",
)


def test_lookalikes_differ_by_names_and_numbers_only() -> None:
    assert invented_words(HOPS) == {"Kormel", "Kelhesfala", "Ulpelhala"}
    maker = Lookalikes({"Kormel", "Kelhesfala", "Ulpelhala"}, Random(1))
    made_up = [maker.make(HOPS) for _ in range(200)]
    for first, second in made_up:
        given, family = first.split()[:2]
        assert first.endswith(".")
        assert first.split()[2:-1] == HOPS[0].split()[2:-1]
        assert second == f"Every spring {given} {family} lodges here."
    words = [word for needles in made_up for word in invented_words(needles)]
    assert len(set(words)) == len(words) == 600
    [orchard] = maker.make(["The orchard of Bakel Sorfalpelen has 336 trees."])
    assert orchard.startswith("The orchard of ")
    assert len(orchard.split()[-2]) == 3


def test_a_lookalike_says_no_number_that_is_an_answer() -> None:
    maker = Lookalikes({str(number) for number in range(100, 1000) if number not in (336, 717)}, Random(2))
    made_up = {maker.make(["The orchard of Bakel Sorfalpelen has 336 trees."])[0].split()[-2] for _ in range(20)}
    assert made_up == {"336", "717"}


def test_lookalikes_are_planted_beside_the_items_and_are_no_gold(data: Path) -> None:
    plain, crowded = made(data), made(data, lookalikes=2, lookalike_kinds=("single", "two_hop"))
    for item in crowded.items("dev", 0):
        text = crowded.text("dev-0")
        assert [text[start:end] for _, start, end in item.gold] == (item.meta["needles"] if item.gold else [])
    assert [item.id for item in crowded.items("dev", 0)] == [item.id for item in plain.items("dev", 0)]
    fact = "is told here."
    kinds = Counter(item.kind for item in plain.items("dev", 0))
    more = crowded.text("dev-0").count(fact) - plain.text("dev-0").count(fact)
    assert more == 2 * (kinds["single"] + 2 * kinds["two_hop"])
