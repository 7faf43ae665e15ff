"""The looker: where do a question's tokens look, in the text and past the evidence so far?

A text longer than the model's window is looked at window by window. Attention in one window sums to one whatever stands
in it; less what an empty question looks at, windows compare.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rereader.agents.attender import NULL, look
from rereader.agents.calls import Caller
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs, evidence_tokens
from rereader.agents.fixing import made_with
from rereader.agents.ledger import add_quotes, quotes, words_held
from rereader.agents.replay_plan import Plan, plan_of, replay_request, reserve, rounds_due
from rereader.agents.scanner import Sentence, Window, heads_of, sentences, white_box_scorer, windows
from rereader.memory.heat import Heat, Hot
from rereader.models.base import Float32Array, Head, TextFile
from rereader.schema import BudgetSpent, InputError, Record, Span
from rereader.tools.replay import leading, published_choice

_HOTTEST = 40
"""Sentences whose scores are kept in each round."""
_AROUND_EVIDENCE = 4
"""Tokens of what stands around a sentence of evidence."""
_MOST_DOCUMENTS = 12
"""Documents that the name of a kept file can hold."""
_SLACK = 32
"""Tokens of what stands around all of it."""


@dataclass(frozen=True)
class Reading:
    """How the windows of a text are looked at.

    Args:
        context: The run.
        scorer: Whose attention is read.
        heads: The heads.
        plan: What the preset asks for.
        whole: Whether the scorer reads through all layers, since it writes after the text as well.
    """

    context: RunContext
    scorer: Caller
    heads: tuple[Head, ...]
    plan: Plan
    whole: bool


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
    parts = 1 if whole else -(-facts.tokens // settings.window_tokens)
    rounds = rounds_due(settings, parts)
    asked = facts.question_tokens + PROMPT_TOKENS + evidence_tokens(settings) / 2
    looks = rounds * parts * (1 + plan.calibrated)
    texts = rounds if plan.before or parts > 1 else 1
    return StageCost("attend", (Work("score", "scorer", texts * facts.tokens + looks * asked, calls=looks),))


@costs(attend_cost)
@made_with("scorer")
def attend(state: ReadingState, context: RunContext) -> Outcome:
    """Node: one round of looking; what stands out becomes evidence."""
    settings, number = context.settings, state.get("wave", 0) + 1
    plan, scorer = plan_of(settings), white_box_scorer(context)
    heads = _heads(settings, scorer)
    held = quotes(state, context)
    parts = _windows(context, scorer, plan, state["question"])
    reading = Reading(context, scorer, tuple(heads), plan, _is_written_after(context, scorer, parts))
    _tell_size(reading, parts)
    looked = _look_through(context, parts, partial(_look, reading, held, state["question"]))
    free = _free_tokens(context, scorer, plan, parts, held, state["question"])
    chosen = _choose(context, looked, held, number, free)
    _keep_heat(context, scorer, looked, {sentence.span for sentence, _ in chosen}, number)
    found = [(sentence.span, sentence.text, score) for sentence, score in chosen]
    version, scores = add_quotes(state, context, found, "looker", number)
    update: dict[str, Any] = {"memory_version": version, "wave": number, "fresh": len(chosen), "windows": len(parts)}
    if len(looked) < len(parts):
        update["status"] = "budget_spent"
    return Outcome(update, {"scores": scores, "windows": len(parts), "heads": [f"{h.layer}-{h.head}" for h in heads]})


def _look_through(context: RunContext, parts: Sequence[Window], look_at: Callable[[Window], Looked]) -> list[Looked]:
    """Look at one window after the other; a spent budget leaves those that were looked at.

    Raises:
        BudgetSpent: If it was spent before the first.
    """
    started, total = time.monotonic(), sum(window.tokens for window in parts)
    looked: list[Looked] = []
    done = 0
    for window in parts:
        context.progress("attend", started, done, total, done)
        try:
            context.checkpoint()
            looked.append(look_at(window))
        except BudgetSpent as error:
            if not looked:
                raise
            context.warn(str(error))
            return looked
        done += window.tokens
    context.progress("attend", started, total, total, total)
    return looked


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


def _is_written_after(context: RunContext, scorer: Caller, parts: Sequence[Window]) -> bool:
    """Whether the model that looks also answers from the text that it looked at, and needs all of its layers then."""
    reader = context.caller("reader")
    return len(parts) == 1 and context.settings.answer and reader is not None and reader.model is scorer.model


def _look(reading: Reading, held: Sequence[Record], question: str, window: Window) -> Looked:
    context, plan = reading.context, reading.plan
    _, places = window.pieces()
    keep = None if held and plan.before else _keep(reading, window)
    asked = replay_request(context, plan, window, held, question)
    empty = replay_request(context, plan, window, held, NULL) if plan.calibrated else None
    heads, whole = reading.heads, reading.whole
    tokens, masses = look(reading.scorer, asked, empty, "document", places, heads, plan.cue, keep, whole=whole)
    return Looked(window, tuple(tokens), masses)


def _keep(reading: Reading, window: Window) -> TextFile | None:
    """The file that a window is kept in, if the settings ask for it; its name holds the documents' ids."""
    context = reading.context
    if context.settings.keep == "no":
        return None
    documents = list(dict.fromkeys(sentence.span.document_id for sentence in window.sentences))
    if len(documents) > _MOST_DOCUMENTS:
        context.warn(f"A window of more than {_MOST_DOCUMENTS} documents is not kept.")
        return None
    spans = [(one.span.document_id, one.span.start, one.span.end) for one in window.sentences]
    depth = None if reading.whole else max(head.layer for head in reading.heads)
    identity = json.dumps([reading.scorer.model.fingerprint, context.settings.keep, depth, spans])
    path = context.library.kept_text(documents, hashlib.sha256(identity.encode()).hexdigest()[:16])
    return TextFile(path, context.settings.keep)


