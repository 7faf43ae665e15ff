"""Compressors: each scorer against its formula, budgets, batches, families, and what is refused."""

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
from rereader.models import kv, memory_tokens, room
from rereader.models.base import Segment
from rereader.models.compressors import expected_attention, window_attention
from rereader.models.compressors.base import Compressor
from rereader.models.compressors.budgets import FLOOR, choose_kept
from rereader.models.compressors.scored import Reading
from rereader.models.compressors.shelf import SCORERS, Shelf
from rereader.models.engine import Engine
from rereader.models.kvmemory import Compression
from rereader.models.measure import Settings
from rereader.models.rotation import Rotation
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import InputError, Interrupted, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")
REPEAT = (7, 8, 9)


def never():
    return False


def ids(seed, count):
    return tuple(torch.randint(3, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


def scored(model, name, opening, texts):
    """Scores of each text, per layer [key heads, tokens], as the compressor gets them."""
    engine = Engine(model, block_tokens=48)
    scorer = SCORERS[name](Reading(len(opening), tuple(texts), Rotation(model)))
    cache = engine.read_texts(opening, texts, never, scorer if scorer.watches else None)
    if scorer.repeats:
        engine.read_on(cache, torch.tensor([(*REPEAT, *text) for text in texts]), never, scorer)
        kv.rewind(cache, len(opening) + len(texts[0]))
    layers = [scorer.scores(layer, *pair) for layer, pair in enumerate(kv.pairs(cache))]
    return [[layer[row, :, : len(text)] for layer in layers] for row, text in enumerate(texts)]


def turn(model, layer, angle_at, vectors):
    """Vectors [..., size] turned by the whole rotation matrix of a position, built entry by entry."""
    size, config = vectors.shape[-1], model.config
    rules = config.rope_parameters
    rules = rules[config.layer_types[layer]] if config.model_type == "gemma3_text" else rules
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for pair in range(size // 2):
        angle = angle_at * rules["rope_theta"] ** (-2 * pair / size)
        matrix[pair, pair] = matrix[pair + size // 2, pair + size // 2] = math.cos(angle)
        matrix[pair, pair + size // 2], matrix[pair + size // 2, pair] = -math.sin(angle), math.sin(angle)
    return vectors.double() @ matrix.T


def scale_of(model):
    return model.model.layers[0].self_attn.scaling


def rotated_keys(model, passed, layer, count):
    keys = passed.keys[layer][:, :count]
    return torch.stack([turn(model, layer, at, keys[:, at]) for at in range(count)], 1)


def naive_key_norm(model, opening, text):
    passed = forward(model, (*opening, *text))
    return [-keys[:, len(opening) :].square().sum(-1).sqrt() for keys in passed.keys]


def naive_window(model, opening, text):
    """Full-attention rows of the window's queries, summed token by token."""
    passed, found = forward(model, (*opening, *text)), []
    size = min(len(text), window_attention.WINDOW, max(4, len(text) // 32))
    total = len(opening) + len(text)
    for layer, queries in enumerate(passed.queries):
        keys = rotated_keys(model, passed, layer, total)
        group = len(queries) // len(keys)
        mean = torch.zeros(len(keys), len(text), dtype=torch.float64)
        for head, states in enumerate(queries.double()):
            for at in range(total - size, total):
                row = (keys[head // group, : at + 1] @ states[at] * scale_of(model)).softmax(-1)
                mean[head // group, : at + 1 - len(opening)] += row[len(opening) :] / size / group
        reach = window_attention.POOL // 2
        pooled = torch.stack([mean[:, max(0, at - reach) : at + reach + 1].max(1).values for at in range(len(text))], 1)
        pooled[:, -size:] = torch.inf
        found.append(pooled)
    return found


def naive_expected(model, opening, text):
    """Mean and covariance of unrotated queries, turned by the mean of whole rotation matrices."""
    passed, found = forward(model, (*opening, *text)), []
    end, size = len(opening) + len(text), passed.keys[0].shape[-1]
    for layer, queries in enumerate(passed.queries):
        keys = rotated_keys(model, passed, layer, end)[:, len(opening) :]
        future = range(end, end + expected_attention.FUTURE)
        mean_turn = sum(turn(model, layer, at, torch.eye(size)).T for at in future) / len(future)
        group, scale = len(queries) // len(keys), scale_of(model)
        scores = torch.zeros(len(keys), len(text), dtype=torch.float64)
        for head, states in enumerate(queries):
            plain = torch.stack([turn(model, layer, -at, states[at]) for at in range(len(opening), end)])
            mean = mean_turn @ plain.mean(0)
            centred = plain - plain.mean(0)
            spread = mean_turn @ (centred.T @ centred / len(text)) @ mean_turn.T
            logits = torch.stack(
                [scale * (key @ mean) + scale**2 / 2 * (key @ spread @ key) for key in keys[head // group]]
            )
            scores[head // group] += logits.softmax(-1) / group
        found.append(scores * passed.values[layer][:, len(opening) :].norm(dim=-1))
    return found


def naive_reconstruction(model, opening, text):
    """The largest entries of full attention matrices over the text, its repetition included."""
    whole = (*opening, *text, *REPEAT, *text)
    passed, found = forward(model, whole), []
    end = len(opening) + len(text)
    for layer, queries in enumerate(passed.queries):
        keys = rotated_keys(model, passed, layer, len(whole))
        group = len(queries) // len(keys)
        highest = torch.zeros(len(keys), len(text), dtype=torch.float64)
        for head, states in enumerate(queries.double()):
            for at in range(end, len(whole)):
                row = (keys[head // group, : at + 1] @ states[at] * scale_of(model)).softmax(-1)
                highest[head // group] = torch.maximum(highest[head // group], row[len(opening) : end])
        found.append(highest)
    return found


NAIVE = {
    "key-norm": naive_key_norm,
    "window-attention": naive_window,
    "expected-attention": naive_expected,
    "reconstruction": naive_reconstruction,
}


@pytest.fixture(scope="module", params=FAMILIES)
def network(request):
    return tiny_model(request.param, seed=7)[0]


@pytest.mark.parametrize("name", NAIVE)
def test_scores_are_those_of_the_formula(network, name):
    """In a batch of several lengths, read in several passes; layers with a window see all for scoring."""
    opening, sizes = ids(1, 20), (70, 70, 70) if name == "reconstruction" else (70, 33, 7)
    texts = [ids(10 + size + place, size) for place, size in enumerate(sizes)]
    for text, layers in zip(texts, scored(network, name, opening, texts), strict=True):
        for found, wanted in zip(layers, NAIVE[name](network, opening, text), strict=True):
            wanted = wanted.double()
            real = wanted.isfinite()
            torch.testing.assert_close(found.double()[real], wanted[real], rtol=2e-3, atol=1e-6)
            highest = found.masked_fill(~real, -torch.inf).amax(-1, keepdim=True)
            assert bool(((found > highest) | real).all())  # what is kept anyhow stands above all


def test_scorers_that_look_at_nothing(network):
    texts = [ids(1, 30), ids(2, 12), ids(1, 30)]
    drawn = scored(network, "random", ids(3, 9), texts)
    for found, text in zip(scored(network, "recent", ids(3, 9), texts), texts, strict=True):
        assert all(torch.equal(layer[0], torch.arange(len(text)).float()) for layer in found)
    assert torch.equal(drawn[0][0], drawn[2][1]) and not torch.equal(drawn[0][0][:, :12], drawn[1][0])
    assert len(set(drawn[0][0][0].tolist())) == 30
    assert not any(layer.any() for row in scored(network, "none", (), texts) for layer in row)


@given(st.data())
def test_budgets_add_up_and_keep_the_highest(data):
    heads, tokens = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
    keep = data.draw(st.integers(1, tokens))
    numbers = st.lists(st.integers(-5, 5), min_size=heads * tokens, max_size=heads * tokens)
    scores = torch.tensor(data.draw(numbers), dtype=torch.float32).reshape(heads, tokens)
    even, shared = (choose_kept(scores, keep, budgets) for budgets in ("even", "heads"))
    assert even.sum(-1).tolist() == [keep] * heads
    assert int(shared.sum()) == heads * keep
    floor = max(1, int(FLOOR * keep))
    assert int(shared.sum(-1).min()) >= floor
    for head in range(heads):
        # Sorted by score, then by place: the first ones.
        order = sorted(range(tokens), key=lambda at: (-float(scores[head, at]), at))
        assert set(even[head].nonzero()[:, 0].tolist()) == set(order[:keep])
        count = int(shared[head].sum())
        assert set(shared[head].nonzero()[:, 0].tolist()) == set(order[:count])
    free = [float(scores[head, at]) for head in range(heads) for at in range(tokens) if not shared[head, at]]
    above = [sorted(scores[head, shared[head]].tolist())[0] for head in range(heads) if int(shared[head].sum()) > floor]
    assert not free or not above or max(free) <= min(above)


@settings(max_examples=15)
@given(
    scorer=st.sampled_from([name for name in SCORERS if name != "none"]),
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
    [block] = MODELS["qwen3"].compress_kv([(RULES, Segment("user", "the river " * 9))], Compression("none", 4.0))
    assert block.places == block.length


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
    monkeypatch.setattr(memory_tokens, "load_compressor", lambda path: loaded.append(path) or Trained(), raising=False)
    shelf, path = Shelf(), tmp_path / "adapter"
    path.mkdir()
    first = shelf.find(Compression(str(path)))
    assert first.identity == "trained" and shelf.find(Compression(str(path), 2.0)) is first and loaded == [path]
    os.utime(path, ns=(1, 1))
    assert shelf.find(Compression(str(path))) is not first
