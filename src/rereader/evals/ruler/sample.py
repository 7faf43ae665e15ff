"""One text with its question, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from rereader.evals.items import Expects
from rereader.evals.ruler.sources import Sources


@dataclass(frozen=True)
class Sample:
    """A text and what is asked of it.

    Args:
        text: The text.
        question: The question.
        answers: All of them are wanted, or any one, as ``expects`` says.
        gold: Spans ``[start, end)`` of what answers; empty where the whole text does.
        expects: ``all`` or ``any``.
        rule: RULER's rule for the task.
    """

    text: str
    question: str
    answers: tuple[str, ...]
    gold: tuple[tuple[int, int], ...] = ()
    expects: Expects = "all"
    rule: str = "all_in_string"


Maker = Callable[[Sources, Random, int, int], Sample]
"""Makes a sample from a fresh generator, a number of background units, and the tokens that the text is to have."""
