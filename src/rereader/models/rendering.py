"""Segments to token ids: text from documents can neither forge a turn nor reach the chat template."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from rereader.models.base import Prompt, Segment
from rereader.models.recalled import Recalled, recall
from rereader.schema.errors import InputError, ModelError

NEUTRAL_SYSTEM = "You answer from the given text."
"""Sent when a prompt has no system turn, because some templates would put in one of their own."""
MIN_PREFIX_TOKENS = 16
"""A shorter prefix is cheaper to compute again than to keep."""
_SENTINEL = "Q7turn{}Z9"
_CONTROL = re.compile(r"[<\[|]")

Turn = tuple[str, tuple[Segment, ...]]


@dataclass(frozen=True)
class Rendered:
    """A prompt as tokens.

    Args:
        ids: Token ids. Each place of a memory stands as a number below zero that identifies its block.
        boundaries: Ascending prefix lengths worth keeping, each shorter than ``ids``; those where memory begins and
            ends are among them.
        ranges: Token range ``[start, end)`` of each segment, in the order of the prompt.
        memory: What is read there in place of text.
    """

    ids: tuple[int, ...]
    boundaries: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    memory: Recalled | None = None


class Renderer:
    """Turns prompts into token ids for one tokenizer; safe to use from several threads.

    Each segment is tokenised on its own. The texts around the turns come from rendering the chat template once per
    sequence of roles with sentinel words in place of the content; the template never sees the content itself.
    Untrusted segments go through a second tokenizer instance with special tokens off, since that switch is state of
    the instance. A prompt that ends with an assistant turn is continued inside that turn. A tokenizer without
    template gets its turns separated by blank lines. Where a template refuses a system turn, the system text opens
    the first user turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        self._tokenizer = tokenizer
        self._plain = copy.deepcopy(tokenizer)
        self._plain.split_special_tokens = True
        self._lock = threading.Lock()
        self._glue: dict[tuple[str, ...], tuple[tuple[int, ...], ...]] = {}
        self._markers = _marker_pattern(tokenizer)
        self._start = () if self.has_template else self._start_ids()
        self._system: bool | None = None

    def render(self, prompt: Prompt) -> Rendered:
        """Token ids of a prompt, ready for the model to reply.

        Raises:
            InputError: If the prompt has no segments, or memory in more than one, or nothing follows that.
            ModelError: If the chat template cannot express the prompt's turns.
        """
        if not prompt:
            raise InputError("A prompt must have at least one segment.")
        with self._lock:
            turns, glue = self._turns(prompt)
            return self._join(turns, glue)

    def encode(self, text: str, *, trusted: bool = False) -> list[int]:
        """Token ids of a text on its own; special tokens are plain text unless ``trusted``."""
        with self._lock:
            return self._encode(text, trusted)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens read as plain text."""
        with self._lock:
            pieces = [self._pieces(text) for text in texts]
            flat = [piece for group in pieces for piece in group]
            counts = iter([len(ids) for ids in self._batch(flat)])
            return [sum(next(counts) for _ in group) for group in pieces]

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Characters ``[start, end)`` of each token of an untrusted text; tokens of one character share it."""
        with self._lock:
            found: list[tuple[int, int]] = []
            at = 0
            for piece in self._pieces(text):
                encoded = self._plain(piece, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
                found += [(at + start, at + end) for start, end in encoded["offset_mapping"]]
                at += len(piece)
            return found

    def opening(self) -> tuple[int, ...]:
        """Tokens that the tokenizer puts before a bare text, such as a beginning-of-sequence token; mostly none."""
        with self._lock:
            return self._start_ids()

    def end_of_turn_ids(self) -> frozenset[int]:
        """Special tokens with which the template closes an assistant turn; empty without a template."""
        if not self.has_template:
            return frozenset()
        with self._lock:
            _, glue = self._turns((_probe("user"), _probe("assistant"), _probe("user")))
            closing = glue[-2][:1]
        return frozenset(closing) & frozenset(self._tokenizer.all_special_ids)

    def _join(self, turns: list[Turn], glue: tuple[tuple[int, ...], ...]) -> Rendered:
        ids: list[int] = list(self._start)
        boundaries: list[int] = []
        ranges: list[tuple[int, int]] = []
        memory = None
        for before, (_, segments) in zip(glue, turns, strict=False):
            ids += before
            for segment in segments:
                start = len(ids)
                if segment.memory:
                    memory = recall(segment, start, memory)
                    boundaries += [start] if start else []
                    boundaries.append(memory.end)
                ids += memory.ids if memory and segment.memory else self._encode(segment.text, segment.trusted)
                ranges.append((start, len(ids)))
                if segment.cacheable and len(ids) >= MIN_PREFIX_TOKENS:
                    boundaries.append(len(ids))
        ids += glue[-1]
        if memory and memory.end == len(ids):
            raise InputError("Nothing follows the compressed texts of the prompt.", "Put a question after them.")
        kept = tuple(dict.fromkeys(b for b in boundaries if b < len(ids)))
        return Rendered(tuple(ids), kept, tuple(ranges), memory)

    def _turns(self, prompt: Prompt) -> tuple[list[Turn], tuple[tuple[int, ...], ...]]:
        turns = [(role, tuple(group)) for role, group in groupby(prompt, key=lambda segment: segment.role)]
        if not self.has_template:
            return turns, self._plain_glue(turns)
        roles = _roles(turns)
        if roles[0] != "system" and self._takes_system():
            before, after, *rest = self._template_glue(("system", *roles))
            return turns, ((*before, *self._encode(NEUTRAL_SYSTEM, True), *after), *rest)
        if roles[:2] == ("system", "user") and not self._takes_system():
            turns = _fold_system(turns)
        return turns, self._template_glue(_roles(turns))

    def _takes_system(self) -> bool:
        if self._system is None:
            try:
                self._template_glue(("system", "user"))
            except ModelError:
                self._system = False
            else:
                self._system = True
        return self._system

    def _template_glue(self, roles: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        if roles not in self._glue:
            texts = _probe_template(self._tokenizer, roles)
            self._glue[roles] = tuple(tuple(self._encode(text, True)) for text in texts)
        return self._glue[roles]

    def _plain_glue(self, turns: list[Turn]) -> tuple[tuple[int, ...], ...]:
        blank = tuple(self._encode("\n\n", True))
        last = () if turns[-1][0] == "assistant" else blank
        return ((), *[blank] * (len(turns) - 1), last)

    def _encode(self, text: str, trusted: bool) -> list[int]:
        if not trusted:
            return [token for ids in self._batch(self._pieces(text)) for token in ids]
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
        return ids

    def _batch(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = self._plain(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def _pieces(self, text: str) -> list[str]:
        # Added tokens that are not flagged special are matched even with special tokens off: cut inside them.
        if self._markers is None:
            return [text] if text else []
        cuts = [match.start() + 1 for match in self._markers.finditer(text)]
        edges = [0, *cuts, len(text)]
        return [text[a:b] for a, b in pairwise(edges) if b > a]

    def _start_ids(self) -> tuple[int, ...]:
        bare = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self._tokenizer("a", add_special_tokens=True)["input_ids"]
        return tuple(full[: full.index(bare[0])]) if bare and bare[0] in full else ()


def _roles(turns: Sequence[Turn]) -> tuple[str, ...]:
    return tuple(role for role, _ in turns)


def _probe(role: Any) -> Segment:
    return Segment(role, "x")


def _fold_system(turns: list[Turn]) -> list[Turn]:
    (_, system), (role, first), *rest = turns
    last = replace(system[-1], text=system[-1].text + "\n\n")
    return [(role, (*system[:-1], last, *first)), *rest]


def _probe_template(tokenizer: Any, roles: tuple[str, ...]) -> list[str]:
    """The template's text before, between and after the turns: one more text than there are roles."""
    words = [_SENTINEL.format(index) for index in range(len(roles))]
    messages = [{"role": role, "content": word} for role, word in zip(roles, words, strict=True)]
    continues = roles[-1] == "assistant"
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not continues, enable_thinking=False
        )
    except Exception as error:
        msg = f"The chat template of the model refuses turns in the order {', '.join(roles)}: {error}"
        raise ModelError(msg, "Use turns that alternate between user and assistant.") from error
    if any(text.count(word) != 1 for word in words):
        raise ModelError("The chat template of the model leaves out or repeats a turn.", "Use another model.")
    texts = re.split("|".join(map(re.escape, words)), text)
    return [*texts[:-1], ""] if continues else texts


def _marker_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = {token.content for token in added if not token.special and _CONTROL.search(token.content)}
    markers = sorted(marker for marker in found if len(marker) > 1)
    # A look-ahead finds overlapping markers as well, so that every one of them is cut.
    return re.compile(f"(?={'|'.join(map(re.escape, markers))})") if markers else None
