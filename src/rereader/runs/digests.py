"""Documents, runs and steps in few words, for readers at the other end of a wire: other agents above all.

All of it is read from the workspace; no model is called. Long texts and long lists are cut, and say so. What was said
by a program of this machine (failures, settings, models) loses the paths in it; text of documents and models stays
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rereader.graphs.registry import get_graph
from rereader.memory.library import Library
from rereader.memory.runs import Call, Run
from rereader.memory.timeline import Decision
from rereader.runs.fields import seen
from rereader.runs.outline import StepLine, outline
from rereader.runs.timeline import MemoryChange, Moment, moment
from rereader.schema import Answer, InputError, Record, RereaderError, Span
from rereader.schema.wording import counted
from rereader.tools.pathless import pathless, pathless_values
from rereader.tools.word_diff import marked

MOST_CHARACTERS = 20_000
"""Of a document that one call reads."""
MOST_STEPS = 200
"""Of a run that one call lists."""
_LONG = 2_000
"""Characters of a record or a reply that are shown."""
_MOST_ROWS = 100
"""Quotes, records, calls or decisions of one step that are shown."""
_SHOWN_ELSEWHERE = frozenset({"decisions", "log_odds", "scores", "work", "estimate", "considered"})


@dataclass(frozen=True)
class DocumentDigest:
    """A document of the workspace; ``length`` is in characters."""

    id: str
    title: str
    length: int


@dataclass(frozen=True)
class Excerpt:
    """Characters ``[start, end)`` of a document; ``note`` says what of the wish could not be had at once."""

    document_id: str
    title: str
    length: int
    start: int
    end: int
    text: str
    note: str = ""


@dataclass(frozen=True)
class RunDigest:
    """A run and its steps after ``after``; ``note`` says how to get the next ones."""

    run_id: str
    question: str
    graph: str
    status: str
    failure: str
    settings: dict[str, Any]
    models: dict[str, str]
    documents: tuple[DocumentDigest, ...]
    parent: str | None
    forked_at: int | None
    tokens: int
    calls: int
    cached_calls: int
    seconds: float
    answer: str | None
    quotes: int
    steps: tuple[StepLine, ...]
    note: str = ""


@dataclass(frozen=True)
class RecordDigest:
    """A record of the working memory; ``slot`` is what it stands there as."""

    id: str
    slot: str
    kind: str
    agent: str
    step: int
    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Rewritten:
    """A record that took another's place; ``diff`` shows words as ``[-dropped-]`` and ``{+added+}``."""

    record: RecordDigest
    replaced: str
    diff: str


@dataclass(frozen=True)
class CallDigest:
    """A model call: what it cost and what the model replied."""

    role: str
    method: str
    template: str
    prompt_tokens: int
    completion_tokens: int
    cached: bool
    reply: str


@dataclass(frozen=True)
class StepDigest:
    """One step of a run: what it decided, quoted, wrote and asked; ``note`` says which lists were cut."""

    run_id: str
    number: int
    node: str
    seconds: float
    tokens: int
    detail: dict[str, Any]
    entries_before: int
    entries_after: int
    added: tuple[RecordDigest, ...]
    dropped: tuple[RecordDigest, ...]
    rewritten: tuple[Rewritten, ...]
    considered: int
    let_in: tuple[Decision, ...]
    quoted: tuple[RecordDigest, ...]
    calls: tuple[CallDigest, ...]
    note: str = ""


def documents_of(library: Library) -> tuple[DocumentDigest, ...]:
    """Every document of a workspace, oldest first."""
    return tuple(DocumentDigest(one.id, one.title, one.length) for one in library.documents.all())


def excerpt(library: Library, document_id: str, start: int, end: int) -> Excerpt:
    """Characters of a document, at most ``MOST_CHARACTERS`` of them.

    Args:
        library: The workspace.
        document_id: The document's id, a unique beginning of it, or its title.
        start: The first character, from 0.
        end: The character after the last one.

    Raises:
        InputError: If there is no such document, or the span begins outside of it or ends before it begins.
    """
    document = library.documents.get(document_id)
    size = f"{document.title!r} has {document.length:,} characters."
    if not 0 <= start < document.length:
        raise InputError(f"There is no character {start:,}: {size}", "Offsets begin at 0.")
    if end <= start:
        raise InputError(f"The span {start:,}-{end:,} is empty.", "Let 'end' be the character after the last one.")
    last = min(end, document.length, start + MOST_CHARACTERS)
    note = ""
    if end > last:
        note = f"Asked for {start:,}-{end:,}. {size}"
        if last < document.length:
            note += f" One call reads {MOST_CHARACTERS:,}; go on from {last}."
    text = library.documents.slice(document.id, start, last)
    return Excerpt(document.id, document.title, document.length, start, last, text, note)


def safe_answer(answer: Answer, folders: Sequence[Path] = ()) -> Answer:
    """An answer whose models and warnings name no path of this machine."""
    changes = {name: pathless_values(getattr(answer, name), folders) for name in ("models", "warnings")}
    return answer.model_copy(update=changes)


