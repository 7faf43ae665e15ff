"""Reading compressed texts: against plain attention over explicitly placed keys, alone and in batches."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kv_reference import kept_offsets, reading
from local_models import RULES, WORDS, wrap

from rereader.models.base import Head, Sampling, Segment
from rereader.models.kvblock import KVBlock, LayerStates
from rereader.models.kvmemory import Compression
from rereader.models.measure import Settings
from rereader.models.tiny import FAMILIES
from rereader.schema.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
ASK = Segment("user", " Who?")


def never():
    return False


def words(seed, count):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))


def text(seed, count):
    return Segment("user", words(seed, count), trusted=False)


def memory(*blocks):
    return Segment("user", "", memory=blocks)


def read(model, prompt, more=0):
    """The prompt as the engine gets it."""
    return model._fit(model._renderer.render(prompt), more)


def compress(model, scorer, ratio, budgets, *segments):
    return model.compress_kv([(RULES, segment) for segment in segments], Compression(scorer, ratio, budgets))


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    made = wrap(request.param, seed=5, settings=Settings(prefill_batch=4, decode_batch=4))
    yield made
    made.close()


@pytest.mark.parametrize("budgets", ["even", "heads"])
def test_a_block_of_everything_is_the_text_itself(model, budgets):
    [block] = compress(model, "none", 1.0, budgets, text(1, 60))
    assert block.places == block.length > model.engine.prefill_model.config.head_dim
    plain = model._renderer.render((RULES, text(1, 60), ASK))
    recalled = read(model, (RULES, memory(block), ASK))
    wanted, found = (model.engine.prefill([one], never) for one in (plain, recalled))
    assert len(plain.ids) == len(recalled.ids) and found.width == wanted.width
    torch.testing.assert_close(found.logits, wanted.logits, atol=1e-4, rtol=0)
    for token in (5, 9, 70):
        for batch in (wanted, found):
            model.engine.step(batch, torch.tensor([token]))
        torch.testing.assert_close(found.logits, wanted.logits, atol=1e-4, rtol=0)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), ratio=st.floats(1.5, 8), budgets=st.sampled_from(["even", "heads"]))
@pytest.mark.parametrize("spaced", [True, False])
def test_reading_is_attention_over_the_kept_keys_where_they_stand(model, spaced, seed, ratio, budgets):
    chunks = [text(seed, 14), text(seed + 1, 9)]
    blocks = compress(model, "key-norm", ratio, budgets, *chunks)
    prompt = (RULES, memory(*blocks), text(seed + 2, 2))
    rendered = model._renderer.render(prompt)
    others = len(rendered.ids) - sum(block.places for block in blocks)
    room = others + sum(block.length for block in blocks)
    before, model.context_window = model.context_window, room if spaced else room - 1
    try:
        fitted = read(model, prompt)
    finally:
        model.context_window = before
    assert fitted.memory.spaced is spaced
    opening, rest = fitted.ids[: fitted.memory.start], fitted.ids[fitted.memory.end :]
    texts = [model._renderer.encode(chunk.text) for chunk in chunks]
    plain = reading(
        model.engine.prefill_model, opening, texts, [kept_offsets(b) for b in blocks], (*rest, 9, 7), spaced
    )
    batch = model.engine.prefill([fitted], never)
    torch.testing.assert_close(batch.logits[0], plain.logits[-3], atol=2e-4, rtol=0)
    for token, wanted in ((9, plain.logits[-2]), (7, plain.logits[-1])):
        model.engine.step(batch, torch.tensor([token]))
        torch.testing.assert_close(batch.logits[0], wanted, atol=2e-4, rtol=0)


def test_a_block_of_a_beginning_is_out_of_sight_where_its_text_would_be(model):
    """Its keys lie side by side right after the opening, but what follows stands as far off as the text was long."""
    chunk, keep = text(1, 30), 10
    [whole] = compress(model, "none", 1.0, "even", chunk)
    parts = [[state[:, :keep] for state in whole.layer(number)] for number in range(len(whole.counts))]
    manifest = replace(whole.manifest, digest="beginning")
    block = KVBlock.pack(manifest, [LayerStates(*states) for states in parts])
    prompt = (RULES, memory(block), text(2, 2))
    fitted = read(model, prompt)
    assert fitted.memory.shift == whole.length - keep > 16
    opening, rest = fitted.ids[: fitted.memory.start], fitted.ids[fitted.memory.end :]
    chunks = [model._renderer.encode(chunk.text)]
    plain = reading(model.engine.prefill_model, opening, chunks, [kept_offsets(block)], (*rest, 9), True)
    batch = model.engine.prefill([fitted], never)
    torch.testing.assert_close(batch.logits[0], plain.logits[-2], atol=2e-4, rtol=0)
    model.engine.step(batch, torch.tensor([9]))
    torch.testing.assert_close(batch.logits[0], plain.logits[-1], atol=2e-4, rtol=0)


def test_rows_of_attention_are_those_over_the_kept_keys(model):
    chunks = [text(1, 14), text(2, 9)]
    blocks = compress(model, "key-norm", 3.0, "heads", *chunks)
    prompt, heads = (RULES, memory(*blocks), text(3, 3)), model.all_heads()
    found = model.attention(prompt, heads)
    fitted = read(model, prompt)
    opening, rest = fitted.ids[: fitted.memory.start], fitted.ids[fitted.memory.end :]
    texts = [model._renderer.encode(chunk.text) for chunk in chunks]
    kept = [kept_offsets(block) for block in blocks]
    plain = reading(model.engine.prefill_model, opening, texts, kept, rest, True)
    assert found.by_query.shape == (len(rest), len(fitted.ids)) and found.ids == fitted.ids
    np.testing.assert_allclose(found.by_query.sum(-1), 1, atol=1e-5)
    start, end = found.ranges[1]
    assert (start, end) == (fitted.memory.start, fitted.memory.end)
    at, first = start, len(opening)
    rows = torch.stack([plain.rows[head.layer][head.head] for head in heads])
    for chunk, block in zip(texts, blocks, strict=True):
        mass = found.by_query[:, at : at + block.places].sum(-1)
        wanted = rows[..., first : first + len(chunk)].sum(-1).mean(0)
        np.testing.assert_allclose(mass, wanted, atol=1e-4)
        at, first = at + block.places, first + len(chunk)
    np.testing.assert_allclose(found.by_query[:, :start], rows[..., :start].mean(0), atol=1e-4)


def mixed(model):
    """Prompts of all kinds: with blocks of even and ragged heads, one or several, with other questions, or none."""
    even = compress(model, "key-norm", 3.0, "even", text(1, 30), text(2, 20))
    ragged = compress(model, "key-norm", 3.0, "heads", text(3, 25), text(4, 40))
    return [
        (RULES, memory(even[0]), ASK),
        (RULES, text(5, 12), ASK),
        (RULES, memory(ragged[0], even[1]), text(6, 7)),
        (RULES, memory(*ragged), ASK),
        (RULES, memory(*ragged[::-1]), ASK),
        (RULES, text(7, 30), ASK),
        (RULES, memory(even[1]), text(8, 7)),
    ]


def test_a_batch_gives_what_each_prompt_gives_alone(model):
    prompts = mixed(model)
    sampling = Sampling(max_new_tokens=6)
    together = model.generate(prompts, sampling)
    alone = [model.generate([prompt], sampling)[0] for prompt in prompts]
    assert [reply.token_ids for reply in together] == [reply.token_ids for reply in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)
    options = ["a", "the tower", "on an island"]
    table = model.choose(prompts, options, null=prompts[1])
    each = np.concatenate([model.choose([prompt], options, null=prompts[1]) for prompt in prompts])
    np.testing.assert_allclose(table, each, atol=1e-4)
    ends = [" tower", " the river and the tower"] * 4
    scores = model.log_likelihood(prompts, ends[: len(prompts)])
    single = [float(model.log_likelihood([prompt], [end])[0]) for prompt, end in zip(prompts, ends, strict=False)]
    np.testing.assert_allclose(scores, single, atol=1e-4)
    assert [reply.prompt_tokens for reply in together] == model.prompt_tokens(prompts)


def test_replies_are_likely_as_the_likelihood_says(model):
    """What is written token by token is what is scored in one go."""
    prompt = mixed(model)[2]
    [reply] = model.generate([prompt], Sampling(max_new_tokens=5))
    batch = model.engine.prefill([read(model, prompt)], never)
    scores = model.engine.score(batch, [0], [reply.token_ids], never)
    np.testing.assert_allclose(scores[0], reply.logprobs, atol=1e-4)


def test_order_and_place_matter_and_blocks_of_other_openings_do_not_fail(model):
    first, second = compress(model, "random", 2.0, "even", text(1, 20), text(2, 20))
    other = model.compress_kv([(Segment("user", "Read: "), text(1, 20))], Compression("random", 2.0))[0]
    assert first.digest != other.digest and second.digest != first.digest
    prompts = [(RULES, memory(*blocks), ASK) for blocks in ((first, second), (second, first), (other,), (first, first))]
    scores = model.log_likelihood(prompts, [" tower"] * 4)
    assert len(set(scores.round(5).tolist())) == 4


def test_a_kept_text_with_blocks_is_gone_on_from_and_left_again(model):
    """Questions after the same blocks read nothing but themselves, and nothing of them stays for other prompts."""
    blocks = compress(model, "key-norm", 3.0, "heads", text(3, 25), text(4, 40))
    first, second = ((RULES, memory(*blocks), text(seed, 3)) for seed in (1, 2))
    plain = (RULES, text(5, 12), ASK)
    fresh = [wrap(model.name.removeprefix("tiny-"), seed=5) for _ in range(3)]
    wanted = [one.attention(prompt, [Head(0, 1)]).by_head for one, prompt in zip(fresh, (first, second), strict=False)]
    [reply] = fresh[2].generate([plain], Sampling(max_new_tokens=4))
    model.engine.forget()
    found = model.attention(first, [Head(0, 1)])
    again = model.attention(second, [Head(0, 1)])
    assert found.read == len(found.by_query) + found.ranges[1][0]  # the opening; places of blocks are not read
    assert again.read == len(again.by_query)
    np.testing.assert_allclose(found.by_head, wanted[0], atol=1e-5)
    np.testing.assert_allclose(again.by_head, wanted[1], atol=1e-5)
    [recalled] = model.generate([second], Sampling(max_new_tokens=4))
    [elsewhere] = fresh[0].generate([second], Sampling(max_new_tokens=4))
    assert recalled.token_ids == elsewhere.token_ids
    assert model.generate([plain], Sampling(max_new_tokens=4))[0].token_ids == reply.token_ids
    asked = (RULES, Segment("user", words(5, 12), cacheable=True), ASK)
    np.testing.assert_allclose(
        model.attention(asked, [Head(1, 1)]).by_head, fresh[1].attention(asked, [Head(1, 1)]).by_head, atol=1e-5
    )
    for one in fresh:
        one.close()


def test_a_text_after_the_blocks_may_end_what_is_looked_at(model):
    blocks = compress(model, "key-norm", 3.0, "heads", text(3, 25))
    prompt = (RULES, memory(*blocks), Segment("user", words(9, 12), cacheable=True), ASK)
    found = model.attention(prompt, model.all_heads())
    assert len(found.ids) - len(found.by_query) == found.ranges[2][1]
    np.testing.assert_allclose(found.by_head.sum(-1), 1, atol=1e-5)


def test_blocks_stand_close_together_where_they_do_not_fit_otherwise(model):
    blocks = compress(model, "random", 8.0, "even", text(1, 100), text(2, 100))
    prompt = (RULES, memory(*blocks), ASK)
    tokens = model.prompt_tokens([prompt])[0]
    before, model.context_window = model.context_window, tokens + 5
    try:
        assert not read(model, prompt, 5).memory.spaced
        [reply] = model.generate([prompt], Sampling(max_new_tokens=5))
        assert reply.prompt_tokens == tokens
        with pytest.raises(InputError, match="do not fit"):
            model.generate([prompt], Sampling(max_new_tokens=6))
    finally:
        model.context_window = before


def test_prompts_that_cannot_be_read(model):
    [block] = compress(model, "random", 4.0, "even", text(1, 30))
    stranger = wrap(model.name.removeprefix("tiny-"), seed=6)
    with pytest.raises(InputError, match="another model"):
        stranger.generate([(RULES, memory(block), ASK)], Sampling(max_new_tokens=1))
    stranger.close()
    with pytest.raises(InputError, match="one place"):
        model.generate([(RULES, memory(block), ASK, memory(block), ASK)], Sampling(max_new_tokens=1))
    with pytest.raises(InputError, match="one place"):
        model.generate([(RULES, Segment("user", "text", memory=(block,)), ASK)], Sampling(max_new_tokens=1))
    with pytest.raises(InputError, match="no text to compress"):
        model.compress_kv([(RULES, memory(block))], Compression("random"))
