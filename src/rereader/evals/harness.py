"""Runs systems over a benchmark: one row per item and system, item by item, so that every prefix is paired."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rereader.evals.environment import describe_environment
from rereader.evals.items import Benchmark, Item, Split
from rereader.evals.rows import ResultsFile, Row, hash_settings
from rereader.evals.runner import Planned, Runner, Session, SessionFactory, result_key
from rereader.evals.suite import System
from rereader.schema import Budget, Progress
from rereader.schema.events import Cancelled, Listener

__all__ = ["Outcome", "Session", "SessionFactory", "run_bench"]


@dataclass(frozen=True)
class Outcome:
    """What a call of :func:`run_bench` did.

    Args:
        path: The results file.
        written: Rows written.
        skipped: Rows found done before.
        failed: Failed calls among those written.
        missing: Rows still to do.
        older: Rows of the same questions and systems that were measured with other settings, data or models.
    """

    path: Path
    written: int
    skipped: int
    failed: int
    missing: int
    older: int = 0


def run_bench(
    benchmark: Benchmark,
    systems: Sequence[System],
    *,
    split: Split,
    seeds: Sequence[int],
    out: Path,
    session_factory: SessionFactory,
    workspace: Path | None = None,
    reader: bool = True,
    budget: Budget = Budget(),  # noqa: B008 - a frozen value
    limit: int | None = None,
    max_seconds: float | None = None,
    progress: Listener | None = None,
    cancel: Cancelled | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Ask every item of every system and append the rows to ``out``.

    Rows that are there with the same settings, defaults among them, the same data and models are not measured again.
    All systems answer an item before the next item begins.

    Args:
        benchmark: Texts and questions.
        systems: What is compared.
        split: Which part of the benchmark.
        seeds: Each seed's items follow those of the one before.
        out: The results file (JSON lines), appended to.
        session_factory: Opens the session on a workspace folder.
        workspace: Folder to keep, so that texts are read in once; by default a temporary one.
        reader: ``False`` measures evidence only: no reader is called, nothing is said of the answers.
        budget: Limits of each question.
        limit: Most items (the first ones).
        max_seconds: After this time no new item begins.
        progress: Told after each row.
        cancel: Asked before each question; ``True`` stops.
        clock: Monotonic clock in seconds; replaced in tests.

    Raises:
        StoreError: If ``out`` cannot be written or is damaged.
        Interrupted: If the session was interrupted; the rows so far are written.
    """
    started = clock()
    chosen = systems if reader else [system.with_settings({"answer": False}) for system in systems]
    items = list(itertools.islice(_items(benchmark, split, seeds), limit))
    with _folder(workspace) as folder, session_factory(folder) as session:
        models = dict(session.fingerprints())
        common = {
            "benchmark": benchmark.name,
            "data": benchmark.facts(),
            "data_hash": benchmark.data_hash(),
            "budget": budget.model_dump(),
            "models": models,
        }
        planned = [_plan(system, session.all_settings(system.graph, system.settings), common) for system in chosen]
        file = ResultsFile(out)
        older = file.older({result_key(item, one, split) for item in items for one in planned})
        todo = _missing(items, planned, split, file)
        total = sum(len(open_systems) for _, open_systems in todo)
        if total:
            file.begin(_environment(planned, common))
        runner = Runner(benchmark, split, session, file, budget, reader)
        for item, open_systems in todo:
            if max_seconds is not None and clock() - started >= max_seconds:
                break
            for one in open_systems:
                if cancel is not None and cancel():
                    break
                runner.measure(item, one)
                if progress is not None:
                    progress(Progress("bench", runner.written, total, runner.tokens, clock() - started))
    skipped = len(items) * len(planned) - total
    return Outcome(out, runner.written, skipped, runner.failed, total - runner.written, older)


def _items(benchmark: Benchmark, split: Split, seeds: Sequence[int]) -> Iterator[Item]:
    for seed in seeds:
        yield from benchmark.items(split, seed)


@contextmanager
def _folder(workspace: Path | None) -> Iterator[Path]:
    if workspace is not None:
        yield workspace
        return
    with tempfile.TemporaryDirectory(prefix="rereader-bench-") as folder:
        yield Path(folder)


def _plan(system: System, settings: Mapping[str, Any], common: Mapping[str, Any]) -> Planned:
    return Planned(system, settings, hash_settings({**common, "graph": system.graph, "settings": settings}))


def _missing(
    items: Sequence[Item], planned: Sequence[Planned], split: Split, file: ResultsFile
) -> list[tuple[Item, list[Planned]]]:
    """For each item that is not done, the systems that have no row yet."""
    todo = ((item, [one for one in planned if result_key(item, one, split) not in file]) for item in items)
    return [(item, open_systems) for item, open_systems in todo if open_systems]


def _environment(planned: Sequence[Planned], common: Mapping[str, Any]) -> Row:
    hashes = {one.system.name: one.settings_hash for one in planned}
    systems = {one.system.name: {"graph": one.system.graph, "settings": dict(one.settings)} for one in planned}
    return {**describe_environment(), **common, "systems": systems, "settings_hash": hash_settings(hashes)}
