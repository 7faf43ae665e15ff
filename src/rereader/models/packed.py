"""Unpack a 4-bit embedding model of the ``E5S1`` form into a sentence-transformers folder.

The form is one little-endian file: a header, the pieces of a SentencePiece unigram tokenizer with their scores, a map
of characters to normalise (not used: it is what the tokenizers library calls Nmt and NFKC, but for two characters of
196,000), a directory of tensors, and the tensors. A tensor is float32, or 4-bit in blocks of 32 weights: a float16
scale, then 16 bytes whose low halves are weights 0 to 15 and whose high halves are weights 16 to 31, each stored as
weight / scale + 8.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.models.base import Cancel
from rereader.models.files import check_cancel
from rereader.schema.errors import MissingExtra, ModelError

MAGIC = b"E5S1"
BLOCK = 32
_BLOCK_BYTES = 18
_HEADER = struct.Struct("<4sI7ifi")
_TOKENIZER = struct.Struct("<5iQ")
_TENSOR = struct.Struct("<BIQQ")
_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_SUFFIXES = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder; ``positions`` is also its window in tokens."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True)
class Vocabulary:
    """Pieces with their log-probabilities, and the ids of the special ones."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unknown: int


def unpack(path: Path, folder: Path, cancel: Cancel | None = None) -> None:
    """Write the model of a packed file as a sentence-transformers folder: mean pooling, unit length.

    Raises:
        MissingExtra: If safetensors or tokenizers are not installed.
        ModelError: If the file is not of this form.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise MissingExtra("Unpacking this embedding model", "local") from error
    data = path.read_bytes()
    try:
        shape, vocabulary, at = _read_head(data)
        tensors = {}
        for name, value in _tensors(data, at, shape):
            check_cancel(cancel)
            tensors[name] = value
        if set(tensors) != _expected(shape):
            raise ValueError("tensors are missing")
    except (struct.error, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        msg = f"The packed model {path.name} cannot be read: {error}"
        raise ModelError(msg, "Pull it again.") from error
    # The model's class has a layer that sentence embeddings do not use; without it a warning is printed at each load.
    tensors["pooler.dense.weight"] = np.zeros((shape.hidden, shape.hidden), np.float16)
    tensors["pooler.dense.bias"] = np.zeros(shape.hidden, np.float16)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    _write_tokenizer(vocabulary, shape, folder)
    for name, value in _configuration(shape, vocabulary).items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def dequantise(data: bytes, offset: int, count: int) -> NDArray[np.float32]:
    """The ``count`` weights of 4-bit blocks at ``offset``: float32 [count]."""
    kind = np.dtype([("scale", "<f2"), ("halves", "u1", BLOCK // 2)])
    blocks = np.frombuffer(data, kind, count // BLOCK, offset)
    halves = blocks["halves"]
    weights = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32) - 8.0
    return (weights * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def _read_head(data: bytes) -> tuple[Shape, Vocabulary, int]:
    """Shape, vocabulary and the offset of the tensor directory."""
    magic, _, hidden, layers, heads, inner, size, positions, types, epsilon, block = _HEADER.unpack_from(data, 0)
    if magic != MAGIC or block != BLOCK:
        raise ValueError("it is not of the form E5S1 with blocks of 32")
    at = _HEADER.size
    count, bos, eos, pad, unknown, text_bytes = _TOKENIZER.unpack_from(data, at)
    at += _TOKENIZER.size
    ends = np.frombuffer(data, "<u4", count + 1, at).tolist()
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at).tolist()
    at += 4 * count
    text = data[at : at + text_bytes]
    pieces = [(text[ends[i] : ends[i + 1]].decode("utf-8"), scores[i]) for i in range(count)]
    at += text_bytes
    _, map_bytes = struct.unpack_from("<iI", data, at)
    shape = Shape(hidden, layers, heads, inner, size, positions, types, epsilon)
    return shape, Vocabulary(pieces, bos, eos, pad, unknown), at + 8 + map_bytes


def _tensors(data: bytes, at: int, shape: Shape) -> list[tuple[str, NDArray[np.float16]]]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode("ascii")
        at += 2 + length
        quantised, size, offset, _ = _TENSOR.unpack_from(data, at)
        at += _TENSOR.size
        values = dequantise(data, offset, size) if quantised else np.frombuffer(data, "<f4", size, offset)
        found.append((_full_name(name), values.reshape(_size(name, size, shape)).astype(np.float16)))
    return found


def _full_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    head, _, suffix = name.rpartition(".")
    if head in _NAMES:
        return f"{_NAMES[head]}.{_SUFFIXES[suffix]}"
    layer, _, part = head.partition(".")
    return f"encoder.layer.{int(layer.removeprefix('l'))}.{_NAMES[part]}.{_SUFFIXES[suffix]}"


def _size(name: str, count: int, shape: Shape) -> tuple[int, ...]:
    """Rows and columns: matrices map ``columns`` inputs to ``rows`` outputs."""
    if name.endswith("fo.w"):
        return (shape.hidden, shape.inner)
    return (count,) if count == shape.hidden or name.endswith(".b") else (count // shape.hidden, shape.hidden)


def _expected(shape: Shape) -> set[str]:
    whole = [name for name in _NAMES if name.startswith("emb.") and name != "emb.ln"]
    norms = [f"emb.ln.{suffix}" for suffix in _SUFFIXES]
    parts = [part for part in _NAMES if not part.startswith("emb.")]
    layers = [f"l{i}.{part}.{suffix}" for i in range(shape.layers) for part in parts for suffix in _SUFFIXES]
    return {_full_name(name) for name in [*whole, *norms, *layers]}


def _write_tokenizer(vocabulary: Vocabulary, shape: Shape, folder: Path) -> None:
    try:
        from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
        from tokenizers.models import Unigram
    except ImportError as error:
        raise MissingExtra("Unpacking this embedding model", "local") from error
    pieces = vocabulary.pieces
    tokenizer = Tokenizer(Unigram(pieces, unk_id=vocabulary.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    bos, eos = pieces[vocabulary.bos][0], pieces[vocabulary.eos][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, vocabulary.bos), (eos, vocabulary.eos)],
    )
    special = [vocabulary.bos, vocabulary.pad, vocabulary.eos, vocabulary.unknown]
    tokenizer.add_special_tokens([AddedToken(pieces[i][0], special=True, normalized=False) for i in special])
    tokenizer.save(str(folder / "tokenizer.json"))


def _configuration(shape: Shape, vocabulary: Vocabulary) -> dict[str, Any]:
    names = {
        key: vocabulary.pieces[number][0]
        for key, number in (
            ("bos_token", vocabulary.bos),
            ("cls_token", vocabulary.bos),
            ("eos_token", vocabulary.eos),
            ("sep_token", vocabulary.eos),
            ("pad_token", vocabulary.pad),
            ("unk_token", vocabulary.unknown),
        )
    }
    package = "sentence_transformers.models"
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_Normalize", "Normalize")]
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "dtype": "float32",
            "hidden_act": "gelu",
            "hidden_size": shape.hidden,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "intermediate_size": shape.inner,
            "vocab_size": shape.vocabulary,
            "max_position_embeddings": shape.positions,
            "type_vocab_size": shape.types,
            "layer_norm_eps": shape.epsilon,
            "pad_token_id": vocabulary.pad,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.positions,
            **names,
        },
        "modules.json": [
            {"idx": i, "name": number, "path": path, "type": f"{package}.{kind}"}
            for i, (number, path, kind) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": shape.positions, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": shape.hidden, "pooling_mode_mean_tokens": True},
        "2_Normalize/config.json": {},
    }
