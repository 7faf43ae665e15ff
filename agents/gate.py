"""The gate: which chunks does the reasoner get to read, given the question and what is known already?

Recall is one FAISS search over compressed memories (fused with BM25 unless told otherwise), judged by a small scorer in
one batch. Chunks turned away are judged again in the next wave, when the working memory has changed. Cf. the Gate of
LycheeMemory (arXiv 2602.08382), which scans chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, TOKENS_PER_WORD, Facts, StageCost, Work, costs
from rereader.agents.ledger import quotes, seeds
from rereader.agents.reranker import attention_of, attention_work
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import ChunkKey, Query, Target, dense_chunks, lexical_chunks, queries_of
from rereader.models.base import Float32Array
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import Record, Span
from rereader.tools.ranking import Ranking, add_up, add_z_scores
from rereader.tools.words import word_limit

Key = TypeVar("Key")
_MEMORY_WORDS = 60
_KNOWN_WORDS = 60
_YES = 0
_END_OF_SHARED = Piece("\n", trusted=True, cacheable=True)


def gate_cost(settings: Any, facts: Facts) -> StageCost:
    """A search for the question in every wave, and a scorer's judgement of each candidate if one is asked for."""
    works = [Work("embed", "embedder", facts.question_tokens), Work("rest", amount=facts.characters)]
    if settings.gate == "attention" and "scorer" in facts.bound:
        shown = settings.candidates * _MEMORY_WORDS * TOKENS_PER_WORD
        works.append(attention_work(facts, shown, settings.waves))
    elif settings.gate != "similarity" and "scorer" in facts.bound:
        calls = settings.waves * settings.candidates
        shown = (_MEMORY_WORDS + _KNOWN_WORDS) * TOKENS_PER_WORD + facts.question_tokens + PROMPT_TOKENS
        works.append(Work("score", "scorer", calls * shown, calls=calls))
    return StageCost("gate", tuple(works), turns=settings.waves)


@costs(gate_cost)
def gate(state: ReadingState, context: RunContext) -> Outcome:
    """Node: let the most promising chunks in."""
    settings = context.settings
    targets = targets_of(context, settings.memory)
    leads = seeds(state, context)
    known = [record for record, _ in leads]
    held = [record.spans[0] for record in quotes(state, context)]
    recalled = recall(context, targets, queries_of(context, targets, state["question"], leads), held)
    candidates = sorted(recalled, key=lambda key: (-recalled[key], key))[: settings.candidates]
    judged = judge(context, targets, candidates, state["question"], known)
    scores = combine(recalled, judged, candidates, settings.gate_weight)
    ranked = sorted(candidates, key=lambda key: (-scores[key], key))
    accepted = ranked[: settings.accept]
    decisions = [
        [*key, round(recalled[key], 4), round(judged[key], 4) if key in judged else None, key in accepted]
        for key in ranked
    ]
    return Outcome({"accepted": [list(key) for key in accepted]}, {"decisions": decisions})


def recall(
    context: RunContext, targets: Sequence[Target], queries: Sequence[Query], held: Collection[Span]
) -> dict[ChunkKey, float]:
    """Score chunks by their memories: for the question, plus ``hop_weight`` times the best for a quote."""
    rankings = [_recall_one(context, targets, query, held) for query in queries]
    keys = list(dict.fromkeys(key for parts in rankings for ranking in parts for key in ranking.scores))
    return add_hops(queries, [add_up(parts, keys) for parts in rankings], context.settings.hop_weight)


def add_hops(queries: Sequence[Query], scores: Sequence[Mapping[Key, float]], weight: float) -> dict[Key, float]:
    """The first query's scores plus ``weight`` times the best of the others', each by its query's share."""
    first, *others = scores
    shares = [query.share for query in queries[1:]]
    return {
        key: value + weight * max([0.0, *(share * other[key] for share, other in zip(shares, others, strict=True))])
        for key, value in first.items()
    }


def _recall_one(
    context: RunContext, targets: Sequence[Target], query: Query, held: Collection[Span]
) -> list[Ranking[ChunkKey]]:
    parts = []
    if query.text:
        vector = context.embed.embed([query.text], kind="query")[0]
        parts.append(Ranking(dense_chunks(context, targets, vector)))
    if context.settings.recall == "fused" or not query.text:
        lexical = lexical_chunks(context, targets, query, () if query.text else held)
        parts.append(Ranking(lexical, context.settings.bm25_weight, absent=0.0))
    return parts


def judge(
    context: RunContext,
    targets: Sequence[Target],
    candidates: Sequence[ChunkKey],
    question: str,
    known: Sequence[Record],
) -> dict[ChunkKey, float]:
    """The scorer's judgement of each candidate (higher is better); empty when the gate is ``similarity``."""
    method = context.settings.gate
    if method == "similarity":
        return {}
    memories = [_memory(context, targets[position], chunk) for position, chunk in candidates]
    if method == "attention":
        masses = attention_of(context, question, memories)
        return {key: float(mass) for key, mass in zip(candidates, masses, strict=True)}
    scorer = context.caller("scorer")
    if scorer is None:
        return {}
    if method == "likelihood":
        template = load("recall")
        requests = [Request(template, {"memory": [memory]}) for memory in memories]
        requests.append(Request(template, {"memory": ""}))
        values = scorer.log_likelihood(requests, [question] * len(requests))
        return {key: float(value - values[-1]) for key, value in zip(candidates, values[:-1], strict=True)}
    rows = yes_or_no(scorer, question, _known(known), memories)
    return {key: float(row[_YES]) for key, row in zip(candidates, rows, strict=True)}


def yes_or_no(scorer: Caller, question: str, known: Sequence[Piece], memories: Sequence[Piece]) -> Float32Array:
    """Log-probability that each memory helps, and that it does not, less those of an empty one: float32 [n, 2]."""
    template = load("gate")
    shared: dict[str, SlotValue] = {"question": question, "known": [*known, _END_OF_SHARED]}
    requests = [Request(template, {"memory": [memory], **shared}) for memory in memories]
    return scorer.choose(requests, ["A", "B"], null=Request(template, {"memory": "", **shared}))


def combine(
    recalled: Mapping[ChunkKey, float],
    judged: Mapping[ChunkKey, float],
    candidates: Sequence[ChunkKey],
    weight: float,
) -> dict[ChunkKey, float]:
    """Sum of z-scores over the candidates: recall plus ``weight`` times judgement."""
    return add_z_scores([Ranking(recalled), Ranking(judged, weight)], candidates)


def _memory(context: RunContext, target: Target, chunk: int) -> Piece:
    """What the scorer sees of a chunk: its gist, or with raw vectors the head of its text."""
    if target.vectors.kind != "raw":
        record = context.library.records.gists(target.chunking, target.vectors.kind, [chunk])[chunk]
        return Piece(word_limit(record.content, _MEMORY_WORDS), record=record.id)
    span = context.library.chunks.chunk(target.chunking, chunk).span
    text = word_limit(context.library.documents.text_of(span), _MEMORY_WORDS)
    return Piece(text, span=span.model_copy(update={"end": span.start + len(text)}))


def _known(known: Sequence[Record]) -> list[Piece]:
    if not known:
        return []
    pieces = [Piece("Known already: ", trusted=True)]
    left = _KNOWN_WORDS
    for record in known:
        text = word_limit(record.content, left)
        left -= len(text.split())
        pieces += [Piece(text, record=record.id), Piece(" ", trusted=True)]
    return pieces
