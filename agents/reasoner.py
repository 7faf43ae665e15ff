"""The reasoner: reads accepted chunks raw, so that names, dates and numbers survive, and quotes what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, DocumentFacts, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.gate import add_hops
from rereader.agents.gister import planned_method
from rereader.agents.indexer import RAW
from rereader.agents.ledger import add_quotes, numbered, quote, quotes, seeds, select, slices, words_held
from rereader.agents.reranker import rerank, rerank_works
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import PassageKey, Query, Scored, Target, lexical_passages, queries_of
from rereader.agents.waves import waves_due
from rereader.memory.chunks import Passage
from rereader.models.base import Float32Array, Sampling
from rereader.prompts.loader import load
from rereader.schema import Record
from rereader.tools.ranking import Ranking, add_up

_REPLY_TOKENS = 24
_NUMBER = re.compile(r"\d+")
_NONE = re.compile(r"\s*none\b", re.IGNORECASE)


def reason_cost(settings: Any, facts: Facts) -> StageCost:
    """Ranking the accepted chunks; their passages are embedded if gists are written, and the reader may pick."""
    works = [Work("rest", amount=facts.characters), *rerank_works(settings, facts, settings.waves)]
    if settings.memory != RAW and any(_written(settings, facts, document) for document in facts.documents):
        chunks = min(settings.waves * settings.accept, sum(document.chunks for document in facts.documents))
        works.append(Work("embed", "embedder", facts.embedded(chunks * settings.chunk_tokens)))
    if settings.reasoner == "model" and "reader" in facts.bound:
        shown = evidence_tokens(settings) + settings.waves * (facts.question_tokens + PROMPT_TOKENS)
        most = settings.waves * _REPLY_TOKENS
        works.append(Work("generate", "reader", shown, most / 2, settings.waves, most))
    return StageCost("reason", tuple(works), turns=settings.waves)


def _written(settings: Any, facts: Facts, document: DocumentFacts) -> bool:
    gister = "gister" in facts.bound
    return planned_method(settings, document.tokens, on_cuda=facts.on_cuda, gister=lambda: gister) == "model"


@costs(reason_cost)
def reason(state: ReadingState, context: RunContext) -> Outcome:
    """Node: quote the passages of the accepted chunks that help, given what is quoted already."""
    settings = context.settings
    held = quotes(state, context)
    wave = state.get("wave", 0) + 1
    ranked = rerank(context, state["question"], rank_accepted(state, context, held))
    words = settings.evidence_words - words_held(held)
    if wave < waves_due(settings, state):
        words = round(words * settings.fill)
    chosen = select(context, ranked, words)
    detail: dict[str, object] = {"read": state["accepted"], "ranked": len(ranked)}
    if settings.reasoner == "model" and chosen:
        picked = pick(context, state["question"], chosen)
        detail["picked"] = picked
        chosen = [chosen[i] for i in picked] + [c for i, c in enumerate(chosen) if i not in picked]
    version, scores = add_quotes(state, context, slices(chosen), "reasoner", wave)
    update = {"memory_version": version, "wave": wave, "fresh": len(chosen)}
    return Outcome(update, {**detail, "scores": scores})


def rank_accepted(state: ReadingState, context: RunContext, held: Sequence[Record]) -> list[Scored]:
    """Passages of the accepted chunks that are not quoted yet, best first."""
    targets = targets_of(context, context.settings.memory)
    passages = _passages(context, targets, state["accepted"])
    taken = [record.spans[0] for record in held]
    left = {k: p for k, p in passages.items() if not any(p.span.contains(span) for span in taken)}
    queries = queries_of(context, targets, state["question"], seeds(state, context))
    scores = score_passages(context, targets, left, queries)
    found = [Scored(targets[key[0]], passage, scores[key]) for key, passage in left.items()]
    return sorted(found, key=lambda s: (-s.score, s.target.position, s.passage.span.start))


def score_passages(
    context: RunContext,
    targets: Sequence[Target],
    passages: Mapping[PassageKey, Passage],
    queries: Sequence[Query],
) -> dict[PassageKey, float]:
    """Fused score of each passage: by the first query, plus ``hop_weight`` times the best of the others."""
    keys = list(passages)
    vectors = _vectors(context, targets, passages)
    scored = []
    for query in queries:
        parts = [Ranking(lexical_passages(context, targets, query, passages), context.settings.bm25_weight, absent=0.0)]
        if query.text:
            vector = context.embed.embed([query.text], kind="query")[0]
            parts.append(Ranking({key: float(np.max(rows @ vector)) for key, rows in vectors.items()}))
        scored.append(add_up(parts, keys))
    return add_hops(queries, scored, context.settings.hop_weight)


def pick(context: RunContext, question: str, chosen: Sequence[tuple[Scored, str]]) -> list[int]:
    """The reader's choice among numbered passages, as indices; all of them when it cannot be parsed."""
    reader = context.need("reader")
    shown = [quote(context, span, text, "reasoner", i) for i, (span, text, _) in enumerate(slices(chosen))]
    request = Request(load("reason"), {"question": question, "passages": numbered(shown)})
    reply = reader.generate([request], Sampling(max_new_tokens=_REPLY_TOKENS, stop=("\n",)))[0]
    picked = parse_numbers(reply.text, len(chosen))
    if picked is None:
        context.usage.parse_failures += 1
        return list(range(len(chosen)))
    return picked


