"""Weights in 8 and 4 bits, on the CPU: what was quantised computes what its dequantised weights compute."""

import copy
import importlib.util

import numpy as np
import pytest
from local_models import prompts, save_tiny

from rereader.models import loading, roles
from rereader.models.base import Sampling
from rereader.models.local import LocalModel
from rereader.models.manifest import write_manifest
from rereader.models.roles import RoleNames, bind
from rereader.models.runtimes import choose_runtime, marked, split_mark
from rereader.schema.errors import InputError, MissingExtra

bitsandbytes = pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    save_tiny(path / "smollm2-135m", "qwen2", seed=5)
    write_manifest(path / "smollm2-135m", name="smollm2-135m", kind="generate", source="0" * 64)
    return path


def load(models_dir, dtype, cache=None):
    return LocalModel.load(models_dir / "smollm2-135m", name="tiny", device="cpu", dtype=dtype, settings_cache=cache)


def dequantised(layer):
    """The weights of a quantised layer as numbers: float32 [out, in]."""
    weight = layer.weight
    if hasattr(weight, "quant_state"):
        return bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state).float()
    scale = weight.SCB if weight.SCB is not None else layer.state.SCB
    return weight.data.float() * scale[:, None] / 127


@pytest.mark.parametrize(("bits", "close"), [("8bit", 0.02), ("4bit", 1e-4)])
def test_scores_are_those_of_the_dequantised_weights(models_dir, bits, close):
    """8 bits round the activations too."""
    ours = load(models_dir, bits)
    model = ours._engine.prefill_model
    plain = copy.deepcopy(load(models_dir, "float32")._engine.prefill_model)
    kinds = (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds)}
    assert len(layers) == 7 * model.config.num_hidden_layers
    rounded = 0.0
    for name, layer in layers.items():
        target = plain.get_submodule(name)
        numbers = dequantised(layer).reshape(target.weight.shape)
        rounded = max(rounded, float((numbers - target.weight.data).abs().max()))
        target.weight.data = numbers
    assert rounded > 0
    reference = LocalModel(plain, ours._tokenizer, name="reference")
    asked, options = prompts(3), ["A", "the river", "no"]
    found, expected = ours.choose(asked, options), reference.choose(asked, options)
    np.testing.assert_allclose(found, expected, rtol=close, atol=close)
    unrounded = load(models_dir, "float32").choose(asked, options)
    assert abs(found - unrounded).mean() > 1.5 * abs(found - expected).mean()


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_it_writes_batches_as_it_writes_alone(models_dir, bits):
    model = load(models_dir, bits)
    sampling = Sampling(max_new_tokens=6)
    alone = [model.generate([one], sampling)[0] for one in prompts(4, 3)]
    assert [reply.text for reply in model.generate(prompts(4, 3), sampling)] == [reply.text for reply in alone]


def test_batch_sizes_are_measured_once_and_fingerprints_differ(models_dir, tmp_path, monkeypatch):
    cache = tmp_path / "settings.json"
    first = load(models_dir, "4bit", cache)
    monkeypatch.setattr(loading, "measure_loaded", lambda *_, **__: pytest.fail("measured twice"))
    assert load(models_dir, "4bit", cache)._settings == first._settings
    assert first._settings.prefill_dtype == "4bit" and not first._settings.rates
    plain = load(models_dir, "float32")
    monkeypatch.undo()
    assert len({first.fingerprint, load(models_dir, "8bit").fingerprint, plain.fingerprint}) == 3


def test_a_mark_or_the_runtime_quantises_every_language_model(models_dir, monkeypatch):
    seen = []
    monkeypatch.setattr(roles, "_language_model", lambda *given: seen.append(given) or pytest.fail("not to be loaded"))
    names = RoleNames("tiny", "tiny", "tiny (transformers)", "hashing")
    models = bind(names, models_dir, device="cpu", runtime="4bit")
    assert models.describe() == {
        "reader": "tiny (4-bit)",
        "gister": "tiny (4-bit)",
        "scorer": "tiny",
        "embedder": "hashing",
    }
    assert models._loaders["reader"] is models._loaders["gister"] is not models._loaders["scorer"]
    with pytest.raises(pytest.fail.Exception):
        _ = models.reader
    assert seen[0][1] == "smollm2-135m (4-bit)" and seen[0][-1]["dtype"] == "4bit"
    for bits, mark in (("8bit", "8-bit"), ("4bit", "4-bit")):
        assert split_mark(marked("tiny", bits)) == split_mark(f"tiny ({bits})") == ("tiny", bits)
        assert marked("tiny", bits) == f"tiny ({mark})"
        assert choose_runtime("scorer", marked("m", bits), None, "auto", "cuda") == bits
        assert choose_runtime("embedder", "m", None, bits, "cuda") == "transformers"
    with pytest.raises(InputError, match="cannot be the embedder"):
        choose_runtime("embedder", "m (4-bit)", None, "auto", "cuda")


def test_without_its_packages_it_is_one_line_before_anything_is_read(models_dir, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    monkeypatch.setattr(loading, "hash_files", lambda _: pytest.fail("nothing is to be read"))
    with pytest.raises(MissingExtra, match="quantised") as caught:
        load(models_dir, "8bit")
    assert caught.value.hint
    with pytest.raises(MissingExtra):
        choose_runtime("reader", "m", None, "8bit", "cuda")
