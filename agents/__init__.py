"""Agents: nodes of reading graphs, one role per file."""
