"""The forgetting report of a benchmark: how long each system still knows the facts that it has come to know.

A benchmark knows the right answers and where they stand, and its rows name the runs; the runs are read from the
workspace that ``rereader bench run --workspace`` kept. No model is called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rereader.evals.rows import Row, results
from rereader.memory.library import Library
from rereader.runs.blame import Course, Known, course
from rereader.schema import Span
from rereader.tools.wording import holds, normalise


def courses_of(library: Library, rows: Iterable[Row]) -> dict[str, list[Course]]:
    """What became of the right answers in the runs of each system, from step to step.

    An answer counts as known where its words stand in the memory, or a quote covers a gold span that holds it. Of
    several accepted wordings any will do; where all answers are wanted, each is a fact. Rows without a run or without
    gold spans are left out.

    Args:
        library: The workspace of the benchmark.
        rows: Rows of its results file.

    Raises:
        InputError: If a row names a run that is not in the workspace.
    """
    found = defaultdict[str, list[Course]](list)
    for row in results(rows):
        if row.get("run_id") and row["gold"]:
            found[row["system"]] += _courses(library, row)
    return dict(found)


def _courses(library: Library, row: Row) -> Iterator[Course]:
    run = library.runs.get(row["run_id"])
    named = {f"{row['benchmark']} {key}": key for key, _, _ in row["gold"]}
    keys = {named.get(library.documents.get(identity).title): identity for identity in run.document_ids}
    gold = [Span(document_id=keys[key], start=start, end=end) for key, start, end in row["gold"] if key in keys]
    told = []
    for answer in filter(normalise, row["answers"]):
        spans = [span for span in gold if holds(normalise(library.documents.text_of(span)), normalise(answer))]
        told.append(course(library, run, answer, spans))
    yield from told if row["expects"] == "all" else _any_of(told)


def _any_of(courses: Sequence[Course]) -> Iterator[Course]:
    """Courses of one fact in several wordings as one."""
    if courses:
        steps = zip(*(one.steps for one in courses), strict=True)
        merged = (
            Known(row[0].step, row[0].node, tuple({r: None for one in row for r in one.held_by})) for row in steps
        )
        yield Course(courses[0].fact, tuple(merged))
