"""Compressed texts as files: what is read back, what must not be used, and what is said of it."""

import copy
import os
import random
import stat
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import RULES, wrap
from safetensors import safe_open

from rereader.models import tensorfile
from rereader.models.base import Sampling, Segment
from rereader.models.kvblock import KVBlock, LayerStates, Manifest, block_bytes, load_block
from rereader.models.kvmemory import Compression, UnusableBlock
from rereader.models.messages import turns
from rereader.models.tiny import tiny_model
from rereader.models.tokenised import TokenisedModel
from rereader.schema.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
LAYERS, HEADS, SIZE = 2, 2, 8
TEXT = "The river and the tower in winter on an island. " * 6


@cache
def model_config():
    return tiny_model("llama")[0].config


def config():
    return copy.deepcopy(model_config())


def layers(seed, length, ragged):
    """Random states of which each head keeps some."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    made = []
    for _ in range(LAYERS):
        most = rng.randint(1, length)
        counts = [rng.randint(1, most) if ragged else most for _ in range(HEADS)]
        offsets = torch.full((HEADS, max(counts)), -1)
        for head, count in enumerate(counts):
            offsets[head, :count] = torch.tensor(sorted(rng.sample(range(length), count)))
        keys, values = (torch.randn(HEADS, max(counts), SIZE, generator=generator) for _ in range(2))
        made.append(LayerStates(keys * torch.linspace(0.1, 9, SIZE), values, offsets))
    return made


def block(seed=0, length=40, ragged=True):
    manifest = Manifest("model", f"digest {seed}", length, "recent", 3.0, "heads")
    return KVBlock.pack(manifest, layers(seed, length, ragged))


shapes = st.tuples(st.integers(0, 10**6), st.integers(1, 30), st.booleans())


@given(shape=shapes)
def test_a_block_has_what_was_put_into_it(shape):
    made, wanted = block(*shape), layers(*shape)
    assert made.places == max(int((layer.offsets >= 0).sum(-1).max()) for layer in wanted) <= made.length
    for number, layer in enumerate(wanted):
        found = made.layer(number)
        used = found.offsets >= 0
        assert found.keys.shape == (HEADS, made.places, SIZE)
        for mine, theirs in zip(found, layer, strict=True):
            assert torch.equal(mine[used], theirs[layer.offsets >= 0])
        assert torch.equal(used.sum(-1), (layer.offsets >= 0).sum(-1))
        assert not found.keys[~used].any() and not found.values[~used].any()


@settings(max_examples=40)
@given(shape=shapes, precision=st.sampled_from(["exact", "bfloat16", "int8"]))
def test_what_is_read_back_is_what_was_stored(tmp_path_factory, shape, precision):
    path = tmp_path_factory.mktemp("kv") / "deep" / "block.safetensors"
    made = block(*shape)
    made.save(path, precision)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    found, stored = load_block(path, "model", config()), made.stored(precision)
    assert found == stored and found.digest == made.digest and found.length == made.length
    assert found.places == made.places
    assert (found == made) is (precision == "exact")
    for number in range(LAYERS):
        got, kept, plain = (one.layer(number) for one in (found, stored, made))
        assert all(torch.equal(one, other) for one, other in zip(got, kept, strict=True))
        assert torch.equal(got.offsets, plain.offsets)
        if precision == "exact":
            assert torch.equal(got.keys, plain.keys) and torch.equal(got.values, plain.values)
        elif precision == "bfloat16":
            torch.testing.assert_close(got.keys.float(), plain.keys, rtol=2**-8, atol=0)
        else:
            # Half a step: keys by the channel's largest of the head, values by the token's own largest.
            channel = plain.keys.abs().amax(1, keepdim=True)
            assert bool(((got.keys - plain.keys).abs() <= channel / 254 + 1e-6).all())
            token = plain.values.abs().amax(-1, keepdim=True)
            assert bool(((got.values - plain.values).abs() <= token / 254 + 1e-6).all())
    for other in ("exact", precision):  # what was given up does not come back, and nothing more is
        found.save(path.with_name("again"), other)
        again = load_block(path.with_name("again"), "model", config())
        assert again == found and torch.equal(again.keys, found.keys) and torch.equal(again.values, found.values)


@settings(max_examples=80)
@given(st.data())
def test_a_flipped_byte_is_seen(tmp_path_factory, data):
    """A file in which any bit is another one is refused, or says the same as before."""
    path = tmp_path_factory.mktemp("kv") / "block.safetensors"
    made = block(3)
    made.save(path, data.draw(st.sampled_from(["exact", "int8"])))
    whole = load_block(path, "model", config())
    before = [[part.clone() for part in whole.layer(number)] for number in range(LAYERS)]
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.with_name("other").write_bytes(raw)
    try:
        found = load_block(path.with_name("other"), "model", config())
    except UnusableBlock as error:
        assert "damaged" in str(error)
    else:
        assert found.manifest == whole.manifest
        for number, parts in enumerate(before):
            assert all(torch.equal(one, other) for one, other in zip(found.layer(number), parts, strict=True))


@settings(max_examples=30)
@given(st.data())
def test_a_cut_file_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("kv") / "block.safetensors"
    block(4).save(path, "bfloat16")
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UnusableBlock, match="damaged"):
        load_block(path, "model", config())


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "block.safetensors"
    with pytest.raises(FileNotFoundError):
        load_block(path, "model", config())
    block().save(path, "exact")
    with pytest.raises(UnusableBlock, match="another model's"):
        load_block(path, "other", config())
    wide = config()
    wide.head_dim = 16
    with pytest.raises(UnusableBlock, match="another shape"):
        load_block(path, "model", wide)
    tensorfile.write(path, {"a": torch.zeros(3)}, {"format": "1", "model": '"model"'})
    with pytest.raises(UnusableBlock, match="no compressed text"):
        load_block(path, "model", config())
    tensorfile.write(path, {"a": torch.zeros(3)}, {"format": "0"})
    with pytest.raises(UnusableBlock, match="another version"):
        load_block(path, "model", config())


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_block_is_its_owners_and_a_trained_file_is_as_the_user_has_it(tmp_path, mask):
    before = os.umask(mask)
    try:
        block().save(tmp_path / "block.safetensors", "exact")
        tensorfile.write(tmp_path / "trained.safetensors", {"a": torch.zeros(3)}, {})
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.iterdir())]
    assert modes == [0o600, 0o666 & ~mask]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        block().save(tmp_path / "block.safetensors", "exact")
    assert not list(tmp_path.iterdir())


def test_a_block_keeps_something_in_every_head_and_no_more_than_the_text():
    manifest = Manifest("model", "digest", 3, "recent", 1.0, "even")
    states = layers(1, 3, False)
    nothing = LayerStates(*states[0][:2], torch.full_like(states[0].offsets, -1))
    with pytest.raises(ValueError, match="at least one"):
        KVBlock.pack(manifest, [nothing])
    with pytest.raises(ValueError, match="at least one"):
        KVBlock.pack(Manifest("model", "digest", 0, "recent", 1.0, "even"), states)


def test_the_size_of_a_file_is_known_beforehand(tmp_path):
    model = wrap("llama")
    chunk = Segment("user", TEXT, trusted=False)
    [tokens] = model.count_tokens([TEXT])
    for how in (Compression("random", 2.0), Compression("key-norm", 4.0, "heads"), Compression("none", 4.0)):
        [made] = model.compress_kv([(RULES, chunk)], how)
        for precision in ("exact", "bfloat16", "int8"):
            path = tmp_path / f"{how.scorer}.{precision}"
            made.save(path, precision)
            size = path.stat().st_size
            assert size == pytest.approx(model.kv_bytes(tokens, how, precision), rel=0.15, abs=500)
    # What the layout comes to for SmolLM2-135M: 30 layers, 3 heads of 64.
    shape = config()
    shape.num_hidden_layers, shape.num_key_value_heads, shape.head_dim = 30, 3, 64
    assert block_bytes(shape, torch.float32, 1000, "int8") / (30 * 3 * 1000) == pytest.approx(2 * 64 + 8, rel=0.01)
    model.close()


def test_a_model_reads_a_loaded_block_like_the_stored_one(tmp_path):
    model, other = wrap("qwen3", seed=2), wrap("qwen3", seed=2)
    prompts = [(RULES, Segment("user", TEXT, trusted=False))]
    [made] = model.compress_kv(prompts, Compression("key-norm", 3.0, "heads"))
    assert other.compress_kv(prompts, Compression("key-norm", 3.0, "heads"))[0].digest == made.digest
    ends = {}
    for precision in ("exact", "bfloat16", "int8"):
        path = tmp_path / precision
        made.save(path, precision)
        found = other.load_kv(path)
        with safe_open(str(path), framework="pt") as file:
            assert file.metadata()["precision"] == f'"{precision}"'
        ask = [(RULES, Segment("user", "", memory=(one,)), Segment("user", " Who?")) for one in (found, made)]
        ends[precision] = other.log_likelihood(ask, [" the tower"] * 2)
    assert ends["exact"][0] == ends["exact"][1]
    assert ends["bfloat16"][0] != ends["bfloat16"][1] == pytest.approx(ends["bfloat16"][0], abs=0.1)
    assert ends["int8"][0] != ends["int8"][1] == pytest.approx(ends["int8"][0], abs=0.3)
    model.close()
    other.close()


class Elsewhere(TokenisedModel):
    """A model whose insides are not at hand."""

    def _write(self, prompts, sampling, cancelled, emit=None):
        raise AssertionError("it was asked to write")

    def _values(self, items, cancelled):
        raise AssertionError("it was asked to score")

    def _guard(self, job, cancelled):
        return job


def test_models_that_cannot_read_blocks_say_so():
    local = wrap("llama")
    [made] = local.compress_kv([(RULES, Segment("user", TEXT))], Compression("random"))
    prompt = (RULES, Segment("user", "", memory=(made,)), Segment("user", " Who?"))
    elsewhere = Elsewhere(tiny_model("llama")[1], name="far", context_window=500, ends=frozenset())
    for ask in (
        lambda: elsewhere.generate([prompt], Sampling(max_new_tokens=1)),
        lambda: elsewhere.choose([prompt], ["a", "b"]),
        lambda: turns(prompt),
    ):
        with pytest.raises(InputError, match="cannot read compressed texts") as found:
            ask()
        assert "transformers" in found.value.hint
    local.close()
