"""The head of the trained gate and its file."""

import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
import torch
from gate_heads import CALIBRATION, random_head
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rereader.models.calibration import Calibration, probability
from rereader.models.gatefeatures import FEATURES, GateInputs, Units, Words, features
from rereader.models.gatehead import CLIP, PROBES, read_head, shipped_head
from rereader.models.hashing import HashingEmbedder
from rereader.schema import InputError, ModelError

MOST_BYTES = 5_000_000


def torch_scores(head, table):
    """The same by torch: the mean of the networks, each built of two linear layers."""
    rows = torch.clamp(
        (torch.from_numpy(table) - torch.from_numpy(head.mean)) / torch.from_numpy(head.scale), -CLIP, CLIP
    )
    found = []
    for inner, inner_bias, outer, outer_bias in zip(
        head.inner, head.inner_bias, head.outer, head.outer_bias, strict=True
    ):
        first, last = torch.nn.Linear(*inner.shape), torch.nn.Linear(len(outer), 1)
        with torch.no_grad():
            first.weight.copy_(torch.from_numpy(inner.T))
            first.bias.copy_(torch.from_numpy(inner_bias))
            last.weight.copy_(torch.from_numpy(outer[None]))
            last.bias.fill_(float(outer_bias))
            found.append(last(torch.relu(first(rows)))[:, 0])
    return torch.stack(found).mean(0).numpy()


def test_the_forward_pass_is_that_of_torch():
    head = random_head()
    table = np.random.default_rng(1).normal(scale=6.0, size=(50, len(FEATURES))).astype(np.float32)
    np.testing.assert_allclose(head.raw(table), torch_scores(head, table), rtol=1e-4, atol=1e-4)
    assert head.raw(table[:0]).shape == (0,)


def test_what_was_never_seen_does_not_decide_by_its_size():
    head = random_head()
    table = np.full((2, len(FEATURES)), 1e4, dtype=np.float32)
    table[1] = 1e8
    assert head.raw(table)[0] == head.raw(table)[1]


def test_a_head_is_read_as_it_was_written(tmp_path):
    head, path = random_head(), tmp_path / "new" / "gate.safetensors"
    head.write(path)
    again = read_head(path)
    for name in ("mean", "scale", "inner", "inner_bias", "outer", "outer_bias", "probes"):
        assert np.array_equal(getattr(again, name), getattr(head, name))
    assert again.calibration == head.calibration and again.about == head.about
    assert [file.name for file in path.parent.iterdir()] == ["gate.safetensors"]


def test_every_changed_byte_of_the_weights_is_noticed(tmp_path):
    path = tmp_path / "gate.safetensors"
    random_head().write(path)
    whole = path.read_bytes()
    for place in (len(whole) - 1, len(whole) - 400, len(whole) - 1500):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelError, match="damaged"):
            read_head(path)


@pytest.mark.parametrize("what", ["calibration", "about"])
def test_a_changed_calibration_is_noticed(tmp_path, what):
    path = tmp_path / "gate.safetensors"
    random_head().write(path)
    with safe_open(str(path), framework="numpy") as file:
        facts = json.loads(file.metadata()["gate"])
    facts["calibration"]["offset"] += float(what == "calibration")
    facts["about"]["seed"] = 5 if what == "about" else facts["about"].get("seed")
    save_file(load_file(path), path, metadata={"gate": json.dumps(facts)})
    with pytest.raises(ModelError, match="damaged"):
        read_head(path)


def test_whoever_may_read_the_users_files_may_read_a_head(tmp_path):
    before = os.umask(0o027)
    try:
        random_head().write(tmp_path / "gate.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "gate.safetensors").stat().st_mode) == 0o640


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path, keep):
    path = tmp_path / "gate.safetensors"
    random_head().write(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged"):
        read_head(path)


def test_other_files_are_no_gates(tmp_path):
    with pytest.raises(InputError, match="no trained gate"):
        read_head(tmp_path / "missing.safetensors")
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="no gate"):
        read_head(tmp_path / "a.safetensors")
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "b.safetensors", metadata={"gate": "[1]"})
    with pytest.raises(ModelError, match="no gate"):
        read_head(tmp_path / "b.safetensors")


@pytest.mark.parametrize("change", [{"version": 99}, {"features": ["cosine"]}])
def test_a_head_of_another_version_is_refused(tmp_path, change):
    path = tmp_path / "gate.safetensors"
    random_head().write(path)
    with safe_open(str(path), framework="numpy") as file:
        facts = {**json.loads(file.metadata()["gate"]), **change}
    save_file(load_file(path), path, metadata={"gate": json.dumps(facts)})
    with pytest.raises(InputError, match="another version"):
        read_head(path)


def test_another_embedder_is_refused():
    head = random_head()
    head.check("hashing", HashingEmbedder().embed(list(PROBES)))
    with pytest.raises(InputError, match="made with hashing; other gives other vectors"):
        head.check("other", HashingEmbedder(dimension=64).embed(list(PROBES)))
    turned = np.roll(head.probes, 1, axis=1)
    with pytest.raises(InputError, match="other vectors"):
        head.check("hashing", turned)


def test_the_head_that_ships():
    path = shipped_head("minilm")
    head = read_head(path)
    assert path.stat().st_size <= MOST_BYTES
    assert set(head.calibration.thresholds) == {"0.90", "0.95", "0.98"}
    assert head.probes.shape == (len(PROBES), 384)
    known = {"embedder", "embedder_fingerprint", "data", "split", "metrics", "commit", "seed", "versions"}
    assert known <= set(head.about)
    assert head.about["embedder"] == "minilm" and head.about["data"]["half"] == "detect"


