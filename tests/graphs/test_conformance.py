"""Every registered graph keeps every rule of the public conformance suite, also where it takes many steps."""

import pytest

from rereader.graphs.registry import all_graphs
from rereader.testing.conformance import RULES

NAMES = [graph.name for graph in all_graphs()]
MANY_STEPS = {
    "active-recap": {"every": 300, "recap_tokens": 60},
    "compressed-memory": {"gate": "choose", "reasoner": "model"},
    "evidence-replay": {"rounds": 3, "sentences": 1},
    "gist-lookup": {"lookup": "sequential", "min_words": 60, "max_words": 150, "rest_words": 80},
    "ledger": {"kind": "whole", "every": 300, "recap_tokens": 60},
    "memory-agent": {"block_tokens": 300, "memory_tokens": 100},
    "retrieval": {"rerank": "attention"},
}
"""Settings with which the suite's short text is read in many steps or with more models."""
OF_STEPS = [rule for rule in RULES if rule.name in ("shares", "resume", "killed", "state", "costs", "untrusted")]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_graph_conforms(name, rule, tmp_path):
    rule.check(name, tmp_path)


@pytest.mark.parametrize("rule", OF_STEPS, ids=str)
@pytest.mark.parametrize("name", MANY_STEPS)
def test_graphs_of_many_steps_conform(name, rule, tmp_path):
    rule.check(name, tmp_path, settings=MANY_STEPS[name])


def test_every_rule_says_what_it_is():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.about.endswith(".") and "\n" not in rule.about for rule in RULES)
