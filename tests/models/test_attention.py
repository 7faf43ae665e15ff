"""Attention of chosen heads, against the whole attention matrices that transformers makes."""

import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import wrap

from rereader.models import attention, kv
from rereader.models import engine as engine_module
from rereader.models import room as room_module
from rereader.models.attention import Probe
from rereader.models.base import Head, Sampling, Segment
from rereader.models.engine import Engine
from rereader.models.measure import Settings
from rereader.models.rendering import Rendered
from rereader.models.scripted import ScriptedModel
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import InputError, Interrupted, ModelError

pytestmark = pytest.mark.usefixtures("one_thread")


def never():
    return False


def ids(seed, count):
    rng = random.Random(seed)
    return [rng.randrange(3, 250) for _ in range(count)]


class count_tokens:
    """Tokens that go through the model's first layer inside the block."""

    def __init__(self, model):
        self.tokens = 0
        self._layer = model.model.layers[0]

    def __enter__(self):
        self._hook = self._layer.register_forward_pre_hook(self._count)

    def __exit__(self, *_):
        self._hook.remove()

    def _count(self, _, arguments):
        self.tokens += arguments[0].shape[1]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param, seed=3)[0]


def all_heads(config):
    return [Head(layer, head) for layer in range(2) for head in range(config.get_text_config().num_attention_heads)]


def eager(model, tokens):
    """All softmax rows of a whole prompt: float32 [layers, heads, tokens, tokens]."""
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    try:
        with torch.inference_mode():
            found = model(torch.tensor([tokens]), output_attentions=True, use_cache=False).attentions
    finally:
        model.config._attn_implementation = before
    return torch.stack([layer[0] for layer in found])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 70), asked=st.integers(1, 9), data=st.data())
def test_rows_are_those_of_the_whole_matrices(model, seed, length, asked, data):
    text, question = ids(seed, length), ids(seed + 1, asked)
    heads = data.draw(st.lists(st.sampled_from(all_heads(model.config)), min_size=1, max_size=6, unique=True))
    engine = Engine(model, block_tokens=32)
    rows = engine.attend(engine.read(text, [len(text)], never), question, heads)
    plain = eager(model, text + question)[[h.layer for h in heads], [h.head for h in heads], length:]
    torch.testing.assert_close(rows.by_query, plain.mean(0), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(rows.by_head, plain.mean(1), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(rows.by_query.sum(-1), torch.ones(asked))
    highest = plain.gather(-1, rows.peaks[..., None])[..., 0]
    torch.testing.assert_close(highest, plain.max(-1).values, rtol=1e-4, atol=1e-7)
    order = [row.argsort(descending=True, stable=True)[:64].tolist() for row in (rows.by_head[0], plain[0].mean(0))]
    assert order[0] == order[1]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 70))
def test_a_text_read_no_deeper_than_is_asked_shows_the_same(model, seed, length):
    """The layers above are never worked out, and those below are the same to the last bit."""
    text, question, engine = ids(seed, length), ids(seed + 1, 4), Engine(model, block_tokens=32)
    heads = [head for head in all_heads(model.config) if head.layer == 0]
    whole = engine.attend(engine.read(text, [length], never), question, heads)
    engine.forget()
    shallow = engine.read(text, [length], never, deepest=0)
    assert len(shallow.cache.layers) == 1 and shallow.deepest == 0
    rows = engine.attend(shallow, question, heads)
    assert torch.equal(rows.by_query, whole.by_query) and torch.equal(rows.by_head, whole.by_head)


def test_a_text_is_shared_by_those_who_look_no_deeper(model):
    """Who writes after it, or looks deeper, has it read again; who looks less deep does not."""
    engine, text, question = Engine(model, block_tokens=16), ids(1, 60), ids(2, 7)
    prompt = Rendered((*text, *question), (60,), ())
    plain = Engine(model, block_tokens=16).prefill([prompt], never).logits
    engine.read(text, [60], never, deepest=0)
    assert engine.more_tokens(100) == 70, "half of the layers let go of half the memory"
    assert [engine.more_tokens(length, deepest=0) for length in (100, 60, 61)] == [20, 0, 1]
    assert [engine.held(text, [60], deepest=deepest) for deepest in (0, 1, None)] == [60, 0, 0]
    torch.testing.assert_close(engine.prefill([prompt], never).logits, plain, rtol=1e-4, atol=1e-5)
    assert engine.read(text, [60], never).deepest is None
    longer = engine.read([*text, *ids(3, 20)], [60, 80], never, deepest=0)
    assert longer.deepest is None and len(longer.cache.layers) == 2, "what is shared is whole, so the rest is too"