def _tell_size(reading: Reading, parts: Sequence[Window]) -> None:
    """Say what will be kept before it is written, once."""
    context = reading.context
    files = [(window, _keep(reading, window)) for window in parts]
    tokens = sum(window.tokens for window, file in files if file is not None and not file.path.exists())
    if tokens:
        heads = () if reading.whole else reading.heads
        size = reading.scorer.model.text_bytes(tokens, context.settings.keep, heads) / 1e6
        context.warn(
            f"About {size:,.0f} MB are kept in the workspace for later questions (keep={context.settings.keep})."
        )


def _choose(
    context: RunContext, looked: Sequence[Looked], held: Sequence[Record], number: int, free: int
) -> list[tuple[Sentence, float]]:
    """The sentences of this round with their scores, best first, as many as fit ``free`` tokens."""
    settings, plan = context.settings, plan_of(context.settings)
    every = [sentence for one in looked for sentence in one.window.sentences]
    masses = [float(mass) for one in looked for mass in one.masses]
    if plan.count:
        tokens = [text for one in looked for text in one.tokens]
        owners = [place for place, text in enumerate(tokens) for _ in text]
        texts, known = [sentence.text for sentence in every], [record.content for record in held]
        scores, several = np.concatenate(tokens), plan.rounds > 1
        places = published_choice(scores, owners, texts, known, plan.count, replace=several)
    else:
        spans = [record.spans[0] for record in held]
        known_places = {place for place, one in enumerate(every) if any(one.span.overlaps(span) for span in spans)}
        left = settings.evidence_words - words_held(held)
        room = left if number >= rounds_due(settings, len(looked)) else round(left * settings.fill)
        places = leading(masses, [one.words for one in every], known_places, room, settings.stand_out)
    chosen = []
    for place in places:
        free -= every[place].tokens + _AROUND_EVIDENCE
        if free < 0:
            context.warn("Some of the evidence was left out: there is no room for it in the window.")
            break
        chosen.append((every[place], max(0.0, masses[place])))
    return chosen


def _free_tokens(
    context: RunContext, scorer: Caller, plan: Plan, parts: Sequence[Window], held: Sequence[Record], question: str
) -> int:
    """Tokens for more evidence beside the largest window, so that the next prompt fits as well."""
    largest = max(parts, key=lambda window: window.tokens)
    prompt = replay_request(context, plan, largest, held, question).prompt
    used = scorer.model.prompt_tokens([prompt])[0] + context.settings.max_new_tokens + _SLACK
    return int(scorer.model.context_window - used)


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
