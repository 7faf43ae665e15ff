"""What a run cost."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Usage(BaseModel):
    """Cost of a run, a step or a batch.

    Token counts are logical: a reply served from the call cache counts as if it had been computed, and is counted
    again in ``cached_calls`` and ``cached_tokens``. ``serial_depth`` is the longest chain of dependent model calls.
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

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Charge wall-clock seconds to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
