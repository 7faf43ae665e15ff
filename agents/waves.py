"""Waves: the gate lets chunks in, they are read, and what was found decides whether the gate is asked again."""

from __future__ import annotations

from typing import Any

from rereader.agents.context import ReadingState


def waves_due(settings: Any, state: ReadingState) -> int:
    """Most waves: one for a question that a single place answers, since what its quotes lead to is not asked for."""
    return 1 if state.get("kind") == "local" else int(settings.waves)


def another_wave(settings: Any, state: ReadingState) -> bool:
    """Whether to gate once more: the last wave found something, or could not take in all that should be read."""
    return bool(state["fresh"] or state.get("waiting")) and state["wave"] < waves_due(settings, state)
