"""What a chat model's message says: text, why it ended, tokens, log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rereader.models.base import FinishReason

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

_LENGTH = {"length", "max_tokens", "max_output_tokens"}
_WITHHELD = {"content_filter", "safety", "refusal", "prohibited_content", "blocklist"}
_FAR = 8
"""How many times more or fewer tokens than ours a server's tokenizer may make of a text."""
_ADDED = 10_000
"""Tokens that a server may add by itself."""
_REASONS = ("finish_reason", "stop_reason", "done_reason")


class StopText:
    """A reply's text that ends before the first stop string, piece by piece as it comes.

    Servers are asked to stop by themselves; some do not, and some leave the stop string in.

    Args:
        stop: Strings that end the reply.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(one for one in stop if one)
        self._sent = 0
        self.text = ""
        self.ended = False

    def push(self, piece: str) -> str:
        """Add a piece; returns the text that can no longer change."""
        if self.ended:
            return ""
        self.text += piece
        found = [place for one in self._stop if (place := self.text.find(one, self._sent)) >= 0]
        if found:
            self.text, self.ended = self.text[: min(found)], True
        return self._send(len(self.text) - (0 if found else self._held()))

    def finish(self) -> str:
        """The rest of the text."""
        return self._send(len(self.text))

    def _held(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        sizes = (size for one in self._stop for size in range(1, len(one)) if self.text.endswith(one[:size]))
        return max(sizes, default=0)

    def _send(self, end: int) -> str:
        piece = self.text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece


class SoundText:
    """A sound text of pieces, where one may end in the middle of a character that the next one completes."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, piece: str) -> str:
        """Add a piece; returns what it completes."""
        text = self._half + piece
        whole = text[:-1] if "\ud800" <= text[-1:] <= "\udbff" else text
        self._half = text[len(whole) :]
        return sound(whole)

    def finish(self) -> str:
        """What is left of a text that ends in the middle of a character."""
        half, self._half = self._half, ""
        return sound(half)


class Bound:
    """Whether a reply that comes in pieces keeps to so many tokens by a counter.

    The tokens of its pieces are hardly fewer than those of the whole, so the whole is counted only where they pass.
    """

    def __init__(self, tokens: int, count: Callable[[Sequence[str]], list[int]]) -> None:
        self._most = tokens
        self._count = count
        self._text = ""
        self._tokens = 0

    @property
    def passed(self) -> bool:
        """Whether it has more."""
        return self._tokens > self._most

    def holds(self, piece: str) -> bool:
        """Add a piece; returns whether there are still no more."""
        self._text += piece
        self._tokens += self._count([piece])[0]
        if self.passed:
            self._tokens = self._count([self._text])[0]
        return not self.passed


def sound(text: str) -> str:
    """A text that can be stored: halves of characters are replaced, NUL, which ends a text elsewhere, is left out."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\x00", "")


def shortened(text: str, tokens: int, count: Callable[[Sequence[str]], list[int]]) -> str:
    """As much of a text, from its beginning, as takes at most so many tokens by a counter."""
    most, size = len(text), count([text])[0]
    while size > tokens and most:
        most = min(most - 1, most * tokens // size)
        size = count([text[:most]])[0]
    return text[:most]


def cut(text: str, stop: Sequence[str]) -> str:
    """A whole reply up to the first stop string."""
    cutter = StopText(stop)
    cutter.push(text)
    return cutter.text


def reason_of(metadata: Mapping[str, Any]) -> str:
    """Why the server ended the reply, in its own word; empty if it does not say."""
    return next((str(metadata[name]).lower() for name in _REASONS if metadata.get(name)), "")


def finish_reason(metadata: Mapping[str, Any]) -> FinishReason:
    """``length`` where the reply was cut off, otherwise ``stop``."""
    return "length" if reason_of(metadata) in _LENGTH else "stop"


def was_withheld(metadata: Mapping[str, Any]) -> bool:
    """Whether a filter of the server's kept the reply, or a part of it, back."""
    return reason_of(metadata) in _WITHHELD


def usage_of(message: AIMessage) -> tuple[int, int] | None:
    """Prompt and completion tokens as the server counted them, or ``None`` if it did not say."""
    usage = message.usage_metadata
    if not usage or usage["input_tokens"] <= 0:
        return None
    return usage["input_tokens"], usage["output_tokens"]


def is_plausible(told: tuple[int, int], counted: tuple[int, int], most: int) -> bool:
    """Whether a server's count of tokens can be right.

    Servers add turns of their own to a prompt and tokens of thought to a reply, and count with another tokenizer; but
    none reads a hundredth of a text, or writes less than nothing.

    Args:
        told: Prompt and completion tokens as the server says.
        counted: The same by our own counter.
        most: Tokens that the reply was allowed.
    """
    (read, written), (ours, text) = told, counted
    least = ours / _FAR <= read and text / _FAR <= written
    return least and read <= ours * _FAR + _ADDED and written <= max(most, text) * _FAR + _ADDED


def logprobs_of(metadata: Mapping[str, Any]) -> tuple[float, ...]:
    """Natural log-probability of each token of the reply; empty if the server does not say."""
    values = [place.get("logprob") for place in _places(metadata)]
    usable = values and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    return tuple(float(value) for value in values if value is not None) if usable else ()


def label_logprobs(metadata: Mapping[str, Any], labels: Sequence[str]) -> list[float] | None:
    """Log-probability of each label as the first token; ``None`` if the server does not list likely tokens.

    A label takes the likelihood of every token that reads as it but for white space (``A`` and `` A``). One that is not
    among the likely tokens is given the least of the listed ones, since it cannot be likelier.
    """
    listed = next((place.get("top_logprobs") for place in _places(metadata)), None)
    if not listed:
        return None
    likely = [(str(one.get("token", "")).strip(), float(one["logprob"])) for one in listed]
    least = min(value for _, value in likely)
    sums = [_sum(value for token, value in likely if token == label.strip()) for label in labels]
    return [least if value is None else value for value in sums]


def _places(metadata: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    logprobs = metadata.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    return [place for place in content if isinstance(place, Mapping)] if isinstance(content, list) else []


def _sum(values: Iterable[float]) -> float | None:
    """Log of a sum of exponentials; ``None`` for nothing."""
    found = list(values)
    if not found:
        return None
    top = max(found)
    return top + math.log(sum(math.exp(value - top) for value in found))
