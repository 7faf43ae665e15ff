"""The answerer: writes the answer from the ledger, ties each claim to its quotes, and decides whether to decline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rereader.agents.calls import Request
from rereader.agents.confidence import Signals, confidence
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.ledger import in_document_order, numbered, quotes
from rereader.memory.chunks import Chunking
from rereader.models.base import Generation, Sampling
from rereader.prompts.loader import load
from rereader.schema import Record, RecordKind
from rereader.tools.citations import supports
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import content_words

_CITATION = re.compile(r"\s*\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]?|(?<=[.;,:])\s+(\d{1,2})\.?$")
"""Numbers in square brackets, or one that follows the answer's last sentence bare."""
_LEAD = re.compile(r"^\s*(?:answer\s*:|[-*]\s+)\s*", re.IGNORECASE)
_WORDS_EXTRACTED = 40
_BEST = 2
"""Quotes that the question's coverage is measured on: all of them together hold nearly every word."""


@dataclass(frozen=True)
class Draft:
    """An answer's text and the quotes (positions in the ledger's document order) it cites."""

    text: str
    cited: tuple[int, ...]
    logprob: float | None = None


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
        request = Request(load("answer"), {"question": state["question"], "passages": numbered(evidence)})
        sampling = Sampling(max_new_tokens=context.settings.max_new_tokens, stop=("\n",), seed=context.settings.seed)
        draft = parse(reader.generate([request], sampling)[0], evidence, context)
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


def parse(generation: Generation, evidence: Sequence[Record], context: RunContext) -> Draft:
    """Split a reply such as ``Bald Hills [3]`` into text and citations.

    A reply without a valid citation counts as a parse failure; the quotes that carry most of its words are cited then.
    """
    line = _LEAD.sub("", generation.text.strip().split("\n")[0])
    numbers = [int(n) - 1 for groups in _CITATION.findall(line) for n in "".join(groups).split(",")]
    text = _CITATION.sub("", line).strip().strip('"')
    cited = tuple(dict.fromkeys(n for n in numbers if 0 <= n < len(evidence)))
    logprob = float(np.mean(generation.logprobs)) if generation.logprobs else None
    if not cited or not any(supports(text, evidence[n].content) >= 0.5 for n in cited):
        if not cited:
            context.usage.parse_failures += 1
        cited = best_support(text, evidence) or cited
    return Draft(text, cited, logprob)


def best_support(text: str, evidence: Sequence[Record]) -> tuple[int, ...]:
    """The quote that carries most of a text's words, if any carries half of them."""
    if not text or not evidence:
        return ()
    scores = [supports(text, record.content) for record in evidence]
    best = int(np.argmax(scores))
    return (best,) if scores[best] >= 0.5 else ()


def extract(question: str, ranked: Sequence[Record], evidence: Sequence[Record]) -> Draft:
    """An answer without a model: the sentence of the best quote that carries most of the question's words."""
    best = ranked[0]
    sentences = [best.content[start:end] for start, end in sentence_spans(best.content)]
    sentence = max(sentences, key=lambda text: supports(question, text))
    return Draft(" ".join(sentence.split()[:_WORDS_EXTRACTED]), (evidence.index(best),))


def measure(
    question: str, draft: Draft, ranked: Sequence[Record], evidence: Sequence[Record], context: RunContext
) -> Signals:
    """What the confidence is computed from; ``ranked`` are the quotes best first, ``evidence`` in document order."""
    vectors = context.embed.embed([question, *(record.content for record in evidence)])
    cited = [evidence[i].content for i in draft.cited]
    return Signals(
        similarity=float(np.max(vectors[1:] @ vectors[0])),
        coverage=coverage(question, ranked[:_BEST], context),
        support=max((supports(draft.text, text) for text in cited), default=0.0),
        logprob=draft.logprob if draft.logprob is not None else 0.0,
    )


def coverage(question: str, evidence: Sequence[Record], context: RunContext) -> float:
    """Share of the question's content words that the evidence holds, rare words counting more (0 to 1)."""
    document_id = evidence[0].spans[0].document_id
    rarity = {word: _rarity(word, document_id, context) for word in sorted(set(content_words(question)))}
    held = {word for record in evidence for word in content_words(record.content)}
    covered = sum(weight for word, weight in rarity.items() if any(_same_stem(word, other) for other in held))
    total = sum(rarity.values())
    return covered / total if total else 1.0


def _rarity(word: str, document_id: str, context: RunContext) -> float:
    chunking = _chunking(document_id, context)
    count, total = context.library.fulltext.frequency(chunking.id, word)
    return float(np.log((total + 1) / (count + 0.5)))


def _chunking(document_id: str, context: RunContext) -> Chunking:
    found = context.library.chunks.chunking(document_id, f"{context.settings.cut};tokens={context.counter.name}")
    assert found is not None, "evidence comes from a document that is cut"
    return found


def _same_stem(word: str, other: str) -> bool:
    """Whether two words share all but a short ending (lodge, lodges; buyer, buy)."""
    shortest = min(len(word), len(other))
    return word == other or (
        shortest >= 3 and abs(len(word) - len(other)) <= 3 and word[: shortest - 1] == other[: shortest - 1]
    )
