"""What a run cost."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

WAITING = "waiting"
"""What seconds are charged to in which a step's models waited for other processes; no part of what its stage takes."""
LOADING = "loading"
"""What seconds are charged to in which a step's models were loaded, so that no stage seems slow for that."""

_COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "embedded_tokens",
    "calls",
    "cached_calls",
    "cached_tokens",
    "parse_failures",
    "serial_depth",
)


class Usage(BaseModel):
    """Cost of a run, a step or a batch.

    Prompt and completion tokens are logical: a reply served from the call cache counts as if it had been computed, and
    is counted again in ``cached_calls`` and ``cached_tokens``. ``embedded_tokens`` are those that the embedder really
    read. ``serial_depth`` is the longest chain of dependent model calls.
    """

    model_config = ConfigDict(extra="forbid")

    prompt_tokens: int = 0
    completion_tokens: int = 0
    embedded_tokens: int = 0
    calls: int = 0
    cached_calls: int = 0
    cached_tokens: int = 0
    parse_failures: int = 0
    serial_depth: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    peak_host_bytes: int = 0
    peak_device_bytes: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, other: Usage) -> None:
        """Count what was used elsewhere too."""
        for name, value in _combine(self, other, 1):
            setattr(self, name, value)

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Charge wall-clock seconds to a stage; none leave no trace."""
        if seconds > 0:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


def difference(after: Usage, before: Usage) -> Usage:
    """What was used between two moments; peaks are those of the later one."""
    return _combine(after, before, -1)


def total(parts: Iterable[Usage]) -> Usage:
    """Sum of counts and seconds; peaks are the highest."""
    result = Usage()
    for part in parts:
        result = _combine(result, part, 1)
    return result


def _combine(one: Usage, other: Usage, sign: int) -> Usage:
    counts = {name: getattr(one, name) + sign * getattr(other, name) for name in _COUNTS}
    stages = [*one.seconds, *(name for name in other.seconds if name not in one.seconds)]
    seconds = {name: one.seconds.get(name, 0.0) + sign * other.seconds.get(name, 0.0) for name in stages}
    return Usage(
        **counts,
        seconds={name: value for name, value in seconds.items() if value > 0},
        peak_host_bytes=max(one.peak_host_bytes, other.peak_host_bytes),
        peak_device_bytes=max(one.peak_device_bytes, other.peak_device_bytes),
    )
