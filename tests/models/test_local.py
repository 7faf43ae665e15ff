import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import RULES, plain_logprobs, prompts, rendered, wrap

from rereader.models import engine as engine_module
from rereader.models.base import Sampling, Segment
from rereader.models.decoding import sample
from rereader.models.local import LocalModel
from rereader.models.measure import Settings
from rereader.models.tiny import FAMILIES, tiny_model, tiny_tokenizer
from rereader.schema.errors import InputError, Interrupted, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")


def plain_greedy(model, item, count, eos=()):
    ids, start, scores = rendered(model, item), len(rendered(model, item)), []
    while len(ids) - start < count:
        last = plain_logprobs(model, ids)[-1]
        token = int(last.argmax())
        if token in eos:
            break
        scores.append(float(last[token]))
        ids.append(token)
    return ids[start:], scores


# Writing


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_replies_equal_the_plain_reference(family):
    model = wrap(family, settings=Settings(prefill_batch=2, decode_batch=3))
    asked = prompts(family)
    replies = model.generate(asked, Sampling(max_new_tokens=9))
    for item, reply in zip(asked, replies, strict=True):
        ids, scores = plain_greedy(model, item, 9, model._eos)
        assert list(reply.token_ids) == ids
        assert reply.logprobs == pytest.approx(scores, abs=1e-4)
        assert reply.prompt_tokens == len(rendered(model, item))
        assert reply.finish_reason == ("length" if len(ids) == 9 else "stop")
    model.close()


def test_text_is_the_decoded_tokens(tiny):
    for reply in tiny.generate(prompts(1), Sampling(max_new_tokens=20, temperature=1.5)):
        assert reply.text == tiny._tokenizer.decode(reply.token_ids, skip_special_tokens=True)
        assert reply.completion_tokens == len(reply.logprobs) <= 20


def test_an_end_token_ends_only_its_own_row():
    model = wrap(settings=Settings(decode_batch=4))
    asked = prompts(2, 6)
    free = model.generate(asked, Sampling(max_new_tokens=8))
    end = free[0].token_ids[3]
    model._eos = frozenset({end})
    replies = model.generate(asked, Sampling(max_new_tokens=8))
    for reply, before in zip(replies, free, strict=True):
        stopped = end in before.token_ids
        expected = before.token_ids[: before.token_ids.index(end)] if stopped else before.token_ids
        assert reply.token_ids == expected
        assert reply.finish_reason == ("stop" if stopped else "length")
    assert replies[0].finish_reason == "stop"
    model.close()


def test_end_tokens_come_from_generation_config_tokenizer_and_template():
    model, tokenizer = tiny_model()
    model.generation_config.eos_token_id = [3, 5]
    tokenizer.eos_token = "<|endoftext|>"
    made = LocalModel(model, tokenizer, name="tiny")
    names = ["<|endoftext|>", "<|im_end|>"]
    assert made._eos == {3, 5, *tokenizer.convert_tokens_to_ids(names)}
    made.close()


def test_a_sampled_reply_depends_on_prompt_and_seed_alone(tiny):
    asked = prompts(3, 8)
    sampling = Sampling(max_new_tokens=12, temperature=1.0, seed=11)
    together = tiny.generate(asked, sampling)
    shuffled = tiny.generate(asked[::-1], sampling)[::-1]
    alone = [tiny.generate([item], sampling)[0] for item in asked]
    assert [r.token_ids for r in together] == [r.token_ids for r in shuffled] == [r.token_ids for r in alone]
    other = tiny.generate(asked, Sampling(max_new_tokens=12, temperature=1.0, seed=12))
    assert [r.token_ids for r in other] != [r.token_ids for r in together]


def test_sampling_follows_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1e9]])
    drawn = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens = sample(logits.expand(len(drawn), -1), 0.7, drawn)
    shares = torch.bincount(tokens, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, (logits[0] / 0.7).softmax(-1), atol=1e-3, rtol=0)
    assert shares[3] == 0


