"""The reasoner: reads accepted chunks raw, so that names, dates and numbers survive, and quotes what helps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.ledger import add_quotes, numbered, quote, quotes, select, words_held
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import PassageKey, Scored, Target, lexical_passages
from rereader.memory.chunks import Passage
from rereader.models.base import Sampling
from rereader.prompts.loader import load
from rereader.schema import Record
from rereader.tools.ranking import fuse, z_scores

_REPLY_TOKENS = 24
_NUMBER = re.compile(r"\d+")
_NONE = re.compile(r"\s*none\b", re.IGNORECASE)


def reason(state: ReadingState, context: RunContext) -> Outcome:
    """Node: quote the passages of the accepted chunks that help, given what is quoted already."""
    settings = context.settings
    held = quotes(state, context)
    wave = state.get("wave", 0) + 1
    ranked = rank_accepted(state, context, held)
    words = settings.evidence_words - words_held(held)
    if wave < settings.waves:
        words = min(words, round(settings.evidence_words * settings.first_share))
    chosen = select(context, ranked, words)
    detail: dict[str, object] = {"read": state["accepted"], "ranked": len(ranked)}
    if settings.reasoner == "model" and chosen:
        picked = pick(context, state["question"], chosen)
        detail["picked"] = picked
        chosen = [chosen[i] for i in picked] + [c for i, c in enumerate(chosen) if i not in picked]
    version, scores = add_quotes(state, context, chosen, "reasoner")
    update = {"memory_version": version, "wave": wave, "fresh": len(chosen)}
    return Outcome(update, {**detail, "scores": scores})


def rank_accepted(state: ReadingState, context: RunContext, held: Sequence[Record]) -> list[Scored]:
    """Passages of the accepted chunks that are not quoted yet, best first."""
    targets = targets_of(context, context.settings.memory)
    passages = _passages(context, targets, state["accepted"])
    taken = [record.spans[0] for record in held]
    queries = [state["question"], *(record.content for record in held[: context.settings.seeds])]
    scores = score_passages(context, targets, passages, queries)
    found = [
        Scored(targets[key[0]], passage, scores[key])
        for key, passage in passages.items()
        if not any(passage.span.contains(span) for span in taken)
    ]
    return sorted(found, key=lambda s: (-s.score, s.target.position, s.passage.span.start))


def score_passages(
    context: RunContext,
    targets: Sequence[Target],
    passages: Mapping[PassageKey, Passage],
    queries: Sequence[str],
) -> dict[PassageKey, float]:
    """Fused score of each passage: by the first query, plus ``hop_weight`` times the best of the others."""
    keys = list(passages)
    vectors = _vectors(context, passages)
    scored = []
    for query, vector in zip(queries, context.embed.embed(list(queries)), strict=True):
        dense = {key: float(np.max(vectors[key] @ vector)) for key in keys}
        lexical = {key: s for key, s in lexical_passages(context, targets, query).items() if key in passages}
        scored.append(z_scores(fuse([lexical, dense], [1.0, 1.0]), keys))
    hops = scored[1:]
    weight = context.settings.hop_weight
    return {key: scored[0][key] + (weight * max(hop[key] for hop in hops) if hops else 0.0) for key in keys}


def pick(context: RunContext, question: str, chosen: Sequence[tuple[Scored, str]]) -> list[int]:
    """The reader's choice among numbered passages, as indices; all of them when it cannot be parsed."""
    reader = context.need("reader")
    shown = [quote(context, scored, text, "reasoner", i) for i, (scored, text) in enumerate(chosen)]
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


def _vectors(context: RunContext, passages: Mapping[PassageKey, Passage]) -> dict[PassageKey, np.ndarray]:
    """Vectors of passages' windows, float32 [windows, d] each."""
    texts = [context.library.documents.text_of(passage.span) for passage in passages.values()]
    pieces, owners = [], []
    for key, text, windows in zip(passages, texts, context.models.embedder.windows(texts), strict=True):
        for start, end in windows:
            pieces.append(text[start:end])
            owners.append(key)
    matrix = context.embed.embed(pieces)
    rows: dict[PassageKey, list[int]] = {}
    for row, key in enumerate(owners):
        rows.setdefault(key, []).append(row)
    return {key: matrix[found] for key, found in rows.items()}