def safe_run(run: Run, folders: Sequence[Path] = ()) -> Run:
    """A run whose failure, models, settings and answer name no path of this machine."""
    return replace(
        run,
        failure=run.failure and pathless(run.failure, folders),
        models=pathless_values(run.models, folders),
        settings=pathless_values(run.settings, folders),
        answer=run.answer and safe_answer(run.answer, folders),
    )


def run_digest(library: Library, run_id: str, after: int = 0, folders: Sequence[Path] = ()) -> RunDigest:
    """A run and at most ``MOST_STEPS`` of its steps, those after step ``after``.

    Args:
        library: The workspace.
        run_id: The run's id, or a unique beginning of it.
        after: The last step that is known already.
        folders: See :func:`rereader.tools.pathless.pathless`.

    Raises:
        InputError: If there is no such run, or ``after`` is below 0.
    """
    if after < 0:
        raise InputError(f"There is no step {after} to go on after.", "Give 0 for all steps.")
    run = safe_run(seen(library, library.runs.get(run_id)), folders)
    steps = outline(library, run, after).steps
    shown = steps[:MOST_STEPS]
    left = len(steps) - len(shown)
    return RunDigest(
        run_id=run.id,
        question=run.question,
        graph=run.graph,
        status=run.status,
        failure=run.failure or "",
        settings=_changed(run),
        models=run.models,
        documents=tuple(one for one in documents_of(library) if one.id in run.document_ids),
        parent=run.parent,
        forked_at=run.forked_at,
        tokens=run.usage.total_tokens,
        calls=run.usage.calls,
        cached_calls=run.usage.cached_calls,
        seconds=round(sum(run.usage.seconds.values()), 3),
        answer=run.answer.answer if run.answer else None,
        quotes=len(run.answer.evidence) if run.answer else 0,
        steps=shown,
        note=f"{counted(left, 'more step')}: go on after {shown[-1].number}." if left else "",
    )


def step_digest(
    library: Library,
    run_id: str,
    number: int,
    graph_folders: Sequence[Path] = (),
    folders: Sequence[Path] = (),
) -> StepDigest:
    """One step of a run.

    Args:
        library: The workspace.
        run_id: The run's id, or a unique beginning of it.
        number: The step.
        graph_folders: Where prompt files of somebody's own graphs lie.
        folders: See :func:`rereader.tools.pathless.pathless`.

    Raises:
        InputError: If there is no such run or step.
    """
    found = moment(library, library.runs.get(run_id), number, graph_folders)
    memory, let_in = found.memory, [one for one in found.decisions if one.accepted]
    detail = {name: value for name, value in found.detail.items() if name not in _SHOWN_ELSEWHERE and value != []}
    return StepDigest(
        run_id=found.run_id,
        number=found.number,
        node=found.node,
        seconds=round(found.seconds, 3),
        tokens=found.usage.total_tokens,
        detail=pathless_values(detail, folders),
        entries_before=memory.before_count,
        entries_after=memory.after_count,
        added=tuple(_record(entry.record, entry.slot) for entry in memory.added[:_MOST_ROWS]),
        dropped=tuple(_record(entry.record, entry.slot) for entry in memory.dropped[:_MOST_ROWS]),
        rewritten=_rewritten(memory),
        considered=len(found.decisions),
        let_in=tuple(let_in[:_MOST_ROWS]),
        quoted=tuple(_record(one.record, "quote") for one in found.evidence[:_MOST_ROWS]),
        calls=tuple(_call(asked.call) for asked in found.calls[:_MOST_ROWS]),
        note=_left_out(found, len(let_in)),
    )


def _changed(run: Run) -> dict[str, Any]:
    """The settings that are not the graph's usual ones; all of them if there is no such graph here any more."""
    try:
        usual = vars(get_graph(run.graph).settings({}))
    except RereaderError:
        return run.settings
    return {name: value for name, value in run.settings.items() if name not in usual or usual[name] != value}


def _record(record: Record, slot: str) -> RecordDigest:
    text = _short(record.content)
    return RecordDigest(record.id, slot, record.kind.value, record.agent, record.step, text, record.spans)


def _rewritten(memory: MemoryChange) -> tuple[Rewritten, ...]:
    return tuple(
        Rewritten(_record(pair.new, pair.slot), pair.old.id, _short(marked(pair.diff)))
        for pair in memory.superseded[:_MOST_ROWS]
    )


def _call(call: Call) -> CallDigest:
    tokens = (call.prompt_tokens, call.completion_tokens)
    return CallDigest(call.role, call.method, call.template, *tokens, call.cached, _short(call.reply))


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}[… {len(text) - _LONG:,} more characters]"


def _left_out(found: Moment, let_in: int) -> str:
    sizes = {
        "added": len(found.memory.added),
        "dropped": len(found.memory.dropped),
        "rewritten": len(found.memory.superseded),
        "let_in": let_in,
        "quoted": len(found.evidence),
        "calls": len(found.calls),
    }
    cut = [f"{name} ({size - _MOST_ROWS:,} more)" for name, size in sizes.items() if size > _MOST_ROWS]
    return f"Cut: {', '.join(cut)}." if cut else ""
