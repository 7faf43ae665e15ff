"""Forks: a new run that takes over what its parent did up to a step, changes something, and goes on by itself."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START

from rereader.agents.evidence import quote_scores
from rereader.graphs.registry import get_graph
from rereader.memory.database import translated
from rereader.memory.forks import copy_checkpoints, copy_rows
from rereader.memory.library import Library
from rereader.memory.runs import Run, Step
from rereader.memory.working import Entry
from rereader.runs.changing import check_roles, check_settings
from rereader.runs.editing import Edited, Editor
from rereader.runs.edits import Edit
from rereader.schema import Answer, Budget, InputError, NotThere, Usage
from rereader.schema.usage import total

if TYPE_CHECKING:
    from rereader.runs.session import Session

EDIT = "edit"
"""The node of the step in which a user changed the working memory."""


@dataclass(frozen=True)
class Changes:
    """What a fork does otherwise than its parent.

    Args:
        edits: Of the working memory.
        question: Another question.
        settings: Settings that differ from the parent's.
        budget: Another budget.
    """

    edits: Sequence[Edit] = ()
    question: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget | None = None


@dataclass(frozen=True)
class Point:
    """Where a fork leaves its parent.

    Args:
        run: The parent.
        step: The last step that is taken over; 0 is the beginning.
        steps: The steps up to it.
        checkpoint: Id of LangGraph's checkpoint after it.
        state: The graph's state then.
        open_step: The last step up to here after which the answer was not decided yet.
    """

    run: Run
    step: int
    steps: tuple[Step, ...]
    checkpoint: str
    state: Mapping[str, Any]
    open_step: int

    @property
    def version(self) -> int:
        """The version of the working memory."""
        return int(self.state.get("memory_version", 0))


@dataclass(frozen=True)
class Plan:
    """A fork that can be made.

    Args:
        id: Its id.
        point: Where it leaves its parent.
        question: Its question.
        settings: Those of its graph.
        models: Their names by role.
        budget: Its budget; what was taken over counts.
        edited: What changes in the working memory.
        moves: Whether the way on is to be chosen anew.
    """

    id: str
    point: Point
    question: str
    settings: Any
    models: dict[str, str]
    budget: Budget
    edited: Edited
    moves: bool


@dataclass(frozen=True)
class Comparison:
    """A fork beside its parent.

    Args:
        parent: Id of the parent.
        step: The step it was forked at.
        before: The parent's answer, if it has one.
        after: The fork's.
        calls: Model calls after the step.
        cached_calls: How many of them were not made, since their replies were kept.
        unseen: Ids of records that the user wrote and that no model was shown and no quote came from.
    """

    parent: str
    step: int
    before: Answer | None
    after: Answer
    calls: int
    cached_calls: int
    unseen: tuple[str, ...] = ()

    @property
    def same(self) -> bool | None:
        """Whether answer and status are the parent's; ``None`` if it has no answer."""
        if self.before is None:
            return None
        return (self.before.answer, self.before.status) == (self.after.answer, self.after.status)

    def as_json(self) -> dict[str, Any]:
        """JSON-plain."""
        return {
            "parent": self.parent,
            "step": self.step,
            "parent_answer": self.before.answer if self.before else None,
            "same": self.same,
            "calls": self.calls,
            "cached_calls": self.cached_calls,
            "unseen": list(self.unseen),
        }


def find_point(library: Library, run_id: str, step: int) -> Point:
    """Where a run can be forked after one of its steps; nothing is written.

    Raises:
        InputError: If there is no such run, it has no such step, or never came to its end.
    """
    run = library.runs.get(run_id)
    _check_step(library, run, step)
    steps = library.runs.steps_alone(run.id)
    states = _states(library.checkpoint_path(run.id))
    found = next((one for one in states if one[1].get("step") == step), None)
    if found is None:
        hint = f"Go on with it first: rereader runs resume {run.id}"
        raise InputError(f"Nothing is kept of run {run.id} after step {step}.", hint)
    decided = [values["step"] for _, values in states if values.get("status")]
    is_open = min([step, *(number - 1 for number in decided)])
    taken = tuple(one for one in steps if one.number <= step)
    return Point(run, step, taken, found[0], found[1], max(0, is_open))


def memory_at(library: Library, run_id: str, step: int) -> list[Entry]:
    """The working memory of a run after a step.

    Raises:
        InputError: If there is no such run, or it has no such step.
    """
    run = library.runs.get(run_id)
    _check_step(library, run, step)
    return library.working_memory(run.id).read(library.runs.memory_version(run.id, step))


