"""The finisher: puts the answer together from what is stored. Calls no model, so a spent budget cannot stop it."""

from __future__ import annotations

from collections.abc import Mapping

from rereader.agents.claims import claims_of
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.evidence import evidence_of, quote_scores
from rereader.agents.ledger import in_document_order, quotes
from rereader.agents.notes import notes
from rereader.agents.quoter import quote_sources
from rereader.memory.runs import Step
from rereader.schema import Answer, Record, Span
from rereader.schema.answer import Status

NOT_STATED = "I found no answer to this in the text."


def finish(state: ReadingState, context: RunContext) -> Outcome:
    """Node: the run's answer, which is stored with the step."""
    steps = context.library.runs.steps(context.run_id)
    found = _search(state, context)
    version = found.update.get("memory_version", state.get("memory_version", 0))
    made = assemble({**state, "memory_version": version}, context, steps, found.detail.get("scores", {}))
    detail = {**found.detail, "answer": made.answer, "evidence": len(made.evidence)}
    return Outcome({"status": made.status, **found.update}, detail, made)


def assemble(state: ReadingState, context: RunContext, steps: list[Step], scores: Mapping[str, float]) -> Answer:
    """The answer as stored: verified quotes in document order, claims that name them, the run's cost."""
    run = context.library.runs.get(context.run_id)
    status = _status(state)
    drafted = next((step.detail for step in reversed(steps) if "draft" in step.detail), {})
    found = quotes(state, context)
    evidence = in_document_order(context, found)
    text = str(drafted.get("draft", ""))
    cited = [record for record in evidence if record.id in set(drafted.get("cited", []))]
    if status == "budget_spent" and not text:
        text, cited = _best_so_far(state, context, found)
    declined = status == "declined"
    claims = [] if declined or not text else claims_of(text, cited, evidence)
    return Answer(
        question=state["question"],
        answer=NOT_STATED if declined else text,
        claims=claims,
        evidence=evidence_of(
            context.library, context.documents, evidence, steps, {**quote_scores(steps), **scores}, text
        ),
        declined=declined,
        confidence=drafted.get("confidence"),
        status=status,
        warnings=list(dict.fromkeys(text for step in steps for text in step.detail.get("warnings", []))),
        graph=run.graph,
        models=run.models,
        run_id=context.run_id,
        usage=context.usage,
    )


def _best_so_far(state: ReadingState, context: RunContext, found: list[Record]) -> tuple[str, list[Record]]:
    """What a run whose budget is spent can say: the newest of its notes, else its best quote."""
    held = [record for record in notes(state, context) if record.content]
    if held:
        return held[-1].content, []
    return (" ".join(found[0].content.split()) if found else ""), found[:1]


def _search(state: ReadingState, context: RunContext) -> Outcome:
    """Quotes that a search finds, which costs no model call, where a run whose budget is spent has none."""
    cut = [context.library.chunks.chunking(document.id, context.chunking_key()) for document in context.documents]
    if _status(state) != "budget_spent" or quotes(state, context) or not all(cut):
        return Outcome()
    whole = [Span(document_id=document.id, start=0, end=document.length) for document in context.documents]
    made = quote_sources(state, context, "", whole)
    return Outcome({"memory_version": made.update["memory_version"]}, {"scores": made.detail["scores"]})


def _status(state: ReadingState) -> Status:
    status = state.get("status", "answered")
    return status if status in ("declined", "budget_spent") else "answered"  # type: ignore[return-value]
