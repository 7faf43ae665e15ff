"""What loads the model of a role at its first use, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable

from rereader.models.base import Embedder, LanguageModel

Loader = Callable[[], LanguageModel | Embedder | None]
LoadListener = Callable[[str, bool], None]
"""Is told a model's name before it is loaded, and again, with ``True``, when it is there."""


class Once:
    """A loader that loads at most once; :class:`~rereader.models.roles.Models` calls it under its lock."""

    def __init__(self, load: Callable[[], LanguageModel | Embedder]) -> None:
        self._load = load
        self._model: LanguageModel | Embedder | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was loaded."""
        return self._model is not None

    def __call__(self) -> LanguageModel | Embedder:
        """The model."""
        if self._model is None:
            self._model = self._load()
        return self._model


def hashing() -> Embedder:
    """The embedder that needs no model."""
    from rereader.models.hashing import HashingEmbedder  # numpy, which those who only name models do without

    return HashingEmbedder()


def nothing() -> None:
    """The loader of a role that does without a model."""


def unheard(_name: str, _there: bool) -> None:
    """Nobody wants to know."""
