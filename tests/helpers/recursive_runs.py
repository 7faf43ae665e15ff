"""Recursive runs on scripted models: a root model that follows a list of lines, and helpers that read parts."""

from __future__ import annotations

import re
from pathlib import Path

from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

GRAPH = "recursive"
FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 400), [FACT])
ROOT = re.compile(r"You answer a question about a long text that you cannot see")
SEARCH = 'search("strongbox Ulpelhala", 3)'


class Script:
    """Lines of the root model in order; a helper that says what it is told to, or the fact where a part holds it."""

    def __init__(self, lines, helper=None, reduced="5265"):
        self.lines, self.helper, self.reduced = iter(lines), helper, reduced

    def __call__(self, prompt):
        if ROOT.search(prompt):
            return next(self.lines, "answer(text)")
        if "Notes:" in prompt:
            return self.reduced
        if self.helper:
            return self.helper(prompt)
        return "It opens with 5265." if FACT in prompt else "nothing"


def rooted(reader):
    """What the root model was shown."""
    return [call.prompt for call in reader.calls if ROOT.search(call.prompt)]


def helped(reader):
    """What helpers were shown."""
    return [call.prompt for call in reader.calls if not ROOT.search(call.prompt)]


def turns_of(session, answer):
    """The details of the turns, in order."""
    return [step.detail for step in session.library.runs.steps(answer.run_id) if step.node == "act"]


def told(session, answer):
    """What the root model was told, in order."""
    records = session.library.records.of_run(answer.run_id)
    return [record.content for record in records if record.agent == "actor"]


class Runs:
    """Asks in sessions of their own, each with settings for small texts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened = folder, []

    def __call__(self, lines, helper=None, *, texts=(TEXT,), question=QUESTION, window=32768, budget=None, **values):
        """The answer, its reader and its session; ``lines`` may also be a whole script."""
        script = lines if callable(lines) else Script(lines, helper)
        reader = ScriptedModel(script, name="reader", context_window=window)
        session = scripted_session(self.folder / f"ws{len(self.opened)}", Models(reader=reader))
        self.opened.append(session)
        settings = {"plan": "generate", "decline_below": 0, "chunk_tokens": 128, **values}
        documents = [session.add_text(t, title=f"d{i}", source=f"d{i}.txt", graph=GRAPH) for i, t in enumerate(texts)]
        answer = session.ask(question, [d.id for d in documents], graph=GRAPH, settings=settings, budget=budget)
        return answer, reader, session

    def close(self) -> None:
        """Close all sessions."""
        for session in self.opened:
            session.close()
