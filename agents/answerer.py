"""The answerer: writes the answer from the ledger, ties each claim to its quotes, and decides whether to decline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rereader.agents.attender import NULL
from rereader.agents.calls import Caller, Request
from rereader.agents.confidence import Signals, confidence
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import ANSWER_WRITTEN, PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.ledger import in_document_order, listed, quotes
from rereader.memory.chunks import Chunking
from rereader.models.base import Generation, Sampling
from rereader.prompts.loader import load
from rereader.schema import Record, RecordKind
from rereader.tools.citations import supports
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import content_words

_LEAD = re.compile(r"^\s*(?:answer\s*:|[-*]\s+)\s*", re.IGNORECASE)
_WORDS_EXTRACTED = 40
_BEST_EXTRACTED = 3
_SHORTEST_STEM = 3
_MOST_CITED = 3
_GAIN = 0.2
"""Share of an answer's words that a further quote must add to be cited."""
_CARRIED = 0.5
"""Share of an answer's words that its quotes must carry to be cited at all."""
_BEST = 2
"""Quotes that the question's coverage is measured on: all of them together hold nearly every word."""


@dataclass(frozen=True)
class Draft:
    """An answer's text and the quotes (positions in the ledger's document order) it cites."""

    text: str
    cited: tuple[int, ...]
    logprob: float | None = None
    lift: float = 0.0


def answer_cost(settings: Any, facts: Facts) -> StageCost:
    """The evidence is read and embedded once; the answer is a phrase."""
    if not settings.answer:
        return StageCost("answer")
    evidence = min(evidence_tokens(settings), facts.tokens)
    works = [Work("embed", "embedder", facts.embedded(evidence + facts.question_tokens))]
    if "reader" in facts.bound:
        read = evidence + facts.question_tokens + PROMPT_TOKENS
        written = min(ANSWER_WRITTEN, settings.max_new_tokens)
        works.append(Work("generate", "reader", read, written, 1, settings.max_new_tokens))
        if settings.null_question:
            works.append(Work("score", "reader", 2 * (read + written), calls=2))
    return StageCost("answer", tuple(works))


@costs(answer_cost)
def answer(state: ReadingState, context: RunContext) -> Outcome:
    """Node: draft an answer from the quotes in the working memory."""
    found = quotes(state, context)
    evidence = in_document_order(context, found)
    if not context.settings.answer:
        return Outcome({"status": "answered"}, {"draft": "", "cited": []})
    if not evidence:
        return Outcome({"status": "declined"}, {"draft": "", "cited": [], "confidence": 0.0})
    reader = context.caller("reader")
    if reader is None:
        draft = extract(state["question"], found, evidence)
    else:
        request = _request(state["question"], evidence)
        sampling = Sampling(max_new_tokens=context.settings.max_new_tokens, stop=("\n",), seed=context.settings.seed)
        draft = parse(reader.generate([request], sampling)[0], evidence, state["question"])
        if context.settings.null_question and draft.text:
            draft = replace(draft, lift=_lift(reader, draft.text, state["question"], evidence))
    return conclude(state, context, draft, found, evidence)


def _request(question: str, evidence: Sequence[Record]) -> Request:
    return Request(load("answer"), {"question": question, "passages": listed(evidence)})


def _lift(reader: Caller, text: str, question: str, evidence: Sequence[Record]) -> float:
    """How much likelier an answer's tokens are after the question than after an empty one: nats a token."""
    requests = [_request(asked, evidence) for asked in (question, NULL)]
    given, null = reader.log_likelihood(requests, [text, text])
    return float(given - null) / max(1, reader.model.count_tokens([text])[0])


def conclude(
    state: ReadingState, context: RunContext, draft: Draft, found: Sequence[Record], evidence: Sequence[Record]
) -> Outcome:
    """Keep a draft and decide whether to decline; ``found`` are quotes best first, ``evidence`` in document order."""
    signals = measure(state["question"], draft, found, evidence, context)
    sure = confidence(signals)
    declined = sure < context.settings.decline_below or not draft.text
    record = Record.create(
        run_id=context.run_id,
        kind=RecordKind.NOTE,
        content=draft.text,
        agent="answerer",
        parents=[evidence[i].id for i in draft.cited],
        step=context.step,
        model=context.models.reader.name if context.models.reader else "extractive",
    )
    version = context.memory.write(state.get("memory_version", 0), [("draft", record)])
    status = "declined" if declined else "answered"
    detail = {"draft": draft.text, "cited": [evidence[i].id for i in draft.cited], "confidence": round(sure, 4)}
    return Outcome({"status": status, "memory_version": version}, {**detail, "signals": signals.rounded()})


