"""The gate that reads: adapters in a tiny model with random weights, and their folder."""

import copy
import json
import os
import stat
import threading

import numpy as np
import pytest
import torch
from gate_heads import CALIBRATION

from rereader.models.base import Sampling, Segment
from rereader.models.gatelora import FACTS, HEAD, GateReader, adapted, open_lora, save_lora
from rereader.models.local import LocalModel
from rereader.models.scripted import ScriptedModel
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema import InputError, Interrupted, ModelError

ABOUT = {"scorer": "tiny"}


def prompt(text):
    return (Segment("user", f"Does this help? {text}", trusted=False),)


PROMPTS = [prompt(text) for text in ("a tower", "an island in the river", "the winter of 1897 and what came after it")]


def trained_like(family="llama", seed=0):
    """Adapters that are not zero any more, as after training, and the model that they are for."""
    model, tokenizer = tiny_model(family, seed)
    reader = adapted(model, tokenizer, 4)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in reader.model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.3)
        reader.weight.normal_()
        reader.bias.fill_(0.25)
    reader.model.eval()
    return reader


def scorer_of(family="llama", seed=0, name="tiny"):
    model, tokenizer = tiny_model(family, seed)
    return LocalModel(model, tokenizer, name=name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("lora") / "gate"
    save_lora(place, trained_like(), CALIBRATION, ABOUT)
    return place


@pytest.fixture(scope="module")
def scorer():
    model = scorer_of()
    yield model
    model.close()


def scores(reader, prompts):
    with torch.no_grad():
        return reader.scores([reader.renderer.render(one).ids for one in prompts]).numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_adapters_give_the_same_scores(family, tmp_path):
    reader, model = trained_like(family), scorer_of(family)
    save_lora(tmp_path / "gate", reader, CALIBRATION, ABOUT)
    gate = open_lora(tmp_path / "gate", model)
    rows = gate.choose(PROMPTS, ["A", "B"])
    np.testing.assert_allclose(rows[:, 0] - rows[:, 1], scores(reader, PROMPTS), atol=1e-4)
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1.0, atol=1e-5)
    assert len(set(rows[:, 0].tolist())) == 3
    model.close()


