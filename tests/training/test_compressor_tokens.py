"""Memory tokens: how many, where they stand, what they see, and what they begin as."""

import pytest
import torch
from compressor_training import ids, passes
from hypothesis import given
from hypothesis import strategies as st

from rereader.models.memory_passes import LAYOUTS, group_ends
from rereader.models.memory_tokens import MemoryTokens
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema import InputError, ModelError


@pytest.mark.parametrize(
    ("tokens", "ratio", "ends"),
    [
        (8, 4, [4, 8]),
        (10, 4, [4, 8, 10]),
        (3, 8, [3]),
        (1, 2, [1]),
        (4, 1, [1, 2, 3, 4]),
        (10, 2.5, [2, 5, 8, 10]),
    ],
)
def test_groups(tokens, ratio, ends):
    assert group_ends(tokens, ratio) == ends


@given(st.integers(1, 300), st.floats(1, 16))
def test_groups_cover_the_text(tokens, ratio):
    ends = group_ends(tokens, ratio)
    assert ends[-1] == tokens
    assert all(0 < after - before <= ratio + 1 for before, after in zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("spaced", [True, False])
def test_reading_after_a_beginning_is_plain_reading(family, spaced):
    run, _ = passes(family, spaced=spaced)
    text = ids(23, rows=2)
    plain = run.model(text).logits
    start = run.begin(text[:, :5])
    torch.testing.assert_close(run.logits(run.read(start, text[:, 5:])), plain[:, 5:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_beside_a_text_change_nothing_in_it(family):
    run, tokens = passes(family)
    text = ids(21)
    start = run.begin(text[:, :5])
    hidden, memory = run.fold(start, text[:, 5:], tokens, 4)
    torch.testing.assert_close(run.logits(hidden), run.model(text).logits[:, 5:], atol=1e-4, rtol=1e-4)
    assert memory.places == 4 and memory.length == 16 and memory.offsets.tolist() == [3, 7, 11, 15]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ratio", [1, 4, 32])
def test_shapes(family, layout, ratio):
    run, tokens = passes(family, layout)
    hidden, memory = run.fold(run.begin(ids(3, rows=2)), ids(13, rows=2), tokens, ratio)
    count = -(-13 // ratio)
    assert hidden.shape == (2, 13, 32)
    assert len(memory.layers) == 2 and memory.places == count
    assert all(keys.shape == values.shape == (2, 2, count, 8) for keys, values in memory.layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_untrained_token_keeps_the_last_token_of_its_group(family):
    """In the first layer, where nothing was looked at yet, exactly; keys are unrotated, so places do not matter."""
    run, tokens = passes(family, start="token")
    text = ids(12)
    whole = run.begin(text).layers[0]
    _, memory = run.fold(None, text, tokens, 4)
    for mine, raw in zip(memory.layers[0], whole, strict=True):
        torch.testing.assert_close(mine, raw[:, :, 3::4], atol=1e-5, rtol=1e-5)


def test_an_untrained_published_token_is_the_end_token():
    run, tokens = passes(start="end", end=2)
    _, memory = run.fold(None, ids(12), tokens, 4)
    raw = run.begin(torch.tensor([[2]])).layers[0]
    for mine, end in zip(memory.layers[0], raw, strict=True):
        torch.testing.assert_close(mine, end.expand(-1, -1, 3, -1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank", [0, 4])
def test_projections_begin_as_the_models_own(family, rank):
    model, _ = tiny_model(family)
    tokens = MemoryTokens(model, rank)
    states = torch.randn(2, 3, 32)
    for layer, own in zip(model.get_decoder().layers, tokens.layers, strict=True):
        for kind in ("q", "k", "v"):
            usual = getattr(layer.self_attn, f"{kind}_proj")(states)
            torch.testing.assert_close(own[kind](states, usual), usual)


def test_a_memory_token_does_not_see_what_comes_after_its_group():
    run, tokens = passes()
    one, other = ids(12), ids(12)
    other[:, 8:] += 1
    first, second = (run.fold(None, text, tokens, 4)[1] for text in (one, other))
    for mine, theirs in zip(first.layers, second.layers, strict=True):
        torch.testing.assert_close(mine[0][:, :, :2], theirs[0][:, :, :2])
        assert not torch.allclose(mine[0][:, :, 2], theirs[0][:, :, 2])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_later_window_sees_only_the_memory_of_an_earlier_one(layout):
    run, tokens = passes(layout=layout)
    _, memory = run.fold(None, ids(8), tokens, 4)
    empty = type(memory)(tuple((k * 0, v * 0) for k, v in memory.layers), memory.offsets, memory.length)
    seen, unseen = (run.fold(past, ids(8, seed=1), tokens, 4)[0] for past in (memory, empty))
    assert not torch.allclose(seen, unseen)
    assert run.compress(None, torch.cat((ids(8), ids(8, seed=1)), 1), tokens, 8, 4).places == 4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_reach_the_new_parameters_and_no_others(family, layout):
    run, tokens = passes(family, layout)
    past = run.compress(run.begin(ids(3)), ids(16, seed=1), tokens, 8, 4)
    run.logits(run.read(past, ids(5, seed=2))).sum().backward()
    assert all(one.grad is None for one in run.model.parameters())
    # What a memory token of the last layer asks for is of no use to anybody.
    waiting = {f"layers.1.q.{name}" for name in ("weight", "bias")}
    reached = {name for name, one in tokens.named_parameters() if one.grad is not None and bool(one.grad.any())}
    key_biases = {f"layers.{layer}.k.bias" for layer in (0, 1)}
    assert {name for name, _ in tokens.named_parameters()} - reached <= waiting | key_biases
    assert {"embedding", "layers.0.q.weight", "layers.1.k.weight", "layers.1.v.weight"} <= reached


def test_blocks_stand_side_by_side_and_apart():
    run, tokens = passes()
    start = run.begin(ids(3))
    whole = run.compress(start, ids(8), tokens, 8, 4)
    block = whole.after(start.places, start.length)
    assert block.places == 2 and block.length == 8 and block.offsets.tolist() == [3, 7]
    both = start.then(block).then(block)
    assert both.places == 3 + 4 and both.length == 3 + 16 and both.offsets.tolist() == [0, 1, 2, 6, 10, 14, 18]
    assert both.rows(3).layers[0][0].shape[0] == 3


def test_the_same_hooks_leave_the_model_as_it_was():
    run, tokens = passes()
    before = run.model(ids(9)).logits
    run.fold(None, ids(9), tokens, 2)
    assert torch.equal(run.model(ids(9)).logits, before)
    assert not any(module._forward_hooks for module in run.model.modules())


def test_unsupported_models_and_settings_are_refused():
    model, _ = tiny_model()
    with pytest.raises(InputError, match="rank"):
        MemoryTokens(model, -1)
    model.config.model_type = "gpt2"
    with pytest.raises(ModelError, match="gpt2"):
        MemoryTokens(model)


def test_quantised_weights_are_refused():
    model, _ = tiny_model()
    model.get_decoder().layers[0].self_attn.q_proj = torch.nn.Identity()
    with pytest.raises(ModelError, match="quantised"):
        MemoryTokens(model)


def test_an_empty_text_is_refused():
    run, tokens = passes()
    with pytest.raises(InputError, match="no text"):
        run.compress(None, torch.zeros(1, 0, dtype=torch.int64), tokens, 8, 4)
