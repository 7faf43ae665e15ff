"""Edges that every reading graph shares: a spent budget leads straight to the finisher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langgraph.graph import END, START, StateGraph

from rereader.agents.context import ReadingState, RunContext, Work
from rereader.agents.finisher import finish
from rereader.agents.node import AgentNode

Graph = StateGraph[ReadingState, RunContext, ReadingState, ReadingState]


def new_graph(works: Sequence[tuple[str, Work]]) -> Graph:
    """A graph with these agents as nodes, starting at the first, and the finisher at its end. Edges are to be added."""
    graph: Graph = StateGraph(ReadingState, context_schema=RunContext)
    for name, work in works:
        graph.add_node(name, AgentNode(name, work))
    graph.add_node("finish", AgentNode("finish", finish))
    graph.add_edge(START, works[0][0])
    graph.add_edge("finish", END)
    return graph


def connect(graph: Graph, origin: str, *goals: str, choose: Callable[[ReadingState], str] | None = None) -> None:
    """Lead from ``origin`` to the goal that ``choose`` names (to the only one without it), or out of a spent budget."""

    def route(state: ReadingState) -> str:
        if state.get("status") == "budget_spent":
            return "finish"
        return choose(state) if choose else goals[0]

    graph.add_conditional_edges(origin, route, list(dict.fromkeys([*goals, "finish"])))
