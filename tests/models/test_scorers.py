"""Scorers of compressors: each against its formula, and which tokens are kept by their scores."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kv_reference import forward

from rereader.models import kv
from rereader.models.compressors import expected_attention, window_attention
from rereader.models.compressors.budgets import FLOOR, choose_kept
from rereader.models.compressors.scored import Reading
from rereader.models.compressors.shelf import SCORERS
from rereader.models.engine import Engine
from rereader.models.kvmemory import RULES, reading_factor
from rereader.models.rotation import Rotation
from rereader.models.tiny import FAMILIES, tiny_model

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


def window_of(model, layer):
    """Positions that a layer looks back, its own included."""
    sliding = getattr(model.config, "layer_types", None) and model.config.layer_types[layer] == "sliding_attention"
    return model.config.sliding_window if sliding else 10**6


def weights(model, layer, keys, query, at):
    """Softmax row of one query at a place: [all keys up to its own], 0 where its layer does not look any more."""
    products = keys[: at + 1] @ query * scale_of(model)
    products[: max(0, at + 1 - window_of(model, layer))] = -torch.inf
    return products.softmax(-1)


def naive_key_norm(model, opening, text):
    passed = forward(model, (*opening, *text))
    return [-keys[:, len(opening) :].square().sum(-1).sqrt() for keys in passed.keys]


def naive_window(model, opening, text):
    """Attention rows of the window's queries, summed token by token."""
    passed, found = forward(model, (*opening, *text)), []
    size = min(len(text), window_attention.WINDOW, max(4, len(text) // 32))
    total = len(opening) + len(text)
    for layer, queries in enumerate(passed.queries):
        keys = rotated_keys(model, passed, layer, total)
        group = len(queries) // len(keys)
        mean = torch.zeros(len(keys), len(text), dtype=torch.float64)
        for head, states in enumerate(queries.double()):
            for at in range(total - size, total):
                row = weights(model, layer, keys[head // group], states[at], at)
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
            seen_from = [sum(at < key + window_of(model, layer) for at in future) for key in range(len(opening), end)]
            scores[head // group] += logits.softmax(-1) / group * torch.tensor(seen_from) / len(future)
        found.append(scores * passed.values[layer][:, len(opening) :].norm(dim=-1))
    return found


def naive_reconstruction(model, opening, text):
    """The largest entries of whole attention matrices over the text, its repetition included."""
    whole = (*opening, *text, *REPEAT, *text)
    passed, found = forward(model, whole), []
    end = len(opening) + len(text)
    for layer, queries in enumerate(passed.queries):
        keys = rotated_keys(model, passed, layer, len(whole))
        group = len(queries) // len(keys)
        highest = torch.zeros(len(keys), len(text), dtype=torch.float64)
        for head, states in enumerate(queries.double()):
            for at in range(end, len(whole)):
                row = weights(model, layer, keys[head // group], states[at], at)
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
    """In a batch of several lengths, read in several passes; a layer with a window scores what later ones see."""
    opening, sizes = ids(1, 20), (70, 70, 70) if name == "reconstruction" else (70, 33, 7)
    texts = [ids(10 + size + place, size) for place, size in enumerate(sizes)]
    for text, layers in zip(texts, scored(network, name, opening, texts), strict=True):
        for found, wanted in zip(layers, NAIVE[name](network, opening, text), strict=True):
            wanted = wanted.double()
            real = wanted.isfinite()
            torch.testing.assert_close(found.double()[real], wanted[real], rtol=2e-3, atol=1e-6)
            highest = found.masked_fill(~real, -torch.inf).amax(-1, keepdim=True)
            assert bool(((found > highest) | real).all())  # what is kept anyhow stands above all


def test_of_a_window_without_room_for_all_the_last_tokens_stay(network):
    """The end of a text is what the next tokens follow on."""
    text = ids(4, 40)
    [layers] = scored(network, "window-attention", ids(1, 9), [text])
    for scores in layers:
        assert choose_kept(scores, 2, "even").nonzero()[:, 1].tolist() == [38, 39] * len(scores)


def test_what_no_later_token_sees_counts_nothing():
    network = tiny_model("gemma3", seed=7)[0]
    text = ids(4, 60)
    for name in ("expected-attention", "reconstruction"):
        [(sliding, full)] = scored(network, name, ids(1, 9), [text])
        gone = len(text) - network.config.sliding_window + 1
        assert not sliding[:, :gone].any() and bool((sliding[:, gone:] > 0).all()) and bool((full > 0).all())


def test_the_names_of_scorers_are_known_without_torch():
    assert tuple(SCORERS) == RULES
    for name, kind in SCORERS.items():
        assert reading_factor(name) == 1 + kind.repeats
    assert reading_factor("some/folder") == 1


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
