"""What became of a passage of a document in a run: who was shown it, what was made of it, where that is now.

The way of :mod:`rereader.runs.blame`, from the source to the answer. A quote holds a passage to the letter. What prose
kept of it is told by its words, and so approximately: a word is kept as long as a record that was made from the
passage, directly or by way of other records, holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.runs.blame import Blamed, blame
from rereader.runs.knowledge import State, drafting, held_after, pieces_of, sayings, states_of, until_drafted
from rereader.runs.lineage import Made, Prompt, chunks_at, digest_of, made_from
from rereader.schema import Evidence, InputError, Record, RecordKind, Span
from rereader.tools.words import content_words

Form = Literal["text", "kv"]


@dataclass(frozen=True)
class Shown:
    """A prompt that the passage stood in.

    Args:
        step: Number of the step.
        node: Its node.
        role: Whose prompt it was.
        method: What the model was to do.
        form: Whether it stood there as text, or as a block of keys and values.
        characters: How many of its characters did.
    """

    step: int
    node: str
    role: str
    method: str
    form: Form
    characters: int


@dataclass(frozen=True)
class Judged:
    """What a gate made of a chunk that the passage lies in, or that lies in it."""

    step: int
    node: str
    chunk: int
    accepted: bool
    recalled: float | None
    judged: float | None


@dataclass(frozen=True)
class Kept:
    """A content word of the passage, and how long the working memory kept it.

    Args:
        word: The word.
        first: Number of the step that it was known after first; ``None`` if it never was.
        lost: Number of the step that lost it for good; ``None`` if it was known when the answer was drafted, or never.
        held_by: Ids of the records that held it when the answer was drafted.
    """

    word: str
    first: int | None
    lost: int | None
    held_by: tuple[str, ...]


@dataclass(frozen=True)
class Resting:
    """A claim of the answer that rests on the passage.

    Args:
        claim: Its place in the answer, from 0.
        text: What it claims.
        quotes: Places in the answer's evidence of its quotes that share characters with the passage.
        words: Its words that prose made from the passage carried, approximately.
        exact: Whether the answer was written from one of those quotes.
    """

    claim: int
    text: str
    quotes: tuple[int, ...]
    words: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class Passage:
    """A passage in a run.

    Args:
        span: Where it stands.
        text: What it says.
        shown: The prompts that it stood in, in order.
        judged: What gates decided on it, in order.
        made: What was made from it, in the order written; what was made before any question comes first.
        kept: Its content words, each once.
        claims: The claims that rest on it.
        drafted: Number of the step that drafted the answer, if one did. Quotes that it took up were found afterwards.
    """

    span: Span
    text: str
    shown: tuple[Shown, ...]
    judged: tuple[Judged, ...]
    made: tuple[Made, ...]
    kept: tuple[Kept, ...]
    claims: tuple[Resting, ...]
    drafted: int | None

    @property
    def lives_in(self) -> tuple[Made, ...]:
        """The records that held words of it when the answer was drafted."""
        names = {name for one in self.kept for name in one.held_by}
        return tuple(one for one in self.made if one.record.id in names)

    @property
    def lost(self) -> int | None:
        """The step after which no word of it was kept any more; ``None`` if some were, or none ever."""
        if any(one.first is not None and one.lost is None for one in self.kept):
            return None
        return max((one.lost for one in self.kept if one.lost is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        """JSON-plain."""
        told = {"lives_in": [one.record.id for one in self.lives_in], "lost": self.lost}
        return {**to_jsonable_python(self), **told}


def passage(library: Library, run: Run, span: Span) -> Passage:
    """What became of a passage.

    Args:
        library: Holds the run.
        run: The run; it need not have an answer.
        span: Characters of one of its documents.

    Raises:
        InputError: If the run was not asked about the document, or the passage is empty or lies outside of it.
    """
    _check(library, run, span)
    states = states_of(library, run)
    steps = {state.step.number: state.step for state in states}
    prompts = library.runs.slots(run.id)
    made = made_from(library, run, span, states, prompts)
    draft = drafting(states)
    text = library.documents.text_of(span)
    return Passage(
        span=span,
        text=text,
        shown=tuple(_shown(span, steps, prompts, [one.record for one in made])),
        judged=tuple(_judged(library, run, span, steps.values())),
        made=made,
        kept=tuple(_kept(library, span, text, until_drafted(states), made)),
        claims=tuple(_resting(run, span, blame(library, run) if run.answer else (), made)),
        drafted=draft.number if draft else None,
    )


def _check(library: Library, run: Run, span: Span) -> None:
    if span.document_id not in run.document_ids:
        hint = f"It was asked about {', '.join(identity[:12] for identity in run.document_ids)}."
        raise InputError(f"Run {run.id} was not asked about document {span.document_id[:12]}.", hint)
    length = library.documents.get(span.document_id).length
    if not span.start < span.end <= length:
        raise InputError(f"There is no passage {span.start}-{span.end}.", f"The document has {length:,} characters.")


def _shown(span: Span, steps: Mapping[int, Step], prompts: Sequence[Prompt], made: Sequence[Record]) -> Iterator[Shown]:
    blocks = {record.content: record.spans for record in made if record.kind is RecordKind.KV}
    for number, role, method, slots in prompts:
        stood: dict[Form, list[Span]] = {"text": [], "kv": []}
        for piece in pieces_of(slots):
            if "span" in piece:
                document, start, end = piece["span"]
                stood["text"].append(Span(document_id=document, start=start, end=end))
            stood["kv"] += chain.from_iterable(blocks.get(digest_of(name), ()) for name in piece.get("kv", ()))
        for form, places in stood.items():
            if characters := _shared(span, places):
                yield Shown(number, steps[number].node, role, method, form, characters)


def _shared(span: Span, places: Sequence[Span]) -> int:
    """How many characters of a span lie in places that may overlap."""
    count, reached = 0, span.start
    for place in sorted((place for place in places if place.overlaps(span)), key=lambda place: place.start):
        start, end = max(place.start, reached), min(place.end, span.end)
        count += max(0, end - start)
        reached = max(reached, end)
    return count


def _judged(library: Library, run: Run, span: Span, steps: Iterable[Step]) -> Iterator[Judged]:
    _, chunks = chunks_at(library, run, span)
    touched = frozenset(chunks)
    for step in steps:
        for position, chunk, recalled, judged, accepted in step.detail.get("decisions", []):
            if chunk in touched and run.document_ids[position] == span.document_id:
                yield Judged(step.number, step.node, chunk, bool(accepted), recalled, judged)


def _kept(library: Library, span: Span, text: str, written: Sequence[State], made: Sequence[Made]) -> Iterator[Kept]:
    wanted = dict.fromkeys(content_words(text))
    records = {one.record.id: one.record for one in made if one.step is not None}
    inside = [
        State(state.step, {name: slot for name, slot in state.came.items() if name in records}, state.went)
        for state in written
    ]
    said = sayings(inside, records)
    words = {name: _words(library, span, records[name], said[name]) & wanted.keys() for name in said}
    first, lost, before, last = dict[str, int](), dict[str, int](), set[str](), list[str]()
    for step, names in held_after(inside, words):
        held = set[str]().union(*(words[name] for name in names))
        for word in held - before:
            first.setdefault(word, step.number)
            lost.pop(word, None)
        lost |= dict.fromkeys(before - held, step.number)
        before, last = held, list(names)
    for word in wanted:
        yield Kept(word, first.get(word), lost.get(word), tuple(name for name in last if word in words[name]))


def _words(library: Library, span: Span, record: Record, said: str) -> set[str]:
    """The content words that a record holds of a passage; of a quote those of the characters that both share."""
    if record.kind is not RecordKind.QUOTE:
        return set(content_words(said))
    shared = [
        library.documents.slice(span.document_id, max(one.start, span.start), min(one.end, span.end))
        for one in record.spans
        if one.overlaps(span)
    ]
    return {word for text in shared for word in content_words(text)}


def _resting(run: Run, span: Span, found: Sequence[Blamed], made: Sequence[Made]) -> Iterator[Resting]:
    names = {one.record.id for one in made}
    inside = {place for place, one in enumerate(run.answer.evidence if run.answer else ()) if _touches(one, span)}
    for number, one in enumerate(found):
        quotes = tuple(place for place in one.claim.evidence if place in inside)
        words = [word for carried in one.carried if carried.origin.record.id in names for word in carried.words]
        if quotes or words:
            exact = any(quoted.exact for quoted in one.quotes if _touches(quoted.evidence, span))
            yield Resting(number, one.claim.text, quotes, tuple(words), exact)


def _touches(evidence: Evidence, span: Span) -> bool:
    return Span(document_id=evidence.document_id, start=evidence.start, end=evidence.end).overlaps(span)
