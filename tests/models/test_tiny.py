import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rereader.models.tiny import FAMILIES, tiny_model, tiny_tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_what_it_says(family):
    model, tokenizer = tiny_model(family)
    assert model.config.model_type.startswith(family)
    assert model.config._attn_implementation == "sdpa"
    logits = model(torch.tensor([tokenizer("Hello there")["input_ids"]])).logits
    assert logits.shape[-1] == len(tokenizer)
    assert logits.isfinite().all()
    assert sum(p.numel() for p in model.parameters()) < 100_000


def test_the_seed_decides_the_weights_and_leaves_the_callers_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (tiny_model(seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_gemma_has_a_sliding_window_layer():
    config = tiny_model("gemma3")[0].config
    assert config.layer_types == ["sliding_attention", "full_attention"]
    assert config.sliding_window == 16


@settings(deadline=None)
@given(st.text(max_size=40))
def test_the_tokenizer_is_lossless(text):
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
