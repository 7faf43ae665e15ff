"""What an answer rests on, back to the characters of the source, and what a run knew of a fact from step to step.

Both are read from what the run has stored. A quote that the answer was written from carries its claim exactly: claim,
quote, the step that took it up. A claim that a model wrote from prose of its own is traced by its words, and so
approximately: each word back to the step from which on the memory held it without a break.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.runs.knowledge import (
    Origin,
    State,
    drafting,
    held_after,
    origins_of,
    pieces_of,
    sayings,
    states_of,
    until_drafted,
)
from rereader.schema import Answer, Claim, Evidence, InputError, Record, RecordKind, Span
from rereader.schema.types import USER
from rereader.tools.wording import holds, normalise
from rereader.tools.words import content_words

_PROSE = frozenset({"note", "desk"})
"""Slots of working memory that hold prose."""


class Quoted(NamedTuple):
    """A quote that a claim names.

    Args:
        evidence: The quote.
        origin: The step that took it up.
        exact: Whether the answer was written from it; else it was found for the answer afterwards.
    """

    evidence: Evidence
    origin: Origin
    exact: bool


@dataclass(frozen=True)
class Carried:
    """Words of a claim that came by prose: the first of the unbroken row of memories that held them."""

    words: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True)
class Blamed:
    """A claim and what it rests on.

    Args:
        claim: The claim.
        quotes: The quotes that it names, each with its origin.
        carried: What prose memories carried of it, earliest first.
        loose: Its content words that stand in none of them.
        exact: Whether it is traced by quotes alone, and the answer was written from all of them.
    """

    claim: Claim
    quotes: tuple[Quoted, ...]
    carried: tuple[Carried, ...]
    loose: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class Known:
    """What a run knew of a fact after a step: the records that held it."""

    step: int
    node: str
    held_by: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """A fact from step to step, until the answer was drafted."""

    fact: str
    steps: tuple[Known, ...]

    @property
    def first(self) -> int | None:
        """The step after which it was known first; ``None`` if it never was."""
        return next((known.step for known in self.steps if known.held_by), None)

    @property
    def losses(self) -> tuple[int, ...]:
        """The steps that it was known before and not after."""
        return tuple(after.step for before, after in pairwise(self.steps) if before.held_by and not after.held_by)

    @property
    def known_at_end(self) -> bool:
        """Whether it was known when the answer was about to be drafted; without a draft, after the last step."""
        return bool(self.steps) and bool(self.steps[-1].held_by)

    def as_json(self) -> dict[str, Any]:
        """JSON-plain."""
        told = {"first": self.first, "losses": list(self.losses), "known_at_end": self.known_at_end}
        return {"fact": self.fact, **told, "steps": [asdict(known) for known in self.steps]}


@dataclass(frozen=True)
class _Sources:
    """What claims are traced by.

    Args:
        origins: Where each record of the working memory comes from.
        used: Ids of the quotes that the answer was written from.
        terms: From which step before the draft up to before which each prose was held, by the steps' places.
        last: How many steps there are before the draft.
        words: The content words of each record of prose.
        quoted: The content words of each quote of the answer.
    """

    origins: Mapping[str, Origin]
    used: AbstractSet[str]
    terms: Mapping[str, Sequence[tuple[int, int]]]
    last: int
    words: Mapping[str, AbstractSet[str]]
    quoted: Sequence[AbstractSet[str]]


def blame(library: Library, run: Run) -> tuple[Blamed, ...]:
    """What each claim of a run's answer rests on.

    The answer was written from a quote if the working memory held it before, and a prompt of the step that drafted the
    answer shows just these characters; a quote inside a longer text that was shown was picked out of it afterwards.
    Where no model drafted the answer, it is enough that the quote was held.

    Raises:
        InputError: If the run has no answer.
    """
    if run.answer is None:
        raise InputError(f"Run {run.id} has no answer to trace.", f"See 'rereader show {run.id}'.")
    sources = _sources(library, run, run.answer)
    return tuple(_blamed(run.answer, claim, sources) for claim in run.answer.claims)


def course(library: Library, run: Run, fact: str, spans: Sequence[Span] = ()) -> Course:
    """What a run knew of a fact after each of its steps, up to where the answer was drafted.

    A fact is known if its words stand side by side in a record of the working memory, or a quote covers one of its
    places. The draft of an answer, and what was to be looked up, are no knowledge.

    Args:
        library: Holds the run.
        run: The run.
        fact: The fact's words, for instance the right answer.
        spans: Where it stands in the source.

    Raises:
        InputError: If the fact has no words.
    """
    wanted = normalise(fact)
    if not wanted:
        raise InputError("The fact has no words.", "Name what should be known, for instance the right answer.")
    states = until_drafted(states_of(library, run))
    records = library.records.find(sorted({name for state in states for name in state.came}))
    said = sayings(states, records)
    knowing = {name for name, text in said.items() if _knows(records[name], text, wanted, spans)}
    steps = held_after(states, knowing)
    return Course(fact, tuple(Known(step.number, step.node, tuple(held)) for step, held in steps))


def survival(courses: Sequence[Course]) -> tuple[float, ...]:
    """Share of facts that are still known, without a break, so many steps after they were first known.

    Entry ``k`` is over the facts whose run went on for ``k`` steps at least; facts that were never known do not count.
    """
    rows = []
    for one in courses:
        known = [bool(step.held_by) for step in one.steps]
        if True in known:
            since = known[known.index(True) :]
            unbroken = since.index(False) if False in since else len(since)
            rows.append([place < unbroken for place in range(len(since))])
    longest = max(map(len, rows), default=0)
    return tuple(
        sum(row[place] for row in rows if len(row) > place) / sum(len(row) > place for row in rows)
        for place in range(longest)
    )


def _knows(record: Record, said: str, wanted: Sequence[str], spans: Sequence[Span]) -> bool:
    covers = record.kind is RecordKind.QUOTE and any(one.contains(span) for one in record.spans for span in spans)
    return covers or holds(normalise(said), wanted)


def _sources(library: Library, run: Run, answer: Answer) -> _Sources:
    states = states_of(library, run)
    origins = origins_of(library, states)
    written = until_drafted(states)
    prompts = library.runs.slots(run.id)
    said = sayings(written, {name: origin.record for name, origin in origins.items()})
    shown = {piece["record"] for *_, slots in prompts for piece in pieces_of(slots) if "record" in piece}
    prose = {
        name
        for state in written
        for name, slot in state.came.items()
        if slot in _PROSE and name in said and not (origins[name].record.agent == USER and name not in shown)
    }
    draft = drafting(states)
    return _Sources(
        origins=origins,
        used=_used(answer, written, [slots for step, *_, slots in prompts if draft and step == draft.number]),
        terms=_terms(written, prose),
        last=len(written),
        words={name: frozenset(content_words(said[name])) for name in prose},
        quoted=[frozenset(content_words(one.quote)) for one in answer.evidence],
    )


def _used(answer: Answer, written: Sequence[State], drafted: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ids of the quotes that an answer was written from; ``drafted`` holds the slots of the prompts that drafted it."""
    pieces = [piece for slots in drafted for piece in pieces_of(slots)]
    places = {tuple(piece["span"]) for piece in pieces if "span" in piece}
    records = {piece["record"] for piece in pieces if "record" in piece}
    held = _held_at_last(written, {one.record for one in answer.evidence if one.record is not None})
    return {
        one.record
        for one in answer.evidence
        if one.record is not None
        and one.record in held
        and (not drafted or one.record in records or (one.document_id, one.start, one.end) in places)
    }


