"""Passages in the order of what a question looks at: one prompt for all of them.

White-box cousin of a reranker that reads one passage at a time: the passages stand one after the other in a prompt,
and each gets the attention of the question's tokens by the scorer's retrieval heads, less that of an empty question
(QRHead, arXiv 2506.09944).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from rereader.agents.attender import NULL, look
from rereader.agents.calls import Caller, Request
from rereader.agents.context import RunContext
from rereader.agents.costs import PROMPT_TOKENS, TOKENS_PER_WORD, Facts, Work
from rereader.agents.scanner import heads_of, white_box_scorer
from rereader.agents.searcher import Scored
from rereader.agents.settings import RankingSettings
from rereader.models.base import Float32Array, Head
from rereader.prompts.loader import Piece, load
from rereader.tools.attended import Cue
from rereader.tools.ranking import Ranking, add_z_scores

Item = TypeVar("Item")
_BREAK = Piece("\n\n", trusted=True)


def attention_of(context: RunContext, question: str, texts: Sequence[Piece]) -> Float32Array:
    """Attention to each text, calibrated: float32 [texts].

    Texts that do not fit the scorer's window together are looked at in several prompts.

    Raises:
        InputError: If the scorer's attention cannot be read, it has no list of heads, or one text does not fit.
    """
    scorer = white_box_scorer(context)
    heads = heads_of(scorer.model, "")

    def masses(part: Sequence[Piece]) -> Float32Array:
        return _masses(scorer, heads, question, part)

    return in_parts(scorer, texts, lambda part: _request(question, part), masses)


def in_parts(
    scorer: Caller,
    items: Sequence[Item],
    request: Callable[[Sequence[Item]], Request],
    masses: Callable[[Sequence[Item]], Float32Array],
) -> Float32Array:
    """The masses of items, in one prompt or in as few as they fit the scorer's window in: float32 [items].

    The parts are of equal size, so that no item has fewer neighbours to share attention with than others.

    Args:
        scorer: Whose window it is.
        items: The items.
        request: The prompt for some of them.
        masses: Looks at some of them: float32 [some].
    """
    if not items:
        return np.zeros(0, dtype=np.float32)
    parts = 1
    while parts < len(items) and not _fit(scorer, [request(part) for part in _cut(items, parts)]):
        parts += 1
    return np.concatenate([masses(part) for part in _cut(items, parts)])


def rerank(context: RunContext, question: str, ranked: Sequence[Scored]) -> list[Scored]:
    """The best passages in a new order, if the settings ask for it; the scores of the ranks stay as they were."""
    settings = context.settings
    if not _asked_for(settings) or not ranked:
        return list(ranked)
    head, rest = ranked[: settings.rerank_depth], ranked[settings.rerank_depth :]
    spans = [one.passage.span for one in head]
    masses = attention_of(context, question, [Piece(context.library.documents.text_of(s), span=s) for s in spans])
    places = range(len(head))
    searched = Ranking({place: head[place].score for place in places})
    looked = Ranking({place: float(masses[place]) for place in places}, settings.rerank_weight)
    scores = add_z_scores([searched, looked], list(places))
    order = sorted(places, key=lambda place: -scores[place])
    return [*(replace(head[place], score=head[rank].score) for rank, place in enumerate(order)), *rest]


def rerank_works(settings: Any, facts: Facts, turns: int = 1) -> tuple[Work, ...]:
    """What :func:`rerank` costs in so many turns."""
    if not _asked_for(settings) or "scorer" not in facts.bound:
        return ()
    return (attention_work(facts, settings.rerank_depth * settings.passage_words * TOKENS_PER_WORD, turns),)


def _asked_for(settings: Any) -> bool:
    """Whether a graph's settings know of the reranker and want it."""
    return isinstance(settings, RankingSettings) and settings.rerank == "attention"


def attention_work(facts: Facts, shown: float, looks: int) -> Work:
    """What it costs to look at ``shown`` tokens in ``looks`` prompts."""
    asked = 2 * (facts.question_tokens + PROMPT_TOKENS)
    return Work("score", "scorer", looks * (shown + asked), calls=2 * looks)


def _fit(scorer: Caller, requests: Sequence[Request]) -> bool:
    return max(scorer.model.prompt_tokens([one.prompt for one in requests])) <= scorer.model.context_window


def _cut(items: Sequence[Item], parts: int) -> list[Sequence[Item]]:
    edges = [round(place * len(items) / parts) for place in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(edges)]


def _masses(scorer: Caller, heads: Sequence[Head], question: str, texts: Sequence[Piece]) -> Float32Array:
    asked, empty = _request(question, texts), _request(NULL, texts)
    return look(scorer, asked, empty, "text", range(0, 2 * len(texts), 2), heads, Cue())[1]


def _request(question: str, texts: Sequence[Piece]) -> Request:
    pieces = [piece for text in texts for piece in (text, _BREAK)]
    pieces[-1] = replace(pieces[-1], cacheable=True)
    return Request(load("attend"), {"text": pieces, "question": question})
