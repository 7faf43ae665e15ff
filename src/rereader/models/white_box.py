"""Makes sure that the scorer is a model whose attention can be read, before anything is read with it."""

from __future__ import annotations

from typing import Protocol

from rereader.models.base import LanguageModel
from rereader.schema.errors import InputError


class WithScorer(Protocol):
    """Whatever has a scorer."""

    @property
    def scorer(self) -> LanguageModel | None:
        """The model that gates and scores, or ``None``."""


def white_box(models: WithScorer) -> LanguageModel:
    """The scorer, whose attention is going to be read.

    Raises:
        InputError: If there is none, or its attention cannot be read.
    """
    scorer = models.scorer
    if scorer is None or not scorer.capabilities.white_box:
        what = f"the scorer {scorer.name}" if scorer else "a scorer, of which there is none,"
        msg = f"The attention of {what} cannot be read."
        raise InputError(msg, "Choose a local model that transformers runs, with --role scorer=NAME.")
    return scorer
