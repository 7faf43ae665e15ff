"""The gate: which chunks does the reasoner get to read, given the question and what is known already?

Recall is one FAISS search over compressed memories (fused with BM25 unless told otherwise), judged by the gate that the
settings name in one batch. Chunks turned away are judged again in the next wave, when the working memory has changed.
Cf. the Gate of LycheeMemory (arXiv 2602.08382), which scans chunk by chunk. The trained gate needs no recall: it scores
every chunk, and lets in what is above its threshold, as much of it at a time as the settings allow.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rereader.agents.block_maker import compression_of
from rereader.agents.compressor import reads_both
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, TOKENS_PER_WORD, Facts, StageCost, Work, costs
from rereader.agents.gates import KNOWN_WORDS, MEMORY_WORDS, Asked, Gate
from rereader.agents.gates_attention import AttentionGate
from rereader.agents.gates_choose import ChooseGate, yes_or_no
from rereader.agents.gates_likelihood import LikelihoodGate
from rereader.agents.gates_similarity import SimilarityGate
from rereader.agents.gates_trained import TrainedGate
from rereader.agents.gates_waves import let_in
from rereader.agents.ledger import quotes, seeds
from rereader.agents.reranker import attention_work
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import ChunkKey, Query, Target, dense_chunks, lexical_chunks, queries_of
from rereader.agents.waves import waves_due
from rereader.schema import Span
from rereader.tools.ranking import Ranking, add_up, add_z_scores

__all__ = ["add_hops", "combine", "gate", "gate_cost", "gate_named", "recall", "yes_or_no"]

Key = TypeVar("Key")
TRAINED = "trained"
_GATES: Mapping[str, type[Gate]] = {
    "similarity": SimilarityGate,
    "choose": ChooseGate,
    "likelihood": LikelihoodGate,
    "attention": AttentionGate,
    TRAINED: TrainedGate,
}


def gate_named(name: str) -> Gate:
    """The implementation that stands behind a value of the setting ``gate``."""
    return _GATES[name]()


def gate_cost(settings: Any, facts: Facts) -> StageCost:
    """A search for the question in every wave, and a scorer's judgement of each candidate if one is asked for."""
    works = [Work("embed", "embedder", facts.question_tokens), Work("rest", amount=facts.characters)]
    calls = _prompts(settings, facts) if "scorer" in facts.bound else 0
    if calls and settings.judging == "attention":
        works.append(attention_work(facts, settings.candidates * _shown(settings), settings.waves))
    elif calls:
        shown = _shown(settings) + KNOWN_WORDS * TOKENS_PER_WORD + facts.question_tokens + PROMPT_TOKENS
        works.append(Work("score", "scorer", calls * shown, calls=calls))
    return StageCost("gate", tuple(works), turns=settings.waves)


def _shown(settings: Any) -> float:
    """Tokens of a memory that the scorer is shown: its block, or the head of its text."""
    if reads_both(settings):
        return float(settings.chunk_tokens / compression_of(settings).ratio)
    return MEMORY_WORDS * TOKENS_PER_WORD


def _prompts(settings: Any, facts: Facts) -> int:
    """Memories that the scorer judges in all waves."""
    if settings.judging == "similarity":
        return 0
    if settings.judging != TRAINED:
        return int(settings.waves * settings.candidates)
    chunks = sum(document.chunks for document in facts.documents)
    # Adapters judge every chunk once, and again the few that are near the threshold; a head needs no scorer.
    return chunks if settings.trained_gate and Path(settings.trained_gate).is_dir() else 0


@costs(gate_cost)
def gate(state: ReadingState, context: RunContext) -> Outcome:
    """Node: let the most promising chunks in."""
    settings = context.settings
    targets = targets_of(context, settings.memory)
    leads = seeds(state, context)
    asked = Asked(context, targets, state["question"], [record for record, _ in leads])
    if settings.judging == TRAINED:
        accepted, detail = let_in(asked)
        waiting = detail["waiting"]
        if waiting and state.get("wave", 0) + 1 >= waves_due(settings, state):
            context.warn(f"{waiting:,} more chunks lie above the gate's threshold; raise accept or waves to read them.")
        return Outcome({"accepted": [list(key) for key in accepted], "waiting": waiting}, detail)
    held = [record.spans[0] for record in quotes(state, context)]
    recalled = recall(context, targets, queries_of(context, targets, state["question"], leads), held)
    read = {(position, chunk) for position, chunk in state.get("recalled", [])}  # whole, so there is no more in them
    left = [key for key in recalled if key not in read]
    candidates = sorted(left, key=lambda key: (-recalled[key], key))[: settings.candidates]
    judged = gate_named(settings.judging).judge(asked, candidates)
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


def combine(
    recalled: Mapping[ChunkKey, float],
    judged: Mapping[ChunkKey, float],
    candidates: Sequence[ChunkKey],
    weight: float,
) -> dict[ChunkKey, float]:
    """Sum of z-scores over the candidates: recall plus ``weight`` times judgement."""
    return add_z_scores([Ranking(recalled), Ranking(judged, weight)], candidates)
