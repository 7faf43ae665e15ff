"""Every registered graph keeps every rule of the public conformance suite, also where it takes many steps."""

from functools import partial

import pytest

from rereader.graphs.registry import all_graphs
from rereader.testing.conformance import RULES
from rereader.testing.conformance_room import echoing_models

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
BLOCKS = {
    "waves-kv": {"reads": "kv", "accept": 2, "working_tokens": 40},
    "waves-both": {"reads": "both", "accept": 2},
    "scan-kv": {"order": "scan", "reads": "kv", "threshold": 0.4, "working_tokens": 40, "ahead": 2},
    "scan-both": {"order": "scan", "reads": "both", "threshold": 0.4, "working_tokens": 40},
}
"""Settings of ``compressed-memory`` with which blocks are read; with this threshold a scan lets every chunk in."""
NARROW = {
    "active-recap": {"every": 4000, "recap_tokens": 40, "summary_tokens": 60},
    "memory-agent": {"block_tokens": 5000, "memory_tokens": 60},
}
"""Settings with which a small window decides how much is read at once, so that a question takes room from the text."""
OF_STEPS = [
    rule
    for rule in RULES
    if rule.name in ("shares", "resume", "killed", "forks", "questions", "state", "costs", "untrusted")
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_graph_conforms(name, rule, tmp_path):
    rule.check(name, tmp_path)


@pytest.mark.parametrize("rule", OF_STEPS, ids=str)
@pytest.mark.parametrize("name", MANY_STEPS)
def test_graphs_of_many_steps_conform(name, rule, tmp_path):
    rule.check(name, tmp_path, settings=MANY_STEPS[name])


@pytest.mark.parametrize("rule", OF_STEPS, ids=str)
@pytest.mark.parametrize("name", BLOCKS)
def test_graphs_that_read_blocks_conform(name, rule, tmp_path):
    settings = dict(BLOCKS[name])
    if rule.name == "costs":  # which expect the gate to let few chunks in
        settings.pop("threshold", None)
    rule.check("compressed-memory", tmp_path, settings=settings)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name in ("forks", "questions")], ids=str)
@pytest.mark.parametrize("name", NARROW)
def test_graphs_that_fill_a_small_window_conform(name, rule, tmp_path):
    rule.check(name, tmp_path, settings=NARROW[name], models=partial(echoing_models, 600))


def test_pages_as_short_as_they_may_be_are_within_the_declared_costs(tmp_path):
    (rule,) = [rule for rule in RULES if rule.name == "costs"]
    shortest = {"pagination": "generate", "min_words": 20, "max_words": 100, "rest_words": 0}
    rule.check("gist-lookup", tmp_path, settings=shortest)  # the echoing reader writes the first label


def test_every_rule_says_what_it_is():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.about.endswith(".") and "\n" not in rule.about for rule in RULES)
