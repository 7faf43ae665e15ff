"""What the tests of ``active-recap`` share: a reader that writes recaps, and how it is asked."""

import zlib

from rereader.models.scripted import ScriptedModel
from rereader.schema import RecordKind

GRAPH = "active-recap"
FACT = "The strongbox of the Ulpelhala office opens with 5265."
QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
BASE = {"decline_below": 0, "every": 200, "recap_tokens": 40}


def reply(prompt):
    """A recap that tells which prompt it is of; the fact's number where it can be seen."""
    if "Write a recap" in prompt or "Write one recap" in prompt:
        return f"Recap{zlib.crc32(prompt.encode())} of the harbour."
    return "5265" if "5265" in prompt else "the harbour"


def add(session, text, title="essay"):
    return session.add_text(text, title=title, source=title, graph=GRAPH)


def ask(session, documents, question=QUESTION, budget=None, **settings):
    identities = [document.id for document in documents]
    return session.ask(question, identities, graph=GRAPH, settings={**BASE, **settings}, budget=budget)


def steps_of(session, answer, node):
    return [step for step in session.library.runs.steps(answer.run_id) if step.node == node]


def recaps_of(session, answer):
    records = session.library.records.of_run(answer.run_id)
    return [record for record in records if record.kind is RecordKind.RECAP]


def size(text):
    return ScriptedModel([]).count_tokens([text])[0]
