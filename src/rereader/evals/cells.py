"""Numbers as they stand in Markdown tables: means, intervals, paired differences, and the table itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from rereader.evals.intervals import Interval, mean_interval, paired_difference

MISSING = "-"
"""A cell without a value."""


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are set to the right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def plain(value: float, digits: int = 2) -> str:
    """A number with so many decimals, its thousands with commas."""
    return f"{value:,.{digits}f}"


def mean(values: Sequence[float], digits: int = 2) -> str:
    """The mean."""
    return plain(fmean(values), digits) if values else MISSING


def interval(values: Sequence[float]) -> str:
    """The mean with its interval."""
    found = mean_interval(values)
    return MISSING if found is None else with_interval(found, ".2f")


def difference(pairs: Sequence[tuple[float, float]]) -> str:
    """The mean paired difference with its interval, bold if that leaves zero out."""
    found = paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    if found is None:
        return MISSING
    shown = with_interval(found, "+.2f")
    return f"**{shown}**" if found.excludes_zero else shown


def with_interval(found: Interval, form: str) -> str:
    """A mean and its interval in the given number format."""
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"
