"""Compressed texts with the real small models, and on a CUDA device."""

import pytest
import torch

from rereader.models.base import Sampling, Segment
from rereader.models.kvmemory import Compression
from rereader.models.local import LocalModel
from rereader.models.tiny import tiny_model

RULES = Segment("system", "You answer from the given text.", cacheable=True)
FACT = "The mill at Ulpelhala was sold in 1871 to a ferryman called Brandt. Nobody bought the barge. "
TEXT = Segment("user", FACT * 5, trusted=False)
ASK = Segment("user", "\n\nWhen was the mill at Ulpelhala sold? Answer with the year.")


@pytest.mark.models
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b"])
def test_a_block_of_everything_is_read_like_the_text(pulled_model, tmp_path, name):
    model = LocalModel.load(pulled_model(name), name=name, device="cpu", dtype="float32")
    [block] = model.compress_kv([(RULES, TEXT)], Compression("none", 1.0))
    block.save(tmp_path / "block", "exact")
    recalled = (RULES, Segment("user", "", memory=(model.load_kv(tmp_path / "block"),)), ASK)
    prompts = [model._fit(model._renderer.render(one), 0) for one in ((RULES, TEXT, ASK), recalled)]
    plain, found = (model.engine.prefill([prompt], lambda: False).logits for prompt in prompts)
    torch.testing.assert_close(found, plain, atol=1e-3, rtol=0)
    replies = model.generate([(RULES, TEXT, ASK), recalled], Sampling(max_new_tokens=8))
    assert replies[0].token_ids == replies[1].token_ids
    model.close()


@pytest.mark.models
def test_a_quarter_of_the_keys_still_tells_the_year(pulled_model):
    name = "smollm2-135m"
    model = LocalModel.load(pulled_model(name), name=name, device="cpu", dtype="float32")
    chunks = [TEXT, Segment("user", "Every spring the ferryman lodges upstream, and the river is high. " * 6)]
    blocks = model.compress_kv([(RULES, chunk) for chunk in chunks], Compression("reconstruction", 4.0, "heads"))
    prompts = [(RULES, Segment("user", "", memory=tuple(blocks)), ASK), (RULES, ASK)]
    told, untold = model.log_likelihood(prompts, ["1871"] * 2)
    assert told > untold + 3
    model.close()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("scorer", ["key-norm", "window-attention", "expected-attention", "reconstruction"])
def test_a_device_reads_blocks_like_the_cpu(scorer):
    made = []
    for device in ("cpu", "cuda"):
        weights, tokenizer = tiny_model("gemma3")
        model = LocalModel(weights.to(device), tokenizer, name=device)
        blocks = model.compress_kv([(RULES, TEXT), (RULES, ASK)], Compression(scorer, 3.0, "heads"))
        prompts = [(RULES, Segment("user", "", memory=tuple(blocks)), ASK), (RULES, ASK)]
        rows = model.attention(prompts[0], model.all_heads()).by_head
        made.append((torch.from_numpy(model.choose(prompts, ["1871", "the barge"])), torch.from_numpy(rows)))
        model.close()
    for found, wanted in zip(*made, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-2, rtol=0)