def test_a_stop_string_is_cut_off(tiny):
    asked = prompts(4, 5)
    free = tiny.generate(asked, Sampling(max_new_tokens=24))
    for item, reply in zip(asked, free, strict=True):
        stop = reply.text[5:7]
        [cut] = tiny.generate([item], Sampling(max_new_tokens=24, stop=("never there", stop)))
        assert cut.text == reply.text[: reply.text.index(stop)]
        assert cut.finish_reason == "stop"
        assert len(cut.token_ids) < len(reply.token_ids)


def test_no_tokens_asked_no_tokens_written(tiny):
    [reply] = tiny.generate(prompts(5, 1), Sampling(max_new_tokens=0))
    assert (reply.text, reply.token_ids, reply.finish_reason) == ("", (), "length")
    assert tiny.generate([], Sampling()) == []


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 3.0]), st.lists(st.sampled_from("abct�e 1"), max_size=3))
def test_streamed_pieces_join_to_the_reply(tiny, seed, temperature, stop):
    [item] = prompts(seed, 1)
    sampling = Sampling(max_new_tokens=16, temperature=temperature, seed=seed, stop=tuple(stop))
    [reply] = tiny.generate([item], sampling)
    pieces, stream = [], tiny.stream(item, sampling)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            assert end.value == reply
            break
    assert "".join(pieces) == reply.text
    assert all(pieces)


# Stopping, failing


def test_a_cancelled_call_is_interrupted(tiny):
    cancel = threading.Event()
    cancel.set()
    for call in (
        lambda: tiny.generate(prompts(6), Sampling(), cancel),
        lambda: list(tiny.stream(prompts(6)[0], Sampling(), cancel)),
        lambda: tiny.choose(prompts(6), ["A", "B"], None, cancel),
        lambda: tiny.log_likelihood(prompts(6, 1), ["x"], cancel),
    ):
        with pytest.raises(Interrupted):
            call()


def test_cancel_is_looked_at_between_two_tokens(tiny):
    cancel, pieces = threading.Event(), []
    with pytest.raises(Interrupted):
        for piece in tiny.stream(prompts(7)[0], Sampling(max_new_tokens=1500), cancel):
            pieces.append(piece)
            cancel.set()
    assert len(pieces) < 500


def test_a_stream_that_is_left_stops_working(monkeypatch, tiny):
    steps, step = [], engine_module.Engine.step
    monkeypatch.setattr(engine_module.Engine, "step", lambda *args: steps.append(1) or step(*args))
    stream = tiny.stream(prompts(8)[0], Sampling(max_new_tokens=1500))
    next(stream)
    stream.close()
    tiny.generate(prompts(8, 1), Sampling(max_new_tokens=1))
    assert len(steps) < 1000


def test_a_prompt_too_long_is_refused_with_numbers():
    model = wrap(context_window=300)
    item = (Segment("user", "the river"),)
    size = len(rendered(model, item))
    with pytest.raises(InputError, match=rf"{size} tokens and {301 - size} more.* 300 tokens"):
        model.generate([item], Sampling(max_new_tokens=301 - size))
    model.generate([item], Sampling(max_new_tokens=300 - size))
    with pytest.raises(InputError, match="300 tokens"):
        model.log_likelihood([item], ["x" * 300])
    with pytest.raises(InputError):
        model.stream(item, Sampling(max_new_tokens=500))
    model.close()


@pytest.mark.parametrize("bad", [Sampling(max_new_tokens=-1), Sampling(temperature=-1), Sampling(temperature=math.nan)])
def test_bad_sampling_is_refused(tiny, bad):
    with pytest.raises(InputError):
        tiny.generate(prompts(10, 1), bad)


def test_logits_that_are_not_numbers_are_an_error():
    model = wrap()
    with torch.no_grad():
        model._engine.prefill_model.lm_head.weight[3] = math.nan
    for call in (
        lambda: model.generate(prompts(11), Sampling(max_new_tokens=3)),
        lambda: model.choose(prompts(11), ["A", "B"]),
    ):
        with pytest.raises(ModelError, match="not numbers"):
            call()
    model.close()


def fail_above(monkeypatch, rows):
    """Make every forward pass of more than ``rows`` rows run out of memory."""
    forward = engine_module.Engine._forward

    def limited(self, model, cache, ids, pads, keep, **options):
        if len(ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, model, cache, ids, pads, keep, **options)

    monkeypatch.setattr(engine_module.Engine, "_forward", limited)


