"""What the smoke test runs is everything: no benchmark without a suite, no graph that no suite asks."""

import re
from importlib import resources

from rereader.evals.suite import load_suite, suite_names
from rereader.graphs.registry import all_graphs


def benchmark_names():
    """Names under ``@benchmark`` in the modules and packages of ``rereader.evals``."""
    sources = [path for path in resources.files("rereader.evals").rglob("*.py")]
    return {name for path in sources for name in re.findall(r'^@benchmark\("(\w+)"\)', path.read_text(), re.MULTILINE)}


def test_every_benchmark_has_a_suite():
    assert {"needles", "books", "multihop"} <= benchmark_names()
    assert benchmark_names() == {load_suite(name).benchmark for name in suite_names()}


def test_every_graph_is_asked_by_a_suite():
    asked = {system.graph for name in suite_names() for system in load_suite(name).systems}
    assert asked >= {graph.name for graph in all_graphs() if graph.origin.startswith("rereader.graphs.")}
