"""What an answer rests on, back to the characters of the source, and what a run knew of a fact from step to step.

Both are read from what the run has stored. A claim that quotes carry is traced exactly: claim, quotes, the step that
took each one up. A claim that a model wrote from prose of its own is traced by its words, and so approximately: each
word back to the step from which on the memory held it without a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.schema import Claim, Evidence, InputError, Record, RecordKind, Span
from rereader.tools.wording import holds, normalise
from rereader.tools.words import content_words

_NOT_KNOWN = ("draft", "question")
"""Slots of working memory that hold no knowledge: the answer itself, and what was to be looked up."""


@dataclass(frozen=True)
class Origin:
    """Where a record of the working memory comes from.

    Args:
        record: The record; its spans are what of the source it was made from.
        step: Number of the step that took it up.
        node: That step's node.
        lost: Number of the step that dropped it; ``None`` if it was there to the end.
    """

    record: Record
    step: int
    node: str
    lost: int | None


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
        exact: Whether the answer was written from the quotes; if not, they were found for it afterwards.
    """

    claim: Claim
    quotes: tuple[tuple[Evidence, Origin], ...]
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
        """Whether it was known when the run ended."""
        return bool(self.steps) and bool(self.steps[-1].held_by)


@dataclass(frozen=True)
class _State:
    """The working memory after a step: the slot of each record."""

    step: Step
    slots: Mapping[str, str]


def blame(library: Library, run: Run) -> tuple[Blamed, ...]:
    """What each claim of a run's answer rests on.

    Raises:
        InputError: If the run has no answer.
    """
    if run.answer is None:
        raise InputError(f"Run {run.id} has no answer to trace.", f"See 'rereader show {run.id}'.")
    states = list(_states(library, run))
    origins = _origins(library, states)
    written = _until_drafted(states)
    prose = [(state, {name for name, slot in state.slots.items() if slot == "note"}) for state in written]
    exact = not any(names for _, names in prose)
    return tuple(_blamed(run, claim, origins, prose, exact=exact) for claim in run.answer.claims)


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
    states = _until_drafted(list(_states(library, run)))
    names = {name for state in states for name, slot in state.slots.items() if slot not in _NOT_KNOWN}
    knowing = {record.id for record in library.records.get(sorted(names)) if _knows(record, wanted, spans)}
    return Course(
        fact,
        tuple(
            Known(
                state.step.number,
                state.step.node,
                tuple(name for name, slot in state.slots.items() if slot not in _NOT_KNOWN and name in knowing),
            )
            for state in states
        ),
    )


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


def _knows(record: Record, wanted: Sequence[str], spans: Sequence[Span]) -> bool:
    covers = record.kind is RecordKind.QUOTE and any(one.contains(span) for one in record.spans for span in spans)
    return covers or holds(normalise(record.content), wanted)


def _states(library: Library, run: Run) -> Iterator[_State]:
    """The working memory after each step, in order."""
    history = library.working_memory(run.id).history()
    version, slots = 0, dict[str, str]()
    ahead = next(history, None)
    for step in library.runs.steps(run.id):
        while ahead is not None and ahead[0] <= step.memory_version:
            version, slots = ahead
            ahead = next(history, None)
        yield _State(step, slots if version else {})


def _origins(library: Library, states: Sequence[_State]) -> dict[str, Origin]:
    """Who took up each record that the working memory ever held, and who dropped it."""
    taken: dict[str, Step] = {}
    lost: dict[str, int | None] = {}
    before: set[str] = set()
    for state in states:
        for name in state.slots:
            taken.setdefault(name, state.step)
            lost[name] = None
        lost |= dict.fromkeys(before - state.slots.keys(), state.step.number)
        before = set(state.slots)
    return {
        record.id: Origin(record, taken[record.id].number, taken[record.id].node, lost[record.id])
        for record in library.records.get(sorted(taken))
    }


def _until_drafted(states: Sequence[_State]) -> Sequence[_State]:
    """What the answer was written from: the states before its draft. Quotes that are found for it are no knowledge."""
    end = next((place for place, state in enumerate(states) if "draft" in state.step.detail), len(states))
    return states[:end]


def _blamed(
    run: Run,
    claim: Claim,
    origins: Mapping[str, Origin],
    prose: Sequence[tuple[_State, set[str]]],
    *,
    exact: bool,
) -> Blamed:
    assert run.answer is not None
    named = [run.answer.evidence[place] for place in claim.evidence]
    quotes = tuple((one, origins[one.record]) for one in named if one.record is not None and one.record in origins)
    words = list(dict.fromkeys(content_words(claim.text)))
    carried: dict[str, list[str]] = {}
    for word in words:
        if record := _carrier(word, origins, prose):
            carried.setdefault(record, []).append(word)
    held = {word for some in carried.values() for word in some}
    held |= {word for evidence, _ in quotes for word in words if word in content_words(evidence.quote)}
    found = sorted((Carried(tuple(some), origins[name]) for name, some in carried.items()), key=lambda c: c.origin.step)
    return Blamed(claim, quotes, tuple(found), tuple(word for word in words if word not in held), exact)


def _carrier(word: str, origins: Mapping[str, Origin], prose: Sequence[tuple[_State, set[str]]]) -> str | None:
    """The record that began the unbroken row of memories with a word; ``None`` if the last memory has it not."""
    found = None
    for _, names in reversed(prose):
        holding = [name for name in names if word in content_words(origins[name].record.content)]
        if not holding:
            break
        found = min(holding, key=lambda name: origins[name].step)
    return found
