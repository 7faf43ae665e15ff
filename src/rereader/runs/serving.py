"""Graphs for LangGraph's own server and Studio, named in ``langgraph.json``: zero arguments, no saver of their own.

Input is ``{"question": ..., "document_ids": [...]}`` (empty: every document of the workspace). The reading graph runs
inside with its own checkpoints, budget and store, exactly as from the command line.
"""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from rereader.runs.session import open_session
from rereader.schema import RereaderError


class ServedState(TypedDict, total=False):
    """Input and output of a served graph."""

    question: str
    document_ids: list[str]
    answer: dict[str, Any]
    error: str


Served = CompiledStateGraph[ServedState, None, ServedState, ServedState]


def served(name: str) -> Served:
    """A one-node graph that runs the reading graph ``name`` in a session of its own."""

    def read(state: ServedState) -> ServedState:
        try:
            with open_session() as session:
                identities = state.get("document_ids") or [d.id for d in session.library.documents.all()]
                answer = session.ask(state.get("question", ""), identities, graph=name)
        except RereaderError as error:  # the server would show "An internal error occurred" instead
            return {"error": str(error)}
        return {"answer": answer.model_dump(mode="json")}

    graph = StateGraph(ServedState)
    graph.add_node("read", read)
    graph.add_edge(START, "read")
    graph.add_edge("read", END)
    return graph.compile()


def compressed_memory() -> Served:
    """Serve ``compressed-memory``."""
    return served("compressed-memory")


def evidence_replay() -> Served:
    """Serve ``evidence-replay``."""
    return served("evidence-replay")


def full_context() -> Served:
    """Serve ``full-context``."""
    return served("full-context")


def retrieval() -> Served:
    """Serve ``retrieval``."""
    return served("retrieval")


def active_recap() -> Served:
    """Serve ``active-recap``."""
    return served("active-recap")


def gist_lookup() -> Served:
    """Serve ``gist-lookup``."""
    return served("gist-lookup")


def ledger() -> Served:
    """Serve ``ledger``."""
    return served("ledger")


def memory_agent() -> Served:
    """Serve ``memory-agent``."""
    return served("memory-agent")


def recursive() -> Served:
    """Serve ``recursive``."""
    return served("recursive")
