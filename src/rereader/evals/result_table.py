"""The tables of one benchmark and split: a summary, the controls, each score by kind, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rereader.evals.cells import MISSING, difference, interval, mean, plain, table
from rereader.evals.declining import Declining, measure_declining
from rereader.evals.length_table import length_tables
from rereader.evals.rows import Row
from rereader.evals.rules import RULES

ALL = "all"
Value = Callable[[Row], float | None]
Cell = Callable[[str, str], str]


CONTROLS = ("no context", "full context", "BM25", "embedding")
"""What every comparison needs beside it, with the same reader and as many words of evidence."""


def control_of(row: Row) -> str | None:
    """Which of :data:`CONTROLS` a row's system is, by its graph and settings."""
    settings = row.get("settings", {})
    if row.get("graph") == "full-context":
        return "no context" if settings.get("context") == "none" else "full context"
    if row.get("graph") == "retrieval":
        return {"bm25": "BM25", "embedding": "embedding"}.get(str(settings.get("ranker")))
    return None


def controls_line(rows: Sequence[Row]) -> str:
    """The four controls with what each reached, or that it is missing."""
    value = main_score(rows)
    parts = []
    for control in CONTROLS:
        mine = [row for row in rows if control_of(row) == control]
        parts.append(f"{control} {mean(values_of(mine, value))}" if mine else f"{control} not run")
    return f"Controls ({value_name(rows)}): {', '.join(parts)}."


def answered(rows: Sequence[Row]) -> bool:
    """Whether a reader answered, so that rows say whether it was right."""
    return any("right" in row["scores"] for row in rows)


def main_score(rows: Sequence[Row]) -> Value:
    """What systems are put in order by: right answers, or evidence recall where no reader answered."""
    return score("right" if answered(rows) else "evidence_recall")


def value_name(rows: Sequence[Row]) -> str:
    """What :func:`main_score` is, in words."""
    return "right" if answered(rows) else "evidence recall"


def right_title(rows: Sequence[Row]) -> str:
    """What makes an answer right in these rows."""
    ruled = any(row.get("rule") and RULES[row["rule"]].decides for row in rows)
    said = "by the benchmark's own rule" if ruled else "contained"
    return f"Right ({said}, or declined where that is right)"


