"""What lists every graph by name lists all of them: the table in the README, and what LangGraph's server serves."""

import json
import re

from rereader.cli.graphs import graphs_table
from rereader.graphs.registry import all_graphs
from rereader.runs import serving


def test_the_readme_lists_every_graph_as_it_is_registered(root):
    found = re.search(
        "<!-- graphs -->\n(.*?)\n<!-- /graphs -->", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert found
    ours = [graph for graph in all_graphs() if graph.origin.startswith("rereader.graphs.")]
    assert found[1] == graphs_table(ours)


def test_every_graph_is_served(root):
    served = json.loads((root / "langgraph.json").read_text(encoding="utf-8"))["graphs"]
    ours = [graph.name for graph in all_graphs() if graph.origin.startswith("rereader.graphs.")]
    assert sorted(served) == sorted(name.replace("-", "_") for name in ours)
    assert all(hasattr(serving, target.partition(":")[2]) for target in served.values())