def check_edits(library: Library, run_id: str, step: int, edits: Sequence[Edit]) -> None:
    """Refuse edits that a fork could not begin with, before any model is loaded for it; nothing is written.

    Raises:
        InputError: If there is no such run, it cannot be forked after the step, or an edit makes no sense there.
    """
    point = find_point(library, run_id, step)
    edited = _edited(library, point.run.id, point, edits)
    _check_open(point, changed=bool(edited.told))


def fork_budget(parent: Run, given: Budget | None) -> Budget | None:
    """The limits that are given, and for the others those of the run that is forked; ``None`` if none is given."""
    limits = given.model_dump(exclude_none=True) if given else {}
    return parent.budget.model_copy(update=limits) if limits else None


def plan_fork(session: Session, point: Point, changes: Changes) -> Plan:
    """Look whether all can change that is to change; nothing is made yet.

    Raises:
        InputError: If something cannot.
    """
    library, parent = session.library, point.run
    graph = get_graph(parent.graph)
    before = graph.settings(graph.still_known(parent.settings))
    after = graph.settings({**graph.still_known(parent.settings), **changes.settings})
    models = session.models.describe()
    question = changes.question if changes.question is not None else parent.question
    session.check_question(question)
    session.check_models(after)
    check_settings(graph, before, after, point.steps)
    check_roles(graph, before, parent.models, models, point.steps)
    _check_cut(point, f"{after.cut};tokens={session.counter.name}")
    moved = question != parent.question or before != after
    # A fork's steps up to where it left its own parent were taken with that one's question and settings.
    took_over = parent.forked_at is not None and point.step <= parent.forked_at
    stale = took_over or question != point.state.get("question")
    fork_id = secrets.token_hex(6)
    edited = _edited(library, fork_id, point, changes.edits)
    _check_open(point, changed=bool(moved or edited.told or changes.budget or models != parent.models))
    moves = bool(moved or edited.told or (stale and not point.state.get("status")))
    return Plan(fork_id, point, question, after, models, changes.budget or parent.budget, edited, moves)


def make_fork(library: Library, plan: Plan) -> Run:
    """Make a fork, which is a run like any other that was interrupted: going on with it is the caller's.

    Its checkpoints are there before its row is. Whoever makes it holds its lock: nobody takes them for leftovers then.
    One that begins after the last step of a finished run without a change has its answer already.

    Raises:
        NotThere: If its parent is gone meanwhile.
        StoreError: If it cannot be written. Nothing is left behind then.
    """
    point, parent, path = plan.point, plan.point.run, library.checkpoint_path(plan.id)
    try:
        copy_checkpoints(library.checkpoint_path(parent.id), path, plan.id, point.checkpoint)
        with library.database.transaction():
            library.runs.get(parent.id)  # whoever tidies up may have taken it since
            library.runs.create(
                plan.id,
                question=plan.question,
                graph=parent.graph,
                settings=asdict(plan.settings),
                models=plan.models,
                budget=plan.budget,
                document_ids=parent.document_ids,
                parent=parent.id,
                forked_at=point.step,
                status="interrupted",
            )
            usage = total(step.usage for step in point.steps)
            taken = {"step": point.step, "version": point.version}
            copy_rows(library.database, parent.id, plan.id, usage=usage, **taken)
            values = {"question": plan.question, **_write_edits(library, plan.id, point, plan.edited, usage)}
            if plan.moves:
                _move(path, get_graph(parent.graph).build(plan.settings), plan.id, values, point.steps)
            _close(library, plan.id, point)
    except BaseException:
        for leftover in library.files_of(plan.id):
            leftover.unlink()
        raise
    return library.runs.get(plan.id)


def compare_with_parent(library: Library, fork: Run) -> Comparison:
    """A finished fork beside its parent.

    Raises:
        InputError: If the run is no fork, or has no answer.
    """
    if fork.parent is None or fork.forked_at is None or fork.answer is None:
        raise InputError(f"Run {fork.id} is no finished fork.", "See 'rereader runs tree'.")
    steps = [step for step in library.runs.steps(fork.id) if step.number > fork.forked_at]
    usage = total(step.usage for step in steps)
    parent = library.runs.get(fork.parent)
    unseen = _unseen(steps, fork.answer)
    return Comparison(
        parent.id, fork.forked_at, parent.answer, fork.answer, usage.calls, usage.cached_calls, tuple(unseen)
    )


