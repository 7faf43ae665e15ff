"""The end of a recursive run: the root model's answer with its quotes, or map and reduce where it gave none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rereader.agents.authors import SUBREADER
from rereader.agents.coder import close_sandbox
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.desk import DOC, desk_of
from rereader.agents.quoter import conclude_with_quotes, quote_sources
from rereader.agents.recursion import ANSWERED, NOTE_WRITTEN, bench_of, best_so_far
from rereader.agents.sources import places_of
from rereader.agents.subreader import Bench, fits, found_in, generate, grouped, reduce_request
from rereader.agents.views import chunks_in, matching
from rereader.models.base import Generation
from rereader.schema import Span


def finish_cost(settings: Any, facts: Facts) -> StageCost:
    """Quotes are embedded; the fallback makes ``fallback_parts`` calls and one more, if it comes to that."""
    works = [Work("embed", "embedder", facts.embedded(evidence_tokens(settings) + facts.question_tokens))]
    if "reader" in facts.bound:
        parts = settings.fallback_parts
        read = parts * (settings.chunk_tokens + 2 * PROMPT_TOKENS) + parts * NOTE_WRITTEN
        most = parts * settings.sub_tokens + settings.max_new_tokens
        works.append(Work("generate", "reader", read / 2, parts * NOTE_WRITTEN / 2 + ANSWER_WRITTEN, parts + 1, most))
    return StageCost("answer", tuple(works))


@costs(finish_cost)
@best_so_far
def finish_recursion(state: ReadingState, context: RunContext) -> Outcome:
    """Node: quote what carries the answer; without one, map the question over parts found by search and reduce."""
    close_sandbox(context)
    bench = bench_of(state, context)
    answered = state["ending"] == ANSWERED
    asked: Sequence[Span] = ()
    if answered:
        reply = Generation(bench.desk.answer, (), "stop", 0)
    else:
        context.warn(f"The recursive run ended with {state['ending']}; parts found by search were asked instead.")
        asked = likely_parts(bench)
        reply = map_reduce(bench, asked)
    version = context.memory.write(state.get("memory_version", 0), [("desk", record) for record in bench.records])
    state = {**state, "memory_version": version}
    places = [*places_of(context, desk_of(state, context)), *asked]
    if context.settings.answer:
        made = conclude_with_quotes(state, context, reply, places, whole=answered)
    else:
        made = quote_sources(state, context, reply.text, places)
    detail = {**made.detail, "fallback": "" if answered else state["ending"]}
    return Outcome({"memory_version": version, **made.update}, detail)


def map_reduce(bench: Bench, asked: Sequence[Span]) -> Generation:
    """The question asked of parts, then of all notes together; an empty reply if there are none."""
    context, question = bench.context, bench.question
    parts = [span for span in asked if fits(context, [span], question)]
    replies = found_in(context, [[span] for span in parts], question)
    notes = list(bench.desk.notes)
    for span, reply in zip(parts, replies, strict=True):
        if reply:
            notes.append(bench.keep(reply, SUBREADER, [span]))
    if not notes:
        return Generation("", (), "stop", 0)
    newest = grouped(context, notes[::-1], question)[0][::-1]
    if len(newest) < len(notes):
        context.warn(f"Of {len(notes)} notes the last {len(newest)} were read; more do not fit the window.")
    return generate(context, [reduce_request(newest, question)], tokens=context.settings.max_new_tokens)[0]


def likely_parts(bench: Bench) -> Sequence[Span]:
    """Chunks that hold the question's words, best first; evenly spread ones where none does."""
    context, most = bench.context, bench.context.settings.fallback_parts
    doc = bench.desk.variables[DOC]
    found: dict[Span, None] = {}
    for scored in matching(context, doc, bench.question):
        found |= {chunk.span: None for chunk in chunks_in(context, scored.passage.span)[:1]}
        if len(found) == most:
            break
    if not found:
        chunks = [chunk.span for span in doc.spans for chunk in chunks_in(context, span)]
        found = dict.fromkeys(chunks[i * len(chunks) // most] for i in range(most)) if chunks else {}
    return list(found)
