"""What runs on a CPU gives the same on a CUDA device."""

import pytest

from rereader.models.base import Sampling, Segment

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
PROMPTS = [(Segment("user", text),) for text in ("one", "the sea and the wind", "a much longer line about a mill")]
SAMPLING = Sampling(max_new_tokens=12)


@pytest.fixture(params=["llama", "qwen2", "qwen3", "gemma3"])
def pair(request):
    """The same tiny model on the CPU and on the device, both in float32."""
    from rereader.models.local import LocalModel
    from rereader.models.tiny import tiny_model

    made = []
    for device in ("cpu", "cuda"):
        weights, tokenizer = tiny_model(request.param)
        made.append(LocalModel(weights.to(device), tokenizer, name=device))
    yield made
    for model in made:
        model.close()


def test_replies_are_those_of_the_cpu(pair):
    on_cpu, on_cuda = pair
    assert on_cuda.device.startswith("cuda")
    expected = on_cpu.generate(PROMPTS, SAMPLING)
    found = on_cuda.generate(PROMPTS, SAMPLING)
    assert [reply.token_ids for reply in found] == [reply.token_ids for reply in expected]


def test_scores_are_those_of_the_cpu(pair):
    on_cpu, on_cuda = pair
    options = ["A", "B", "both of them"]
    difference = abs(on_cuda.choose(PROMPTS, options) - on_cpu.choose(PROMPTS, options)).max()
    assert difference < 1e-3
    texts = ["stone", "wind over the road", "x"]
    assert abs(on_cuda.log_likelihood(PROMPTS, texts) - on_cpu.log_likelihood(PROMPTS, texts)).max() < 1e-2


def test_fingerprints_tell_the_devices_apart(pair):
    assert pair[0].fingerprint != pair[1].fingerprint


def test_settings_are_measured_on_the_device():
    from rereader.models.measure import measure
    from rereader.models.tiny import tiny_model

    settings = measure(tiny_model("qwen2")[0].config, "cuda", ["bfloat16"], seconds=0.5)
    assert settings.prefill_batch >= 1
    assert all(rate > 0 for rate in settings.rates.values())


@pytest.mark.models
def test_a_pulled_model_is_loaded_in_half_precision_and_replies(pulled_model):
    from rereader.models.local import LocalModel

    model = LocalModel.load(pulled_model("smollm2-135m"), name="smollm2-135m", device="cuda")
    try:
        reply = model.generate([(Segment("user", "What is the capital of France?"),)], Sampling(max_new_tokens=12))[0]
        assert "bfloat16" in model.placement.dtype or "float16" in model.placement.dtype
        assert reply.completion_tokens > 0
    finally:
        model.close()


@pytest.mark.models
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_a_pulled_model_is_quantised_and_replies(pulled_model, bits):
    pytest.importorskip("bitsandbytes", reason="the extra quantised is not installed")
    from rereader.models.local import LocalModel

    folder = pulled_model("smollm2-135m")
    model = LocalModel.load(folder, name="small", device="cuda", dtype=bits)
    try:
        asked = [(Segment("user", "What is the capital of France?"),)] * 3
        replies = model.generate(asked, Sampling(max_new_tokens=12))
        assert all(reply.completion_tokens > 0 for reply in replies)
    finally:
        model.close()


@pytest.mark.models
def test_vectors_are_those_of_the_cpu(pulled_model):
    from rereader.models.embedder import SentenceEmbedder

    texts = ["A letter from the harbour.", "Bread in the morning, wind in the evening."]
    one, other = (
        SentenceEmbedder.load(pulled_model("minilm"), name="minilm", device=device) for device in ("cpu", "cuda")
    )
    assert (one.embed(texts) * other.embed(texts)).sum(axis=1).min() > 0.9999


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_chunk_part_by_part_sees_what_the_masked_one_sees(dtype):
    from rereader.models.chunked import attend

    generator = torch.Generator("cuda").manual_seed(1)
    query = torch.randn(1, 4, 60, 64, generator=generator, device="cuda", dtype=dtype)
    key, value = (torch.randn(1, 2, 300, 64, generator=generator, device="cuda", dtype=dtype) for _ in range(2))
    mask = torch.ones(60, 300, dtype=torch.bool, device="cuda").tril(240)[None, None]
    module = torch.nn.Module()
    module.num_key_value_groups, module.is_causal = 2, True
    found, masked = (attend(module, query, key, value, given)[0] for given in (None, mask))
    assert torch.allclose(found.float(), masked.float(), atol=1e-5 if dtype == torch.float32 else 2e-2)
