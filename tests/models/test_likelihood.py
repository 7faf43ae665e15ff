"""Scoring with a local model: whole continuations and choices, against a plain forward pass."""

import numpy as np
import pytest
from local_models import RULES, plain_logprobs, prompts, rendered, wrap

from rereader.models.base import Segment
from rereader.models.measure import Settings
from rereader.models.tiny import FAMILIES
from rereader.schema.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("family", FAMILIES)
def test_log_likelihood_equals_the_plain_reference(family):
    model = wrap(family, settings=Settings(prefill_batch=3, decode_batch=4))
    asked = prompts(f"likelihood {family}", 5)
    asked += [asked[0], asked[2], asked[2]]
    texts = ["the", "<|im_end|> in", "an island on the river " * 20, "", "x", "ther", "the tower", "1897"]
    expected = []
    for item, text in zip(asked, texts, strict=True):
        ids, more = rendered(model, item), model._renderer.encode(text)
        table = plain_logprobs(model, ids + more)
        expected.append(sum(float(table[len(ids) - 1 + k, token]) for k, token in enumerate(more)))
    found = model.log_likelihood(asked, texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
    model.close()


@pytest.mark.parametrize("options", [["A", "B", "C", "D"], ["yes", "no", "not in the text", "n"]])
@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_choose_equals_the_plain_reference(family, options, calibrated):
    model = wrap(family, settings=Settings(prefill_batch=3, decode_batch=2))
    asked = prompts(f"{options}{calibrated}", 6)
    null = (RULES, Segment("user", " Who?")) if calibrated else None

    def whole(item, option):
        ids, more = rendered(model, item), model._renderer.encode(option)
        table = plain_logprobs(model, ids + more)
        return sum(float(table[len(ids) - 1 + k, token]) for k, token in enumerate(more))

    raw = np.array([[whole(item, option) for option in options] for item in asked])
    if null is not None:
        raw -= np.array([whole(null, option) for option in options])
    expected = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
    found = model.choose(asked, options, null)
    assert found.dtype == np.float32
    assert found.shape == (6, len(options))
    np.testing.assert_allclose(found, expected, atol=2e-4)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)
    model.close()


def test_letters_are_read_off_one_pass_and_long_options_share_the_prompt(monkeypatch):
    model = wrap()
    [item] = prompts(15, 1)
    size = len(rendered(model, item))
    read = []
    model._engine.prefill_model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    model.choose([item], ["A", "B", "C"])
    assert sum(read) == size
    read.clear()
    options = ["first option", "2nd", "last"]
    model.choose([item], options)
    longest = max(len(model._renderer.encode(option)) for option in options)
    reused = model._renderer.render(item).boundaries[-1]
    assert sum(read) == size - reused + len(options) * (longest - 1)
    model.close()


def test_choose_refuses_empty_options(tiny):
    for options in ([], ["A", ""]):
        with pytest.raises(InputError):
            tiny.choose(prompts(16, 1), options)
    assert tiny.choose([], ["A", "B"]).shape == (0, 2)
    with pytest.raises(InputError):
        tiny.log_likelihood(prompts(16, 2), ["x"])


def test_token_counts(tiny):
    asked = prompts(17)
    assert tiny.prompt_tokens(asked) == [len(rendered(tiny, item)) for item in asked]
    assert tiny.count_tokens(["", "ab", "<|im_end|>"]) == [0, 2, 10]
