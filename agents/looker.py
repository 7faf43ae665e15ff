"""The looker: where do a question's tokens look, in the text and past the evidence so far?

A text longer than the model's window is looked at window by window. Attention in one window sums to one whatever stands
in it; less what an empty question looks at, windows compare.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rereader.agents.attender import NULL
from rereader.agents.calls import Caller
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.ledger import quotes, words_held
from rereader.agents.replay_plan import Plan, evidence_room, plan_of, replay_request, reserve
from rereader.agents.scanner import Sentence, Window, bounds, heads_of, sentences, windows
from rereader.memory.heat import Heat, Hot
from rereader.models.base import Float32Array, Head, TextFile
from rereader.schema import InputError, Record, RecordKind, Span
from rereader.tools.attended import part_masses
from rereader.tools.replay import leading, published_choice

_HOTTEST = 40
"""Sentences whose scores are kept in each round."""


@dataclass(frozen=True)
class Looked:
    """What a question looks at in a window.

    Args:
        window: The window.
        tokens: A score for each token of each sentence.
        masses: A score for each sentence.
    """

    window: Window
    tokens: tuple[Float32Array, ...]
    masses: Float32Array


def attend_cost(settings: Any, facts: Facts) -> StageCost:
    """The text is read once, and in every round the question after the evidence so far."""
    plan = plan_of(settings)
    whole = facts.tokens <= facts.scorer_window - reserve(settings, plan, facts.scorer_window)
    rounds = plan.rounds if whole or settings.rounds else 1
    parts = 1 if whole else -(-facts.tokens // settings.window_tokens)
    asked = facts.question_tokens + PROMPT_TOKENS + evidence_tokens(settings) / 2
    looks = rounds * parts * (1 + plan.calibrated)
    texts = rounds if plan.before or parts > 1 else 1
    return StageCost("attend", (Work("score", "scorer", texts * facts.tokens + looks * asked, calls=looks),))


@costs(attend_cost)
def attend(state: ReadingState, context: RunContext) -> Outcome:
    """Node: one round of looking; what stands out becomes evidence."""
    settings, number = context.settings, state.get("wave", 0) + 1
    plan, scorer = plan_of(settings), white_box_scorer(context)
    heads = _heads(settings, scorer)
    held = quotes(state, context)
    parts = _windows(context, scorer, plan, state["question"])
    _tell_size(context, scorer, parts)
    started, total = time.monotonic(), sum(window.tokens for window in parts)
    looked: list[Looked] = []
    done = 0
    for window in parts:
        context.checkpoint()
        context.progress("attend", started, done, total, done)
        looked.append(_look(context, scorer, heads, plan, window, held, state["question"]))
        done += window.tokens
    context.progress("attend", started, total, total, total)
    chosen = _choose(context, plan, looked, held, number)
    records = [_quote(context, sentence, place) for place, (sentence, _) in enumerate(chosen)]
    best = max([1e-9, *(score for _, score in chosen)])
    scores = {record.id: round(score / best / number, 4) for record, (_, score) in zip(records, chosen, strict=True)}
    _keep_heat(context, scorer, looked, {sentence.span for sentence, _ in chosen}, number)
    version = context.memory.write(state.get("memory_version", 0), [("quote", record) for record in records])
    update = {"memory_version": version, "wave": number, "fresh": len(records), "windows": len(parts)}
    return Outcome(update, {"scores": scores, "windows": len(parts), "heads": [f"{h.layer}-{h.head}" for h in heads]})


def white_box_scorer(context: RunContext) -> Caller:
    """The scorer, whose attention is going to be read.

    Raises:
        InputError: If its attention cannot be read.
        ModelError: If there is none.
    """
    scorer = context.need("scorer")
    if not scorer.model.capabilities.white_box:
        msg = f"The attention of the scorer {scorer.model.name} cannot be read."
        raise InputError(msg, "Choose a local model that transformers runs, with --role scorer=NAME.")
    return scorer


def _heads(settings: Any, scorer: Caller) -> list[Head]:
    if settings.preset != "last-layer":
        return heads_of(scorer.model, settings.heads)
    every = scorer.model.all_heads()
    return [head for head in every if head.layer == every[-1].layer]


def _windows(context: RunContext, scorer: Caller, plan: Plan, question: str) -> list[Window]:
    model, settings = scorer.model, context.settings
    asked = model.count_tokens([question])[0]
    whole = model.context_window - reserve(settings, plan, model.context_window) - asked
    if whole <= 0:
        msg = f"No text fits beside the question and the evidence into the {model.context_window:,} tokens of a window."
        raise InputError(msg, "Lower evidence_words, or choose a scorer with a larger window.")
    return windows(sentences(context, model), whole, min(whole, settings.window_tokens))


def _look(
    context: RunContext,
    scorer: Caller,
    heads: Sequence[Head],
    plan: Plan,
    window: Window,
    held: Sequence[Record],
    question: str,
) -> Looked:
    _, places = window.pieces()
    keep = None if held and plan.before else _keep(context, scorer, window)
    found = scorer.look(replay_request(context, plan, window, held, question), "document", heads, plan.cue, keep)
    tokens = [found.texts[place] for place in places]
    null = None
    if plan.calibrated:
        empty = scorer.look(replay_request(context, plan, window, held, NULL), "document", heads, plan.cue, keep)
        null = [empty.texts[place] for place in places]
    masses = part_masses(_row(tokens), bounds(tokens), None if null is None else _row(null))[0]
    if null is not None:
        tokens = [one - other for one, other in zip(tokens, null, strict=True)]
    return Looked(window, tuple(tokens), masses)


def _keep(context: RunContext, scorer: Caller, window: Window) -> TextFile | None:
    """The file that a window is kept in, if the settings ask for it; its name holds the documents' ids."""
    if context.settings.keep == "no":
        return None
    documents = list(dict.fromkeys(sentence.span.document_id for sentence in window.sentences))
    spans = [(one.span.document_id, one.span.start, one.span.end) for one in window.sentences]
    identity = json.dumps([scorer.model.fingerprint, context.settings.keep, spans])
    path = context.library.kept_text(documents, hashlib.sha256(identity.encode()).hexdigest()[:16])
    return TextFile(path, context.settings.keep)


