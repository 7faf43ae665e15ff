"""The page answerer: answers from the gists with the pages that were looked up in their places.

After ReadAgent (arXiv 2402.09727, section 3.3): order is kept, page numbers are not shown, the prompt is a fresh one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rereader.agents.answerer import answer_cost
from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, TOKENS_PER_WORD, Facts, StageCost, Work, costs
from rereader.agents.gist_memory import GistMemory, fit, most_looked_up, remember
from rereader.agents.page_lookup import memory_tokens
from rereader.agents.quoter import conclude_with_quotes, quote_sources
from rereader.models.base import Sampling
from rereader.prompts.loader import load


def pages_answer_cost(settings: Any, facts: Facts) -> StageCost:
    """All gists are read once with half of the pages that may be looked up; quotes are embedded."""
    cost = answer_cost(settings, facts)
    if "reader" not in facts.bound or not settings.answer:
        return cost
    pages = min(most_looked_up(settings) / 2 * settings.max_words * TOKENS_PER_WORD, facts.tokens)
    read = min(memory_tokens(settings, facts) + pages, facts.reader_window) + facts.question_tokens + PROMPT_TOKENS
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    works = [work for work in cost.works if work.kind != "generate"]
    return StageCost("answer", (*works, Work("generate", "reader", read, written, 1, settings.max_new_tokens)))


@costs(pages_answer_cost)
def answer_from_pages(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the memory with its pages expanded, and quote what carries the answer."""
    settings, question, reader = context.settings, state["question"], context.need("reader")

    def request(held: GistMemory) -> Request:
        return Request(load("answer_pages"), {"memory": held.pieces(context, tagged=False), "question": question})

    memory = replace(remember(context, reader, question), raw=tuple(state.get("pages", [])))
    memory = fit(context, reader, memory, request, settings.max_new_tokens)
    sources = [page.span for page in memory.expanded or memory.pages]
    if settings.answer:
        sampling = Sampling(max_new_tokens=settings.max_new_tokens, stop=("\n",), seed=settings.seed)
        made = conclude_with_quotes(state, context, reader.generate([request(memory)], sampling)[0], sources)
    else:
        made = quote_sources(state, context, question, sources)
    length = sum(document.length for document in context.documents)
    told = {
        "expanded": [page.place for page in memory.expanded],
        "gists": len(memory.pages) - len(memory.expanded),
        "left_out": memory.left_out,
        "compression": round(1 - memory.characters / length, 4),
    }
    return Outcome(made.update, {**told, **made.detail})
