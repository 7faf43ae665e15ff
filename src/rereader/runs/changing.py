"""What may change in the middle of a run, and what cannot, since steps have worked by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rereader.agents.settings import ReadingSettings
from rereader.graphs.registry import ReadingGraph
from rereader.memory.runs import Step
from rereader.schema import InputError


def check_settings(graph: ReadingGraph, old: ReadingSettings, new: ReadingSettings, steps: Sequence[Step]) -> None:
    """Refuse settings that contradict what was made.

    Args:
        graph: The graph; each of its settings says by its annotation which nodes fix it.
        old: The parent's settings.
        new: Those of the fork.
        steps: The steps that it takes over.

    Raises:
        InputError: If one differs that a step has worked by; it names the step to fork at.
    """
    before = asdict(old)
    for name, value in asdict(new).items():
        nodes = graph.fixed_by(name)
        if value != before[name]:
            _check(f"The setting {name}", next((one for one in steps if nodes is None or one.node in nodes), None))


def check_roles(
    graph: ReadingGraph,
    settings: ReadingSettings,
    old: Mapping[str, str],
    new: Mapping[str, str],
    steps: Sequence[Step],
) -> None:
    """Refuse models that cannot go on with what others have made.

    Args:
        graph: The graph; its nodes say with which roles' models they make what only these can go on with.
        settings: The parent's settings, by which the steps were taken.
        old: The parent's models by role.
        new: Those of the fork.
        steps: The steps that it takes over.

    Raises:
        InputError: If a role is given another model, and a step has made what only the first one can go on with.
    """
    made = graph.made_with(settings)
    for role in new:
        if old.get(role) != new[role]:
            _check(f"The {role}", next((step for step in steps if role in made.get(step.node, ())), None))


def _check(what: str, done: Step | None) -> None:
    """Refuse a change if a step has worked by what was there before."""
    if done is not None:
        msg = f"{what} cannot change after step {done.number} ({done.node}), which has worked by it."
        raise InputError(msg, f"Fork at --step {done.number - 1} or before.")
