import pytest
import torch

from rereader.models import loading
from rereader.models.base import Sampling, Segment
from rereader.models.local import LocalModel
from rereader.models.tiny import tiny_model
from rereader.schema.errors import InputError, MissingExtra, ModelError

PROMPTS = [(Segment("user", text, trusted=False),) for text in ("Who?", "When and where?", "the river " * 20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    model, tokenizer = tiny_model("qwen2", seed=5)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_a_saved_model_loads_and_replies_alike(folder, tmp_path):
    loaded = LocalModel.load(folder, name="saved", device="cpu", dtype="float32", context_window=900)
    asked = PROMPTS
    expected = LocalModel(*tiny_model("qwen2", seed=5), name="tiny").generate(asked, Sampling(max_new_tokens=8))
    assert [r.token_ids for r in loaded.generate(asked, Sampling(max_new_tokens=8))] == [r.token_ids for r in expected]
    assert (loaded.context_window, loaded.device, loaded.placement.dtype) == (900, "cpu", "float32")
    assert loaded.placement.notes
    loaded.close()


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
