"""Markdown tables made from raw rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rereader.evals.cells import table
from rereader.evals.cost_table import cost_table
from rereader.evals.gate_table import gate_table
from rereader.evals.memory_table import memory_kinds, memory_table
from rereader.evals.ranking_table import RANKED, masked, rankings
from rereader.evals.result_table import ResultTables
from rereader.evals.rows import Row, RowKey, read_rows, results, row_key
from rereader.schema.errors import InputError


def render(
    paths: Sequence[Path],
    baseline: str = "bm25",
    *,
    brief: bool = False,
    systems: Sequence[str] = (),
    root: Path | None = None,
) -> str:
    """The tables of results files: for each benchmark and split a summary, each score by kind, and differences.

    Args:
        paths: Results files.
        baseline: The system that the others are compared with, item by item.
        brief: Only the main score by kind, and the difference over all kinds.
        systems: Only these systems, in this order; all of them by default.
        root: The folder that shown paths begin at.

    Raises:
        InputError: If the files hold no result.
        StoreError: If a file cannot be read.
    """
    found = chosen_rows(paths, systems)
    parts = [_tables(name, mine, baseline, brief) for name, mine in by_set(found).items()]
    return "\n\n".join([*parts, sources(paths, root)])


def chosen_rows(paths: Sequence[Path], systems: Sequence[str] = ()) -> list[Row]:
    """The results of files, of the named systems in their order.

    Raises:
        InputError: If there is none, or two files measured a system with different settings, data or models.
        StoreError: If a file cannot be read.
    """
    found = _agreeing({path: results(read_rows(path)) for path in paths}, systems)
    if systems:
        found = [row for name in systems for row in found if row["system"] == name]
    if not found:
        raise InputError("The files hold no results.", "`rereader bench run SUITE` writes some.")
    return found


def _agreeing(files: Mapping[Path, Sequence[Row]], systems: Sequence[str]) -> list[Row]:
    """The rows of files, the last one of each key, of which no two measured a system with different settings."""
    found: dict[RowKey, Row] = {}
    measured: dict[tuple[str, str, str], tuple[str, Path]] = {}
    for path, rows in files.items():
        for row in rows:
            if systems and row["system"] not in systems:
                continue
            key = (row["benchmark"], row["split"], row["system"])
            settings, other = measured.setdefault(key, (row["settings_hash"], path))
            if settings != row["settings_hash"]:
                msg = f"{row['system']} was measured with other settings, data or models in {other} than in {path}."
                raise InputError(msg, "Report the files one by one, or name the --systems to take from them.")
            found[row_key(row)] = row
    return list(found.values())


def by_set(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by benchmark and split, each set in its rows' order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['benchmark']}, {row['split']}", []).append(row)
    return found


def sources(paths: Iterable[Path], root: Path | None = None) -> str:
    """One line for each file: its name, commits, machine and models."""
    return "\n".join(_source(path, path.relative_to(root) if root else path) for path in paths)


def _tables(name: str, rows: Sequence[Row], baseline: str, brief: bool) -> str:
    """The tables of one benchmark and split; which ones depends on what its rows tell."""
    if RANKED in rows[0]:
        return rankings(name, rows, baseline, brief=brief)
    if "gold_ranks" in rows[0]:
        return _headed(name, table(*gate_table(rows)))
    if "places" in rows[0]:
        return _headed(name, *_memories(rows))
    if "logprob" in rows[0]:
        return _headed(name, table(*masked(rows)))
    if "parts" in rows[0]:
        return _headed(name, table(*cost_table(rows)))
    made = ResultTables(rows, baseline)
    return made.brief() if brief else made.render(name)


def _headed(name: str, *tables: str) -> str:
    return "\n\n".join([f"**{name}**", *tables])


def _memories(rows: Sequence[Row]) -> list[str]:
    """The table of all answers, and how reading anything else differs from reading the text by kind of answer."""
    titles = {"logprob": "Log-probability by kind of answer", "contained": "Contained by kind of answer"}
    kinds = {field: memory_kinds(rows, field) for field in titles if any(field in row for row in rows)}
    note = "Log-probabilities are per token of the accepted answer; intervals draw paragraphs, each with its questions."
    return [
        note,
        table(*memory_table(rows)),
        *(f"{titles[field]}\n\n{table(*found)}" for field, found in kinds.items()),
    ]


def _machine(row: Row) -> str:
    return f"{str(row.get('platform')).partition('-')[0]} {row.get('machine')}"


def _source(path: Path, shown: Path) -> str:
    rows = [row for row in read_rows(path) if row["row"] == "environment"]
    commits = dict.fromkeys(_commit(row) for row in rows)
    machines = dict.fromkeys(f"{row.get('cpus')} CPUs, {_machine(row)}" for row in rows)
    models = dict.fromkeys(f"{role} {name}" for row in rows for role, name in row.get("models", {}).items())
    return (
        f"Raw rows: `{shown.as_posix()}`; commit {', '.join(commits)}; {'; '.join(machines)}; "
        f"models: {', '.join(models) or 'none'}. Intervals: 95%, bootstrap over items."
    )


def _commit(row: Row) -> str:
    commit = (row.get("commit") or "unknown")[:12]
    return f"{commit} with uncommitted changes" if row.get("dirty") else commit
