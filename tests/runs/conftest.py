"""Rooms of graphs for every test of forks."""

import pytest
from forked import values_of

from rereader.testing.conformance_room import Trial


@pytest.fixture
def room(tmp_path):
    """A function that opens the room of a graph: scripted models whose calls are counted, one document."""
    opened = []

    def enter(graph, models=None, **more):
        trial = Trial(graph, tmp_path, {**values_of(graph), **more}, **({"models": models} if models else {}))
        opened.append(trial.room(f"room{len(opened)}"))
        return opened[-1].__enter__()

    yield enter
    for one in opened:
        one.__exit__(None, None, None)