def decides(step: Step) -> bool:
    """Whether the answer is decided in a step: a fork with a change leaves its parent before it."""
    return step.node == "finish" or "draft" in step.detail or "stopped" in step.detail


def _check_step(library: Library, run: Run, step: int) -> None:
    """Whether a run has a step; 0 is its beginning."""
    numbers = library.runs.step_numbers(run.id)
    if step != 0 and step not in numbers:
        last = numbers[-1] if numbers else 0
        hint = f"Its last one is {last}; 'rereader show {run.id}' lists them, 0 is the beginning."
        raise NotThere(f"Run {run.id} has no step {step}.", hint)


def _states(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Ids and states of a run's checkpoints, newest first."""
    if not path.exists():
        return []
    with translated(path), closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        found = SqliteSaver(connection).list(None)
        return [(one.checkpoint["id"], one.checkpoint["channel_values"]) for one in found]


def _check_cut(point: Point, cut: str) -> None:
    """What was cut by one tokenizer cannot be gone on with by the counts of another."""
    for step in point.steps:
        made = step.detail.get("cut")
        if made and made != cut:
            msg = f"The documents were cut in another way in step {step.number} ({made}, not {cut})."
            raise InputError(msg, f"Fork at --step {step.number - 1}, or count tokens as the run did.")


def _check_open(point: Point, *, changed: bool) -> None:
    """A change after the answer was decided would change nothing of it."""
    if changed and point.state.get("status"):
        msg = f"After step {point.step} the run's answer is decided, and a change comes too late."
        raise InputError(msg, f"Fork at --step {point.open_step} or before.")


def _edited(library: Library, fork_id: str, point: Point, edits: Sequence[Edit]) -> Edited:
    run = point.run
    held = library.working_memory(run.id).read(point.version)
    documents = [library.documents.get(identity) for identity in run.document_ids]
    scores = quote_scores(point.steps)
    return Editor(library, fork_id, run.graph, documents, point.step, held, scores).apply(edits)


def _write_edits(library: Library, fork_id: str, point: Point, edited: Edited, usage: Usage) -> dict[str, int]:
    """Write edits as a step of the fork's own; returns what they change in the state."""
    if not edited.told:
        return {}
    version = library.working_memory(fork_id).write(
        point.version, edited.added, edited.dropped, pinned=edited.pinned, unpinned=edited.unpinned
    )
    detail = {"edits": edited.told, "scores": edited.scores, "warnings": [], "work": []}
    step = Step(point.step + 1, EDIT, time.time(), 0.0, version, detail, Usage())
    library.runs.add_step(fork_id, step, usage)
    return {"step": step.number, "memory_version": version}


def _move(path: Path, graph: Any, fork_id: str, values: Mapping[str, Any], steps: Sequence[Step]) -> None:
    """Change the state of the fork as its last node would have; the way on is chosen anew."""
    node = next((step.node for step in reversed(steps) if not _is_edit(step)), START)
    with translated(path), closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        compiled = graph.compile(checkpointer=SqliteSaver(connection))
        compiled.update_state({"configurable": {"thread_id": fork_id}}, dict(values), as_node=node)


def _is_edit(step: Step) -> bool:
    """Whether a user changed the memory in a step; a graph may have a node of this name, too."""
    return step.node == EDIT and "edits" in step.detail


def _close(library: Library, fork_id: str, point: Point) -> None:
    """A fork after the last step has nothing left to do."""
    answer = point.run.answer
    if answer is not None and point.steps and point.steps[-1].node == "finish":
        made = answer.model_copy(update={"run_id": fork_id})
        library.runs.update(fork_id, status=made.status, answer=made)


def _unseen(steps: Sequence[Step], answer: Answer) -> list[str]:
    """What the user wrote and no prompt, no evidence and no later edit shows."""
    edits = [edit for step in steps if _is_edit(step) for edit in step.detail["edits"]]
    made = [edit["made"] for edit in edits if edit["kind"] in ("edit", "add")]
    shown = {
        piece["record"]
        for step in steps
        for call in step.calls
        for pieces in call.slots.values()
        for piece in pieces
        if "record" in piece
    }
    quoted = {evidence.record for evidence in answer.evidence}
    return [identity for identity in dict.fromkeys(made) if identity not in shown | quoted]
