"""Runs of ``compressed-memory`` that read blocks, on scripted models that can be looked at."""

import re
from dataclasses import dataclass

from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.session import Session
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

FACTS = ["The strongbox of the Ulpelhala office opens with 5265.", "The ferry of Ulpelhala leaves at nine."]
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
TEXT = plant(essay(1, 120), FACTS)
SETTINGS = {"chunk_tokens": 60, "gist": "extract", "decline_below": 0, "ahead": 1, "waves": 1, "ratio": 3}
GATE = "Does the text above help"


def flat(prompt):
    return re.sub(r"\s+", " ", re.sub(r"<(?:user|system|assistant)>\n", "", prompt))


def lets_in(words, name="gatekeeper", reply="A"):
    """A model that lets in chunks which hold any of the words, whether it is shown their texts or their blocks."""

    def choose(prompt, options):
        told = flat(prompt)
        piece = told.split("Question:")[0] if GATE in told else told.split("Note: ")[-1]
        return [0.0, -5.0] if any(word in piece for word in words) else [-5.0, 0.0]

    return ScriptedModel(lambda prompt: reply, name=name, choose=choose, attends=True)


def a_reader(words=("Ulpelhala",), **changes):
    """A reader that numbers what it writes down, and is its own gate."""
    gate, count = lets_in(words), iter(range(1000))

    def reply(prompt):
        return f"known {next(count)}: 5265" if "What you know now:" in prompt else "5265"

    return ScriptedModel(reply, **{"name": "reader", "choose": gate._chooser, "attends": True, **changes})


@dataclass
class Asked:
    """A run and what it was made with."""

    session: Session
    answer: object
    reader: ScriptedModel
    scorer: ScriptedModel | None

    @property
    def library(self):
        return self.session.library

    @property
    def steps(self):
        return self.library.runs.steps(self.answer.run_id)

    def step(self, node):
        return next(step for step in self.steps if step.node == node)

    def prompts(self, model, method, words=""):
        return [flat(call.prompt) for call in model.calls if call.method == method and words in flat(call.prompt)]

    @property
    def let_in(self):
        return [row[:2] for step in self.steps for row in step.detail.get("decisions", []) if row[-1]]


class Asking:
    """Opens sessions and asks; close it afterwards."""

    def __init__(self, folder):
        self._folder = folder
        self.opened = []

    def session(self, reader, scorer=None, name=None):
        models = Models(reader=reader, scorer=scorer, embedder=HashingEmbedder())
        made = scripted_session(self._folder / (name or f"ws{len(self.opened)}"), models)
        self.opened.append(made)
        return made

    def __call__(self, settings, reader=None, scorer=None, session=None, **more):
        reader = reader or (session.models.reader if session else a_reader())
        session = session or self.session(reader, scorer)
        document = session.library.documents.add(TEXT, title="t", source="t", loader="text/1")
        values = {**SETTINGS, **settings}
        answer = session.ask(QUESTION, [document.id], graph="compressed-memory", settings=values, **more)
        return Asked(session, answer, reader, scorer)

    def close(self):
        for session in self.opened:
            session.close()
