"""Where a question looks in a text: reads the text no deeper than it must, or takes it from its file, and asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.models.attention import Rows
from rereader.models.base import Head, TextFile
from rereader.models.engine import Engine
from rereader.models.kept import take_kept
from rereader.models.kvfile import Owner
from rereader.models.rendering import MIN_PREFIX_TOKENS, Rendered
from rereader.models.shallow import depth, layers
from rereader.schema.errors import InputError
from rereader.schema.events import Cancelled


@dataclass(frozen=True)
class Looking:
    """One question after one text.

    Args:
        prompt: Text and question.
        length: Tokens of the text.
        meant: Which of the others a head's mean is over.
        heads: The heads.
        whole: Whether the text is read through all layers.
    """

    prompt: Rendered
    length: int
    meant: slice
    heads: tuple[Head, ...]
    whole: bool

    @classmethod
    def of(cls, prompt: Rendered, heads: Sequence[Head], *, whole: bool) -> Looking:
        """The text ends with the last boundary.

        Raises:
            InputError: If there is none, or nothing follows.
        """
        if not prompt.boundaries:
            msg = f"No segment of the prompt is cacheable, or the text before has under {MIN_PREFIX_TOKENS} tokens."
            raise InputError(msg, "Mark the segment with which the text ends as cacheable.")
        length = prompt.boundaries[-1]
        after = [(start, end) for start, end in prompt.ranges if start >= length and end > start]
        if not after:
            raise InputError("Nothing follows the text.", "Put a question after the last cacheable segment.")
        meant = slice(after[0][0] - length, after[-1][1] - length)
        return cls(prompt, length, meant, tuple(heads), whole)

    def new_tokens(self, engine: Engine) -> int:
        """See :meth:`Engine.more_tokens`."""
        return engine.more_tokens(len(self.prompt.ids), self._deepest(engine))

    def rows(
        self, engine: Engine, keep: TextFile | None, fingerprint: str, told: list[str], cancelled: Cancelled
    ) -> tuple[Rows, int]:
        """What the heads look at, and how many tokens were read for it.

        Args:
            engine: Reads.
            keep: Where the text up to its first boundary is kept.
            fingerprint: The model's.
            told: Takes what the user should know of the file.
            cancelled: Whether to stop.
        """
        text, ends = self.prompt.ids[: self.length], self.prompt.boundaries
        exact = keep is None or keep.precision == "exact"
        deepest = self._deepest(engine)
        read = 0
        if keep is not None:
            owner = Owner(fingerprint, text[: ends[0]], layers(engine.prefill_model, deepest))
            read, notes = take_kept(engine, owner, keep, deepest, cancelled)
            told += notes
        held = engine.held(text, ends, exact=exact, deepest=deepest)
        context = engine.read(text, ends, cancelled, exact=exact, memory=self.prompt.memory, deepest=deepest)
        read += sum(token >= 0 for token in self.prompt.ids[held:])  # places of blocks are not read
        return engine.attend(context, self.prompt.ids[self.length :], self.heads, self.meant), read

    def _deepest(self, engine: Engine) -> int | None:
        if self.whole or self.prompt.memory:
            return None
        return depth(engine.prefill_model, max((head.layer for head in self.heads), default=0))
