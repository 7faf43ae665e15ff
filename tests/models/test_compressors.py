"""Compressors: batches, families, what is read and what is refused."""

import math
import os
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_reference import forward, kept_offsets
from local_models import RULES, WORDS, wrap
from transformers import AutoModelForCausalLM, MistralConfig

from rereader.models import engine as engine_module
from rereader.models import kv, learned, room
from rereader.models.base import Segment
from rereader.models.compressors.base import Compressor
from rereader.models.compressors.shelf import SCORERS, Shelf
from rereader.models.kvmemory import Compression
from rereader.models.measure import Settings
from rereader.models.rotation import Rotation
from rereader.models.tiny import tiny_model
from rereader.schema.errors import InputError, Interrupted, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")


def ids(seed, count):
    return tuple(torch.randint(3, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


@settings(max_examples=15)
@given(
    # Qwen3 normalises its keys, so in a model that was not trained all norms are alike up to rounding.
    scorer=st.sampled_from([name for name in SCORERS if name not in ("none", "key-norm")]),
    ratio=st.floats(1, 16),
    budgets=st.sampled_from(["even", "heads"]),
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_a_ratio_is_respected_and_neighbours_change_nothing(scorer, ratio, budgets, lengths):
    model = MODELS["qwen3"]
    words = (WORDS * 4)[: max(lengths) + len(lengths)]
    prompts = [(RULES, Segment("user", " ".join(words[at : at + count]))) for at, count in enumerate(lengths)]
    how = Compression(scorer, ratio, budgets)
    for prompt, block in zip(prompts, model.compress_kv(prompts, how), strict=True):
        [tokens] = model.count_tokens([prompt[-1].text])
        keep = max(1, int(tokens / ratio))
        assert block.length == tokens and block.counts.sum(-1).tolist() == [keep * 2] * 2
        assert block.places >= keep and (budgets == "heads" or block.places == keep)
        for layer in kept_offsets(block):
            for head in layer:
                assert head == sorted(set(head)) and head[0] >= 0 and head[-1] < tokens
        [alone] = model.compress_kv([prompt], how)
        assert alone == block
        if torch.equal(alone.counts, block.counts) and torch.equal(alone.offsets, block.offsets):
            torch.testing.assert_close(alone.keys, block.keys, rtol=1e-4, atol=1e-5)
        else:  # scores that differ in their last bits only
            same = sum(int(one == other) for one, other in zip(alone.offsets, block.offsets, strict=False))
            assert same >= 0.8 * len(alone.offsets)


@pytest.fixture(scope="module", autouse=True)
def models():
    MODELS["qwen3"] = wrap("qwen3", seed=3, settings=Settings(prefill_batch=3, decode_batch=3))
    yield
    MODELS.pop("qwen3").close()


MODELS = {}


def test_everything_is_kept_whatever_the_ratio():
    model, prompt = MODELS["qwen3"], (RULES, Segment("user", "the river " * 9))
    ways = [Compression("none"), Compression("none", 4.0), Compression("none", 8.0, "heads")]
    blocks = [model.compress_kv([prompt], how)[0] for how in ways]
    assert all(block.places == block.length for block in blocks)
    assert len({block.digest for block in blocks}) == 1 and len({block.manifest for block in blocks}) == 1
    assert len({model.kv_bytes(100, how, "int8") for how in ways}) == 1
    assert Compression("recent", 8.0, "heads").normalised() == Compression("recent", 8.0, "heads")


def longest_read_twice(window):
    """The longest text of one word that fits a window twice."""
    prompts = [(RULES, Segment("user", " ".join(["the"] * count))) for count in range(1, 200)]
    sizes = MODELS["qwen3"].compress_tokens(prompts, Compression("reconstruction"))
    return [prompt for prompt, size in zip(prompts, sizes, strict=True) if size <= window][-1]


def widest(monkeypatch):
    """How wide caches grow from now on."""
    found, forward_once = [], engine_module.Engine._forward

    def count(self, network, cache, *args, **kwargs):
        logits = forward_once(self, network, cache, *args, **kwargs)
        found.append(kv.width(cache))
        return logits

    monkeypatch.setattr(engine_module.Engine, "_forward", count)
    return found


@pytest.mark.parametrize("name", ["recent", "reconstruction"])
def test_what_goes_through_the_model_is_told_and_fits_the_window(monkeypatch, name):
    """The second reading of a text counts like the first: in the window, and in what it costs."""
    model, how = wrap("llama", context_window=300), Compression(name)
    prompt, found = longest_read_twice(300), widest(monkeypatch)
    model.compress_kv([prompt], how)
    [told] = model.compress_tokens([prompt], how)
    assert told == max(found) <= 300
    longer = (RULES, Segment("user", prompt[1].text + " the the the"))
    assert model.prompt_tokens([longer])[0] < 300
    if name == "reconstruction":
        del found[:]
        for refused in (model.compress_kv, model.compress_tokens):
            with pytest.raises(InputError, match=r"read twice, do not fit into the 300"):
                refused([longer], how)
        assert not found
    else:
        model.compress_kv([longer], how)
    model.close()


def test_blocks_are_named_by_all_that_makes_them():
    model = MODELS["qwen3"]
    prompts = [(RULES, Segment("user", "the river")), (Segment("user", "A: "), Segment("user", "the river"))]
    ways = [
        Compression("recent"),
        Compression("random"),
        Compression("recent", 3.0),
        Compression("recent", 4.0, "heads"),
    ]
    names = [block.digest for how in ways for block in model.compress_kv(prompts, how)]
    assert len(set(names)) == len(names)
    assert model.compress_kv(prompts[:1], ways[0])[0].digest == names[0]
    assert model.compress_kv([], ways[0]) == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Compression("recent", 0.5), "ratio"),
        (Compression("recent", math.nan), "ratio"),
        (Compression("recent", 17.0), "ratio"),
        (Compression("recent", 4.0, "odd"), "budgets"),
        (Compression("unheard-of"), "no scorer"),
    ],
)
def test_settings_that_do_not_exist(how, message):
    with pytest.raises(InputError, match=message):
        MODELS["qwen3"].compress_kv([(RULES, Segment("user", "the river"))], how)
    with pytest.raises(InputError, match=message):
        MODELS["qwen3"].kv_bytes(100, how, "int8")


