"""Tables of rankings of sentences (``rereader bench sentences``) and of masked heads (``rereader bench masking``)."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.evals.cells import MISSING, difference, interval, mean, table
from rereader.evals.result_table import item_of
from rereader.evals.rows import Row

RANKED = "recall@5"
"""A field of the rows of ``rereader bench sentences`` only."""


def rankings(heading: str, rows: Sequence[Row], baseline: str, *, brief: bool = False) -> str:
    """Recall of every ranking at every depth, and how the one at 5 differs from the baseline's."""
    depths = [name for name in rows[0] if name.startswith("recall@")]
    base = {item_of(row): row[RANKED] for row in rows if row["system"] == baseline}
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        mine = [row for row in rows if row["system"] == system]
        pairs = [(row[RANKED], base[item_of(row)]) for row in mine if item_of(row) in base]
        gain = MISSING if system == baseline else difference(pairs)
        lines.append([system, str(len(mine)), *(interval([row[depth] for row in mine]) for depth in depths), gain])
    header = ["ranking", "n", *depths, f"{RANKED}: difference from {baseline}"]
    kinds = [] if brief else _rankings_by_kind(rows)
    return "\n\n".join([f"**{heading}**", table(header, lines), *kinds])


def _rankings_by_kind(rows: Sequence[Row]) -> list[str]:
    """Recall at 5 of every ranking for each kind of item, where there are several."""
    kinds = sorted({row["kind"] for row in rows})
    if len(kinds) < 2:
        return []
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row["system"], row["kind"]), []).append(row[RANKED])
    systems = list(dict.fromkeys(system for system, _ in found))
    lines = [[system, *(mean(found.get((system, kind), [])) for kind in kinds)] for system in systems]
    return [f"{RANKED} by kind\n\n{table(['ranking', *(kind or 'not stated' for kind in kinds)], lines)}"]


def masked(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Log-probability by what is masked, and the difference from the whole model on the same items."""
    base = {item_of(row): row["logprob"] for row in rows if row["system"] == "none"}
    lines = []
    for system in dict.fromkeys(row["system"] for row in rows):
        mine = [row for row in rows if row["system"] == system]
        pairs = [(row["logprob"], base[item_of(row)]) for row in mine if item_of(row) in base]
        gain = MISSING if system == "none" else difference(pairs)
        lines.append([system, str(len(mine)), interval([row["logprob"] for row in mine]), gain])
    return ["masked", "n", "log-probability per token", "difference from none"], lines