@pytest.mark.parametrize("name", ["hashing", "../models", "", "minilm/x"])
def test_no_head_ships_for_other_embedders(name):
    with pytest.raises(InputError, match="No trained gate comes with"):
        shipped_head(name)


@pytest.mark.models
def test_the_head_that_ships_knows_its_embedder(pulled_model):
    from rereader.models.embedder import SentenceEmbedder

    embedder = SentenceEmbedder.load(pulled_model("minilm"), name="minilm", device="cpu")
    read_head(shipped_head("minilm")).check("minilm", embedder.embed(list(PROBES)))


def test_thresholds_are_found_by_recall():
    assert CALIBRATION.threshold(0.95) == 0.0 and CALIBRATION.threshold(0.9) == 0.5
    with pytest.raises(InputError, match=r"no threshold for a recall of 0\.5") as caught:
        CALIBRATION.threshold(0.5)
    assert "0.90, 0.95, 0.98" in caught.value.hint


@pytest.mark.parametrize("wrong", [{"slope": 0.0}, {"slope": float("nan")}, {"margin": -1.0}, {"thresholds": {}}])
def test_a_calibration_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValidationError):
        Calibration(**{**CALIBRATION.model_dump(), **wrong})


def test_log_odds_and_probabilities():
    twice = replace_slope(2.0, -1.0)
    odds = twice.log_odds(np.array([0.5, -1e9, 1e9]))
    assert odds[0] == 0.0
    assert probability(odds).tolist() == pytest.approx([0.5, 0.0, 1.0])


def replace_slope(slope, offset):
    return CALIBRATION.model_copy(update={"slope": slope, "offset": offset})


def inputs(memories=3, **changes):
    units = [Units(3, np.eye(4, dtype=np.float32), np.array([0, 1, 1, 0]))]
    held = np.array([[True, False], [True, True], [False, True]])
    words = Words(held, np.array([0, 1, 1]), np.array([1.0, 3.0]))
    made = GateInputs(
        memories=memories,
        question=np.array([0.0, 0.8, 0.6, 0.0], dtype=np.float32),
        known=np.zeros((0, 4), dtype=np.float32),
        units=units,
        words=words,
        fresh=np.array([True, True]),
    )
    return replace(made, **changes)


@given(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.integers(0, 2**32 - 1))
def test_parts_of_the_vectors_give_what_all_of_them_give(memories, size, something_known, seed):
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, memories, 3 * memories))
    vectors = rng.normal(size=(len(owner), 4)).astype(np.float32)
    known = rng.normal(size=(2 if something_known else 0, 4)).astype(np.float32)
    parts = []
    for start in range(0, memories, size):
        inside = (owner >= start) & (owner < start + size)
        parts.append(Units(min(size, memories - start), vectors[inside], owner[inside] - start))
    whole, apart = (
        features(inputs(memories, known=known, units=units, words=Words.none(), fresh=np.zeros(0, np.bool_)))
        for units in ([Units(memories, vectors, owner)], iter(parts))
    )
    np.testing.assert_allclose(apart, whole, atol=1e-5)


def column(table, name):
    return table[:, FEATURES.index(name)].tolist()


def test_features_say_what_their_names_say():
    table = features(inputs())
    assert table.shape == (3, len(FEATURES)) and table.dtype == np.float32
    assert column(table, "cosine") == pytest.approx([0.0, 0.8, 0.0])
    assert column(table, "second cosine") == pytest.approx([0.0, 0.6, 0.0])
    assert column(table, "cosine of the mean") == pytest.approx([0.0, 1.4 / 2**0.5, 0.0], abs=1e-6)
    assert column(table, "coverage by a passage") == pytest.approx([0.25, 1.0, 0.0])
    assert column(table, "coverage by the chunk") == pytest.approx([0.25, 1.0, 0.0])
    assert column(table, "rarest word") == pytest.approx([1 / 3, 1.0, 0.0])
    assert column(table, "cosine, below the best") == pytest.approx([-0.8, 0.0, -0.8])
    assert column(table, "rank by cosine") == pytest.approx(np.log1p([1, 0, 1]).tolist())
    assert column(table, "something is known") == [0.0, 0.0, 0.0]


def test_what_is_known_has_features_of_its_own():
    known = np.array([[0.0, 1.0, 0.0, 0.0]], dtype=np.float32)
    lead = Words(np.array([[True]]), np.array([2]), np.array([2.0]))
    table = features(inputs(known=known, fresh=np.array([False, True]), leads=(lead,)))
    assert column(table, "cosine with what is known") == pytest.approx([0.0, 1.0, 0.0])
    assert column(table, "cosine with what is not known") == pytest.approx([0.0, 1.0, 0.0])
    assert column(table, "coverage of what is not known") == pytest.approx([0.0, 1.0, 0.0])
    assert column(table, "coverage of a lead") == [0.0, 0.0, 1.0]
    assert column(table, "something is known") == [1.0, 1.0, 1.0]


def test_features_of_next_to_nothing_are_numbers():
    empty = np.zeros((0, 4), dtype=np.float32)
    nothing = Units(1, empty, np.zeros(0, dtype=np.int64))
    bare = inputs(1, units=[nothing], words=Words.none(), fresh=np.zeros(0, np.bool_))
    table = features(bare)
    assert table.shape == (1, len(FEATURES)) and np.isfinite(table).all()
    assert features(replace(bare, memories=0, units=[])).shape == (0, len(FEATURES))
