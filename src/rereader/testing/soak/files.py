"""Cuts files of a workspace at random places, and sees that what follows is the right answer or one clear line."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rereader.testing.soak.children import Children, Ended, Moment
from rereader.testing.soak.kills import Case

KINDS = {
    "library": "library.db",
    "library's log": "library.db-wal",
    "index": "index/*.faiss",
    "block": "kv/**/*.safetensors",
    "checkpoints": "runs/*.sqlite",
    "checkpoints' log": "runs/*.sqlite-wal",
}
"""Files that a workspace has, by their glob patterns."""
_ANSWERED = (0, 4)
_REFUSED = (2, 5)
_UNWELL = 1
"""What ``doctor`` ends with when it finds a problem."""


@dataclass(frozen=True)
class Injury:
    """A file that was cut: its kind and name, how many bytes are left, and what was wrong afterwards, if anything."""

    kind: str
    name: str
    left: int
    faults: tuple[str, ...]
    mended: bool
    """Whether the same answer came in spite of it."""


def interrupted(case: Case, children: Children, folder: Path) -> dict[str, Any]:
    """Make a workspace of a finished run in ``whole`` and of one that was killed near its end in ``killed``.

    Returns:
        The answer that both must give.
    """
    whole, killed = folder / "whole", folder / "killed"
    case.prepare(whole, children)
    shutil.copytree(whole, killed)
    ended = children.run(case.command(whole))
    assert ended.code in _ANSWERED, ended.err
    children.run(case.command(killed), Moment(access=ended.accesses - 20))
    return _said(children.run(case.command(whole)))


def injure_all(
    case: Case, children: Children, folder: Path, answer: dict[str, Any], seed: int, kinds: Sequence[str] = ()
) -> Iterator[Injury]:
    """Cut one file of each kind in copies of both workspaces, and go on with what is left."""
    rng, place = random.Random(f"files {seed}"), folder / "injured"
    for kind in kinds or KINDS:
        for state in ("whole", "killed"):
            going_on = case.command(_copied(folder / state, place))
            _copied(folder / state, place)  # to look into a workspace for its runs tidies its log up
            if found := sorted((place / "workspace").glob(KINDS[kind])):
                path = rng.choice(found)
                left = _cut(path, rng)
                yield _look(going_on, children, place, answer, Injury(kind, path.name, left, (), mended=False))


def _copied(source: Path, goal: Path) -> Path:
    shutil.rmtree(goal, ignore_errors=True)
    return shutil.copytree(source, goal)


def _cut(path: Path, rng: random.Random) -> int:
    left = rng.randrange(path.stat().st_size) if path.stat().st_size else 0
    with path.open("r+b") as file:
        file.truncate(left)
    return left


def _look(going_on: Sequence[str], children: Children, place: Path, answer: dict[str, Any], injury: Injury) -> Injury:
    """Go on, let ``doctor`` look, and judge both."""
    workspace = str(place / "workspace")
    commands = {"go on": going_on, "doctor": ["doctor", "--workspace", workspace, "--json"]}
    faults, mended = [], False
    for name, command in commands.items():
        ended = children.run(command)
        good = (*_ANSWERED, *_REFUSED, _UNWELL) if name == "doctor" else (*_ANSWERED, *_REFUSED)
        faults += [f"{name}: {fault}" for fault in _unclear(ended, good)]
        if name == "go on" and ended.code in _ANSWERED:
            mended = _said(ended) == answer
            faults += [] if mended else [f"{name}: another answer"]
    return Injury(injury.kind, injury.name, injury.left, tuple(faults), mended)


def _unclear(ended: Ended, good: Sequence[int]) -> list[str]:
    """What a user should not see: another exit code, more than a line, or a line that names an inner fault."""
    errors = [line for line in ended.err.splitlines() if line.startswith("error:")]
    found = [f"exit code {ended.code}"] if ended.code not in good else []
    if ended.code in _REFUSED and len(errors) != 1:
        found.append(f"{len(errors)} lines of error")
    return found + [ended.err.strip()[-300:]] * ("Traceback" in ended.err or "Internal error" in ended.err)


def _said(ended: Ended) -> dict[str, Any]:
    told = json.loads(ended.out)
    return {"answer": told["answer"], "evidence": [quote["quote"] for quote in told["evidence"]]}
