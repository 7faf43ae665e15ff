"""What a round of attention looked at: kept as a record, so that it can be shown later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rereader.schema import Record, RecordKind, Span


@dataclass(frozen=True)
class Hot:
    """A sentence and what it got.

    Args:
        span: Where it stands.
        score: Its attention.
        taken: Whether it became evidence in this round.
        tokens: ``(start, end, score)`` of each of its tokens, in characters from the sentence's start.
    """

    span: Span
    score: float
    taken: bool
    tokens: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True)
class Heat:
    """One round: its number, the windows the text was cut into, and the sentences that got most, best first."""

    round: int
    windows: int
    sentences: tuple[Hot, ...]

    def record(self, run_id: str, step: int, agent: str, model: str) -> Record:
        """The round as a record; its spans are the sentences."""
        body = {"round": self.round, "windows": self.windows}
        rows = [{"score": hot.score, "taken": hot.taken, "tokens": hot.tokens} for hot in self.sentences]
        return Record.create(
            run_id=run_id,
            kind=RecordKind.SCORES,
            content=json.dumps({**body, "sentences": rows}),
            agent=agent,
            spans=[hot.span for hot in self.sentences],
            step=step,
            model=model,
        )


def heats(records: Sequence[Record]) -> list[Heat]:
    """The rounds among a run's records, in order."""
    return [_heat(record) for record in records if record.kind is RecordKind.SCORES]


def _heat(record: Record) -> Heat:
    body = json.loads(record.content)
    found = tuple(
        Hot(span, row["score"], row["taken"], tuple((start, end, score) for start, end, score in row["tokens"]))
        for span, row in zip(record.spans, body["sentences"], strict=True)
    )
    return Heat(body["round"], body["windows"], found)