def parse_numbers(reply: str, count: int) -> list[int] | None:
    """Indices named in a reply such as ``2, 5``; empty for ``none``; ``None`` if it holds no number in range."""
    numbers = [int(number) - 1 for number in _NUMBER.findall(reply) if len(number) < 6]
    valid = list(dict.fromkeys(number for number in numbers if 0 <= number < count))
    if valid or _NONE.match(reply):
        return valid
    return None


def _passages(
    context: RunContext, targets: Sequence[Target], accepted: Sequence[Sequence[int]]
) -> dict[PassageKey, Passage]:
    found: dict[PassageKey, Passage] = {}
    for target in targets:
        chunks = [chunk for position, chunk in accepted if position == target.position]
        if chunks:
            for passage in context.library.chunks.passages_of(target.chunking, chunks):
                found[target.position, passage.id] = passage
    return found


def _vectors(
    context: RunContext, targets: Sequence[Target], passages: Mapping[PassageKey, Passage]
) -> dict[PassageKey, Float32Array]:
    """Vectors that stand for parts of the passages, float32 [windows, d] each; no passage needs to have any.

    Extracted gists and raw windows are characters of the document and have their vectors in the index; written gists
    are not, so their chunks' passages are embedded here, once.
    """
    found: dict[PassageKey, Float32Array] = {}
    for target in targets:
        mine = {key: passage for key, passage in passages.items() if key[0] == target.position}
        if not mine:
            continue
        if target.vectors.kind.startswith("model:"):
            found |= _embedded(context, mine)
        else:
            found |= _indexed(context, target, mine)
    return found


def _indexed(
    context: RunContext, target: Target, passages: Mapping[PassageKey, Passage]
) -> dict[PassageKey, Float32Array]:
    chunks = sorted({passage.chunk for passage in passages.values()})
    units, matrix = context.library.vectors.of_chunks(target.vectors, chunks)
    rows: dict[PassageKey, list[int]] = {}
    for key, passage in passages.items():
        inside = [i for i, u in enumerate(units) if u.start < passage.span.end and passage.span.start < u.end]
        if inside:
            rows[key] = inside
    return {key: matrix[inside] for key, inside in rows.items()}


def _embedded(context: RunContext, passages: Mapping[PassageKey, Passage]) -> dict[PassageKey, Float32Array]:
    texts = [context.library.documents.text_of(passage.span) for passage in passages.values()]
    pieces: list[str] = []
    rows: dict[PassageKey, list[int]] = {}
    for key, text, windows in zip(passages, texts, context.models.embedder.windows(texts), strict=True):
        for start, end in windows:
            rows.setdefault(key, []).append(len(pieces))
            pieces.append(text[start:end])
    matrix = context.embed.embed(pieces)
    return {key: matrix[inside] for key, inside in rows.items()}
