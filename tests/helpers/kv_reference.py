"""Plain attention over explicitly placed keys: what reading compressed texts must come to.

Nothing here uses the library's caches, rotation or masks: unrotated keys are taken from the model's own projections,
rotated by transformers' own function, and every query's products are masked one condition after the other.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb


@dataclass
class Past:
    """Keys of one layer that stand before what is read: unrotated keys, values, positions, and which heads use them."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: torch.Tensor
    used: torch.Tensor


def _attend(module, query, key, value, mask, *, scaling, plan, **options):
    layer, group = module.layer_idx, query.shape[1] // key.shape[1]
    past, at, window = plan["past"], plan["positions"], options.get("sliding_window")
    positions, used = at.expand(key.shape[1], -1), torch.ones(key.shape[1], key.shape[2], dtype=torch.bool)
    if past is not None:
        key = torch.cat((rotated(plan["model"], past[layer].keys, past[layer].positions, layer)[None], key), 2)
        value = torch.cat((past[layer].values[None], value), 2)
        positions = torch.cat((past[layer].positions, positions), 1)
        used = torch.cat((past[layer].used, used), 1)
    rows = torch.zeros(query.shape[1], query.shape[2], key.shape[2])
    for head in range(query.shape[1]):
        for row in range(query.shape[2]):
            there = positions[head // group]
            seen = used[head // group] & (there <= at[row])
            if window is not None:
                seen = seen & (at[row] - there < window)
            products = key[0, head // group] @ query[0, head, row] * scaling
            rows[head, row] = products.masked_fill(~seen, -torch.inf).softmax(-1)
    plan["rows"].append(rows)
    plan["queries"].append(query[0])
    output = rows @ value[0].repeat_interleave(group, 0)
    return output.transpose(0, 1)[None], None


@contextmanager
def _attending(model):
    AttentionInterface.register("reference", _attend)
    AttentionMaskInterface.register("reference", lambda *args, **kwargs: None)
    config = model.config.get_text_config()
    before, config._attn_implementation = config._attn_implementation, "reference"
    try:
        yield
    finally:
        config._attn_implementation = before


def rotated(model, states, positions, layer):
    """States [heads, tokens, size] turned to positions [heads, tokens] by transformers."""
    options = (model.config.layer_types[layer],) if model.config.model_type == "gemma3_text" else ()
    cos, sin = model.model.rotary_emb(states, positions, *options)
    return apply_rotary_pos_emb(states, states, cos, sin, unsqueeze_dim=0)[0].reshape(states.shape)


@dataclass
class Passed:
    """A forward pass: logits [tokens, vocabulary]; per layer unrotated keys, values, softmax rows, rotated queries."""

    logits: torch.Tensor
    keys: list
    values: list
    rows: list
    queries: list


def forward(model, ids, positions=None, past=None):
    """Read tokens at positions, after what stands before."""
    keys, values, hooks = [], [], []
    size, heads = model.config.head_dim, model.config.num_key_value_heads

    def take(into, flat):
        into.append(flat.reshape(len(ids), heads, size).transpose(0, 1) if flat.dim() == 3 else flat[0])

    for layer in model.model.layers:
        attention = layer.self_attn
        source = getattr(attention, "k_norm", attention.k_proj)
        per_token = model.config.model_type == "qwen3"
        hooks.append(
            source.register_forward_hook(
                lambda _, __, out, turn=per_token: take(keys, out.transpose(1, 2) if turn else out)
            )
        )
        hooks.append(attention.v_proj.register_forward_hook(lambda _, __, out: take(values, out)))
    at = torch.arange(len(ids)) if positions is None else positions
    plan = {"past": past, "positions": at, "model": model, "rows": [], "queries": []}
    with torch.inference_mode(), _attending(model):
        logits = model(torch.tensor([list(ids)]), position_ids=at[None], use_cache=False, plan=plan).logits[0]
    for hook in hooks:
        hook.remove()
    return Passed(logits.float(), keys, values, plan["rows"], plan["queries"])


def reading(model, opening, texts, offsets, rest, spaced):
    """Read ``rest`` after an opening and texts of which only some tokens are kept.

    Args:
        model: A tiny model.
        opening: Tokens of the opening.
        texts: Tokens of each text.
        offsets: Per text, per layer, per head: which tokens of the text are kept.
        rest: Tokens that follow.
        spaced: Whether a text keeps all its positions.
    """
    start = forward(model, opening)
    alone = [forward(model, (*opening, *text)) for text in texts]
    past, end = [], 0
    for layer in range(len(model.model.layers)):
        heads, width = len(start.keys[layer]), len(opening)
        parts = [
            (
                start.keys[layer],
                start.values[layer],
                torch.arange(width).expand(heads, -1),
                torch.ones(heads, width).bool(),
            )
        ]
        at = width
        for text, passed, kept in zip(texts, alone, offsets, strict=True):
            places = max(len(head) for every in kept for head in every)
            positions, used = torch.zeros(heads, len(text), dtype=torch.int64), torch.zeros(heads, len(text)).bool()
            for head in range(heads):
                for slot, offset in enumerate(kept[layer][head]):
                    used[head, offset] = True
                    positions[head, offset] = at + (offset if spaced else slot)
            parts.append((passed.keys[layer][:, width:], passed.values[layer][:, width:], positions, used))
            at += len(text) if spaced else places
        past.append(Past(*(torch.cat(column, 1) for column in zip(*parts, strict=True))))
        end = at
    return forward(model, rest, torch.arange(end, end + len(rest)), past)


def kept_offsets(block):
    """Per layer and head, the offsets of a block."""
    layers = [block.layer(number).offsets for number in range(len(block.counts))]
    return [[[offset for offset in head.tolist() if offset >= 0] for head in layer] for layer in layers]
