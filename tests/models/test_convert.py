from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
import torch

from rereader.models import installed
from rereader.models.convert import convert_gguf, main
from rereader.models.installed import locate
from rereader.models.manifest import read_manifest
from rereader.schema.errors import InputError, ModelError, RereaderError


def stored(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_converted_weights_are_the_originals(tmp_path: Path, architecture: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = tiny_gguf.random_weights(architecture, np.random.default_rng())
    tiny_gguf.write_gguf(tmp_path / "tiny.gguf", architecture, weights)
    target = tmp_path / "made"
    target.mkdir()
    convert_gguf(tmp_path / "tiny.gguf", target)
    tensors = stored(target)
    assert set(tensors) == set(weights)
    for name, value in weights.items():
        assert tensors[name].dtype == torch.bfloat16
        assert torch.equal(tensors[name], torch.from_numpy(value).to(torch.bfloat16)), name
    config = json.loads((target / "config.json").read_text())
    assert config["tie_word_embeddings"] is True and "quantization_config" not in config
    model = AutoModelForCausalLM.from_pretrained(target, local_files_only=True)
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    tokenizer = AutoTokenizer.from_pretrained(target, local_files_only=True)
    assert tokenizer.decode(tokenizer("hello w\u00f6rld")["input_ids"]) == "hello w\u00f6rld"
    assert tokenizer.chat_template and tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer("<|im_start|>")["input_ids"]) == 1


def test_a_second_copy_of_the_embedding_is_stored_once(tmp_path: Path) -> None:
    weights = tiny_gguf.random_weights("qwen2", np.random.default_rng())
    exact = weights["model.embed_tokens.weight"].copy()
    rough = exact + np.random.default_rng().normal(0, 0.012, exact.shape).astype(np.float32)
    tiny_gguf.write_gguf(tmp_path / "t.gguf", "qwen2", weights | {"model.embed_tokens.weight": rough}, output=exact)
    (tmp_path / "made").mkdir()
    convert_gguf(tmp_path / "t.gguf", tmp_path / "made")
    tensors = stored(tmp_path / "made")
    assert "lm_head.weight" not in tensors
    kept = tensors["model.embed_tokens.weight"].float().numpy()
    assert np.abs(kept - exact).mean() < np.abs(kept - rough).mean() / 3


def test_an_output_layer_of_its_own_is_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    weights = tiny_gguf.random_weights("qwen2", rng)
    other = rng.normal(0, 0.3, weights["model.embed_tokens.weight"].shape).astype(np.float32)
    tiny_gguf.write_gguf(tmp_path / "t.gguf", "qwen2", weights, output=other)
    (tmp_path / "made").mkdir()
    convert_gguf(tmp_path / "t.gguf", tmp_path / "made")
    assert np.abs(stored(tmp_path / "made")["lm_head.weight"].float().numpy() - other).mean() < 0.01
    assert json.loads((tmp_path / "made" / "config.json").read_text())["tie_word_embeddings"] is False


def test_missing_tensors_and_other_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tiny_gguf.random_weights("qwen2", np.random.default_rng())
    del weights["model.layers.1.mlp.up_proj.weight"]
    tiny_gguf.write_gguf(tmp_path / "part.gguf", "qwen2", weights)
    (tmp_path / "made").mkdir()
    with pytest.raises(ModelError, match=r"lacks 1 tensors.*layers\.1\.mlp\.up_proj"):
        convert_gguf(tmp_path / "part.gguf", tmp_path / "made")
    (tmp_path / "text.gguf").write_text("this is no model" * 9)
    assert main([str(tmp_path / "text.gguf"), str(tmp_path / "made")]) == 1
    kind, message, hint = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert kind == "ModelError" and "text.gguf" in message and hint


def test_a_gguf_of_the_user_s_own_is_converted_once(tmp_path: Path) -> None:
    source = tmp_path / "mine.gguf"
    tiny_gguf.write_gguf(source, "qwen2", tiny_gguf.random_weights("qwen2", np.random.default_rng()))
    folder = locate(str(source), tmp_path / "models")
    manifest = read_manifest(folder)
    assert manifest is not None and manifest.kind == "generate" and "model.safetensors" in manifest.files
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert locate(str(source), tmp_path / "models") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ((1, 'noise\n["ModelError", "t.gguf cannot be read", "Use another."]\n'), r"t\.gguf cannot be read"),
        ((1, '["MissingExtra", "x", "y"]'), "packages that are not installed"),
        ((-9, ""), "killed, perhaps for want of memory"),
        ((2, "Traceback\nValueError: odd"), r"t\.gguf failed: ValueError: odd"),
    ],
)
def test_a_conversion_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: tuple[int, str], message: str
) -> None:
    (tmp_path / "t.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(installed, "run_module", lambda *_, **__: result)
    with pytest.raises(RereaderError, match=message):
        locate(str(tmp_path / "t.gguf"), tmp_path / "models")
    assert list((tmp_path / "models" / ".converted").iterdir()) == []


def test_paths_without_a_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model at"):
        locate(str(tmp_path / "absent.gguf"), tmp_path)
    with pytest.raises(InputError, match=r"no config\.json"):
        locate(str(tmp_path), tmp_path)
