"""Result rows of a made-up benchmark, for tests of what is made from rows."""

from pathlib import Path
from typing import Any

from rereader.evals.rows import ResultsFile

ENVIRONMENT = {
    "commit": "0123456789abcdef",
    "dirty": True,
    "platform": "Toy-1",
    "cpus": 2,
    "models": {"reader": "fake/1"},
}


def row(item: int, system: str, kind: str = "single", recall: float | None = 1.0, **more: Any) -> dict[str, Any]:
    scores = {"evidence_recall": recall, "evidence_precision": 0.25, "evidence_words": 240.0, "right": recall or 0.0}
    return {
        "benchmark": "toy",
        "split": "test",
        "seed": 0,
        "item": f"q{item}",
        "system": system,
        "settings_hash": system,
        "kind": kind,
        "expects": "decline" if kind == "absent" else "any",
        "status": "answered",
        "scores": {**scores, "contained": recall, "f1": 0.5, "declined": 0.0},
        "confidence": 0.9 if kind != "absent" else 0.2,
        "evidence": [["d", 0, 9]],
        "evidence_false": 0,
        "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "serial_depth": 2},
        "wall_seconds": 1.5,
        "ingest": {"seconds": 0.0 if item else 30.0, "tokens": 5000 * (item == 0 and system == "fused")},
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    file = ResultsFile(path)
    file.begin(ENVIRONMENT)
    for one in rows:
        file.add(one)
    return path
