"""The quoter: finds, after the fact, the passages that carry an answer which was not written from quotes.

Graphs whose memory is prose have no quotes of their own. All of them are given the same ones: passages inside the
places that their answer came from, those first that hold the answer's and the question's words. So a quote says where
the answer can be checked, not what the model looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rereader.agents.answerer import Draft, carriers, conclude, parse
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.ledger import add_quotes, in_document_order, quotes, select, slices, words_held
from rereader.agents.searcher import DEPTH, POWER, Scored, Target
from rereader.models.base import Generation
from rereader.schema import Record, Span
from rereader.tools.words import content_words

Stretch = tuple[int, int]
_SHORT = 500_000
"""Characters of sources whose passages the search is told to keep to; in longer ones few good ones lie elsewhere."""


def conclude_with_quotes(
    state: ReadingState, context: RunContext, reply: Generation, sources: Sequence[Span], *, whole: bool = False
) -> Outcome:
    """Quote what carries a reply, keep it as the draft and decide whether to decline.

    Args:
        state: The state; quotes that are in its working memory count, too.
        context: The run.
        reply: The reader's answer.
        sources: Where the answer came from.
        whole: Whether all of the reply is the answer, not just its first line.
    """
    draft = parse(reply, [])
    if whole:
        draft = replace(draft, text=reply.text.strip())
    version, scores = add_carriers(state, context, draft.text, sources)
    state = {**state, "memory_version": version}
    found = quotes(state, context)
    evidence = in_document_order(context, found)
    if not evidence:
        return _without_quotes(context, draft)
    draft = replace(draft, cited=carriers(draft.text, evidence, state["question"]))
    made = conclude(state, context, draft, found, evidence)
    return Outcome({"memory_version": version, **made.update}, {**made.detail, "scores": scores})


def quote_sources(state: ReadingState, context: RunContext, text: str, sources: Sequence[Span]) -> Outcome:
    """Quote what carries some text, without an answer: to measure what a graph found."""
    version, scores = add_carriers(state, context, text, sources)
    detail = {"draft": "", "cited": [], "scores": scores}
    return Outcome({"status": "answered", "memory_version": version}, detail)


def sources_of(context: RunContext, records: Sequence[Record]) -> list[Span]:
    """Places in the documents that records and what they were made of came from, each once."""
    spans: dict[Span, None] = {}
    seen: set[str] = set()
    waiting = list(records)
    while waiting:
        spans |= dict.fromkeys(span for record in waiting for span in record.spans)
        seen |= {record.id for record in waiting}
        parents = dict.fromkeys(parent for record in waiting for parent in record.parents)
        waiting = context.library.records.get([parent for parent in parents if parent not in seen])
    return list(spans)


def _without_quotes(context: RunContext, draft: Draft) -> Outcome:
    declined = not draft.text or context.settings.decline_below > 0
    detail = {"draft": draft.text, "cited": [], "confidence": 0.0}
    return Outcome({"status": "declined" if declined else "answered"}, detail)


def add_carriers(
    state: ReadingState, context: RunContext, text: str, sources: Sequence[Span], share: float = 1.0, wave: int = 1
) -> tuple[int, dict[str, float]]:
    """Quote the passages of ``sources`` that carry a text or the question.

    Args:
        state: The state; what it has quoted already is not quoted again.
        context: The run.
        text: The text.
        sources: Where it came from.
        share: Share of the evidence words left that is filled.
        wave: Number of the wave that the quotes are found in.

    Returns:
        The new memory version and ``{record id: score}``.
    """
    held = quotes(state, context)
    taken = [record.spans[0] for record in held]
    ranked = rank(context, text, state["question"], sources)
    fresh = [scored for scored in ranked if not any(scored.passage.span.overlaps(span) for span in taken)]
    chosen = select(context, fresh, round((context.settings.evidence_words - words_held(held)) * share))
    return add_quotes(state, context, slices(chosen), "quoter", wave)


def rank(context: RunContext, text: str, question: str, sources: Sequence[Span]) -> list[Scored]:
    """Passages inside ``sources`` that hold words of a text or of the question, best first."""
    wanted = [words for words in (content_words(text), content_words(question)) if words]
    found: list[Scored] = []
    for position, document in enumerate(context.documents):
        stretches = _joined([(span.start, span.end) for span in sources if span.document_id == document.id])
        if stretches:
            found += _rank_one(context, Target(position, ensure_chunks(context, document)), wanted, stretches)
    return sorted(found, key=lambda scored: (-scored.score, scored.target.position, scored.passage.span.start))


def _rank_one(
    context: RunContext, target: Target, wanted: Sequence[Sequence[str]], stretches: Sequence[Stretch]
) -> Iterator[Scored]:
    chunks, library = target.chunking, context.library
    within = None
    if sum(end - start for start, end in stretches) <= _SHORT:
        touched = {c.ordinal for stretch in stretches for c in library.chunks.overlapping(chunks, *stretch)}
        within = [passage.id for passage in library.chunks.passages_of(chunks, sorted(touched))]
    scores: dict[int, float] = {}
    for words in wanted:
        for identity, share in library.fulltext.coverage(chunks.id, words, DEPTH, within):
            scores[identity] = scores.get(identity, 0.0) + share**POWER
    for identity, passage in library.chunks.passages_by_id(chunks, list(scores)).items():
        if _touches(stretches, passage.span):
            yield Scored(target, passage, scores[identity])


def _joined(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches of a text in order, those that touch joined to one."""
    joined: list[Stretch] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _touches(stretches: Sequence[Stretch], span: Span) -> bool:
    """Whether a span shares characters with stretches that are in order and apart."""
    before = bisect_left(stretches, (span.end, 0)) - 1
    return before >= 0 and stretches[before][1] > span.start
