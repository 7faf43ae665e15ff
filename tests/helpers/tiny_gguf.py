"""Writes tiny random models in the GGUF format, to be converted and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize
from numpy.typing import NDArray

WIDTH, HEADS, KV_HEADS, LAYERS, FEED = 64, 4, 2, 2, 96
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
Weights = dict[str, NDArray[np.float32]]


def byte_tokens() -> list[str]:
    """The 256 printable stand-ins for bytes of GPT-2's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    names = {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return [names[byte] for byte in range(256)]


def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges."""
    merges = ["h e", "l l", "he ll", "hell o", "\u0120 w"]
    return [*byte_tokens(), *(merge.replace(" ", "") for merge in merges), *SPECIAL], merges


def random_weights(architecture: str, rng: np.random.Generator) -> Weights:
    """Weights under the names that transformers gives them."""
    head = WIDTH // HEADS
    sizes = {"q": WIDTH, "k": head * KV_HEADS, "v": head * KV_HEADS}

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        return rng.normal(0, 0.3, (rows, columns)).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(len(vocabulary()[0]), WIDTH),
        "model.norm.weight": rng.uniform(0.5, 1.5, WIDTH).astype(np.float32),
    }
    for layer in range(LAYERS):
        place = f"model.layers.{layer}."
        for name, rows in sizes.items():
            weights[f"{place}self_attn.{name}_proj.weight"] = matrix(rows, WIDTH)
            if architecture == "qwen2":
                weights[f"{place}self_attn.{name}_proj.bias"] = matrix(1, rows)[0]
        weights[f"{place}self_attn.o_proj.weight"] = matrix(WIDTH, WIDTH)
        weights[f"{place}mlp.gate_proj.weight"] = matrix(FEED, WIDTH)
        weights[f"{place}mlp.up_proj.weight"] = matrix(FEED, WIDTH)
        weights[f"{place}mlp.down_proj.weight"] = matrix(WIDTH, FEED)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{place}{norm}.weight"] = rng.uniform(0.5, 1.5, WIDTH).astype(np.float32)
    return weights


def write_gguf(path: Path, architecture: str, weights: Weights, *, output: NDArray[np.float32] | None = None) -> None:
    """Write float32 tensors and, if given, a separate output layer quantised to 8 bits."""
    writer = gguf.GGUFWriter(str(path), architecture)
    _write_settings(writer)
    for name, value in weights.items():
        writer.add_tensor(_gguf_name(name), _permuted(architecture, name, value))
    if output is not None:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor("output.weight", quantize(output, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_settings(writer: Any) -> None:
    tokens, merges = vocabulary()
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_merges(merges)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_bos_token_id(tokens.index(SPECIAL[0]))
    writer.add_eos_token_id(tokens.index(SPECIAL[2]))
    writer.add_pad_token_id(tokens.index(SPECIAL[0]))
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}")


def _gguf_name(name: str) -> str:
    pairs = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "model.layers": "blk",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    for theirs, ours in pairs.items():
        name = name.replace(theirs, ours)
    return name


def _permuted(architecture: str, name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """The llama architecture stores the rows of queries and keys with rotary pairs side by side."""
    heads = {"q_proj.weight": HEADS, "k_proj.weight": KV_HEADS}.get(".".join(name.split(".")[-2:]))
    if architecture != "llama" or heads is None:
        return value
    pairs = value.reshape(heads, 2, -1, value.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(value.shape))
