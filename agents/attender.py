"""Scores the parts of a text by what the tokens of a question look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rereader.agents.calls import Caller, Request
from rereader.memory.replies import TokenScores
from rereader.models.base import Cancel, Float32Array, Head, LanguageModel, Prompt, TextFile
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.tools.attended import Cue, part_masses

NULL = "N/A"
"""The question that is no question."""


@dataclass(frozen=True)
class Attended:
    """What a question looks at in a text that is cut into parts.

    Args:
        rows: Attention of each head to each token: float32 [heads, tokens].
        null: The same for an empty question, which shows what is looked at whatever is asked.
        parts: Token range ``[start, end)`` of each part.
    """

    rows: Float32Array
    null: Float32Array
    parts: tuple[tuple[int, int], ...]

    def by_head(self, *, calibrated: bool = True) -> Float32Array:
        """Attention of each head to each part, less the empty question's if calibrated: float32 [heads, parts]."""
        return part_masses(self.rows, self.parts, self.null if calibrated else None)

    def together(self, heads: Sequence[int], *, calibrated: bool = True) -> Float32Array:
        """Attention of some heads (their places) as if they were one: float32 [parts]."""
        some = list(heads)
        rows, null = (values[some].mean(0, keepdims=True) for values in (self.rows, self.null))
        masses: Float32Array = part_masses(rows, self.parts, null if calibrated else None)[0]
        return masses


def attend(
    model: LanguageModel,
    question: str,
    parts: Sequence[Piece],
    heads: Sequence[Head],
    cancel: Cancel | None = None,
) -> Attended:
    """Ask what a question looks at; the text is read once for all questions in a row.

    Args:
        model: A model whose attention can be read.
        question: The question.
        parts: The text, cut; at least one part.
        heads: The heads.
        cancel: Stops between two blocks of the text.

    Raises:
        InputError: If a head does not exist or the text does not fit the model's window or memory.
        ModelError: If the model does not show its attention.
    """
    prompt, first = attending(question, parts)
    found = model.attention(prompt, heads, cancel)
    null = model.attention(attending(NULL, parts)[0], heads, cancel)
    ranges = found.ranges[first : first + len(parts)]
    end = ranges[-1][1]
    return Attended(np.ascontiguousarray(found.by_head[:, :end]), null.by_head[:, :end], ranges)


def attending(question: str, parts: Sequence[Piece]) -> tuple[Prompt, int]:
    """The prompt that asks a question of a text in parts, and the place of the first part among its segments."""
    text = [*parts[:-1], replace(parts[-1], cacheable=True)]
    template = load("attend")
    slots: dict[str, SlotValue] = {"text": text, "question": question}
    return template.render(**slots), template.places("text", slots)[0]


def look(
    scorer: Caller,
    asked: Request,
    empty: Request | None,
    slot: str,
    places: Sequence[int],
    heads: Sequence[Head],
    cue: Cue,
    keep: TextFile | None = None,
    *,
    whole: bool = False,
) -> tuple[list[Float32Array], Float32Array]:
    """What a question looks at inside a run.

    Args:
        scorer: The model whose attention is read.
        asked: The prompt with the question.
        empty: The same with an empty question, to be subtracted; ``None`` subtracts nothing.
        slot: The slot that is looked at.
        places: Which of the slot's pieces count.
        heads: The heads, as if they were one.
        cue: Which tokens look.
        keep: Where the text is kept for other processes.
        whole: Whether the scorer will write after the text, too.

    Returns:
        A score for each token of each piece, and one for each piece: float32 [pieces].
    """
    tokens, null = _tokens(scorer.look(asked, slot, heads, cue, keep, whole=whole), places), None
    if empty is not None:
        null = _tokens(scorer.look(empty, slot, heads, cue, keep, whole=whole), places)
    ends = np.cumsum([len(text) for text in tokens])
    ranges = [(int(end) - len(text), int(end)) for end, text in zip(ends, tokens, strict=True)]
    masses: Float32Array = part_masses(_row(tokens), ranges, None if null is None else _row(null))[0]
    if null is not None:
        tokens = [one - other for one, other in zip(tokens, null, strict=True)]
    return tokens, masses


def _tokens(scores: TokenScores, places: Sequence[int]) -> list[Float32Array]:
    return [scores.texts[place] for place in places]


def _row(texts: Sequence[Float32Array]) -> Float32Array:
    return np.concatenate(texts)[None]
