"""What agents cost: work in countable units, told before it is done from the settings and the documents' lengths.

An agent's file declares the cost of its node with :func:`costs`; what is stored already costs nothing. A graph whose
nodes cost something else than their agents say gives an ``estimate`` to ``reading_graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Node = TypeVar("Node", bound=Callable[..., Any])
Kind = Literal["cut", "extract", "embed", "generate", "score", "rest"]
"""``cut``: characters; ``extract``: tokens compressed by no model; ``embed``: tokens; ``generate`` and ``score``:
tokens read by a language model; ``rest``: characters of the documents that a node searches (SQLite, FAISS, ranking)."""
CHARACTERS_PER_TOKEN = 4.3
"""Of English in the tokens of readers; a guess that is replaced by the true count once a document is cut."""
TOKENS_PER_WORD = 1.35
CHARACTERS_PER_PASSAGE = 95
_CHUNK_FILL = 0.95
"""Share of ``chunk_tokens`` that whole sentences fill."""
ANSWER_WRITTEN = 12
"""Tokens of an answer that are expected: a phrase, ended by a line break."""
PROMPT_TOKENS = 60
"""Tokens of a template and its turn marks."""


@dataclass(frozen=True)
class Work:
    """Work of one kind that one role's model (or plain code, role ``""``) does in a stage.

    Args:
        kind: What is done.
        role: Whose model does it.
        amount: Units of the kind; for language models the tokens read.
        written: Tokens expected to be written.
        calls: Model calls expected.
        most_written: Tokens that may be written at most.
        most_calls: Model calls that may be made at most; no more than are expected, if it is left out.
    """

    kind: Kind
    role: str = ""
    amount: float = 0.0
    written: float = 0.0
    calls: int = 0
    most_written: int = 0
    most_calls: int = 0

    @property
    def calls_at_most(self) -> int:
        """Model calls that are not passed."""
        return max(self.calls, self.most_calls)


@dataclass(frozen=True)
class StageCost:
    """What a node will do in all its turns of a run, and the bytes that it will store."""

    stage: str
    works: tuple[Work, ...] = ()
    disk: float = 0.0
    turns: int = 1


@dataclass(frozen=True)
class DocumentFacts:
    """How long a document is and what is stored of it.

    Args:
        characters: Its length.
        tokens: Tokens in all; guessed from the characters until it is cut.
        chunks: Chunks; guessed likewise.
        cut: Whether it is cut as the settings ask.
        gists: Gists stored by their key (see ``gister.gist_key``).
        spaces: Kinds of vectors of the run's embedder that are complete.
        blocks: Compressed chunks stored, by the model's name and how they are made (see ``compressor.block_key``).
        words: Counts the words of its paragraphs (see ``tools.paragraphs``) if none of these may have more than so
            many; may take a second, so it is asked only if it matters. ``None`` where the text is not known.
    """

    characters: int
    tokens: int
    chunks: int
    cut: bool = False
    gists: Mapping[str, int] = field(default_factory=dict)
    spaces: frozenset[str] = frozenset()
    blocks: Mapping[str, int] = field(default_factory=dict)
    words: Callable[[int], int] | None = field(default=None, compare=False)

    @classmethod
    def guessed(cls, characters: int, chunk_tokens: int, words: Callable[[int], int] | None = None) -> DocumentFacts:
        """The facts of a document that the library does not hold, or has not cut."""
        tokens = round(characters / CHARACTERS_PER_TOKEN)
        return cls(characters, tokens, max(1, round(tokens / chunk_tokens / _CHUNK_FILL)), words=words)


@dataclass(frozen=True)
class Facts:
    """What a cost depends on besides the settings.

    Args:
        documents: The documents asked about.
        question_tokens: Tokens of the question.
        bound: Roles that have a model.
        on_cuda: Tells whether language models run on a CUDA device; may take seconds, so it is asked only if it
            matters.
        reader_window: Most tokens that the reader reads at once.
        scorer_window: Most tokens that the scorer reads at once.
        dimension: Length of a vector.
        characters_per_embedded: Characters in one of the embedder's tokens.
        models: Name of each role's model.
        kv_numbers: Numbers in the keys and values of a token, by role, where they are known.
    """

    documents: tuple[DocumentFacts, ...]
    question_tokens: int = 20
    bound: frozenset[str] = frozenset()
    on_cuda: Callable[[], bool] = lambda: False
    reader_window: int = 8192
    scorer_window: int = 8192
    dimension: int = 384
    characters_per_embedded: float = CHARACTERS_PER_TOKEN
    models: Mapping[str, str] = field(default_factory=dict)
    kv_numbers: Mapping[str, int] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        """Characters of all documents."""
        return sum(document.characters for document in self.documents)

    @property
    def tokens(self) -> int:
        """Tokens of all documents."""
        return sum(document.tokens for document in self.documents)

    def embedded(self, reader_tokens: float) -> float:
        """Tokens of the embedder that so many tokens of the reader are."""
        return reader_tokens * CHARACTERS_PER_TOKEN / self.characters_per_embedded


Cost = Callable[[Any, Facts], StageCost]
"""Settings and facts to the cost of a node; the stage's name is put in by who asks."""
Estimator = Callable[[Any, Facts], Sequence[StageCost]]
"""A graph's own formula: settings and facts to the cost of every stage."""


def costs(cost: Cost) -> Callable[[Node], Node]:
    """Declare what a node's work costs; nodes without it are taken to cost next to nothing."""

    def declare(work: Node) -> Node:
        work.__dict__["cost"] = cost
        return work

    return declare


def cost_of(work: Any) -> Cost | None:
    """The declared cost of a node's work."""
    found: Cost | None = getattr(work, "cost", None)
    return found


def evidence_tokens(settings: Any) -> float:
    """Tokens of a full share of evidence."""
    return float(settings.evidence_words) * TOKENS_PER_WORD
