"""Masked heads, against the sum of what the other heads put out."""

import pytest
import torch
from local_models import wrap

from rereader.evals.masking import measure_masking
from rereader.models.base import Head
from rereader.models.masking import without_heads
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import InputError, ModelError

IDS = torch.tensor([[5, 9, 30, 7, 12, 44, 9]])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_masked_head_is_one_whose_part_of_the_output_matrix_is_zero(family):
    model = tiny_model(family, seed=2)[0]
    heads = [Head(0, 1), Head(1, 0), Head(1, 3)]
    with torch.inference_mode():
        plain = model(IDS).logits
        with without_heads(model, heads):
            masked = model(IDS).logits
        assert torch.equal(model(IDS).logits, plain)
        with without_heads(model, []):
            assert torch.equal(model(IDS).logits, plain)
        for layer, head in heads:
            part = next(m for m in model.modules() if getattr(m, "layer_idx", None) == layer and hasattr(m, "o_proj"))
            part.o_proj.weight[:, head * 8 : (head + 1) * 8] = 0
        torch.testing.assert_close(masked, model(IDS).logits)
    assert not torch.allclose(masked, plain)


def test_heads_that_are_not_there_are_refused():
    model = tiny_model("llama")[0]
    with pytest.raises(InputError, match="no head 7-0"), without_heads(model, [Head(7, 0)]):
        pass
    model.model.layers[1].self_attn.layer_idx = 9
    with pytest.raises(ModelError, match="layer 1 cannot be masked"), without_heads(model, [Head(1, 0)]):
        pass


def test_the_grid_is_measured_once(tmp_path, data_dir):
    model = wrap(context_window=8192)
    out = tmp_path / "rows.jsonl"
    heads = [Head(0, 0), Head(1, 1)]
    assert measure_masking(model, heads, data_dir, 1, out) == 18
    assert measure_masking(model, heads, data_dir, 1, out) == 0
    with pytest.raises(InputError, match="too few heads"):
        measure_masking(model, model.all_heads(), data_dir, 1, out)
    model.close()
