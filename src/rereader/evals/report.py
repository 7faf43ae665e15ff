"""Markdown tables made from raw rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rereader.evals.cells import table
from rereader.evals.cost_table import cost_table
from rereader.evals.declining import Declining, measure_declining
from rereader.evals.gate_table import gate_table
<<<<<<< HEAD
=======
from rereader.evals.intervals import Interval, mean_interval, paired_difference
from rereader.evals.length_table import length_tables
>>>>>>> benchmarks
from rereader.evals.memory_table import memory_kinds, memory_table
from rereader.evals.ranking_table import RANKED, masked, rankings
from rereader.evals.result_table import ResultTables
from rereader.evals.rows import Row, read_rows, results
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
        InputError: If there is none.
        StoreError: If a file cannot be read.
    """
    found = results([row for path in paths for row in read_rows(path)])
    if systems:
        found = [row for name in systems for row in found if row["system"] == name]
    if not found:
        raise InputError("The files hold no results.", "`rereader bench run SUITE` writes some.")
    return found


<<<<<<< HEAD
def by_set(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by benchmark and split, each set in its rows' order."""
    found: dict[str, list[Row]] = {}
=======
def sources(paths: Iterable[Path]) -> str:
    """One line for each file: its name, commits, machine and models."""
    return "\n".join(_source(path) for path in paths)


class _Tables:
    """The tables of one benchmark and split."""

    def __init__(self, rows: Sequence[Row], baseline: str) -> None:
        self._rows = rows
        self._baseline = baseline
        self._systems = list(dict.fromkeys(row["system"] for row in rows))
        self._kinds = [*dict.fromkeys(sorted(row["kind"] for row in rows)), ALL]

    def render(self, heading: str) -> str:
        tables = [f"**{heading}**", self._counts(), self._summary()]
        tables += [f"{title}\n\n{_table(header, lines)}" for title, header, lines in length_tables(self._rows)]
        tables.append(self._by_kind("Evidence recall", _score("evidence_recall")))
        tables.append(self._by_kind("Evidence precision (passages)", _score("evidence_precision")))
        tables.append(self._by_kind("Right (contained, or declined where that is right)", _score("right")))
        tables.append(self._by_kind("Declined", _score("declined")))
        tables.append(self._declining())
        tables.append(self._differences("Evidence recall", _score("evidence_recall")))
        tables.append(self._differences("Right", _score("right")))
        return "\n\n".join(table for table in tables if table)

    def brief(self) -> str:
        """Mean evidence recall by kind, and over all kinds with its interval and paired difference."""
        recall = _score("evidence_recall")

        def cell(kind: str, system: str) -> str:
            values = _values(self._of(system, kind), recall)
            return _interval(values) if kind == ALL else _mean(values)

        grid = self._grid("Evidence recall", self._systems, cell, recall)
        pairs = {s: self._pairs(ALL, s, recall) for s in self._systems if s != self._baseline}
        gains = ", ".join(f"{system} {_difference(found)}" for system, found in pairs.items())
        return f"{grid}\n\nOver all kinds, against {self._baseline} on the same items: {gains}."

    def _counts(self) -> str:
        items = {system: {_item_of(row) for row in self._of(system)} for system in self._systems}
        shared = set.intersection(*items.values())
        asked = set.union(*items.values())
        failed = sum(row["status"] == "failed" for row in self._rows)
        marked = {_item_of(row) for row in self._rows if _score("evidence_recall")(row) is not None}
        note = f"{len(shared)} of {len(asked)} items were put to every system; {len(marked)} have evidence in the text."
        false = sum(row.get("evidence_false", 0) for row in self._rows)
        quotes = sum(len(row["evidence"]) for row in self._rows)
        note += f" {quotes - false} of {quotes} verified passages equal their source slice."
        failures = f" {failed} calls failed and count as wrong." if failed else ""
        return note + failures + self._ingest()

    def _ingest(self) -> str:
        """What reading the texts in has cost."""
        costs = []
        for system in self._systems:
            paid = [row["ingest"] for row in self._of(system)]
            seconds, tokens = sum(one["seconds"] for one in paid), sum(one["tokens"] for one in paid)
            if seconds >= 1 or tokens:
                costs.append(f"{system} {_plain(seconds, 0)} s" + (f" and {tokens:,} tokens" if tokens else ""))
        listed = ", ".join(costs)
        return f" Reading the texts in: {listed} (what systems share is charged to the first)." if costs else ""

    def _summary(self) -> str:
        columns: dict[str, Callable[[list[Row]], str]] = {
            "n": lambda rows: str(len(rows)),
            "evidence recall": lambda rows: _interval(_values(rows, _score("evidence_recall"))),
            "precision": lambda rows: _mean(_values(rows, _score("evidence_precision"))),
            "words": lambda rows: _mean(_values(rows, _score("evidence_words")), 0),
            "contained": lambda rows: _interval(_values(rows, _score("contained"))),
            "F1": lambda rows: _mean(_values(rows, _score("f1"))),
            "declined": lambda rows: _mean(_values(rows, _score("declined"))),
            "decline AUROC": _decline_auroc,
            "seconds": lambda rows: _mean(_values(rows, lambda row: row["wall_seconds"]), 1),
            "tokens": lambda rows: _mean(_values(rows, _tokens), 0),
            "serial depth": lambda rows: _mean(_values(rows, lambda row: row["usage"].get("serial_depth")), 1),
        }
        lines = [[system, *(make(self._of(system)) for make in columns.values())] for system in self._systems]
        return _table(["system", *columns], lines)

    def _by_kind(self, title: str, value: Value) -> str:
        def cell(kind: str, system: str) -> str:
            return _interval(_values(self._of(system, kind), value))

        return self._grid(title, self._systems, cell, value)

    def _declining(self) -> str:
        """What a threshold on the confidence is worth, where some questions have no answer."""
        found = {system: _declining(self._of(system)) for system in self._systems}
        told = [
            f"{name} {_plain(one.caught)} (always declining is right for {one.always:.2f}, never {one.never:.2f})"
            for name, one in found.items()
            if one is not None
        ]
        return f"Caught by confidence at 10% false declines: {', '.join(told)}." if told else ""

    def _differences(self, title: str, value: Value) -> str:
        if self._baseline not in self._systems:
            return ""

        def cell(kind: str, system: str) -> str:
            return _difference(self._pairs(kind, system, value))

        others = [system for system in self._systems if system != self._baseline]
        return self._grid(f"{title}: difference from {self._baseline}, same items", others, cell, value)

    def _grid(self, title: str, systems: Sequence[str], cell: Cell, value: Value) -> str:
        """A line for each kind, a column for each system; ``n`` are the items that have the value."""
        cells = {kind: [cell(kind, system) for system in systems] for kind in self._kinds}
        lines = [[kind, self._count(kind, value), *row] for kind, row in cells.items() if set(row) != {MISSING}]
        return f"{title}\n\n{_table(['kind', 'n', *systems], lines)}" if lines and systems else ""

    def _count(self, kind: str, value: Value) -> str:
        return str(max(len(_values(self._of(system, kind), value)) for system in self._systems))

    def _pairs(self, kind: str, system: str, value: Value) -> list[tuple[float, float]]:
        base = {_item_of(row): value(row) for row in self._of(self._baseline, kind)}
        pairs = []
        for row in self._of(system, kind):
            ours, theirs = value(row), base.get(_item_of(row))
            if ours is not None and theirs is not None:
                pairs.append((ours, theirs))
        return pairs

    def _of(self, system: str, kind: str = ALL) -> list[Row]:
        return [row for row in self._rows if row["system"] == system and kind in (ALL, row["kind"])]


def _rankings(heading: str, rows: Sequence[Row], baseline: str) -> str:
    """Recall of every ranking at every depth, and how the one at 5 differs from the baseline's."""
    depths = [name for name in rows[0] if name.startswith("recall@")]
    base = {_item_of(row): row[_RANKED] for row in rows if row["system"] == baseline}
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        mine = [row for row in rows if row["system"] == system]
        pairs = [(row[_RANKED], base[_item_of(row)]) for row in mine if _item_of(row) in base]
        gain = MISSING if system == baseline else _difference(pairs)
        lines.append([system, str(len(mine)), *(_interval([row[depth] for row in mine]) for depth in depths), gain])
    header = ["ranking", "n", *depths, f"{_RANKED}: difference from {baseline}"]
    return "\n\n".join([f"**{heading}**", _table(header, lines), *_rankings_by_kind(rows)])


def _rankings_by_kind(rows: Sequence[Row]) -> list[str]:
    """Recall at 5 of every ranking for each kind of item, where there are several."""
    kinds = sorted({row["kind"] for row in rows})
    if len(kinds) < 2:
        return []
    found: dict[tuple[str, str], list[float]] = {}
>>>>>>> benchmarks
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


<<<<<<< HEAD
=======
def _sets(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(_set_of(row) for row in rows))


def _set_of(row: Mapping[str, str]) -> str:
    return f"{row['benchmark']}, {row['split']}"


def _item_of(row: Row) -> tuple[int, str]:
    return row["seed"], row["item"]


def _score(name: str) -> Value:
    return lambda row: row["scores"].get(name)


def _tokens(row: Row) -> float | None:
    usage = row["usage"]
    return usage["prompt_tokens"] + usage["completion_tokens"] if usage else None


def _values(rows: Iterable[Row], value: Value) -> list[float]:
    return [found for row in rows if (found := value(row)) is not None]


def _decline_auroc(rows: Sequence[Row]) -> str:
    """How well the confidence tells questions with an answer from those without."""
    found = _declining(rows)
    return MISSING if found is None else _plain(found.auroc)


def _declining(rows: Sequence[Row]) -> Declining | None:
    sure = [row for row in rows if row["confidence"] is not None]
    return measure_declining([row["confidence"] for row in sure], [row["expects"] != "decline" for row in sure])


def _difference(pairs: Sequence[tuple[float, float]]) -> str:
    found = paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    if found is None:
        return MISSING
    shown = _with_interval(found, "+.2f")
    return f"**{shown}**" if found.excludes_zero else shown


def _interval(values: Sequence[float]) -> str:
    found = mean_interval(values)
    return MISSING if found is None else _with_interval(found, ".2f")


def _with_interval(found: Interval, form: str) -> str:
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _mean(values: Sequence[float], digits: int = 2) -> str:
    return _plain(fmean(values), digits) if values else MISSING


def _plain(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}"


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


>>>>>>> benchmarks
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