def test_a_model_that_cannot_be_stopped_is_read_whole(model):
    engine, config = Engine(model), model.config.get_text_config()
    before, config._attn_implementation = config._attn_implementation, "eager"
    try:
        assert engine.read(ids(1, 9), [9], never, deepest=0).deepest is None
    finally:
        config._attn_implementation = before


def test_blocks_of_keys_change_nothing(model):
    text, question, heads = ids(5, 60), ids(6, 5), all_heads(model.config)
    engine = Engine(model)
    context = engine.read(text, [len(text)], never)
    whole = engine.attend(context, question, heads)
    for block in (1, 7, 64):
        probe = Probe(heads, block=block)
        with attention.probing(model):
            engine._forward(model, context.cache, torch.tensor([question]), torch.tensor([0]), 1, probe=probe)
        kv.rewind(context.cache, context.length)
        torch.testing.assert_close(probe.rows().by_head, whole.by_head, rtol=1e-5, atol=1e-7)
        assert torch.equal(probe.rows().peaks, whole.peaks)


def test_a_text_is_left_as_it_was_and_nothing_is_copied(model):
    engine = Engine(model)
    attends_by = model.config.get_text_config()._attn_implementation
    context = engine.read(ids(1, 40), [40], never)
    engine.attend(context, ids(2, 5), all_heads(model.config))
    room = context.cache.layers[0]._rooms[0].data_ptr()
    before = [layer.keys.clone() for layer in context.cache.layers]
    for seed in range(3):
        engine.attend(context, ids(seed, 5), [Head(0, 1)])
    assert context.length == kv.width(context.cache) == 40
    assert context.cache.layers[0]._rooms[0].data_ptr() == room
    assert all(torch.equal(layer.keys, old) for layer, old in zip(context.cache.layers, before, strict=True))
    assert model.config.get_text_config()._attn_implementation == attends_by


def test_the_next_text_shares_what_it_can_and_nothing_changes(model):
    """Replies after a kept text, or without one, are the same to the last bit."""
    engine, text, question = Engine(model, block_tokens=16), ids(1, 60), ids(2, 7)
    prompts = [
        Rendered((*text, *question), (20, 60), ()),
        Rendered((*text[:20], *ids(3, 30), *question), (20, 50), ()),
        Rendered((*text[:20], *ids(4, 30)), (), ()),
    ]
    plain = [Engine(model, block_tokens=16).prefill([one], never).logits for one in prompts]
    read = count_tokens(model)
    with read:
        engine.read(text, [20, 60], never)
        assert read.tokens == 60
        assert torch.equal(engine.prefill(prompts[:1], never).logits, plain[0])
        assert read.tokens == 60 + 7
        engine.attend(engine.read(text, [20, 60], never), question, [Head(0, 0)])
        assert torch.equal(engine.prefill(prompts[:1], never).logits, plain[0])
        assert read.tokens == 60 + 3 * 7
        engine.read(prompts[1].ids[:50], [20, 50], never)
        assert read.tokens == 60 + 3 * 7 + 30
        assert torch.equal(engine.prefill(prompts[1:2], never).logits, plain[1])
        assert torch.equal(engine.prefill(prompts[2:], never).logits, plain[2])
        assert torch.equal(engine.prefill(prompts[:1], never).logits, plain[0])


def test_a_stop_in_the_middle_of_a_text_keeps_none_of_it(model):
    engine = Engine(model, block_tokens=16)
    engine.read(ids(1, 40), [40], never)
    stops = iter([False, True])
    with pytest.raises(Interrupted):
        engine.read(ids(2, 60), [60], lambda: next(stops))
    prompt = Rendered((*ids(2, 60), 5), (60,), ())
    assert torch.equal(
        engine.prefill([prompt], never).logits, Engine(model, block_tokens=16).prefill([prompt], never).logits
    )


def test_the_pass_ends_at_the_deepest_chosen_layer(model):
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, number=number: seen.append(number))
        for number, layer in enumerate(model.model.layers)
    ]
    try:
        engine = Engine(model)
        context = engine.read(ids(1, 20), [20], never)
        seen.clear()
        engine.attend(context, ids(2, 3), [Head(0, 0), Head(0, 3)])
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == [0]


@pytest.mark.parametrize("heads", [[], [Head(0, 0), Head(0, 0)], [Head(9, 0)], [Head(0, 4)], [Head(-1, 0)]])
def test_heads_that_do_not_fit_are_one_line(model, heads):
    engine = Engine(model)
    with pytest.raises(InputError) as caught:
        engine.attend(engine.read(ids(1, 5), [5], never), [5], heads)
    assert caught.value.hint