def test_texts_that_cannot_be_compressed(monkeypatch):
    model = MODELS["qwen3"]
    with pytest.raises(InputError, match="no text to compress"):
        model.compress_kv([(RULES, Segment("user", ""))], Compression())
    with pytest.raises(InputError, match="do not fit"):
        model.compress_kv([(RULES, Segment("user", "the river " * 2000))], Compression())
    monkeypatch.setattr(room, "free_bytes", lambda _: 20_000)
    with pytest.raises(InputError, match="memory"):
        model.compress_kv([(RULES, Segment("user", "the river " * 100))], Compression())


def test_compressing_stops_when_asked(monkeypatch):
    model, cancel, passes = MODELS["qwen3"], threading.Event(), []
    forward_once = engine_module.Engine._forward

    def count(*args, **kwargs):
        passes.append(1)
        cancel.set()
        return forward_once(*args, **kwargs)

    monkeypatch.setattr(engine_module.Engine, "_forward", count)
    prompts = [(RULES, Segment("user", "the river and the tower " * count)) for count in range(1, 9)]
    with pytest.raises(Interrupted):
        model.compress_kv(prompts, Compression("recent"), cancel)
    assert len(passes) == 1


def other(**changes):
    """A tiny model whose configuration is another one."""
    config = tiny_model("llama")[0].config
    for name, value in changes.items():
        setattr(config, name, value)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=torch.float32).eval()


def rope(kind, **rules):
    return {"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 512, **rules}


@pytest.mark.parametrize("kind", ["linear", "yarn", "llama3"])
def test_scaled_positions_are_undone(kind):
    rules = {"low_freq_factor": 1.0, "high_freq_factor": 4.0} if kind == "llama3" else {}
    model = other(rope_parameters=rope(kind, **rules))
    rotation, tokens = Rotation(model), ids(1, 50)
    cache, passed = kv.empty_cache(), forward(model, tokens)
    with torch.inference_mode():
        model(torch.tensor([tokens]), past_key_values=cache, use_cache=True)
    for layer, (keys, _) in enumerate(kv.pairs(cache)):
        plain = rotation.unrotate(keys[0], torch.arange(50), layer)
        torch.testing.assert_close(plain, passed.keys[layer], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(rotation.rotate(plain, torch.arange(50), layer), keys[0], rtol=1e-4, atol=1e-5)


def test_models_whose_keys_cannot_be_moved():
    with pytest.raises(ModelError, match="dynamic"):
        Rotation(other(rope_parameters=rope("dynamic")))
    with pytest.raises(ModelError, match="partial"):
        Rotation(other(rope_parameters=rope("default", partial_rotary_factor=0.5)))
    stranger = tiny_model("llama")[0]
    stranger.config = MistralConfig(num_hidden_layers=2)
    with pytest.raises(ModelError, match="family mistral"):
        Rotation(stranger)


def test_a_model_that_attends_otherwise_is_refused():
    model = wrap("llama")
    model.engine.prefill_model.config._attn_implementation = "eager"
    with pytest.raises(ModelError, match="SDPA"):
        model.compress_kv([(RULES, Segment("user", "the river"))], Compression())
    model.close()


def test_a_trained_compressor_is_loaded_once_and_again_when_it_changes(tmp_path, monkeypatch):
    class Trained(Compressor):
        identity = "trained"

        def states(self, engine, opening, texts, repeat, how, cancelled):
            raise AssertionError("it is not asked")

    loaded = []
    monkeypatch.setattr(learned.LearnedCompressor, "load", lambda path: loaded.append(path) or Trained())
    shelf, path = Shelf(), tmp_path / "adapter"
    path.mkdir()
    first = shelf.find(Compression(str(path)))
    assert first.identity == "trained" and shelf.find(Compression(str(path), 2.0)) is first and loaded == [path]
    os.utime(path, ns=(1, 1))
    assert shelf.find(Compression(str(path))) is not first
