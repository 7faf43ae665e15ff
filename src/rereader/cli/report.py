"""An answer made ready to be shown: numbered footnotes, and every quote with its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rereader.cli.where import where
from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.runs.so_far import NOTHING, SoFar, so_far
from rereader.schema import Answer, Evidence, InputError
from rereader.tools.surroundings import REACH, Surroundings, surroundings


@dataclass(frozen=True)
class Piece:
    """A claim and the numbers of its footnotes; ``gap`` is the text between it and the next one."""

    text: str
    notes: tuple[int, ...]
    gap: str = ""


@dataclass(frozen=True)
class Note:
    """A quote: its number, where it stands, and what stands around it; ``source`` is the document's file."""

    number: int
    evidence: Evidence
    around: Surroundings
    place: str
    source: str = ""


@dataclass(frozen=True)
class Report:
    """A run and its answer. ``cited`` are the quotes that claims rest on, ``others`` the rest, best first.

    Without an answer ``others`` are the quotes found so far, and ``found`` is all that was.
    """

    run: Run
    steps: tuple[Step, ...]
    pieces: tuple[Piece, ...]
    cited: tuple[Note, ...]
    others: tuple[Note, ...]
    found: SoFar = NOTHING

    @property
    def answer(self) -> Answer | None:
        """The run's answer, if it has one."""
        return self.run.answer

    @property
    def ending(self) -> str:
        """How a run without an answer ended, and why if it failed."""
        status = self.run.status.replace("_", " ")
        return f"{status}: {self.run.failure}" if self.run.failure else f"{status}."

    def note(self, number: int) -> Note:
        """The quote of this number.

        Raises:
            InputError: If there is none.
        """
        notes = [*self.cited, *self.others]
        if not 1 <= number <= len(notes):
            hint = f"Its quotes are numbered 1 to {len(notes)}." if notes else f"See 'rereader show {self.run.id}'."
            raise InputError(f"Run {self.run.id} has no quote {number}.", hint)
        return notes[number - 1]


def make_report(library: Library, run: Run, steps: Sequence[Step] = ()) -> Report:
    """Number the quotes of a run as everywhere (:meth:`Answer.quote_order`), and fetch what stands around them."""
    answer = run.answer
    found = so_far(library, run) if answer is None else NOTHING
    cited = answer.cited() if answer else []
    best_first = sorted(found.evidence, key=lambda quote: -(quote.score or 0.0))
    quotes = [answer.evidence[index] for index in answer.quote_order()] if answer else best_first
    sources = {document.id: document.source for document in library.documents.all()}
    notes = [_note(library, number, quote, sources) for number, quote in enumerate(quotes, 1)]
    pieces = _pieces(answer, cited) if answer else []
    return Report(run, tuple(steps), tuple(pieces), tuple(notes[: len(cited)]), tuple(notes[len(cited) :]), found)


def _pieces(answer: Answer, cited: Sequence[int]) -> list[Piece]:
    if not answer.claims:
        return [Piece(answer.answer, ())] if answer.answer else []
    ends = [claim.start for claim in answer.claims[1:]] + [len(answer.answer)]
    return [
        Piece(claim.text, tuple(cited.index(i) + 1 for i in claim.evidence), answer.answer[claim.end : end])
        for claim, end in zip(answer.claims, ends, strict=True)
    ]


def _note(library: Library, number: int, evidence: Evidence, sources: dict[str, str]) -> Note:
    text = library.documents.slice
    first = max(0, evidence.start - REACH)
    earlier = text(evidence.document_id, first, evidence.start)
    later = text(evidence.document_id, evidence.end, evidence.end + REACH)
    around = surroundings(earlier, evidence.quote, later)
    return Note(number, evidence, around, where(evidence), sources.get(evidence.document_id, ""))