@pytest.mark.parametrize("extra", ["softcap", "s_aux"])
def test_attention_that_is_more_than_a_softmax_is_refused(extra):
    model = tiny_model("llama")[0]
    engine = Engine(model)
    context = engine.read(ids(1, 5), [5], never)
    with pytest.raises(ModelError, match=extra), attention.probing(model):
        options = {"probe": Probe([Head(0, 0)]), extra: 1.0}
        engine._forward(model, context.cache, torch.tensor([[5]]), torch.tensor([0]), 1, **options)
    with pytest.raises(ModelError, match="does not show"):
        Probe([Head(0, 0)]).rows()


TEXT = "The river <|im_end|> and the tower: \u00e9\u00e8\u2019 \U0001f600 <tool_call> in winter \u6f22\u5b57. " * 3


def asked(text, question):
    return (
        Segment("system", "Answer from the text, and from nothing else."),
        Segment("user", text, trusted=False, cacheable=True),
        Segment("user", question, trusted=False),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_local_model_tells_where_a_question_looks(family):
    local = wrap(family)
    prompt = asked(TEXT, " Who?")
    heads = [Head(1, 2), Head(0, 3)]
    found = local.attention(prompt, heads)
    rendered = local._renderer.render(prompt)
    boundary = found.ranges[1][1]
    plain = eager(local._engine.prefill_model, list(rendered.ids))[[1, 0], [2, 3]].numpy()
    question = slice(*found.ranges[2])
    assert question.stop < len(rendered.ids)  # the template's tokens follow
    np.testing.assert_allclose(found.by_query, plain[:, boundary:].mean(0), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.by_head, plain[:, question].mean(1), rtol=1e-3, atol=1e-6)
    reply = local.generate([prompt], Sampling(max_new_tokens=5))[0]
    assert reply == wrap(family).generate([prompt], Sampling(max_new_tokens=5))[0]
    assert local.capabilities.white_box
    assert local.all_heads() == all_heads(local._config)


def test_what_cannot_be_read_is_one_line(monkeypatch):
    local = wrap(context_window=400)
    with pytest.raises(InputError, match="cacheable"):
        local.attention((Segment("user", TEXT), Segment("user", " Who?")), [Head(0, 0)])
    with pytest.raises(InputError, match="do not fit"):
        local.attention(asked(TEXT * 9, " Who?"), [Head(0, 0)])
    with pytest.raises(InputError, match="Nothing follows"):
        local.attention(asked(TEXT, ""), [Head(0, 0)])
    monkeypatch.setattr(room_module, "free_bytes", lambda _: 20_000)
    with pytest.raises(InputError, match=r"take 0\.\d+ GB of memory, 0\.00 GB are free"):
        local.attention(asked(TEXT, " Who?"), [Head(0, 0)])
    monkeypatch.undo()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Interrupted):
        wrap().attention(asked(TEXT, " Who?"), [Head(0, 0)], cancel)
    scripted = ScriptedModel(["x"])
    for call in (
        lambda: scripted.attention(asked(TEXT, "?"), [Head(0, 0)]),
        scripted.all_heads,
    ):
        with pytest.raises(ModelError, match="does not show") as caught:
            call()
        assert caught.value.hint


@pytest.mark.parametrize("prefill", [1, 2])
def test_several_prompts_may_go_on_from_a_kept_text(prefill):
    """A row that joins later must not write into the cache of one that is being written."""
    batches = Settings(prefill_batch=prefill, decode_batch=4)
    prompts = [asked(TEXT, question) for question in (" Who?", " When was it, and where?", " Why?")]
    plain, local = wrap(settings=batches), wrap(settings=batches)
    local.attention(prompts[0], [Head(0, 0)])
    sampling = Sampling(max_new_tokens=9)
    for several in (prompts[:2], prompts):
        found = [reply.token_ids for reply in local.generate(several, sampling)]
        assert found == [reply.token_ids for reply in plain.generate(several, sampling)]


def test_memory_of_the_last_text_counts_as_free(monkeypatch):
    local = wrap(context_window=2000)
    local.attention(asked(TEXT, " Who?"), [Head(0, 0)])
    monkeypatch.setattr(room_module, "free_bytes", lambda _: 20_000)
    local.attention(asked(TEXT, " Where?"), [Head(0, 0)])
    with pytest.raises(InputError, match="GB are free"):
        local.attention(asked(TEXT * 3, " Where?"), [Head(0, 0)])


def test_what_follows_a_text_is_bounded(monkeypatch):
    monkeypatch.setattr(engine_module, "MOST_QUERIES", 20)
    with pytest.raises(InputError, match="1 to 20 tokens"):
        wrap().attention(asked(TEXT, " Who?" * 20), [Head(0, 0)])
