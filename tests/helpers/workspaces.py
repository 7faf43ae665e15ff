"""A workspace with a run with blocks for each question, and what is in it."""

from rereader.memory.library import Library
from rereader.testing.sessions import scripted_session
from rereader.testing.texts import essay, plant

QUESTION = "When was the mill sold?"
BLOCKS = {"gist": "extract", "reads": "kv", "chunk_tokens": 60, "decline_below": 0}


def asked(folder, questions=(QUESTION,)):
    """A workspace with a run with blocks for each question."""
    session = scripted_session(folder)
    text = plant(essay(5, 120), ["The mill was sold in 1822."])
    document = session.library.documents.add(text, title="essay", source="e", loader="text/1")
    answers = [session.ask(question, [document.id], settings=BLOCKS) for question in questions]
    session.close()
    return answers


def dump(folder):
    with Library(folder) as library:
        return sorted(line for line in library.database._connection.iterdump() if "fulltext" not in line)
