"""Authors of the records of a recursive run's desk (:mod:`rereader.agents.desk`)."""

from __future__ import annotations

PLANNER, ACTOR, SUBREADER, VARIABLE = "planner", "actor", "subreader", "variable"
"""Lines of the root model, what it was told, replies of sub-calls, variables."""
EXCHANGE, ROOT = "exchange", "root"
"""What code and host said to each other in a turn, so that it can be run again; the root model's answer."""
