"""Finds the parts of a text by their recaps and answers from their raw text and the recap of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rereader.agents.answerer import conclude, parse
from rereader.agents.calls import Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.ledger import in_document_order, listed, quotes
from rereader.agents.quoter import quote_sources
from rereader.agents.recap_tree import ensure_tree, fitting, recap_room
from rereader.agents.recapper import WRITTEN, tagged
from rereader.models.base import Sampling
from rereader.prompts.loader import SlotValue, load
from rereader.schema import Record
from rereader.tools.sentences import sentence_spans


def recall_cost(settings: Any, facts: Facts) -> StageCost:
    """The question's vector and one search; the leaves' vectors are made with the first question."""
    tokens = facts.embedded(facts.tokens / settings.every * WRITTEN * settings.recap_tokens + facts.question_tokens)
    return StageCost("recall", (Work("embed", "embedder", tokens), Work("rest", amount=facts.characters)))


@costs(recall_cost)
def recall(state: ReadingState, context: RunContext) -> Outcome:
    """Node: find the parts that the question is about by their recaps, and quote from their raw text."""
    size = state.get("size", 0)
    leaves = [leaf for document in context.documents for leaf in ensure_tree(context, document, size).levels[0]]
    records = context.library.records.get(leaves)
    scores = leaf_scores(context, state["question"], records)
    best = sorted(range(len(records)), key=lambda i: -scores[i])[: context.settings.leaves]
    places = [records[i].spans[0] for i in sorted(best)]
    made = quote_sources(state, context, "", places)
    if not made.detail["scores"]:  # they were found by what they mean, and share no word with the question
        made = quote_sources(state, context, " ".join(records[i].content for i in best), places)
    told = {"leaves": [[records[i].id, round(float(scores[i]), 4)] for i in best], "scores": made.detail["scores"]}
    return Outcome({"memory_version": made.update["memory_version"]}, told)


def leaf_scores(context: RunContext, question: str, leaves: Sequence[Record]) -> list[float]:
    """How near each recap comes to a question: the cosine of its best sentence; -1 for an empty one."""
    sentences: list[str] = []
    places: list[range] = []
    for leaf in leaves:
        told = [leaf.content[a:b].strip() for a, b in sentence_spans(leaf.content) if leaf.content[a:b].strip()]
        places.append(range(len(sentences), len(sentences) + len(told)))
        sentences += told
    if not sentences:
        return [-1.0] * len(leaves)
    cosines = context.embed.embed(sentences) @ context.embed.embed([question], kind="query")[0]
    return [float(np.max(cosines[place.start : place.stop])) if place else -1.0 for place in places]


def answer_leaves_cost(settings: Any, facts: Facts) -> StageCost:
    """One call on the roots and the quotes."""
    if not settings.answer:
        return StageCost("answer")
    evidence = min(evidence_tokens(settings), facts.tokens)
    recaps = len(facts.documents) * WRITTEN * settings.recap_tokens
    written = min(ANSWER_WRITTEN, settings.max_new_tokens)
    read = evidence + recaps + facts.question_tokens + PROMPT_TOKENS
    embedded = Work("embed", "embedder", facts.embedded(evidence + facts.question_tokens))
    return StageCost("answer", (embedded, Work("generate", "reader", read, written, 1, settings.max_new_tokens)))


@costs(answer_leaves_cost)
def answer_leaves(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer from the root and the quotes of the parts that were read again."""
    settings, found = context.settings, quotes(state, context)
    evidence = in_document_order(context, found)
    if not settings.answer:
        return Outcome({"status": "answered"}, {"draft": "", "cited": []})
    if not evidence:
        return Outcome({"status": "declined"}, {"draft": "", "cited": [], "confidence": 0.0})
    trees = [ensure_tree(context, document, state.get("size", 0)) for document in context.documents]
    roots = context.library.records.get([tree.root for tree in trees])
    room = recap_room(context, state["question"], settings.max_new_tokens, evidence)
    shown = fitting(context, [root for root in roots if root.content], room)
    slots: dict[str, SlotValue] = {
        "earlier": tagged(shown, "Recap of the whole text:\n"),
        "text": listed(evidence),
        "question": state["question"],
    }
    sampling = Sampling(settings.max_new_tokens, stop=("\n",), seed=settings.seed)
    reply = context.need("reader").generate([Request(load("answer_recap"), slots)], sampling)[0]
    return conclude(state, context, parse(reply, evidence, state["question"]), found, evidence)
