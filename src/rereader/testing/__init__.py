"""Fakes for tests of graphs and agents: made-up texts, scripted models, a whole session without weights."""