def _blamed(answer: Answer, claim: Claim, sources: _Sources) -> Blamed:
    named = [answer.evidence[place] for place in claim.evidence]
    quotes = tuple(
        Quoted(one, sources.origins[one.record], one.record in sources.used)
        for one in named
        if one.record is not None and one.record in sources.origins
    )
    words = list(dict.fromkeys(content_words(claim.text)))
    carried: dict[str, list[str]] = {}
    for word in words:
        if record := _carrier(word, sources):
            carried.setdefault(record, []).append(word)
    held = {word for some in carried.values() for word in some}.union(*(sources.quoted[i] for i in claim.evidence))
    found = [Carried(tuple(some), sources.origins[name]) for name, some in carried.items()]
    return Blamed(
        claim=claim,
        quotes=quotes,
        carried=tuple(sorted(found, key=lambda one: one.origin.step)),
        loose=tuple(word for word in words if word not in held),
        exact=bool(quotes) and all(one.exact for one in quotes) and not found,
    )


def _carrier(word: str, sources: _Sources) -> str | None:
    """The record that began the unbroken row of memories with a word; ``None`` if the last memory has it not."""
    holders = [name for name, held in sources.words.items() if word in held]
    terms = sorted((term, name) for name in holders for term in sources.terms[name])
    began = ended = 0
    for (start, end), _ in terms:
        began, ended = (start if start > ended else began), max(ended, end)
    if not terms or ended < sources.last:
        return None
    first = [name for (start, _), name in terms if start == began]
    return min(first, key=lambda name: (sources.origins[name].step, name))


def _terms(states: Sequence[State], names: Container[str]) -> dict[str, list[tuple[int, int]]]:
    """From which state up to before which other one some records were held; those that were dropped may have more."""
    found = defaultdict[str, list[tuple[int, int]]](list)
    since = dict[str, int]()
    for place, state in enumerate(states):
        for name in since.keys() & state.went:
            found[name].append((since.pop(name), place))
        for name in state.came:
            if name in names:
                since.setdefault(name, place)
    for name, place in since.items():
        found[name].append((place, len(states)))
    return found


def _held_at_last(states: Sequence[State], names: Container[str]) -> set[str]:
    """Those of some records that the last memory holds."""
    held = set[str]()
    for _, slots in held_after(states, names):
        held = set(slots)
    return held
