"""Attention of a chunk part by part, against the whole masked softmax."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models import chunked
from rereader.models.chunked import attend, mask_unless_causal, use_chunked
from rereader.models.engine import Engine
from rereader.models.rendering import Rendered
from rereader.models.tiny import FAMILIES, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


class Module(torch.nn.Module):
    """What an attention function is told of its layer."""

    def __init__(self, group):
        super().__init__()
        self.num_key_value_groups = group
        self.is_causal = True


def states(seed, rows, groups, group, past, count, size=8):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, groups * group, count, size, generator=generator) * 3
    key, value = (torch.randn(rows, groups, past + count, size, generator=generator) for _ in range(2))
    return query, key, value


def whole(query, key, value, scale):
    """Every product, masked, soft-maxed and averaged over, in float64."""
    group, count = query.shape[1] // key.shape[1], query.shape[2]
    key, value = (part.repeat_interleave(group, 1).double() for part in (key, value))
    products = query.double() @ key.transpose(-1, -2) * scale
    seen = torch.ones(products.shape[-2:], dtype=torch.bool).tril(key.shape[2] - count)
    return (products.masked_fill(~seen, -torch.inf).softmax(-1) @ value).transpose(1, 2)


shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(0, 70), st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), shapes, st.sampled_from([None, 0.5]))
def test_a_chunk_sees_its_past_and_itself(seed, shape, scaling):
    query, key, value = states(seed, *shape)
    found, _ = attend(Module(shape[2]), query, key, value, None, scaling=scaling)
    assert torch.allclose(found.double(), whole(query, key, value, scaling or 8**-0.5), atol=1e-5)


def test_extreme_products_do_not_overflow():
    query, key, value = states(1, 1, 1, 2, 30, 9)
    found, _ = attend(Module(2), query * 1000, key, value, None)
    assert torch.allclose(found.double(), whole(query * 1000, key, value, 8**-0.5), atol=1e-3)


def test_without_a_kernel_it_masks(monkeypatch):
    query, key, value = states(2, 1, 2, 2, 30, 9)
    monkeypatch.setattr(chunked, "_has_kernel", lambda query: False)
    found, _ = attend(Module(2), query, key, value, None)
    assert torch.allclose(found.double(), whole(query, key, value, 8**-0.5), atol=1e-5)


def test_a_given_mask_counts():
    query, key, value = states(3, 1, 1, 1, 6, 4)
    nothing_before = torch.ones(1, 1, 4, 10, dtype=torch.bool).tril(6)
    nothing_before[..., :6] = False
    found, _ = attend(Module(1), query, key, value, nothing_before)
    alone, _ = attend(Module(1), query, key[:, :, 6:], value[:, :, 6:], None)
    assert torch.allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"attention_mask": torch.tensor([[False, True, True, True, True, True]])},
        {"local_size": 4},
        {"allow_is_causal_skip": False},
    ],
)
def test_where_something_is_hidden_there_is_a_mask(arguments):
    assert mask_unless_causal(1, 2, 6, 4, **arguments).shape == (1, 1, 2, 6)


def test_where_nothing_is_hidden_there_is_no_mask():
    assert mask_unless_causal(1, 2, 6, 4) is None
    assert mask_unless_causal(1, 2, 6, 4, local_size=7) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_read_in_chunks_has_the_logits_of_one_read_whole(family):
    model, _ = tiny_model(family, seed=4)
    ids = tuple(torch.randint(3, 250, (150,), generator=torch.Generator().manual_seed(5)).tolist())
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids])).logits[0, -1]
    engine = Engine(model, block_tokens=32)
    assert model.config.get_text_config()._attn_implementation != "sdpa"
    found = engine.prefill([Rendered(ids, (), ())], lambda: False).logits[0]
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_model_that_attends_otherwise_is_left_as_it_is():
    model, _ = tiny_model()
    model.config._attn_implementation = "eager"
    use_chunked(model)
    assert model.config._attn_implementation == "eager"
