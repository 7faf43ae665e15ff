"""Turn a GGUF file into a folder of bfloat16 safetensors, once, so that later loads take no time.

The tensors are dequantised by transformers; the architectures it reads are those of its GGUF support.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rereader.schema.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
_EMBEDDING = "model.embed_tokens.weight"
_OUTPUT = "lm_head.weight"
_COPY_TOLERANCE = 0.1
_ROWS = 4096
_UNREADABLE = (ValueError, KeyError, OSError, RuntimeError, IndexError, NotImplementedError)
NO_WEIGHTS = "--no-weights"
_OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_PROBE = "Tokens 1234, accents \u00e9\u00fc, Han \u4f60\u597d, <|im_start|>user\n  two  spaces\t<|im_end|>"


def convert_gguf(source: Path, target: Path) -> None:
    """Write weights (bfloat16), config, generation config and tokenizer of ``source`` into the folder ``target``.

    A second, separately quantised copy of the embedding (many GGUF files carry one as the output layer) is stored
    once: the output's copy, which quantisers keep at more bits.

    Args:
        source: A GGUF file of a text model that transformers can read.
        target: An existing, empty folder.

    Raises:
        MissingExtra: If torch, transformers or gguf are not installed.
        ModelError: If the file cannot be read or the written folder does not load again.
    """
    try:
        import gguf  # noqa: F401 - transformers needs it and says so less clearly
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra("Converting a GGUF file", "local") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, **_OPTIONS)
        model, tensors = _read(source)
    except _UNREADABLE as error:
        msg = f"The GGUF file {source.name} cannot be converted: {error}"
        raise ModelError(msg, "Use another file, or a folder of safetensors of the same model.") from error
    model.config.tie_word_embeddings = _tie(tensors, bool(model.config.tie_word_embeddings))
    _save(model, tokenizer, tensors, target)
    _check(target, tensors, tokenizer)


def convert_tokenizer(source: Path, target: Path) -> None:
    """Write config, generation config and tokenizer of ``source`` into the folder ``target``, and no weights.

    Raises:
        MissingExtra: If transformers or gguf is not installed.
        ModelError: If the file cannot be read.
    """
    try:
        import gguf  # noqa: F401 - transformers needs it and says so less clearly
        from transformers import AutoConfig, AutoTokenizer
    except ImportError as error:
        raise MissingExtra("Reading a GGUF file", "local") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, **_OPTIONS)
        config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name, **_OPTIONS)
    except _UNREADABLE as error:
        msg = f"The GGUF file {source.name} cannot be read: {error}"
        raise ModelError(msg, "Use another file, or a folder of safetensors of the same model.") from error
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _read(source: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """An empty model (its configs count) and its dequantised tensors; peak memory is that of the tensors."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name, **_OPTIONS)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    tensors: dict[str, torch.Tensor] = load_gguf_checkpoint(  # type: ignore[no-untyped-call]
        str(source), return_tensors=True, model_to_load=model, torch_dtype=torch.bfloat16
    )["tensors"]
    tied = {_OUTPUT} if config.tie_word_embeddings else set()
    missing = sorted(set(model.state_dict()) - set(tensors) - tied)
    if missing:
        msg = f"it lacks {len(missing)} tensors, the first is {missing[0]}"
        raise ValueError(msg)
    return model, tensors


def _tie(tensors: dict[str, torch.Tensor], tied: bool) -> bool:
    """Drop a second copy of the embedding; return whether the output layer shares it."""
    if tied or _OUTPUT not in tensors or not _same(tensors[_EMBEDDING], tensors[_OUTPUT]):
        return tied
    tensors[_EMBEDDING] = tensors.pop(_OUTPUT)
    return True


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two matrices differ by no more than quantisation does (mean absolute difference under a tenth)."""
    if first.shape != second.shape:
        return False
    difference = total = 0.0
    for start in range(0, len(first), _ROWS):
        one, other = first[start : start + _ROWS], second[start : start + _ROWS]
        difference += (one.float() - other.float()).abs().sum().item()
        total += other.float().abs().sum().item()
    return difference <= _COPY_TOLERANCE * total


def _save(model: Any, tokenizer: Any, tensors: dict[str, torch.Tensor], target: Path) -> None:
    from safetensors.torch import save_file

    save_file(
        {name: value.contiguous() for name, value in tensors.items()},
        target / WEIGHTS,
        metadata={"format": "pt"},
    )
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = "bfloat16"
    config.architectures = [type(model).__name__]
    config.save_pretrained(target)
    model.generation_config.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _check(target: Path, tensors: dict[str, torch.Tensor], tokenizer: Any) -> None:
    """Read everything back: the config, the tokenizer's ids, and every tensor's name, shape and dtype."""
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer

    AutoConfig.from_pretrained(target, **_OPTIONS)
    again = AutoTokenizer.from_pretrained(target, **_OPTIONS)
    if again(_PROBE)["input_ids"] != tokenizer(_PROBE)["input_ids"]:
        _fail(target, "its tokenizer gives other tokens than the GGUF file's")
    with safe_open(target / WEIGHTS, framework="pt") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
        kinds = {stored.get_slice(name).get_dtype() for name in shapes}
    if shapes != {name: tuple(value.shape) for name, value in tensors.items()} or kinds != {"BF16"}:
        _fail(target, "its tensors are not those of the GGUF file")


def _fail(target: Path, reason: str) -> None:
    msg = f"The converted model in {target} is wrong: {reason}."
    raise ModelError(msg, "Pull the model again; report it if that does not help.")


def main(arguments: list[str]) -> int:
    """Convert in a process of its own: ``SOURCE TARGET [--no-weights]``; a failure is one JSON line on its output."""
    source, target, *switches = arguments
    try:
        (convert_tokenizer if NO_WEIGHTS in switches else convert_gguf)(Path(source), Path(target))
    except (ModelError, MissingExtra) as error:
        sys.stdout.write(json.dumps([type(error).__name__, error.message, error.hint]) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
