"""A compressor that was written is read back as it was, by the right model only, and makes blocks."""

import json

import pytest
import torch
from compressor_training import ids, passes

from rereader.models.base import Sampling, Segment
from rereader.models.kvmemory import MEMORY_TOKENS_FILE, Compression
from rereader.models.learned import LearnedCompressor
from rereader.models.local import LocalModel
from rereader.models.memory_file import CompressorManifest, base_identity, load_tensors, restore_tokens, save_tokens
from rereader.models.tiny import tiny_model
from rereader.schema import InputError

OPENING = Segment("system", "You read a text.")
TEXT = "The river and the tower in winter, and an island in the river. " * 3


def saved(folder, family="llama", layout="beside", rank=0, change=0.5):
    """A compressor whose weights were changed, in a folder; and what wrote it."""
    run, tokens = passes(family, layout, rank=rank)
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in tokens.parameters():
            one += change * torch.randn(one.shape, generator=draws)
    manifest = CompressorManifest(
        base_identity(run.model), f"tiny-{family}", 0, rank=rank, layout=layout, window=16, ratios=(2, 4, 8)
    )
    save_tokens(folder, tokens, manifest)
    return run, tokens, manifest


@pytest.mark.parametrize("rank", [0, 4])
def test_saved_and_loaded_are_equal(tmp_path, rank):
    run, tokens, manifest = saved(tmp_path, rank=rank)
    tensors, found = load_tensors(tmp_path)
    again = restore_tokens(run.model, tensors, found)
    assert found == manifest
    assert json.loads((tmp_path / "manifest.json").read_text())["base_name"] == "tiny-llama"
    assert not any(one.requires_grad for one in again.parameters())
    one, other = (run.fold(None, ids(12), each, 4)[1].layers for each in (tokens, again))
    assert all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def test_identity_holds_in_both_precisions_and_for_one_model_only():
    model, _ = tiny_model()
    other, _ = tiny_model(seed=1)
    half, _ = tiny_model()
    assert base_identity(half.bfloat16()) == base_identity(model)
    assert base_identity(other) != base_identity(model)


def test_another_models_compressor_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(InputError, match="other weights, those of tiny-llama"):
        restore_tokens(tiny_model(seed=1)[0], *load_tensors(tmp_path))


@pytest.mark.parametrize("what", ["cut", "flipped", "version"])
def test_a_damaged_compressor_is_refused(tmp_path, what):
    saved(tmp_path)
    path = tmp_path / MEMORY_TOKENS_FILE
    raw = bytearray(path.read_bytes())
    if what == "version":
        raw = bytearray(bytes(raw).replace(b'"format":"1"', b'"format":"9"'))
    elif what == "cut":
        raw = raw[:-40]
    else:
        raw[-3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="cannot be used"):
        LearnedCompressor.load(tmp_path)


@pytest.mark.parametrize("values", ["{}", '{"base": 1}', "[", '{"base": "a", "base_name": "b", "end": 0, "window": 0}'])
def test_a_manifest_that_is_none_is_refused(values):
    with pytest.raises(ValueError):
        CompressorManifest.parse(values)


def test_a_folder_without_compressor_is_refused(tmp_path):
    with pytest.raises(InputError, match="no trained compressor"):
        LearnedCompressor.load(tmp_path)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
@pytest.mark.parametrize("layout", ["beside", "interleaved"])
def test_blocks_of_a_local_model(tmp_path, family, layout):
    """What compress_kv makes is what the passes make, and a prompt reads it."""
    run, tokens, _ = saved(tmp_path, family, layout, change=0.1)
    model = LocalModel(*tiny_model(family), name="tiny")
    prompt = (OPENING, Segment("user", TEXT, trusted=False))
    short = (OPENING, Segment("user", "The tower.", trusted=False))
    how = Compression(str(tmp_path), 4.0)
    blocks = model.compress_kv([prompt, short, prompt], how)
    assert blocks[0].digest == blocks[2].digest != blocks[1].digest
    rendered = model._renderer.render(prompt)
    start, end = rendered.ranges[-1]
    assert blocks[0].length == end - start
    assert blocks[0].places == LearnedCompressor.load(tmp_path).kept(end - start, 4.0)
    before = run.begin(torch.tensor([rendered.ids[:start]]))
    whole = run.compress(before, torch.tensor([rendered.ids[start:end]]), tokens, 16, 4.0)
    for number, (keys, values) in enumerate(whole.after(before.places, before.length).layers):
        layer = blocks[0].layer(number)
        torch.testing.assert_close(layer.keys, keys[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(layer.values, values[0], atol=1e-4, rtol=1e-4)
    asked = (OPENING, Segment("user", "", memory=(blocks[0],)), Segment("user", "Who?"))
    reply = model.generate([asked], Sampling(max_new_tokens=3))[0]
    assert reply.completion_tokens == 3
    model.close()


def test_reading_blocks_gives_what_training_saw(tmp_path):
    """The likelihood of a reply after a block is that of the passes, so what was trained is what is used."""
    run, tokens, _ = saved(tmp_path, change=0.1)
    model = LocalModel(*tiny_model(), name="tiny")
    (block,) = model.compress_kv([(OPENING, Segment("user", TEXT, trusted=False))], Compression(str(tmp_path), 4.0))
    asked = (OPENING, Segment("user", "", memory=(block,)), Segment("user", " Who?"))
    found = float(model.log_likelihood([asked], ["the river"])[0])
    rendered = model._renderer.render((OPENING, Segment("user", TEXT, trusted=False), Segment("user", " Who?")))
    start, end = rendered.ranges[1]
    past = run.compress(
        run.begin(torch.tensor([rendered.ids[:start]])), torch.tensor([rendered.ids[start:end]]), tokens, 16, 4.0
    )
    reply = model._renderer.encode("the river")
    logits = run.logits(run.read(past, torch.tensor([[*rendered.ids[end:], *reply]])))[0].detach().log_softmax(-1)
    first = len(rendered.ids) - end - 1
    expected = sum(float(logits[first + place, token]) for place, token in enumerate(reply))
    assert found == pytest.approx(expected, abs=1e-3)
    model.close()


@pytest.mark.parametrize(
    ("how", "message"),
    [(Compression("", 16.0), "ratios from 2 to 8"), (Compression("", 4.0, "heads"), "in every head")],
)
def test_settings_it_was_not_trained_for_are_refused(tmp_path, how, message):
    saved(tmp_path)
    model = LocalModel(*tiny_model(), name="tiny")
    with pytest.raises(InputError, match=message):
        model.compress_kv([(OPENING, Segment("user", TEXT))], Compression(str(tmp_path), how.ratio, how.budgets))
    with pytest.raises(InputError, match=message):  # asked before anything is given up for what would be made
        model.kv_bytes(100, Compression(str(tmp_path), how.ratio, how.budgets), "int8")
    model.close()
