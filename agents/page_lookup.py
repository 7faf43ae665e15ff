"""The look-up: from the gists and the question the reader says which pages to read again.

After ReadAgent (arXiv 2402.09727, section 3.3): ``parallel`` (ReadAgent-P) names all pages at once, ``sequential``
(ReadAgent-S) one page a turn, which is then shown in place of its gist. Every prompt is a fresh one: no earlier reply
stands in it. ``embedding`` is the paper's ablation, by the gists, and ``hybrid`` ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, TOKENS_PER_WORD, Facts, StageCost, Work, costs
from rereader.agents.gist_memory import LOOKUP_TOKENS, GistMemory, fit, remember, similarities
from rereader.agents.page_gister import GIST_SHARE
from rereader.agents.pages import expected_pages
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, SlotValue, load

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"\d+")
_NONE = re.compile(r"\bnone\b", re.IGNORECASE)
_NUMBER_OR_STOP = re.compile(r"\d+|\bstop\b", re.IGNORECASE)
_DIGITS = 9
_TAG_TOKENS = 5
_EXPECTED = 8
"""Tokens of a look-up's reply that are expected."""


@dataclass(frozen=True)
class Choice:
    """Pages that were named: all numbers in order, those that are read again, and those that cannot be."""

    requested: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()


def memory_tokens(settings: Any, facts: Facts) -> float:
    """Tokens of all gists with their tags, as far as they fit the reader's window."""
    tokens = 0.0
    for document in facts.documents:
        pages = expected_pages(settings, document)
        tokens += min(document.tokens * GIST_SHARE, pages * settings.gist_tokens) + pages * _TAG_TOKENS
    return min(tokens, float(facts.reader_window))


def lookup_cost(settings: Any, facts: Facts) -> StageCost:
    """One call that reads all gists; ``sequential`` at most ``turns`` calls, each with one page more in full."""
    memory = memory_tokens(settings, facts)
    asked = memory + facts.question_tokens + PROMPT_TOKENS
    works: list[Work] = []
    if settings.lookup in ("embedding", "hybrid"):
        works.append(Work("embed", "embedder", facts.embedded(memory + facts.question_tokens)))
    if settings.lookup != "embedding" and "reader" in facts.bound:
        turns = settings.turns if settings.lookup == "sequential" else 1
        pages = settings.max_words * TOKENS_PER_WORD * turns * (turns - 1) / 2
        works.append(Work("generate", "reader", turns * asked + pages, turns * _EXPECTED, turns, turns * LOOKUP_TOKENS))
    return StageCost("lookup", tuple(works), turns=settings.turns if settings.lookup == "sequential" else 1)


def goes_on(settings: Any, state: ReadingState) -> bool:
    """Whether another page may be named: turns are left, and each one so far has named a new page."""
    return bool(settings.lookup == "sequential" and len(state["pages"]) == state["lookups"] < settings.turns)


@costs(lookup_cost)
def look_up(state: ReadingState, context: RunContext) -> Outcome:
    """Node: name pages to read again; with ``lookup=sequential`` one, in a turn."""
    settings, question = context.settings, state["question"]
    reader, before = context.need("reader"), state.get("pages", [])
    memory = remember(context, reader, question)
    if settings.lookup == "embedding":
        choice = _nearest(context, question, memory, settings.pages)
    elif settings.lookup == "sequential":
        choice = _next(context, reader, question, replace(memory, raw=tuple(before)))
    else:
        choice = _several(context, reader, question, memory)
    if settings.lookup == "hybrid":
        nearest = _nearest(context, question, memory, 1).chosen
        choice = replace(choice, chosen=tuple(dict.fromkeys([*choice.chosen, *nearest])))
    pages = {page.number: page for page in memory.pages}
    detail = {
        "pages": [pages[number].place for number in choice.chosen],
        "requested": list(choice.requested),
        "rejected": list(choice.rejected),
        "left_out": memory.left_out,
    }
    return Outcome({"pages": [*before, *choice.chosen], "lookups": state.get("lookups", 0) + 1}, detail)


def _nearest(context: RunContext, question: str, memory: GistMemory, most: int) -> Choice:
    order = np.argsort(-similarities(context, question, memory.pages), kind="stable")[:most]
    return Choice(chosen=tuple(memory.pages[i].number for i in order))


def _several(context: RunContext, reader: Caller, question: str, memory: GistMemory) -> Choice:
    most = context.settings.pages
    slots: dict[str, SlotValue] = {
        "memory": memory.pieces(context, tagged=True),
        "question": question,
        "most": [Piece(str(most), trusted=True)],
    }
    choice = parse_pages(_reply(context, reader, Request(load("lookup_parallel"), slots)), _numbers(memory), most)
    if choice is None:
        context.usage.parse_failures += 1
    return choice or Choice()


def _next(context: RunContext, reader: Caller, question: str, memory: GistMemory) -> Choice:
    def request(held: GistMemory) -> Request:
        read = ", ".join(str(number) for number in memory.raw) or "none"
        pieces = held.pieces(context, tagged=True)
        slots: dict[str, SlotValue] = {"memory": pieces, "question": question, "read": [Piece(read, trusted=True)]}
        return Request(load("lookup_sequential"), slots)

    held = fit(context, reader, memory, request, LOOKUP_TOKENS)
    choice = parse_next(_reply(context, reader, request(held)), _numbers(memory) - set(memory.raw))
    if choice is None:
        context.usage.parse_failures += 1
    return choice or Choice()


def _reply(context: RunContext, reader: Caller, request: Request) -> str:
    sampling = Sampling(max_new_tokens=LOOKUP_TOKENS, seed=context.settings.seed)
    return reader.generate([request], sampling)[0].text


def _numbers(memory: GistMemory) -> set[int]:
    return {page.number for page in memory.pages}


def parse_pages(reply: str, known: Collection[int], most: int) -> Choice | None:
    """The pages that a reply names, in the first brackets or else anywhere; ``None`` if it names none without a word.

    Numbers of no page, repeated ones and those after the first ``most`` are rejected.
    """
    brackets = _BRACKETS.search(reply)
    numbers = [int(found) for found in _NUMBER.findall(brackets[1] if brackets else reply) if len(found) <= _DIGITS]
    if not numbers and not brackets and not _NONE.search(reply):
        return None
    chosen: list[int] = []
    rejected: list[int] = []
    for number in numbers:
        good = number in known and number not in chosen and len(chosen) < most
        (chosen if good else rejected).append(number)
    return Choice(tuple(numbers), tuple(chosen), tuple(rejected))


def parse_next(reply: str, unread: Collection[int]) -> Choice | None:
    """The page that a reply names first, or none if it says STOP before; ``None`` if it does neither."""
    found = _NUMBER_OR_STOP.search(reply)
    if found is None or len(found[0]) > _DIGITS:
        return None
    if not found[0].isdigit():
        return Choice()
    number = int(found[0])
    return Choice((number,), (number,)) if number in unread else Choice((number,), (), (number,))
