"""Texts that were read, kept in files: the same attention, and files that must not be used."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from local_models import wrap

from rereader.models import kv, kvfile
from rereader.models.base import Head, Sampling, Segment, TextFile
from rereader.models.kvfile import Owner, file_bytes, read, write
from rereader.models.kvmemory import UnusableBlock
from rereader.models.tiny import FAMILIES, tiny_model
from rereader.schema.errors import InputError

HEADS = [Head(0, 1), Head(1, 2)]
TEXT = "The river and the tower in winter on an island. " * 20


def prompt(question="Who?", text=TEXT):
    return (Segment("user", text, trusted=False, cacheable=True), Segment("user", question, trusted=False))


def tokens_read(model, run):
    seen = []
    layer = model.engine.prefill_model.model.layers[0]
    hook = layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    found = run()
    hook.remove()
    return sum(seen), found


@pytest.fixture
def models():
    made = [wrap("qwen3", seed=4) for _ in range(3)]
    yield made
    for model in made:
        model.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", ["exact", "int8"])
@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_read_back_is_what_was_written(tmp_path, family, precision, layers):
    model = tiny_model(family, seed=1)[0]
    ids = tuple(range(3, 60))
    cache = kv.empty_cache()
    with torch.inference_mode():
        model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
    owner, path = Owner("model", ids[:50], layers), tmp_path / "deep" / "text.safetensors"
    write(path, cache, owner, precision)
    found = read(path, owner, model, precision)
    assert kv.width(found) == 50 and [p.name for p in path.parent.iterdir()] == [path.name]
    assert len(found.layers) == layers
    for mine, theirs in zip(found.layers, cache.layers, strict=False):
        for name in ("keys", "values"):
            got, want = getattr(mine, name), getattr(theirs, name)[..., :50, :]
            if precision == "exact":
                assert torch.equal(got, want)
            else:
                assert float((got - want).abs().max()) <= float(want.abs().max()) / 127
    size = path.stat().st_size
    assert size == pytest.approx(file_bytes(model.config, torch.float32, 50, precision, layers), abs=4096)


@settings(max_examples=30)
@given(st.data())
def test_a_damaged_file_is_never_used_for_another_shape(tmp_path_factory, data):
    """Cut anywhere, the file is refused."""
    path = tmp_path_factory.mktemp("kv") / "text.safetensors"
    model = tiny_model("llama")[0]
    cache = kv.empty_cache()
    with torch.inference_mode():
        model(torch.tensor([[3, 4, 5, 6]]), past_key_values=cache, use_cache=True)
    owner = Owner("model", (3, 4, 5, 6), 2)
    write(path, cache, owner)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UnusableBlock, match="damaged"):
        read(path, owner, model)


def test_a_file_of_another_text_model_or_precision_is_refused(tmp_path):
    model, path = tiny_model("llama")[0], tmp_path / "text.safetensors"
    cache = kv.empty_cache()
    with torch.inference_mode():
        model(torch.tensor([[3, 4, 5, 6]]), past_key_values=cache, use_cache=True)
    write(path, cache, Owner("model", (3, 4, 5, 6), 2))
    others = [
        ("other", (3, 4, 5, 6), 2),
        ("model", (3, 4, 5, 7), 2),
        ("model", (3, 4, 5), 2),
        ("model", (3, 4, 5, 6), 1),
    ]
    for owner in (Owner(*other) for other in others):
        with pytest.raises(UnusableBlock, match="belongs to another"):
            read(path, owner, model)
    with pytest.raises(UnusableBlock, match="belongs to another"):
        read(path, Owner("model", (3, 4, 5, 6), 2), model, "int8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnusableBlock, match="damaged"):
        read(tmp_path / "folder", Owner("model", (3, 4, 5, 6), 2), model)


def test_another_process_reads_the_question_alone(tmp_path, models):
    keep = TextFile(tmp_path / "text.safetensors")
    first, second, third = models
    plain = first.attention(prompt(), HEADS)
    first.attention(prompt("Where?"), HEADS, keep=keep)
    read, found = tokens_read(second, lambda: second.attention(prompt(), HEADS, keep=keep))
    assert read == found.read == len(found.by_query) < 20
    np.testing.assert_array_equal(found.by_head, plain.by_head)
    small = TextFile(tmp_path / "small.safetensors", "int8")
    first.attention(prompt(), HEADS, keep=small)
    near = third.attention(prompt(), HEADS, keep=small)
    np.testing.assert_allclose(near.by_head, plain.by_head, atol=2e-3)
    assert small.path.stat().st_size < 0.6 * keep.path.stat().st_size


def test_what_is_kept_goes_no_deeper_than_is_asked(tmp_path, models):
    """A question to the first layer needs no other; one to the last finds a file too shallow, and says so."""
    first, second, third = models
    shallow = [head for head in HEADS if head.layer == 0]
    keep, whole = (TextFile(tmp_path / f"{name}.safetensors") for name in ("text", "whole"))
    plain = first.attention(prompt(), shallow, whole=True)
    first.attention(prompt(), HEADS, keep=whole, whole=True)
    first.attention(prompt(), shallow, keep=keep)
    sizes = [path.stat().st_size for path in (keep.path, whole.path)]
    assert sizes[0] < 0.6 * sizes[1]
    tokens = len(plain.by_head[0]) - len(plain.by_query)
    assert first.text_bytes(tokens, "exact", shallow) == first.text_bytes(tokens, "exact") / 2
    read, found = tokens_read(second, lambda: second.attention(prompt(), shallow, keep=keep))
    assert read == found.read == len(found.by_query)
    np.testing.assert_array_equal(found.by_head, plain.by_head)
    deep = third.attention(prompt(), HEADS, keep=keep)
    np.testing.assert_array_equal(deep.by_head, second.attention(prompt(), HEADS).by_head)
    assert any("belongs to another" in notice for notice in third.notices())


def test_a_stale_file_is_made_again_and_that_is_said(tmp_path, models):
    keep = TextFile(tmp_path / "text.safetensors")
    first, second, _ = models
    first.attention(prompt(text=TEXT + "More."), HEADS, keep=keep)
    plain = second.attention(prompt(), HEADS)
    second.engine.forget()
    found = second.attention(prompt(), HEADS, keep=keep)
    np.testing.assert_array_equal(found.by_head, plain.by_head)
    assert any("cannot be used: it belongs to another text" in notice for notice in second.notices())
    assert not second.notices()
    keep.path.write_bytes(keep.path.read_bytes()[:-100])
    second.engine.forget()
    second.attention(prompt(), HEADS, keep=keep)
    assert any("damaged" in notice for notice in second.notices())
    ids = found.ids[: len(found.ids) - len(found.by_query)]
    owner = Owner(second.fingerprint, ids, 2)
    assert kv.width(read(keep.path, owner, second.engine.prefill_model)) == len(ids)


def test_a_full_disk_costs_no_more_than_the_file(tmp_path, models, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kvfile, "write", full)
    keep = TextFile(tmp_path / "text.safetensors")
    models[0].attention(prompt(), HEADS, keep=keep)
    assert not keep.path.exists()
    assert any("No space left" in notice for notice in models[0].notices())


def test_what_is_kept_in_less_precision_is_never_gone_on_from_as_if_it_were_exact(tmp_path, models):
    first, second, _ = models
    plain = second.attention(prompt(), HEADS)
    small = TextFile(tmp_path / "small.safetensors", "int8")
    fresh = first.attention(prompt(), HEADS, keep=small)
    assert not np.array_equal(fresh.by_head, plain.by_head)  # he who wrote the file reads it back
    np.testing.assert_array_equal(first.attention(prompt(), HEADS, keep=small).by_head, fresh.by_head)
    np.testing.assert_array_equal(first.attention(prompt(), HEADS).by_head, plain.by_head)
    np.testing.assert_array_equal(second.attention(prompt(), HEADS, keep=small).by_head, fresh.by_head)
    exact = TextFile(tmp_path / "exact.safetensors")
    np.testing.assert_array_equal(second.attention(prompt(), HEADS, keep=exact).by_head, plain.by_head)
    [reply] = second.generate([prompt()], Sampling(max_new_tokens=4))
    second.attention(prompt("Where?"), HEADS, keep=small)
    assert second.generate([prompt()], Sampling(max_new_tokens=4)) == [reply]


def test_a_list_of_heads_that_cannot_be_read_spares_all_who_need_none():
    def damaged():
        raise InputError("no list")

    model = wrap(find_heads=damaged)
    model.generate([prompt()], Sampling(max_new_tokens=1))
    with pytest.raises(InputError, match="no list"):
        _ = model.retrieval_heads
    model.close()