def _tell_size(context: RunContext, scorer: Caller, parts: Sequence[Window]) -> None:
    """Say what will be kept before it is written, once."""
    files = [(window, _keep(context, scorer, window)) for window in parts]
    tokens = sum(window.tokens for window, file in files if file is not None and not file.path.exists())
    if tokens:
        size = scorer.model.text_bytes(tokens, context.settings.keep) / 1e6
        context.warn(
            f"About {size:,.0f} MB are kept in the workspace for later questions (keep={context.settings.keep})."
        )


def _row(texts: Sequence[Float32Array]) -> Float32Array:
    return np.concatenate(texts)[None]


def _choose(
    context: RunContext, plan: Plan, looked: Sequence[Looked], held: Sequence[Record], number: int
) -> list[tuple[Sentence, float]]:
    """The sentences of this round with their scores, best first."""
    every = [sentence for one in looked for sentence in one.window.sentences]
    masses = [float(mass) for one in looked for mass in one.masses]
    if plan.count:
        tokens = [text for one in looked for text in one.tokens]
        owners = [place for place, text in enumerate(tokens) for _ in text]
        reach = plan.count * max(2, number) if plan.rounds > 1 else plan.count
        texts, known = [sentence.text for sentence in every], [record.content for record in held]
        places = published_choice(np.concatenate(tokens), owners, texts, known, plan.count, reach)
        places = _fitting(context, plan, every, places, held)
    else:
        spans = [record.spans[0] for record in held]
        known_places = {place for place, one in enumerate(every) if any(one.span.overlaps(span) for span in spans)}
        settings = context.settings
        left = settings.evidence_words - words_held(held)
        room = left if number == plan.rounds or len(looked) > 1 else round(left * settings.fill)
        places = leading(masses, [one.words for one in every], known_places, room, settings.stand_out)
    return [(every[place], max(0.0, masses[place])) for place in places if every[place].text.strip()]


def _fitting(
    context: RunContext, plan: Plan, every: Sequence[Sentence], places: Sequence[int], held: Sequence[Record]
) -> list[int]:
    """Those of the published choice that fit the room that was set aside; the publication sets none aside."""
    model = context.need("scorer").model
    left = evidence_room(context.settings, plan, model.context_window)
    left -= sum(model.count_tokens([record.content for record in held]))
    kept: list[int] = []
    for place in places:
        left -= every[place].tokens
        if left < 0:
            context.warn("Some of the evidence was left out: there is no room for it in the window.")
            break
        kept.append(place)
    return kept


def _quote(context: RunContext, sentence: Sentence, ordinal: int) -> Record:
    """A sentence as a quote record: the source slice without the white space around it."""
    text = sentence.text
    start = sentence.span.start + len(text) - len(text.lstrip())
    body = text.strip()
    return Record.create(
        run_id=context.run_id,
        kind=RecordKind.QUOTE,
        content=body,
        agent="looker",
        spans=[sentence.span.model_copy(update={"start": start, "end": start + len(body)})],
        step=context.step,
        ordinal=ordinal,
    )


def _keep_heat(
    context: RunContext, scorer: Caller, looked: Sequence[Looked], taken: Collection[Span], number: int
) -> None:
    """Keep the scores of the sentences that got most, token by token."""
    rows = [
        (float(mass), sentence, tokens)
        for one in looked
        for sentence, tokens, mass in zip(one.window.sentences, one.tokens, one.masses, strict=True)
    ]
    rows.sort(key=lambda row: -row[0])
    hottest = [row for place, row in enumerate(rows) if place < _HOTTEST or row[1].span in taken]
    spans = scorer.model.token_spans([sentence.text for _, sentence, _ in hottest])
    hots = [
        Hot(
            sentence.span,
            round(mass, 6),
            sentence.span in taken,
            tuple((start, end, round(float(s), 6)) for (start, end), s in zip(edges, tokens, strict=True)),
        )
        for (mass, sentence, tokens), edges in zip(hottest, spans, strict=True)
    ]
    heat = Heat(number, len(looked), tuple(hots))
    context.library.records.add([heat.record(context.run_id, context.step, "looker", scorer.model.name)])
