"""What a step has paid for and stored before it ended, so that a killed run is charged for it when it goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rereader.memory.database import Database
from rereader.memory.runs import Call
from rereader.schema import Usage


class PartStore:
    """Costs and calls of the finished batches of the step that a run is at.

    A batch of gists or vectors belongs to the document and is not made again by the step that LangGraph runs once more
    after a kill; without its part the run would seem to have got it for nothing. So would what a failing batch had
    finished, which is in the cache when the step asks for it again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run_id: str, step: int, usage: Usage, calls: Sequence[Call]) -> None:
        """Store a batch's cost; call it in the transaction that stores the batch."""
        made = json.dumps([asdict(call) for call in calls])
        self._database.execute(
            "INSERT INTO step_parts (run_id, step, usage, calls) VALUES (?, ?, ?, ?)",
            (run_id, step, usage.model_dump_json(), made),
        )

    def of_step(self, run_id: str, step: int) -> list[tuple[Usage, list[Call]]]:
        """Parts of a step in the order paid; those of the run's other steps, which have ended, are dropped."""
        query = "SELECT step, usage, calls FROM step_parts WHERE run_id = ? ORDER BY id"
        rows = self._database.rows(query, (run_id,))
        if any(row["step"] != step for row in rows):
            self._database.execute("DELETE FROM step_parts WHERE run_id = ? AND step != ?", (run_id, step))
        return [
            (Usage.model_validate_json(row["usage"]), [Call(**call) for call in json.loads(row["calls"])])
            for row in rows
            if row["step"] == step
        ]
