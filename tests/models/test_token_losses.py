"""Losses of a text's tokens after long and short contexts, against one plain forward pass for every token."""

import random
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import WORDS, plain_logprobs, wrap

from rereader.models.base import LanguageModel
from rereader.models.engine import Engine
from rereader.models.loss_windows import loss_windows, tokens_read
from rereader.models.losses import token_losses
from rereader.models.measure import Settings
from rereader.models.scripted import ScriptedModel
from rereader.models.tiny import FAMILIES
from rereader.schema.errors import InputError, Interrupted, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")


def some_ids(model, words, seed=0):
    rng = random.Random(seed)
    [ids] = model.token_ids([" ".join(rng.choice(WORDS) for _ in range(words))])
    return ids


def plain_losses(model, ids, length):
    """Each token alone: one forward pass over its context, which the windows decide."""
    expected = np.zeros(len(ids), dtype=np.float32)
    step = max(1, length // 2)
    for at in range(1, len(ids)):
        # The first window that reaches the token: windows begin every `step` tokens.
        begin = next(start for start in range(0, len(ids), step) if at <= start + length)
        expected[at] = -plain_logprobs(model, ids[begin:at])[-1, ids[at]]
    return expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [1, 3])
def test_losses_are_those_of_plain_forward_passes(family, rows):
    model = wrap(family, settings=Settings(prefill_batch=rows, decode_batch=1))
    ids = some_ids(model, 30)
    found = model.token_losses(ids, (len(ids), 12, 5, 1))
    assert (found.dtype, found.shape) == (np.float32, (4, len(ids)))
    for row, length in zip(found, (len(ids), 12, 5, 1), strict=True):
        np.testing.assert_allclose(row, plain_losses(model, ids, length), atol=1e-3)
    assert (found[:, 0] == 0).all()
    assert np.abs(found[0] - found[2])[12:].max() > 0.1  # or nothing was tested
    model.close()


def test_a_long_text_is_read_block_by_block(monkeypatch):
    model = wrap("qwen2", settings=Settings(prefill_batch=4, decode_batch=1))
    model._engine._block = 64
    ids = some_ids(model, 120)
    whole = plain_logprobs(model, ids)
    expected = [0.0] + [-float(whole[at - 1, ids[at]]) for at in range(1, len(ids))]
    widths = []
    forward = Engine._forward

    def counting(self, network, cache, tokens, pads, keep, **options):
        widths.append(keep * len(tokens))
        return forward(self, network, cache, tokens, pads, keep, **options)

    monkeypatch.setattr(Engine, "_forward", counting)
    np.testing.assert_allclose(model.token_losses(ids, [len(ids)])[0], expected, atol=1e-3)
    assert max(widths) <= 8  # positions whose logits are held at once, out of hundreds
    assert sum(widths) >= len(ids) - 1
    model.close()


def test_tokens_before_the_first_are_context_only():
    model = wrap()
    ids = some_ids(model, 30)
    whole, part = model.token_losses(ids, (40, 8)), model.token_losses(ids, (40, 8), first=20)
    assert (part[:, :20] == 0).all()
    np.testing.assert_allclose(part[:, 20:], whole[:, 20:], atol=1e-5)
    assert (model.token_losses(ids, [8], first=len(ids)) == 0).all()
    model.close()


def test_an_opening_token_stands_before_every_window():
    model = wrap("gemma3")
    ids, slots = tuple(some_ids(model, 12)), model._slots(4)
    with torch.inference_mode():
        found = token_losses(model._engine, ids, [6], 0, (3,), slots, lambda: False)[0].numpy()
    for at in range(len(ids)):
        begin = next(start for start in range(0, len(ids), 3) if at <= start + 6)
        expected = -plain_logprobs(model, [3, *ids[begin:at]])[-1, ids[at]]
        assert found[at] == pytest.approx(float(expected), abs=1e-3)
    model.close()


@given(total=st.integers(0, 60), length=st.integers(1, 70), first=st.integers(0, 61), opened=st.booleans())
@settings(max_examples=300)
def test_every_token_counts_once_after_a_bounded_context(total, length, first, opened):
    windows = loss_windows(total, length, first, opened)
    counted = [at for window in windows for at in range(window.first, window.end)]
    assert counted == list(range(max(first, 0 if opened else 1), total))
    for window in windows:
        for at in range(window.first, window.end):
            assert at - window.start <= length
            assert at - window.start >= min(at, (length + 1) // 2)
    assert tokens_read(total, [length], first) == sum(w.read for w in loss_windows(total, length, first))


def test_what_cannot_be_scored_is_refused(tiny):
    with pytest.raises(InputError, match="no such tokens"):
        tiny.token_losses([0, 10**9], [4])
    for length in (0, -1, 5000):
        with pytest.raises(InputError, match="context has 1 to"):
            tiny.token_losses([1] * 3000, [length])
    assert tiny.token_losses([], [4]).shape == (1, 0)
    assert tiny.token_losses([5], [4]).tolist() == [[0.0]]
    assert tiny.token_losses([5, 6], []).shape == (0, 2)
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Interrupted):
        tiny.token_losses([1, 2, 3], [2], cancel=stopped)


def test_ids_are_those_of_the_spans(tiny):
    text = "The river <|im_end|> and <tool_call> naïve 日本 1897."
    [ids], [spans] = tiny.token_ids([text]), tiny.token_spans([text])
    assert len(ids) == len(spans) == tiny.count_tokens([text])[0]


# Without a local model


def test_a_scripted_model_expects_what_it_has_seen():
    model = ScriptedModel([], attends=True)
    text = "the box opens with 5265 . " + "far and wide . " * 30 + "the box opens with 5265 ."
    [ids] = model.token_ids([text])
    long, short = model.token_losses(ids, (len(ids), 20))
    key = int((short - long).argmax())
    assert ids[key] == model.token_ids(["5265"])[0][0] or short[key] - long[key] > 2
    assert key > len(ids) - 7
    assert model.token_losses(ids, (20,), first=100)[0, :100].tolist() == [0.0] * 100
    np.testing.assert_array_equal(model.token_losses(ids, (20,), first=100)[0, 100:], short[100:])


def test_the_scripted_losses_are_those_of_their_definition():
    rng = random.Random(3)
    model = ScriptedModel([], attends=True)
    ids = [rng.randrange(6) for _ in range(60)]
    found = model.token_losses(ids, (7,))[0]
    for at in range(1, len(ids)):
        context = ids[max(0, at - 7) : at]
        pairs = list(pairwise(context))
        leading = sum(a == ids[at - 1] for a, _ in pairs)
        followed = pairs.count((ids[at - 1], ids[at])) / leading if leading else 0
        often = (context.count(ids[at]) + 0.1) / (len(context) + 100)
        assert found[at] == pytest.approx(-np.log(0.5 * followed + 0.5 * often), abs=1e-4)


def test_models_that_hide_their_insides_say_so():
    model = ScriptedModel([])
    with pytest.raises(ModelError, match="does not show"):
        model.token_losses([1, 2], [1])
    with pytest.raises(ModelError, match="does not show"):
        LanguageModel.token_ids(model, ["a"])
    with pytest.raises(InputError):
        ScriptedModel([], attends=True).token_losses([1, 2], [0])
