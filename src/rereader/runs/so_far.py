"""What a run without an answer has found so far: it is no answer, and is never stored as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rereader.agents.evidence import evidence_of, quote_scores
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.schema import Evidence


@dataclass(frozen=True)
class SoFar:
    """The working memory after the last step that ended.

    Args:
        evidence: Its quotes, in the order of the documents.
        notes: Its prose, the one written longest ago first.
    """

    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.evidence or self.notes)


NOTHING = SoFar()


def so_far(library: Library, run: Run) -> SoFar:
    """What a run has found; calls no model and stores nothing, so that the run goes on as if nobody had looked."""
    steps = library.runs.steps_alone(run.id)
    entries = library.working_memory(run.id).read(steps[-1].memory_version if steps else 0)
    quotes = sorted((entry.record for entry in entries if entry.slot == "quote"), key=lambda one: one.spans[0].start)
    notes = sorted((entry.record for entry in entries if entry.slot == "note"), key=lambda one: (one.step, one.ordinal))
    documents = [library.documents.get(identity) for identity in run.document_ids]
    evidence = evidence_of(library, documents, quotes, steps, quote_scores(steps))
    return SoFar(tuple(evidence), tuple(note.content for note in notes if note.content))


def so_far_fields(run: Run, found: SoFar) -> dict[str, Any]:
    """The same as JSON: an answer's fields as far as there are any, and ``null`` in the place of the answer."""
    return {
        "question": run.question,
        "answer": None,
        "evidence": [evidence.model_dump(mode="json") for evidence in found.evidence],
        "notes": list(found.notes),
        "status": run.status,
        "failure": run.failure,
        "graph": run.graph,
        "models": run.models,
        "run_id": run.id,
        "usage": run.usage.model_dump(mode="json"),
    }
