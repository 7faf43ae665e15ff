"""Benchmarks: the dataset contract, the scorer, the harness that measures every graph, and the tables."""
