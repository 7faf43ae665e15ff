"""Checkpoints stay small however long a run is."""

import sqlite3
import threading

from langgraph.checkpoint.sqlite import SqliteSaver

from rereader.agents.context import Outcome, RunContext
from rereader.agents.settings import ReadingSettings
from rereader.graphs.routing import connect, new_graph
from rereader.schema import Budget

STEPS = 2000


def test_two_thousand_steps_take_less_than_twenty_megabytes(session, tmp_path):
    document = session.add_text("A text to read again and again.", title="t", source="t", graph="full-context")
    session.library.runs.create(
        "long", question="q", graph="retrieval", settings={}, models={}, budget=Budget(), document_ids=[document.id]
    )

    def read(state, context):
        return Outcome({"wave": state.get("wave", 0) + 1, "accepted": [[0, i] for i in range(8)], "status": "answered"})

    graph = new_graph([("read", read)])
    connect(graph, "read", "read", "finish", choose=lambda state: "read" if state["wave"] < STEPS else "finish")
    context = RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=ReadingSettings(),
        run_id="long",
        documents=(document,),
        cancel=threading.Event(),
    )
    path = tmp_path / "long.sqlite"
    connection = sqlite3.connect(path, check_same_thread=False)
    compiled = graph.compile(checkpointer=SqliteSaver(connection))
    state = {"question": "q", "document_ids": [document.id], "step": 0}
    config = {"configurable": {"thread_id": "long"}, "recursion_limit": 10_000}
    compiled.invoke(state, config, context=context, durability="async")
    connection.close()
    assert len(session.library.runs.steps("long")) == STEPS + 1
    size = sum(p.stat().st_size for p in tmp_path.glob("long.sqlite*"))
    assert size < 20_000_000, f"{size:,} bytes"
