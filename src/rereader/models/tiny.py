"""Tiny models with random weights and a tokenizer built in code: every code path of every family, no download."""

from __future__ import annotations

from typing import Any, Literal

from rereader.models.extras import require_local

Family = Literal["llama", "qwen2", "qwen3", "gemma3"]
FAMILIES: tuple[Family, ...] = ("llama", "qwen2", "qwen3", "gemma3")
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKER = "<tool_call>"
"""An added token that is not flagged as special, as Qwen models have them."""
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nI am the default.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML with an injected system turn, like the template of the Qwen2.5 models."""
_MERGES = (("t", "h"), ("th", "e"), ("i", "n"), ("a", "n"), ("Ġ", "the"), ("e", "r"), ("o", "n"), ("an", "d"))
_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.25,
}


def tiny_model(family: Family = "llama", seed: int = 0, chat: bool = True) -> tuple[Any, Any]:
    """A random-weight causal language model in float32 and its tokenizer.

    Args:
        family: Architecture; ``gemma3`` has one sliding-window layer (window 16) and one full one.
        seed: Decides the weights.
        chat: Whether the tokenizer has a chat template.

    Returns:
        ``(model, tokenizer)``, ready for :class:`~rereader.models.local.LocalModel`.
    """
    require_local()
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(chat)
    config = _config(family, len(tokenizer))
    auto: Any = AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config, attn_implementation="sdpa", dtype=torch.float32)
    return model.eval(), tokenizer


def tiny_tokenizer(chat: bool = True) -> Any:
    """A byte-level BPE tokenizer with a few merges, ChatML's special tokens and one unflagged added token."""
    require_local()
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *("".join(pair) for pair in _MERGES)]
    backend = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, list(_MERGES)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL_TOKENS])
    backend.add_tokens([AddedToken(MARKER, special=False, normalized=False)])
    build: Any = PreTrainedTokenizerFast
    return build(
        tokenizer_object=backend,
        eos_token="<|im_end|>" if chat else "<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:]),
        chat_template=CHAT_TEMPLATE if chat else None,
        clean_up_tokenization_spaces=False,
    )


def _config(family: Family, vocabulary: int) -> Any:
    from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config, Qwen3Config

    shape: dict[str, Any] = {**_SHAPE, "vocab_size": vocabulary, "eos_token_id": None, "bos_token_id": None}
    shape["pad_token_id"] = None
    if family == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        return Gemma3TextConfig(**shape, sliding_window=16, query_pre_attn_scalar=8, layer_types=layers)
    kinds: dict[str, Any] = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}
    return kinds[family](**shape)
