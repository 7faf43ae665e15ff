"""Assembles a reply's text token by token: split characters and stop strings are held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rereader.models.base import FinishReason, Generation
from rereader.schema.errors import Interrupted

Decode = Callable[[Sequence[int]], str]
_BROKEN = "\ufffd"
_MAX_PENDING = 12
"""A character has at most four bytes; after this many tokens a broken one is taken as it is."""


class ReplyText:
    """The text of one reply; complete and streamed replies come from the same pieces.

    Args:
        decode: Text of token ids, special tokens left out.
        stop: Strings that end the reply; they are not part of it.
        emit: Receives each piece of text that can no longer change.
    """

    def __init__(self, decode: Decode, stop: Sequence[str] = (), emit: Callable[[str], None] | None = None) -> None:
        self._decode = decode
        self._stop = tuple(s for s in stop if s)
        self._emit = emit
        self._context: list[int] = []
        self._pending: list[int] = []
        self._emitted = 0
        self.text = ""

    def push(self, token: int) -> bool:
        """Add a token; True when a stop string is complete (the text is cut before it)."""
        self._pending.append(token)
        if self._settle(force=len(self._pending) >= _MAX_PENDING) and self._cut():
            return True
        self._send(len(self.text) - self._held())
        return False

    def finish(self) -> None:
        """Take what is still pending and emit the rest."""
        if self._pending and self._settle(force=True):
            self._cut()
        self._send(len(self.text))

    def _settle(self, force: bool) -> bool:
        # The tokens before give the context that some tokenizers need to place spaces.
        before = self._decode(self._context)
        piece = self._decode([*self._context, *self._pending])[len(before) :]
        if piece.endswith(_BROKEN) and not force:
            return False
        self.text += piece
        self._context, self._pending = self._pending, []
        return bool(piece)

    def _cut(self) -> bool:
        found = [place for s in self._stop if (place := self.text.find(s, self._emitted)) >= 0]
        if found:
            self.text = self.text[: min(found)]
            self._pending = []
            self._send(len(self.text))
        return bool(found)

    def _held(self) -> int:
        """Characters at the end that may be the beginning of a stop string."""
        sizes = (size for s in self._stop for size in range(1, len(s)) if self.text.endswith(s[:size]))
        return max(sizes, default=0)

    def _send(self, end: int) -> None:
        if end > self._emitted:
            if self._emit is not None:
                self._emit(self.text[self._emitted : end])
            self._emitted = end


class Reply:
    """One reply in the making: decides when it is complete.

    Args:
        text: Assembles its text.
        ends: Token ids that end it; they are not part of it.
        most: Most tokens.
    """

    def __init__(self, text: ReplyText, ends: frozenset[int], most: int) -> None:
        self._text = text
        self._ends = ends
        self._most = most
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self.finish: FinishReason | None = None

    def take(self, token: int, logprob: float) -> None:
        """Add a token; those after the end are dropped."""
        if self.finish is not None:
            return
        if token in self._ends:
            self.finish = "stop"
        else:
            self._ids.append(token)
            self._logprobs.append(logprob)
            if self._text.push(token):
                self.finish = "stop"
            elif len(self._ids) >= self._most:
                self.finish = "length"
        if self.finish is not None:
            self._text.finish()

    def result(self, prompt_tokens: int) -> Generation:
        """The whole reply.

        Raises:
            Interrupted: If it is not complete.
        """
        if self.finish is None:
            raise Interrupted("Stopped while the model was writing.", "Resume the run to go on.")
        return Generation(self._text.text, tuple(self._ids), self.finish, prompt_tokens, tuple(self._logprobs))
