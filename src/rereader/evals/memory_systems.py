"""The ways in which a question is put to paragraphs: as text, as gists, as compressed blocks, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from rereader.evals.memory_blocks import Blocks
from rereader.evals.memory_items import ParagraphText
from rereader.models.base import Head, LanguageModel, Prompt
from rereader.models.kvmemory import Compression
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.tools.extract import central_sentences, document_frequencies
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words

TEMPLATE = "kv_answer"
NULL = "N/A"
"""The question that is no question; what it looks at is looked at whatever is asked."""
METHOD: Literal["informative"] = "informative"
"""Which sentences a gist keeps, as the graph does by default."""
ALL_SCORERS = ("expected-attention", "key-norm", "window-attention", "reconstruction", "recent", "random")
RATIOS = (4.0, 2.0, 8.0)
FULL = "none"
Form = Literal["nothing", "raw", "gist", "blocks"]
Scope = Literal["all", "gold", "chosen"]
BOTH: tuple[Scope, Scope] = ("gold", "chosen")


@dataclass(frozen=True)
class System:
    """What is read.

    Args:
        form: As what the paragraphs are read.
        scope: All side by side, only the one that answers, or as text only the one that is looked at most.
        scorer: What compresses them.
        ratio: Words for each that a gist keeps, or tokens for each that a block keeps.
    """

    form: Form
    scope: Scope = "all"
    scorer: str = ""
    ratio: float = 1.0

    @property
    def name(self) -> str:
        """Names the rows."""
        how = f"{self.form} {self.scorer}".strip() + (f" {self.ratio:g}" if self.form in ("gist", "blocks") else "")
        return {"all": how, "gold": f"{how}, right paragraph alone", "chosen": f"text of the one chosen by {how}"}[
            self.scope
        ]

    @property
    def how(self) -> Compression:
        """How its blocks are made."""
        return Compression(self.scorer, self.ratio)


def systems_of(scorers: Sequence[str] = ALL_SCORERS, ratios: Sequence[float] = RATIOS) -> list[list[System]]:
    """Systems in the order in which they are worth measuring: what comes first is measured on all items first.

    Args:
        scorers: The first one is measured in every way.
        ratios: The first one is that of the comparisons between scorers.
    """
    first, *others = scorers
    ratio, *more = ratios
    full, kept = System("blocks", "all", FULL), System("blocks", "all", first, ratio)
    main = [System("raw"), full, kept, System("nothing"), System("gist", "all", "", ratio)]
    main += [System("blocks", "all", scorer, ratio) for scorer in others]
    main += [replace(system, scope="gold") for system in (System("raw"), kept)]
    chosen = [replace(system, scope="chosen") for system in (System("raw"), kept)]
    rest = [System("gist", "all", "", other) for other in more]
    rest += [System("blocks", "all", scorer, other) for other in more for scorer in scorers]
    rest += [replace(full, scope="gold"), replace(full, scope="chosen")]
    rest += [System("blocks", scope, scorer, ratio) for scorer in others for scope in BOTH]
    return [main, chosen, rest]


@dataclass(frozen=True)
class Reading:
    """What a question is put to.

    Args:
        prompt: The prompt.
        places: Tokens that the paragraphs take in it.
        chosen: Place of the paragraph that was looked at most, where one was chosen.
    """

    prompt: Prompt
    places: int
    chosen: int | None = None


class Reader:
    """Makes the prompts.

    Args:
        model: The model that reads.
        blocks: Its blocks.
        heads: Heads that choose a paragraph.
        texts: All texts, from which gists take how common a word is.
    """

    def __init__(
        self,
        model: LanguageModel,
        blocks: Blocks,
        heads: Sequence[Head],
        texts: Sequence[ParagraphText],
    ) -> None:
        self._model = model
        self._blocks = blocks
        self._heads = heads
        self._paragraphs = list(dict.fromkeys(one for text in texts for one in text.paragraphs))

    def readings(self, system: System, text: ParagraphText, questions: Sequence[str]) -> list[Reading]:
        """What each question is put to; the questions of a call share what is read once."""
        gold = [text.paragraphs[text.gold]]
        if system.scope == "chosen":
            places = self._chosen(system, text.paragraphs, questions)
            return [
                self._reading(self._text([text.paragraphs[place]]), question, place)
                for place, question in zip(places, questions, strict=True)
            ]
        pieces = self._pieces(system, text.paragraphs if system.scope == "all" else gold)
        return [self._reading(pieces, question) for question in questions]

    def stored_bytes(self, system: System, text: ParagraphText) -> int:
        """Bytes that have to be stored for what is read of a text."""
        paragraphs = text.paragraphs if system.scope != "gold" else [text.paragraphs[text.gold]]
        if system.form == "blocks":
            return self._blocks.bytes_of([_part(one) for one in paragraphs], system.how)
        return sum(len(piece.text.encode()) for piece in self._pieces(system, paragraphs))

    def tokens(self, system: System, text: ParagraphText) -> int:
        """Tokens of the paragraphs' texts."""
        paragraphs = text.paragraphs if system.scope != "gold" else [text.paragraphs[text.gold]]
        return sum(self._model.count_tokens([_part(one) for one in paragraphs]))

    def _reading(self, pieces: Sequence[Piece], question: str, chosen: int | None = None) -> Reading:
        prompt = load(TEMPLATE).render(**_slots(pieces, question))
        blocks = [block for piece in pieces for block in piece.memory]
        places = sum(self._model.count_tokens([piece.text for piece in pieces])) + sum(one.places for one in blocks)
        return Reading(prompt, places, chosen)

    def _pieces(self, system: System, paragraphs: Sequence[str]) -> list[Piece]:
        makers: Mapping[Form, Callable[[], list[Piece]]] = {
            "nothing": list,
            "raw": lambda: self._text(paragraphs),
            "gist": lambda: self._text([self._gist(one, 1 / system.ratio) for one in paragraphs]),
            "blocks": lambda: [Piece("", memory=self._blocks.of([_part(one) for one in paragraphs], system.how))],
        }
        return makers[system.form]()

    def _text(self, paragraphs: Sequence[str]) -> list[Piece]:
        parts = [Piece(_part(one)) for one in paragraphs]
        return [*parts[:-1], Piece(parts[-1].text, cacheable=True)]

    def _gist(self, paragraph: str, share: float) -> str:
        frequency, total = self._frequencies
        spans = sentence_spans(paragraph)
        budget = max(1, round(count_words(paragraph) * share))
        kept = central_sentences(
            paragraph, spans, budget_words=budget, method=METHOD, document_frequency=frequency, total=total
        )
        return " ".join(paragraph[slice(*spans[place])].strip() for place in kept)

    @cached_property
    def _frequencies(self) -> tuple[dict[str, int], int]:
        return document_frequencies(self._paragraphs)

    def _chosen(self, system: System, paragraphs: Sequence[str], questions: Sequence[str]) -> list[int]:
        """The paragraph that each question looks at most, beyond what an empty one does."""
        pieces = self._pieces(system, paragraphs)
        null, *found = (self._masses(pieces, question) for question in (NULL, *questions))
        return [int(np.argmax(masses - null)) for masses in found]

    def _masses(self, pieces: Sequence[Piece], question: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Attention of the heads, as if they were one, to each paragraph: float32 [paragraphs]."""
        slots, template = _slots(pieces, question), load(TEMPLATE)
        prompt = template.render(**slots)[: template.places("question", slots).stop]
        found = self._model.attention(prompt, self._heads)
        row, first = found.by_head.mean(0), template.places("memory", slots).start
        sizes = [block.places for piece in pieces for block in piece.memory]
        sizes = sizes or [end - start for start, end in found.ranges[first : first + len(pieces)]]
        ends = found.ranges[first][0] + np.cumsum(sizes)
        return np.array([row[end - size : end].sum() for size, end in zip(sizes, ends, strict=True)], dtype=np.float32)


def _slots(pieces: Sequence[Piece], question: str) -> dict[str, SlotValue]:
    return {"memory": pieces, "known": "", "question": question}


def _part(paragraph: str) -> str:
    return f"{paragraph}\n\n"