def parse(generation: Generation, evidence: Sequence[Record], question: str = "") -> Draft:
    """The first line of a reply, tied to the quotes that carry its words.

    Small models cite at random, so citing is the program's work.
    """
    lines = generation.text.strip().split("\n")
    text = _LEAD.sub("", lines[0]).strip().strip('"')
    logprob = float(np.mean(generation.logprobs)) if generation.logprobs else None
    return Draft(text, carriers(text, evidence, question), logprob)


def carriers(text: str, evidence: Sequence[Record], question: str = "") -> tuple[int, ...]:
    """Positions of at most three quotes that carry a text's words: the best one, then those that add words to it.

    Of quotes that carry as much, the one that holds more of the question's words comes first.
    """
    asked = [supports(question, record.content) for record in evidence]
    cited: list[int] = []
    carried = 0.0
    while text and evidence and len(cited) < _MOST_CITED:
        held = " ".join(evidence[i].content for i in cited)
        gains = [supports(text, f"{held} {record.content}") for record in evidence]
        best = max(range(len(gains)), key=lambda i: (gains[i], asked[i]))
        if gains[best] < carried + _GAIN:
            break
        cited.append(best)
        carried = gains[best]
    return tuple(cited) if carried >= _CARRIED else ()


def extract(question: str, ranked: Sequence[Record], evidence: Sequence[Record]) -> Draft:
    """An answer without a model: of the best quotes' sentences the one that carries most of the question's words."""
    sentences = [
        (record, record.content[start:end].strip())
        for record in ranked[:_BEST_EXTRACTED]
        for start, end in sentence_spans(record.content)
    ]
    told = [(record, text) for record, text in sentences if not text.startswith("#")] or sentences
    best, sentence = max(told, key=lambda found: supports(question, found[1]))
    return Draft(" ".join(sentence.split()[:_WORDS_EXTRACTED]), (evidence.index(best),))


def measure(
    question: str, draft: Draft, ranked: Sequence[Record], evidence: Sequence[Record], context: RunContext
) -> Signals:
    """What the confidence is computed from; ``ranked`` are the quotes best first, ``evidence`` in document order."""
    asked = context.embed.embed([question], kind="query")[0]
    vectors = context.embed.embed([record.content for record in evidence])
    cited = [evidence[i].content for i in draft.cited]
    return Signals(
        similarity=float(np.max(vectors @ asked)),
        coverage=coverage(question, ranked[:_BEST], context),
        support=max((supports(draft.text, text) for text in cited), default=0.0),
        logprob=draft.logprob if draft.logprob is not None else 0.0,
        lift=draft.lift,
    )


def coverage(question: str, evidence: Sequence[Record], context: RunContext) -> float:
    """Share of the question's content words that the evidence holds, rare words counting more (0 to 1)."""
    document_id = evidence[0].spans[0].document_id
    rarity = {word: _rarity(word, document_id, context) for word in sorted(set(content_words(question)))}
    held = {_stem(word) for record in evidence for word in content_words(record.content)}
    covered = sum(weight for word, weight in rarity.items() if _stem(word) in held)
    total = sum(rarity.values())
    return covered / total if total else 1.0


def _rarity(word: str, document_id: str, context: RunContext) -> float:
    chunking = _chunking(document_id, context)
    count, total = context.library.fulltext.frequency(chunking.id, word)
    return float(np.log((total + 1) / (count + 0.5)))


def _chunking(document_id: str, context: RunContext) -> Chunking:
    found = context.library.chunks.chunking(document_id, context.chunking_key())
    assert found is not None, "evidence comes from a document that is cut"
    return found


def _stem(word: str) -> str:
    """A word without its commonest endings (lodges, lodged, lodging -> lodg); names and numbers keep theirs."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word
