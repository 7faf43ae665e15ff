"""Compressed texts that a scripted model can read: a block keeps the rarest words of a text."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rereader.models.base import Prompt, Segment
from rereader.models.files import writing
from rereader.models.kvmemory import Compression, KVPrecision, UnusableBlock
from rereader.models.scripted_words import TOKEN
from rereader.schema.errors import InputError

_BYTES_PER_WORD = {"exact": 8, "bfloat16": 6, "int8": 5}
_CHECKSUM = "sha256"
_AROUND = 400
"""Bytes of a file besides its words."""


@dataclass(frozen=True)
class ScriptedBlock:
    """A block of a scripted model: the words that it kept, in their order.

    Args:
        digest: Identifies the model, the text and the way it was compressed.
        model: Fingerprint of the model.
        text: The words; the whole text if all were kept.
        places: Words and punctuation marks kept.
        length: Words and punctuation marks of the text.
    """

    digest: str
    model: str
    text: str
    places: int
    length: int

    @property
    def name(self) -> str:
        """The digest: any precision holds the same words."""
        return self.digest

    def save(self, path: Path, precision: KVPrecision) -> None:
        """Write it as JSON, all or nothing; less precision drops nothing."""
        fields = {**asdict(self), "precision": precision}
        with writing(path, for_all=False) as beside:
            beside.write_text(json.dumps({**fields, _CHECKSUM: _checksum(fields)}), encoding="utf-8")


def compress(model: str, prompt: Prompt, compression: Compression) -> ScriptedBlock:
    """The block of a prompt's last segment.

    Raises:
        InputError: If the ratio is below 1 or the text has no word.
    """
    text = prompt[-1].text
    if not compression.ratio >= 1 or not TOKEN.search(text):
        raise InputError("A text to compress has words, and a ratio is 1 or more.")
    compression = compression.normalised()
    before = [[segment.role, segment.text] for segment in prompt[:-1]]
    how = [compression.scorer, compression.ratio, compression.budgets]
    digest = hashlib.sha256(json.dumps(["scripted", model, before, text, how]).encode()).hexdigest()
    kept, places = excerpt(text, compression.ratio)
    return ScriptedBlock(digest, model, kept, places, len(TOKEN.findall(text)))


def excerpt(text: str, ratio: float) -> tuple[str, int]:
    """The rarest words of a text in their order, one for so many, and how many they are; at ratio 1 the whole text."""
    words = TOKEN.findall(text)
    count = max(1, math.ceil(len(words) / ratio))
    if count == len(words):
        return text, count
    often = Counter(word.lower() for word in words)
    ranked = sorted(range(len(words)), key=lambda place: (often[words[place].lower()], -len(words[place]), place))
    return " ".join(words[place] for place in sorted(ranked[:count])), count


def load(path: Path, model: str) -> ScriptedBlock:
    """A block from its file.

    Raises:
        FileNotFoundError: If there is none.
        UnusableBlock: If it is damaged, or another model's.
    """
    block = read(path)
    if block.model != model:
        raise UnusableBlock("it is another model's")
    return block


def read(path: Path) -> ScriptedBlock:
    """A block from its file, of whatever model.

    Raises:
        FileNotFoundError: If there is none.
        UnusableBlock: If it is damaged.
    """
    try:
        fields = json.loads(path.read_bytes())
        if fields.pop(_CHECKSUM) != _checksum(fields):
            raise UnusableBlock("it is damaged: its checksum is another one")
        return ScriptedBlock(**{name: fields[name] for name in ("digest", "model", "text", "places", "length")})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnusableBlock("it is damaged") from error


def kv_bytes(tokens: int, compression: Compression, precision: KVPrecision) -> int:
    """Bytes of a block's file, about."""
    return round(tokens / compression.normalised().ratio) * _BYTES_PER_WORD[precision] + _AROUND


def shown(segment: Segment) -> str:
    """What a scripted model sees of a segment: its text, or what its blocks kept, one on a line."""
    if not segment.memory:
        return segment.text
    return "\n".join(block.text for block in segment.memory if isinstance(block, ScriptedBlock))


def _checksum(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
