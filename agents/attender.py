"""Scores the parts of a text by what the tokens of a question look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rereader.models.base import Attention, Cancel, Float32Array, Head, LanguageModel
from rereader.prompts.loader import Piece, load
from rereader.tools.attended import part_masses

NULL = "N/A"
"""The question that is no question."""


@dataclass(frozen=True)
class Attended:
    """Attention of each head to each part of a text: float32 [heads, parts].

    Args:
        plain: As it is.
        calibrated: Less what an empty question looks at.
    """

    plain: Float32Array
    calibrated: Float32Array


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
    found, ranges = _look(model, question, parts, heads, cancel)
    null, _ = _look(model, NULL, parts, heads, cancel)
    return Attended(part_masses(found.by_head, ranges), part_masses(found.by_head, ranges, null.by_head))


def _look(
    model: LanguageModel, question: str, parts: Sequence[Piece], heads: Sequence[Head], cancel: Cancel | None
) -> tuple[Attention, list[tuple[int, int]]]:
    """What the question looks at, and the token ranges of the parts."""
    text = [*parts[:-1], replace(parts[-1], cacheable=True)]
    prompt = load("attend").render(text=text, question=question)
    first = next(place for place, segment in enumerate(prompt) if not segment.trusted)
    found = model.attention(prompt, heads, cancel)
    return found, list(found.ranges[first : first + len(parts)])
