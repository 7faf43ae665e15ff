"""A library that lost its last steps, as a power failure leaves it: LangGraph's checkpoints are ahead of it."""

import sqlite3
from contextlib import closing

import pytest

from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

TEXT = plant(essay(7, 300), ["The strongbox of the Ulpelhala office opens with 5265."])
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"


class Died(Exception):
    """The power went out."""


def fails(session, kept, at):
    """Let the power go out after step ``at``; the library keeps what it had after step ``kept``."""
    store = session.library.runs.add_step
    held = session.library.workspace / "held.db"

    def add(run_id, step, *rest):
        store(run_id, step, *rest)
        if step.number == kept:
            with closing(sqlite3.connect(held)) as copy:
                session.library.database._connection.backup(copy)
        if step.number == at:
            raise Died

    session.library.runs.add_step = add
    return held


@pytest.mark.parametrize(("kept", "at"), [(1, 3), (2, 3), (3, 6), (4, 5)])
def test_steps_that_the_library_lost_run_again(tmp_path, kept, at):
    settings = {"block_tokens": 400}
    told = []
    for harmed in (False, True):
        workspace = tmp_path / str(harmed)
        session = scripted_session(workspace)
        document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")
        if harmed:
            held = fails(session, kept, at)
            with pytest.raises(Died):
                session.ask(QUESTION, [document.id], graph="memory-agent", settings=settings)
            session.close()
            for log in workspace.glob("library.db-*"):
                log.unlink()
            held.replace(workspace / "library.db")
            session = scripted_session(workspace)
            answer = session.resume(session.library.runs.all()[0].id)
        else:
            answer = session.ask(QUESTION, [document.id], graph="memory-agent", settings=settings)
        steps = session.library.runs.steps(answer.run_id)
        told.append((answer.answer, answer.usage.calls, [(step.number, step.node, len(step.calls)) for step in steps]))
        session.close()
    assert told[0] == told[1]
