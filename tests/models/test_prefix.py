import random
from dataclasses import dataclass

import pytest
import torch

from rereader.models import kv
from rereader.models.engine import Engine
from rereader.models.prefix import PrefixStore
from rereader.models.rendering import Rendered
from rereader.models.tiny import FAMILIES, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


def go_on():
    return False


def random_prompts(rng, shared, sizes):
    """Prompts over two nested shared beginnings: (tokens, how many of them are shared)."""
    return [
        Rendered(
            shared[:common] + tuple(rng.randrange(200) for _ in range(size - common)),
            tuple(b for b in (20, common) if b <= common),
            (),
        )
        for size, common in sizes
    ]


SIZES = [(80, 40), (70, 60), (5, 0), (33, 20), (90, 40), (61, 0), (62, 61)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("block_tokens", [1024, 7 * 16])
def test_reuse_equals_a_plain_forward_pass(family, block_tokens):
    rng = random.Random(f"{family} {block_tokens}")
    model, _ = tiny_model(family)
    shared = tuple(rng.randrange(200) for _ in range(64))
    prompts = random_prompts(rng, shared, SIZES)
    engine = Engine(model, block_tokens=block_tokens)
    with torch.no_grad():
        plain = torch.stack([model(torch.tensor([p.ids])).logits[0, -1] for p in prompts])
    cold = engine.prefill(prompts, go_on)
    warm = engine.prefill(prompts, go_on)
    torch.testing.assert_close(cold.logits, plain, atol=1e-4, rtol=0)
    assert torch.equal(cold.logits, warm.logits)
    assert engine.prefixes.stats.found > len(prompts)


def test_what_the_store_holds_never_changes_a_result():
    rng = random.Random(3)
    model, _ = tiny_model("qwen3")
    shared = tuple(rng.randrange(200) for _ in range(64))
    prompts = random_prompts(rng, shared, SIZES)
    alone = Engine(model, prefixes=PrefixStore(max_entries=0)).prefill(prompts, go_on).logits
    half_known = Engine(model)
    half_known.prefill(random_prompts(rng, shared, [(30, 20)]), go_on)
    assert torch.equal(half_known.prefill(prompts, go_on).logits, alone)


def test_a_known_prefix_is_not_read_again():
    model, _ = tiny_model()
    read = []
    model.register_forward_pre_hook(lambda _, args, kwargs: read.append(kwargs["input_ids"].numel()), with_kwargs=True)
    engine = Engine(model)
    shared = tuple(range(100))
    engine.prefill([Rendered((*shared, 7, 8, 9), (100,), ())], go_on)
    assert sum(read) == 103
    read.clear()
    engine.prefill([Rendered((*shared, 5, 5), (100,), ()), Rendered((*shared, 4), (100,), ())], go_on)
    assert sum(read) == 4


@dataclass(frozen=True)
class Weight:
    nbytes: int


def walk(store, ids, boundaries, computed):
    def extend(held, length, more):
        computed.append(length + len(more))
        return Weight(length + len(more))

    return store.resolve([Rendered(tuple(ids), tuple(boundaries), ())], extend)[0]


def test_the_least_recently_used_prefix_goes_first():
    store, computed = PrefixStore[Weight](max_entries=2, max_bytes=1000), []
    for start in (1, 2):
        walk(store, [start] * 20, [10], computed)
    walk(store, [1] * 20, [10], computed)
    assert computed == [10, 10]
    walk(store, [3] * 20, [10], computed)
    walk(store, [1] * 20, [10], computed)
    assert len(computed) == 3
    walk(store, [2] * 20, [10], computed)
    assert len(computed) == 4


def test_memory_is_bounded():
    store = PrefixStore[Weight](max_entries=50, max_bytes=100)
    rng = random.Random(0)
    for _ in range(200):
        boundary = rng.randrange(1, 130)
        walk(store, [rng.randrange(9) for _ in range(140)], [boundary], [])
        assert store.stats.nbytes <= 100


def test_a_prefix_too_large_to_keep_is_still_computed_once_per_batch():
    store, computed = PrefixStore[Weight](max_bytes=5), []

    def extend(held, length, more):
        computed.append(length + len(more))
        return Weight(10)

    prompts = [Rendered((1, 2, 3, last), (3,), ()) for last in range(4)]
    assert [held.nbytes for held in store.resolve(prompts, extend)] == [10] * 4
    assert computed == [3]
    assert store.stats.nbytes == 0


def test_nested_boundaries_are_computed_one_after_the_other():
    store, computed = PrefixStore[Weight](), []
    walk(store, range(50), [10, 30, 40], computed)
    assert computed == [10, 30, 40]
    walk(store, [*range(35), *range(90, 105)], [10, 30, 40], computed)
    assert computed == [10, 30, 40, 40]
    assert store.stats.reused_tokens == 30


def filled(rows, tokens, seed=0):
    cache = kv.empty_cache()
    generator = torch.Generator().manual_seed(seed)
    for layer in range(2):
        cache.update(*torch.randn(2, rows, 3, tokens, 4, generator=generator), layer)
    return cache


def test_a_roomy_layer_equals_concatenation():
    cache, parts = kv.empty_cache(), []
    for size in (1, 300, 5, 1, 1):
        keys, values = torch.randn(2, 2, 3, size, 4)
        parts.append(keys)
        seen, _ = cache.update(keys, values, 0)
        assert torch.equal(seen, torch.cat(parts, dim=-2))
    assert kv.width(cache) == 308


def test_a_snapshot_is_a_copy_and_fills_rows_from_the_right():
    cache = filled(1, 9)
    prefix = kv.snapshot(cache, 6)
    before = prefix.layers[0][0].clone()
    cache.layers[0].keys.zero_()
    assert torch.equal(prefix.layers[0][0], before)
    batch = kv.from_prefixes([prefix, None, prefix], [6, 0, 2])
    keys = batch.layers[0].keys
    assert keys.shape == (3, 3, 6, 4)
    assert torch.equal(keys[0], before[0])
    assert torch.equal(keys[2, :, 4:], before[0, :, :2])
    assert not keys[1].any()
    assert not keys[2, :, :4].any()


def test_merging_aligns_on_the_right():
    joint = kv.merge(filled(1, 3, seed=1), filled(2, 5, seed=2))
    keys = joint.layers[1].keys
    assert torch.equal(keys[0, :, 2:], filled(1, 3, seed=1).layers[1].keys[0])
    assert torch.equal(keys[1:], filled(2, 5, seed=2).layers[1].keys)


def test_selecting_repeats_rows_and_drops_places():
    cache = filled(3, 5)
    chosen = kv.select(cache, torch.tensor([2, 2, 0]), drop=1)
    assert torch.equal(chosen.layers[0].keys, cache.layers[0].keys[[2, 2, 0]][..., 1:, :])
    chosen.update(*torch.ones(2, 3, 3, 1, 4), 0)
    assert kv.width(cache) == 5
