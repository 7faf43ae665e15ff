"""Every setting of a graph of ours says which steps fix it, so that nobody has to guess what a fork may change."""

from dataclasses import fields

import pytest

from rereader.agents.fixing import declared
from rereader.graphs.registry import all_graphs

OURS = [graph for graph in all_graphs() if graph.origin.startswith("rereader.graphs.")]


@pytest.mark.parametrize("graph", OURS, ids=lambda graph: graph.name)
def test_every_setting_says_what_fixes_it(graph):
    assert [
        field.name for field in fields(graph.settings_type) if field.name not in declared(graph.settings_type)
    ] == []


def test_no_graph_is_left_out():
    assert len(OURS) == 9


@pytest.mark.parametrize("graph", OURS, ids=lambda graph: graph.name)
def test_nodes_say_which_models_their_work_is_bound_to(graph):
    roles = {"reader", "gister", "scorer", "embedder"}
    made = graph.made_with(graph.settings({}))
    assert {role for named in made.values() for role in named} <= roles
    assert any(made.values()) or graph.name == "recursive"  # which keeps nothing but what was said
