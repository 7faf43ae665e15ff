"""Finding retrieval heads and ranking sentences by them, on tiny random models."""

import json

import numpy as np
import pytest
import torch
from local_models import wrap

from rereader.agents.attender import attend, attending
from rereader.evals.heads import CHOSEN, best, copied, detect
from rereader.evals.marked import SETS, MarkedItem, dealt, marked_items
from rereader.evals.sentences import measure_sentences, recall_at
from rereader.models.base import Head, Segment
from rereader.models.hashing import HashingEmbedder
from rereader.models.headlist import read_heads
from rereader.models.scripted import ScriptedModel
from rereader.prompts.loader import Piece
from rereader.schema.errors import InputError, ModelError

FACTS = (
    "The tower burned in 1897. ",
    "Wind came over the island. ",
    "A ferry crossed the river. ",
    "Nobody was there.",
)


def item(number, gold):
    return MarkedItem(f"i{number}", "single", f"What burned in {number}?", FACTS, frozenset({gold}))


@pytest.fixture(scope="module")
def model():
    made = wrap()
    yield made
    made.close()


def test_detection_is_the_mean_over_items_of_the_gold_parts(model):
    items = [item(number, number % 3) for number in range(5)]
    told = []
    found = detect(model, "mine", items, lambda done, total: told.append((done, total)))
    pieces = [Piece(fact) for fact in FACTS]
    table = np.stack(
        [attend(model, one.question, pieces, model.all_heads()).by_head()[:, min(one.gold)] for one in items]
    )
    np.testing.assert_allclose(np.ravel(found.scores), table.mean(0), atol=1e-6)
    assert list(found.heads) == [model.all_heads()[i] for i in np.argsort(-table.mean(0), kind="stable")][:CHOSEN]
    assert told[0] == (0, 5) and told[-1] == (5, 5)
    assert 0 < found.overlap <= CHOSEN and found.items == 5


def test_copying_heads_look_at_the_token_that_comes_next(model):
    """Against the whole attention matrices, token by token."""
    config, engine = model._config, model._engine.prefill_model
    for number in range(4):
        one = item(number, number)
        prompt, first = attending(one.question, [Piece(fact) for fact in FACTS])
        answer = Segment("assistant", FACTS[number].strip(), trusted=False)
        rendered = model._renderer.render((*prompt, answer))
        config._attn_implementation, before = "eager", config._attn_implementation
        with torch.inference_mode():
            layers = engine(torch.tensor([rendered.ids]), output_attentions=True, use_cache=False).attentions
        config._attn_implementation = before
        (low, high), (start, end) = rendered.ranges[first + number], rendered.ranges[-1]
        expected = []
        for head in model.all_heads():
            rows = layers[head.layer][0, head.head]
            peaks = [int(rows[place - 1, :place].argmax()) for place in range(start, end)]
            hits = [low <= at < high and rendered.ids[at] == rendered.ids[start + i] for i, at in enumerate(peaks)]
            expected.append(sum(hits) / len(hits))
        np.testing.assert_allclose(copied(model, one, model.all_heads()), expected, atol=1e-6)
    assert detect(model, "mine", [item(1, 0), item(2, 1)], method="copying").method == "copying"


def test_a_list_is_stored_and_read(model, tmp_path):
    found = detect(model, "mine", [item(1, 0), item(2, 1)])
    found.write(tmp_path / "heads.json")
    assert read_heads(tmp_path / "heads.json") == list(found.heads)
    (tmp_path / "heads.json").write_text(json.dumps({"heads": [["a", 1]]}))
    with pytest.raises(InputError, match="no list of heads"):
        read_heads(tmp_path / "heads.json")
    with pytest.raises(InputError, match="two questions"):
        detect(model, "mine", [item(1, 0)])
    with pytest.raises(ModelError, match="does not show"):
        detect(ScriptedModel(["x"]), "mine", [item(1, 0), item(2, 1)])


def test_the_parts_are_where_the_model_reads_them(model):
    """Masses of a part alone are those of its tokens in the whole prompt."""
    pieces = [Piece(fact) for fact in FACTS]
    head = Head(1, 1)
    whole = attend(model, "Who?", [Piece("".join(FACTS))], [head]).by_head(calibrated=False)
    attended = attend(model, "Who?", pieces, [head])
    parts = attended.by_head(calibrated=False)
    np.testing.assert_allclose(attended.together([0]), attended.by_head()[0], rtol=1e-5)
    assert parts.shape == (1, len(FACTS)) and (parts > 0).all()
    assert 0.5 * whole.sum() < parts.sum() < 1


def test_ranking_rows_are_written_once(model, tmp_path):
    items = [item(number, number % 3) for number in range(3)]
    out = tmp_path / "rows.jsonl"
    lists = {"mine": best(np.eye(3, 8, dtype=np.float32), model.all_heads(), 2)}
    given = (model, HashingEmbedder(), "mine", items, lists, out)
    written = measure_sentences(*given)
    assert measure_sentences(*given) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["row"] for row in rows] == ["environment"] + ["result"] * written
    systems = {row["system"] for row in rows[1:]}
    assert {"bm25", "hashing", "heads mine", "heads all without null", "heads random + hashing + bm25"} <= systems
    assert written == 3 * len(systems)
    assert all(row["recall@10"] == 1.0 for row in rows[1:])


def test_parts_longer_than_the_embedders_window_count_by_their_best_window(model, tmp_path):
    parts = ("Nobody was there then. ", " ".join(FACTS))
    long = MarkedItem("long", "single", "What burned in 1897?", parts, frozenset({1}))
    out = tmp_path / "rows.jsonl"
    measure_sentences(model, HashingEmbedder(window=6), "mine", [long], {}, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["recall@1"] for row in rows if row.get("system") == "hashing"] == [1.0]


def test_recall_counts_the_best_and_ties_keep_the_order():
    scores = np.array([1.0, 3.0, 3.0, 0.0])
    assert recall_at(scores, frozenset({1, 2}), 1) == 0.5
    assert recall_at(scores, frozenset({3}), 3) == 0.0
    assert recall_at(scores, frozenset({0}), 3) == 1.0


@pytest.mark.parametrize("source", SETS)
def test_detection_and_test_items_never_meet(source, data_dir):
    found = {part: marked_items(source, data_dir, part) for part in ("detect", "test")}
    assert not {one.id for one in found["detect"]} & {one.id for one in found["test"]}
    for one in [*found["detect"], *found["test"]]:
        assert one.gold and max(one.gold) < len(one.parts) and all(part.strip() for part in one.parts)
    assert dealt("a") in ("detect", "test")
    with pytest.raises(InputError, match="no set"):
        marked_items("x", data_dir, "test")
