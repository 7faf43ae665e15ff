"""Whoever waits for a model to be loaded is told which."""

from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import TokenCounter
from rereader.runs.session import Session

BOOK = "Keziah keeps the bees of Ostrow. The mill was sold in 1923. " * 20


def session_of(folder):
    reader = ScriptedModel(lambda prompt: "Keziah", name="big-reader")
    loaders = {"reader": lambda: reader, "gister": lambda: None, "scorer": lambda: None, "embedder": HashingEmbedder}
    names = {"reader": "big-reader", "gister": "none", "scorer": "none", "embedder": "an-embedder"}
    return Session(
        Library(folder), Models.lazy(names, loaders), TokenCounter("words", exact=True, count=reader.count_tokens)
    )


def told(events):
    return [(event.progress.stage, event.progress.done) for event in events if event.progress]


def test_the_models_of_a_question_are_told_before_they_are_there(tmp_path):
    session, events = session_of(tmp_path), []
    document = session.library.documents.add(BOOK, title="b", source="b", loader="text/1")
    session.ask("Who keeps the bees?", [document.id], graph="retrieval", listen=events.append)
    stages = told(events)
    assert stages[:2] == [("loading big-reader", 0), ("loading big-reader", 1)]
    begun = next(place for place, event in enumerate(events) if event.kind == "begin")
    assert begun == 2
    assert [stage for stage in stages if stage[0] == "loading an-embedder"] == [
        ("loading an-embedder", 0),
        ("loading an-embedder", 1),
    ]


def test_what_is_there_is_loaded_no_more_and_nobody_is_told_afterwards(tmp_path):
    session, first, second = session_of(tmp_path), [], []
    document = session.library.documents.add(BOOK, title="b", source="b", loader="text/1")
    session.ask("Who keeps the bees?", [document.id], graph="retrieval", listen=first.append)
    count = len(first)
    session.ask("When was the mill sold?", [document.id], graph="retrieval", listen=second.append)
    assert not [stage for stage, _ in told(second) if stage.startswith("loading")]
    assert len(first) == count
    assert not [stage for stage, _ in told(first) if stage == "loading none"]


def test_adding_a_document_tells_of_the_embedder(tmp_path):
    session, events = session_of(tmp_path), []
    session.add_text(BOOK, title="b", source="b", graph="retrieval", listen=events.append)
    assert ("loading an-embedder", 0) in told(events)
    assert "loading big-reader" not in [stage for stage, _ in told(events)]
