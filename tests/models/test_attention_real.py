"""Attention of the real small models, against the whole matrices that transformers makes."""

import pytest
import torch

from rereader.models.base import Segment
from rereader.models.local import LocalModel

TEXT = "The mill at Ulpelhala was sold in 1871. Nobody bought the barge. Every spring the ferryman lodges upstream. "
QUESTION = "When was the mill at Ulpelhala sold?"


@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b"])
def test_rows_of_the_retrieval_heads_are_exact(pulled_model, name):
    model = LocalModel.load(pulled_model(name), name=name, device="cpu", dtype="float32")
    heads = [model.all_heads()[place] for place in (0, 40, 100, 161, -1)]
    text = Segment("user", TEXT * 6, trusted=False, cacheable=True)
    found = model.attention((text, Segment("user", QUESTION, trusted=False)), heads)
    network = model.engine.prefill_model
    network.config._attn_implementation, before = "eager", network.config._attn_implementation
    with torch.inference_mode():
        layers = network(torch.tensor([found.ids]), output_attentions=True, use_cache=False).attentions
    network.config._attn_implementation = before
    start, end = found.ranges[-1]
    plain = torch.stack([layers[head.layer][0, head.head] for head in heads])
    rows, whole = torch.from_numpy(found.by_head), plain[:, start:end].mean(1)
    torch.testing.assert_close(rows, whole, rtol=1e-3, atol=1e-5)
    queries = plain[:, -len(found.by_query) :].mean(0)
    torch.testing.assert_close(torch.from_numpy(found.by_query), queries, rtol=1e-3, atol=1e-5)
    for mine, theirs in zip(rows, whole, strict=True):
        # The same order, but for scores that differ in their last bits only.
        order, wanted = (row.argsort(descending=True, stable=True)[:64] for row in (mine, theirs))
        torch.testing.assert_close(theirs[order], theirs[wanted], rtol=1e-3, atol=1e-6)
    model.close()