def test_a_score_does_not_depend_on_its_neighbours(folder, scorer):
    gate = open_lora(folder, scorer)
    together = gate.choose(PROMPTS, ["A", "B"])
    alone = np.concatenate([gate.choose([one], ["A", "B"]) for one in PROMPTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_scorer_itself_stays_as_it_is(folder, scorer):
    before = scorer.choose(PROMPTS, ["A", "B"])
    open_lora(folder, scorer).choose(PROMPTS, ["A", "B"])
    assert np.array_equal(scorer.choose(PROMPTS, ["A", "B"]), before)


def test_new_adapters_change_nothing_and_their_head_says_nothing():
    model, tokenizer = tiny_model("llama", 0)
    reader = adapted(model, tokenizer, 4)
    assert scores(reader, PROMPTS).tolist() == [0.0, 0.0, 0.0]
    assert reader.probe().norm() == pytest.approx(1.0, abs=1e-5)


def test_another_scorer_is_refused(folder):
    other = scorer_of(seed=5, name="other")
    with pytest.raises(InputError, match="made on tiny, not on other"):
        open_lora(folder, other)
    other.close()
    with pytest.raises(InputError, match="transformers"):
        open_lora(folder, ScriptedModel(["A"], name="scripted"))


def test_a_damaged_folder_is_refused(tmp_path, scorer):
    for name in (HEAD, "adapter_model.safetensors"):
        place = tmp_path / name
        save_lora(place, trained_like(), CALIBRATION, ABOUT)
        file = place / name
        file.write_bytes(file.read_bytes()[:-1] + b"\x07")
        with pytest.raises(ModelError, match="damaged"):
            open_lora(place, scorer)
    (tmp_path / HEAD / FACTS).write_text("[]")
    with pytest.raises(ModelError, match="damaged"):
        open_lora(tmp_path / HEAD, scorer)


def test_a_folder_that_is_not_whole_is_no_gate(tmp_path, scorer):
    save_lora(tmp_path, trained_like(), CALIBRATION, ABOUT)
    facts = json.loads((tmp_path / FACTS).read_text())
    (tmp_path / FACTS).write_text(json.dumps({**facts, "version": 7}))
    with pytest.raises(InputError, match="another version"):
        open_lora(tmp_path, scorer)
    (tmp_path / FACTS).unlink()
    with pytest.raises(InputError, match="There is no trained gate in"):
        open_lora(tmp_path, scorer)


def test_it_only_chooses(folder, scorer):
    gate = open_lora(folder, scorer)
    for refused in (
        lambda: gate.generate(PROMPTS, Sampling()),
        lambda: gate.stream(PROMPTS[0], Sampling()),
        lambda: gate.log_likelihood(PROMPTS, ["a", "b", "c"]),
    ):
        with pytest.raises(ModelError, match="writes nothing"):
            refused()
    with pytest.raises(InputError, match="two replies"):
        gate.choose(PROMPTS, ["A", "B", "C"])
    assert gate.choose([], ["A", "B"]).shape == (0, 2)
    assert gate.prompt_tokens(PROMPTS) == scorer.prompt_tokens(PROMPTS)
    assert gate.count_tokens(["a tower"]) == scorer.count_tokens(["a tower"])


def test_it_can_be_stopped_and_keeps_to_its_window(folder, scorer):
    gate, cancel = open_lora(folder, scorer), threading.Event()
    cancel.set()
    with pytest.raises(Interrupted):
        gate.choose(PROMPTS, ["A", "B"], cancel=cancel)
    with pytest.raises(InputError, match="does not fit"):
        gate.choose([prompt("tower " * 3000)], ["A", "B"])


def test_what_decides_a_score_is_in_its_fingerprint(folder, scorer, tmp_path):
    other = trained_like()
    with torch.no_grad():
        other.bias.fill_(0.5)
    save_lora(tmp_path / "other", other, CALIBRATION, ABOUT)
    one, same, changed = (open_lora(place, scorer).fingerprint for place in (folder, folder, tmp_path / "other"))
    assert one == same != changed


def test_other_thresholds_are_another_gate(folder, scorer, tmp_path):
    """What is kept of a gate's calls says what its scores meant."""
    save_lora(tmp_path, trained_like(), CALIBRATION.model_copy(update={"offset": 2.0}), ABOUT)
    assert open_lora(tmp_path, scorer).fingerprint != open_lora(folder, scorer).fingerprint


def test_a_folder_without_the_adapters_configuration_is_damaged(tmp_path, scorer):
    """And nobody is asked for it: tests have no network."""
    save_lora(tmp_path, trained_like(), CALIBRATION, ABOUT)
    config = tmp_path / "adapter_config.json"
    text = config.read_text()
    config.write_text(text.replace('"r": 4', '"r": 5'))
    with pytest.raises(ModelError, match="damaged"):
        open_lora(tmp_path, scorer)
    config.unlink()
    with pytest.raises(ModelError, match="damaged"):
        open_lora(tmp_path, scorer)


def test_weights_are_shared_with_the_scorer_and_copied_on_its_thread(folder, monkeypatch):
    made = scorer_of()
    threads, deepcopy = [], copy.deepcopy

    def noted(*args):
        threads.append(threading.current_thread().name)
        return deepcopy(*args)

    monkeypatch.setattr("copy.deepcopy", noted)
    again = made.copy_model()
    assert threads[0] == made.name
    network = made.engine.prefill_model
    mine, theirs = dict(again.named_parameters()), dict(network.named_parameters())
    assert list(mine) == list(theirs) and all(mine[name] is theirs[name] for name in mine)
    assert not {id(module) for module in again.modules()} & {id(module) for module in network.modules()}
    before = [name for name, _ in network.named_parameters()]
    open_lora(folder, made)
    assert [name for name, _ in network.named_parameters()] == before
    made.close()
    with pytest.raises(ModelError, match="closed"):
        made.copy_model()


def test_scores_that_are_no_numbers_are_an_error_and_not_a_closed_gate(tmp_path, scorer):
    reader = trained_like()
    with torch.no_grad():
        reader.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="not numbers"):
        reader.raw([[5, 6, 7]])
    save_lora(tmp_path, reader, CALIBRATION, ABOUT)
    gate = open_lora(tmp_path, scorer)
    with pytest.raises(ModelError, match="not numbers"):
        gate.choose(PROMPTS, ["A", "B"])


def test_a_probe_that_is_no_number_is_another_models(tmp_path, monkeypatch, scorer):
    reader = trained_like()
    with monkeypatch.context() as patch:
        patch.setattr(GateReader, "probe", lambda _: torch.full((32,), torch.nan))
        save_lora(tmp_path, reader, CALIBRATION, ABOUT)
    with pytest.raises(InputError, match="made on tiny"):
        open_lora(tmp_path, scorer)


def test_memory_that_runs_out_is_shared_among_smaller_batches(monkeypatch):
    reader = trained_like()
    rows = [list(range(3, 3 + size)) for size in (9, 4, 7, 5)]
    wanted, sizes, once = reader.raw(rows), [], GateReader.scores

    def short(self, ids):
        sizes.append(len(ids))
        if len(ids) > 2:
            raise MemoryError
        return once(self, ids)

    monkeypatch.setattr(GateReader, "scores", short)
    np.testing.assert_allclose(reader.raw(rows), wanted, atol=1e-5)
    assert sizes == [4, 2, 2] and reader.raw([]).shape == (0,)


def test_whoever_may_read_the_users_files_may_read_a_gate(tmp_path):
    before = os.umask(0o027)
    try:
        save_lora(tmp_path / "gate", trained_like(), CALIBRATION, ABOUT)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "gate").iterdir() if path.is_file()]
    assert {path.name for path in files} == {FACTS, HEAD, "adapter_config.json", "adapter_model.safetensors"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o640}