def test_when_memory_runs_out_smaller_batches_give_the_same(monkeypatch):
    model = wrap(settings=Settings(prefill_batch=8, decode_batch=8))
    asked = prompts(12, 9)
    replies = model.generate(asked, Sampling(max_new_tokens=6))
    chosen = model.choose(asked, ["A", "B", "C"])
    fail_above(monkeypatch, 2)
    assert [r.token_ids for r in model.generate(asked, Sampling(max_new_tokens=6))] == [r.token_ids for r in replies]
    np.testing.assert_allclose(model.choose(asked, ["A", "B", "C"]), chosen, atol=1e-4)
    fail_above(monkeypatch, 0)
    for call in (lambda: model.generate(asked, Sampling()), lambda: model.choose(asked, ["A", "B"])):
        with pytest.raises(ModelError, match="out of memory") as caught:
            call()
        assert "smaller" in caught.value.hint
    model.close()


def test_out_of_memory_where_nothing_can_be_halved_is_said_as_such(monkeypatch, tiny):
    fail_above(monkeypatch, 0)
    looked = (RULES, Segment("user", "The river and the tower.", cacheable=True), Segment("user", " Who?"))
    with pytest.raises(ModelError, match="out of memory"):
        tiny.attention(looked, tiny.all_heads()[:1])


def test_any_other_failure_is_one_line(monkeypatch, tiny):
    def broken(*args):
        raise RuntimeError("shapes differ\nand more")

    monkeypatch.setattr(engine_module.Engine, "_forward", broken)
    with pytest.raises(ModelError, match="failed: shapes differ Try"):
        tiny.generate(prompts(13, 1), Sampling())


def test_eight_threads_get_what_serial_calls_get():
    calls = [(prompts(seed, 3), Sampling(max_new_tokens=6, temperature=seed % 2, seed=seed)) for seed in range(16)]

    def both(model, call):
        return model.generate(*call), model.choose(call[0], ["A", "B"], call[0][0]).tolist()

    serial_model, shared = wrap(seed=3), wrap(seed=3)
    serial = [both(serial_model, call) for call in calls]
    found = {}
    threads = [
        threading.Thread(
            target=lambda start=start: found.update({n: both(shared, calls[n]) for n in (start, start + 8)})
        )
        for start in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(16)] == serial
    serial_model.close()
    shared.close()


def test_a_closed_model_says_so():
    model = wrap()
    model.close()
    with pytest.raises(ModelError, match="closed"):
        model.generate(prompts(14, 1), Sampling())


# Precision


def test_two_precisions_share_one_reply():
    model, tokenizer = tiny_model("qwen2")
    half, _ = tiny_model("qwen2")
    mixed = LocalModel(
        model, tokenizer, name="mixed", decode_model=half.bfloat16(), settings=Settings(prefill_batch=1, decode_batch=2)
    )
    asked = prompts(18, 5)
    for item, reply in zip(asked, mixed.generate(asked, Sampling(max_new_tokens=5)), strict=True):
        ids, scores = plain_greedy(mixed, item, 1)
        assert list(reply.token_ids[:1]) == ids
        assert reply.logprobs[:1] == pytest.approx(scores, abs=1e-4)
        assert len(reply.token_ids) == 5
    assert mixed.placement.dtype == "float32+bfloat16"
    mixed.close()


def test_the_fingerprint_names_everything_that_decides_a_reply():
    model, tokenizer = tiny_model()
    other_template = tiny_tokenizer()
    other_template.chat_template = other_template.chat_template.replace("I am", "You are")
    made = [
        LocalModel(model, tokenizer, name="a"),
        LocalModel(tiny_model(seed=1)[0], tokenizer, name="a"),
        LocalModel(tiny_model()[0].bfloat16(), tokenizer, name="a"),
        LocalModel(model, other_template, name="a"),
        LocalModel(model, tokenizer, name="a", fingerprint_of_weights="named"),
    ]
    assert len({one.fingerprint for one in made}) == len(made)
    assert made[0].fingerprint == wrap().fingerprint
    for one in made:
        one.close()
