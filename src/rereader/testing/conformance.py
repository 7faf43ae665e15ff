"""The public conformance suite: does a graph keep what every reading graph promises?

Any registered graph is tried out on scripted models, offline, in seconds. In a test file:

    @pytest.mark.parametrize("rule", RULES, ids=str)
    def test_conformance(rule, tmp_path):
        rule.check("my-graph", tmp_path)

``check_graph`` gives the findings of all rules as a list, ``assert_conforms`` raises one error that names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rereader.graphs.registry import get_graph
from rereader.models.roles import Models
from rereader.schema import RereaderError
from rereader.testing import conformance_forks as forks
from rereader.testing import conformance_limits as limits
from rereader.testing import conformance_rules as rules
from rereader.testing.conformance_room import SETTINGS, Trial, echoing_models

Probe = Callable[[Trial], Iterator[str]]


@dataclass(frozen=True)
class Finding:
    """One broken rule: its name and what is wrong."""

    rule: str
    fault: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.fault}"


class ConformanceError(RereaderError, AssertionError):
    """A graph breaks rules; the message names each of them.

    Args:
        graph: Name of the graph.
        findings: What was found.
    """

    def __init__(self, graph: str, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = "".join(f"\n- {finding}" for finding in findings)
        broken = ", ".join(dict.fromkeys(finding.rule for finding in findings))
        super().__init__(f"Graph {graph!r} does not conform ({broken}):{lines}")


@dataclass(frozen=True)
class Rule:
    """Something that every graph must keep.

    Args:
        name: Its name.
        probe: Tries a graph out and yields what is wrong with it.
    """

    name: str
    probe: Probe

    @property
    def about(self) -> str:
        """What must hold, in a sentence."""
        return (self.probe.__doc__ or "").strip()

    def __str__(self) -> str:
        return self.name

    def findings(
        self,
        graph: str,
        folder: Path,
        *,
        settings: Mapping[str, Any] | None = None,
        models: Callable[[], Models] = echoing_models,
    ) -> list[Finding]:
        """Try a graph out; see :func:`check_graph`. What the graph raises goes through."""
        get_graph(graph)
        trial = Trial(graph, folder / self.name, {**SETTINGS, **(settings or {})}, models)
        return [Finding(self.name, fault) for fault in self.probe(trial)]

    def check(
        self,
        graph: str,
        folder: Path,
        *,
        settings: Mapping[str, Any] | None = None,
        models: Callable[[], Models] = echoing_models,
    ) -> None:
        """Try a graph out; see :func:`check_graph`.

        Raises:
            ConformanceError: If it breaks the rule.
        """
        found = self.findings(graph, folder, settings=settings, models=models)
        if found:
            raise ConformanceError(graph, found)


RULES = (
    Rule("contract", rules.contract),
    Rule("spans", rules.spans),
    Rule("budgets", limits.budgets),
    Rule("shares", limits.shares),
    Rule("resume", limits.resume),
    Rule("killed", limits.killed),
    Rule("forks", forks.forks),
    Rule("questions", forks.questions),
    Rule("settings", forks.settings),
    Rule("state", limits.state),
    Rule("seed", rules.seed),
    Rule("progress", rules.progress),
    Rule("label", rules.label),
    Rule("costs", rules.costs),
    Rule("untrusted", rules.untrusted),
)
"""Every rule; ``about`` says what it is."""


def check_graph(
    graph: str,
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    models: Callable[[], Models] = echoing_models,
) -> list[Finding]:
    """Try a graph out by every rule; an empty list means that it conforms.

    Args:
        graph: Name of a registered graph.
        folder: An empty folder; workspaces are made in it.
        settings: Settings of the graph to try it with, beside those of the suite.
        models: Makes the models of a run, anew for each; by default a reader that quotes what it is shown. A graph
            whose prompts ask for something special brings a script that gives it, the same for the same prompt.

    Raises:
        InputError: If there is no such graph.
    """
    get_graph(graph)
    found: list[Finding] = []
    for rule in RULES:
        try:
            found += rule.findings(graph, folder, settings=settings, models=models)
        except Exception as error:  # the other rules are tried all the same
            found.append(Finding(rule.name, f"it raised {type(error).__name__}: {error}"))
    return found


def assert_conforms(
    graph: str,
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    models: Callable[[], Models] = echoing_models,
) -> None:
    """Try a graph out by every rule; see :func:`check_graph`.

    Raises:
        ConformanceError: If it breaks any; the message names each.
    """
    found = check_graph(graph, folder, settings=settings, models=models)
    if found:
        raise ConformanceError(graph, found)


def conformance_cases(
    graph: str,
    *,
    settings: Mapping[str, Any] | None = None,
    models: Callable[[], Models] = echoing_models,
) -> list[tuple[str, Callable[[Path], None]]]:
    """Each rule's name and a function from an empty folder that raises if the graph breaks it."""
    return [(rule.name, partial(rule.check, graph, settings=settings, models=models)) for rule in RULES]