class ResultTables:
    """The tables of one benchmark and split."""

    def __init__(self, rows: Sequence[Row], baseline: str) -> None:
        self._rows = rows
        self._baseline = baseline
        self._systems = list(dict.fromkeys(row["system"] for row in rows))
        self._kinds = [*dict.fromkeys(sorted(row["kind"] for row in rows)), ALL]

    def render(self, heading: str) -> str:
        """All tables under a heading."""
        tables = [f"**{heading}**", self._counts(), self._summary(), controls_line(self._rows)]
        tables += [f"{title}\n\n{table(header, lines)}" for title, header, lines in length_tables(self._rows)]
        tables.append(self._by_kind("Evidence recall", score("evidence_recall")))
        tables.append(self._by_kind("Evidence precision (passages)", score("evidence_precision")))
        tables.append(self._by_kind(right_title(self._rows), score("right")))
        tables.append(self._by_kind("By the benchmark's own rule", score("own")))
        tables.append(self._by_kind("Citation support (share of claims' words in quotes)", score("citation_support")))
        tables.append(self._by_kind("Declined", score("declined")))
        tables.append(self._declining())
        tables.append(self._differences("Evidence recall", score("evidence_recall")))
        tables.append(self._differences("Right", score("right")))
        return "\n\n".join(table for table in tables if table)

    def brief(self) -> str:
        """Evidence recall and right answers by kind, and over all kinds with interval and paired difference."""
        parts = [self._brief("Evidence recall", score("evidence_recall"))]
        if answered(self._rows):
            parts.append(self._brief(right_title(self._rows), score("right")))
        return "\n\n".join([*parts, controls_line(self._rows)])

    def _brief(self, title: str, value: Value) -> str:
        def cell(kind: str, system: str) -> str:
            values = values_of(self._of(system, kind), value)
            return interval(values) if kind == ALL else mean(values)

        grid = self._grid(title, self._systems, cell, value)
        pairs = {s: self._pairs(ALL, s, value) for s in self._systems if s != self._baseline}
        gains = ", ".join(f"{system} {difference(found)}" for system, found in pairs.items() if found)
        compared = f"\n\nOver all kinds, against {self._baseline} on the same items: {gains}." if gains else ""
        return grid + compared

    def _counts(self) -> str:
        items = {system: {item_of(row) for row in self._of(system)} for system in self._systems}
        shared = set.intersection(*items.values())
        asked = set.union(*items.values())
        failed = sum(row["status"] == "failed" for row in self._rows)
        marked = {item_of(row) for row in self._rows if score("evidence_recall")(row) is not None}
        note = f"{len(shared)} of {len(asked)} items were put to every system; {len(marked)} have evidence in the text."
        false = sum(row.get("evidence_false", 0) for row in self._rows)
        quotes = sum(len(row["evidence"]) for row in self._rows)
        note += f" {quotes - false} of {quotes} verified passages equal their source slice."
        failures = f" {failed} calls failed and count as wrong." if failed else ""
        stored = sum(map(from_cache, self._rows))
        told = f" {stored} answers rest on stored replies and count for no seconds." if stored else ""
        return note + failures + told + self._ingest()

    def _ingest(self) -> str:
        """What reading the texts in has cost."""
        costs = []
        for system in self._systems:
            paid = [row["ingest"] for row in self._of(system)]
            seconds, tokens = sum(one["seconds"] for one in paid), sum(one["tokens"] for one in paid)
            if seconds >= 1 or tokens:
                costs.append(f"{system} {plain(seconds, 0)} s" + (f" and {tokens:,} tokens" if tokens else ""))
        listed = ", ".join(costs)
        return f" Reading the texts in: {listed} (what systems share is charged to the first)." if costs else ""

    def _summary(self) -> str:
        columns: dict[str, Callable[[list[Row]], str]] = {
            "n": lambda rows: str(len(rows)),
            "evidence recall": lambda rows: interval(values_of(rows, score("evidence_recall"))),
            "precision": lambda rows: mean(values_of(rows, score("evidence_precision"))),
            "words": lambda rows: mean(values_of(rows, score("evidence_words")), 0),
            "contained": lambda rows: interval(values_of(rows, score("contained"))),
            "F1": lambda rows: mean(values_of(rows, score("f1"))),
            "declined": lambda rows: mean(values_of(rows, score("declined"))),
            "decline AUROC": _decline_auroc,
            "seconds": lambda rows: mean(seconds_of(rows), 1),
            "tokens": lambda rows: mean(values_of(rows, tokens_of), 0),
            "serial depth": lambda rows: mean(values_of(rows, lambda row: row["usage"].get("serial_depth")), 1),
        }
        lines = [[system, *(make(self._of(system)) for make in columns.values())] for system in self._systems]
        return table(["system", *columns], lines)

    def _by_kind(self, title: str, value: Value) -> str:
        def cell(kind: str, system: str) -> str:
            return interval(values_of(self._of(system, kind), value))

        return self._grid(title, self._systems, cell, value)

    def _declining(self) -> str:
        """What a threshold on the confidence is worth, where some questions have no answer."""
        found = {system: _declining(self._of(system)) for system in self._systems}
        told = [
            f"{name} {plain(one.caught)} (always declining is right for {one.always:.2f}, never {one.never:.2f})"
            for name, one in found.items()
            if one is not None
        ]
        return f"Caught by confidence at 10% false declines: {', '.join(told)}." if told else ""

    def _differences(self, title: str, value: Value) -> str:
        if self._baseline not in self._systems:
            return ""

        def cell(kind: str, system: str) -> str:
            return difference(self._pairs(kind, system, value))

        others = [system for system in self._systems if system != self._baseline]
        return self._grid(f"{title}: difference from {self._baseline}, same items", others, cell, value)

    def _grid(self, title: str, systems: Sequence[str], cell: Cell, value: Value) -> str:
        """A line for each kind, a column for each system; ``n`` are the items that have the value."""
        cells = {kind: [cell(kind, system) for system in systems] for kind in self._kinds}
        lines = [[kind, self._count(kind, value), *row] for kind, row in cells.items() if set(row) != {MISSING}]
        return f"{title}\n\n{table(['kind', 'n', *systems], lines)}" if lines and systems else ""

    def _count(self, kind: str, value: Value) -> str:
        return str(max(len(values_of(self._of(system, kind), value)) for system in self._systems))

    def _pairs(self, kind: str, system: str, value: Value) -> list[tuple[float, float]]:
        base = {item_of(row): value(row) for row in self._of(self._baseline, kind)}
        pairs = []
        for row in self._of(system, kind):
            ours, theirs = value(row), base.get(item_of(row))
            if ours is not None and theirs is not None:
                pairs.append((ours, theirs))
        return pairs

    def _of(self, system: str, kind: str = ALL) -> list[Row]:
        return [row for row in self._rows if row["system"] == system and kind in (ALL, row["kind"])]


def item_of(row: Row) -> tuple[int, str]:
    """What the same question of two systems has in common: seed and item."""
    return row["seed"], row["item"]


def score(name: str) -> Value:
    """A score of a row by its name; ``None`` where it has none."""
    return lambda row: row["scores"].get(name)


def tokens_of(row: Row) -> float | None:
    """Tokens that models read and wrote for a question; ``None`` of a failed call."""
    usage = row["usage"]
    return usage["prompt_tokens"] + usage["completion_tokens"] if usage else None


def from_cache(row: Row) -> bool:
    """Whether any reply was a stored one, so that the row's seconds are not those that its answer takes."""
    return bool(row["usage"].get("cached_calls"))


def seconds_of(rows: Sequence[Row]) -> list[float]:
    """Seconds of the questions whose replies were all computed; none where those are fewer than half of the rows."""
    paid = [float(row["wall_seconds"]) for row in rows if not from_cache(row)]
    return paid if 2 * len(paid) >= len(rows) else []


def values_of(rows: Iterable[Row], value: Value) -> list[float]:
    """The values of the rows that have one."""
    return [found for row in rows if (found := value(row)) is not None]


def _decline_auroc(rows: Sequence[Row]) -> str:
    """How well the confidence tells questions with an answer from those without."""
    found = _declining(rows)
    return MISSING if found is None else plain(found.auroc)


def _declining(rows: Sequence[Row]) -> Declining | None:
    sure = [row for row in rows if row["confidence"] is not None]
    return measure_declining([row["confidence"] for row in sure], [row["expects"] != "decline" for row in sure])
