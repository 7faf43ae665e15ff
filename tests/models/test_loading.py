from pathlib import Path

import pytest
import torch
from local_models import save_tiny
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from rereader.models import casting, loading
from rereader.models.base import Sampling, Segment
from rereader.models.local import LocalModel
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import InputError, MissingExtra, ModelError

PROMPTS = [(Segment("user", text, trusted=False),) for text in ("Who?", "When and where?", "the river " * 20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model"), "qwen2", seed=5)


def test_a_saved_model_loads_and_replies_alike(folder, tmp_path):
    loaded = LocalModel.load(folder, name="saved", device="cpu", dtype="float32", context_window=900)
    asked = PROMPTS
    expected = LocalModel(*tiny_model("qwen2", seed=5), name="tiny").generate(asked, Sampling(max_new_tokens=8))
    assert [r.token_ids for r in loaded.generate(asked, Sampling(max_new_tokens=8))] == [r.token_ids for r in expected]
    assert (loaded.context_window, loaded.device, loaded.placement.dtype) == (900, "cpu", "float32")
    assert loaded.placement.notes
    loaded.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_in_another_precision_is_the_one_that_transformers_loads(family, tmp_path):
    model, tokenizer = tiny_model(family, seed=6)
    model.generation_config.eos_token_id = [1, 2]
    model.bfloat16().save_pretrained(tmp_path, max_shard_size=20_000)
    tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = loading.load_parts(tmp_path, "cpu", "float32", None, None, "").model
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="sdpa")
    assert (type(found), found.dtype, found.training) == (type(plain), torch.float32, False)
    assert found.config._attn_implementation == "sdpa"
    assert found.generation_config.eos_token_id == [1, 2]
    for kind in ("named_parameters", "named_buffers"):
        ours, theirs = dict(getattr(found, kind)()), dict(getattr(plain, kind)())
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not list mapped files")
def test_tensors_are_read_without_mapping_their_file(folder):
    [file] = folder.glob("*.safetensors")
    tensors = casting.lazy_tensors([file])
    read = {name: tensor[...] for name, tensor in tensors.items()}
    assert str(file) not in Path("/proc/self/maps").read_text()
    assert all(torch.equal(read[name], tensor) for name, tensor in load_file(file).items())


def test_measured_settings_are_kept_and_used_again(folder, tmp_path, monkeypatch):
    cache = tmp_path / "sub" / "settings.json"
    first = LocalModel.load(folder, name="saved", device="cpu", settings_cache=cache)

    def never(*args, **kwargs):
        raise AssertionError("measured twice")

    monkeypatch.setattr(loading, "measure", never)
    second = LocalModel.load(folder, name="saved", device="cpu", settings_cache=cache)
    assert second.placement == first.placement
    assert second.fingerprint == first.fingerprint
    first.close()
    second.close()


def test_what_cannot_be_loaded_says_why(folder, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="no model in"):
        LocalModel.load(tmp_path / "none", name="x")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ModelError, match="no safetensors"):
        LocalModel.load(empty, name="x")
    for file in folder.iterdir():
        (empty / file.name).write_bytes(file.read_bytes())
    weights = empty / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        LocalModel.load(empty, name="x", dtype="float32")
    with pytest.raises(InputError, match="Unknown precision"):
        LocalModel.load(folder, name="x", dtype="int3")
    with pytest.raises(InputError, match="Unknown device"):
        LocalModel.load(folder, name="x", device="abacus")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA device"):
        LocalModel.load(folder, name="x", device="cuda")


def test_a_missing_package_names_the_extra(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"rereader\[local\]"):
        LocalModel.load(folder, name="x")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_without_all_its_tensors_is_refused(dtype, tmp_path):
    """Transformers only logs it, and makes the missing ones up."""
    model, tokenizer = tiny_model("qwen2", seed=6)
    model.save_pretrained(tmp_path, max_shard_size=20_000)
    tokenizer.save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("*.safetensors"))
    shards[-1].unlink()
    with pytest.raises(ModelError) as caught:
        LocalModel.load(tmp_path, name="x", dtype=dtype)
    assert "lacks" in str(caught.value) or "cannot be loaded" in str(caught.value)
    assert caught.value.hint
