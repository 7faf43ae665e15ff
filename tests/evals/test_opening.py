"""The adapter between the harness and the application."""

from types import SimpleNamespace
from typing import Any

from rereader.evals.opening import MeasuredSession
from rereader.schema import Budget, Document, Event, Progress, Usage

DOCUMENT = Document(id="d", title="t", source="s", length=9, loader="text/1")


class Recorder:
    """Stands in for a session; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.library = SimpleNamespace(documents=SimpleNamespace(add=self.add))
        small = SimpleNamespace(name="small", fingerprint="0123456789abcdef0123")
        self.models = SimpleNamespace(reader=None, gister=small, scorer=None, embedder=small)

    def add(self, text: str, **options: Any) -> Document:
        self.calls.append(("add", {"text": text, **options}))
        return DOCUMENT

    def prepare(self, document: Document, **options: Any) -> Usage:
        self.calls.append(("prepare", {"document": document, **options}))
        return Usage(prompt_tokens=5)

    def ask(self, question: str, document_ids: list[str], **options: Any) -> str:
        self.calls.append(("ask", {"question": question, "document_ids": document_ids, **options}))
        return "answer"


def test_texts_are_stored_and_prepared_for_the_graph() -> None:
    recorder = Recorder()
    session = MeasuredSession(recorder, reader=True)  # type: ignore[arg-type]
    added = session.add_text("The text.", title="t", source="s", graph="retrieval", settings={"ranker": "bm25"})
    assert added == (DOCUMENT, Usage(prompt_tokens=5))
    listen = recorder.calls[1][1].pop("listen")
    assert recorder.calls == [
        ("add", {"text": "The text.", "title": "t", "source": "s", "loader": "text/1"}),
        ("prepare", {"document": DOCUMENT, "graph": "retrieval", "settings": {"ranker": "bm25"}}),
    ]
    listen(Event("progress", "r", progress=Progress("index", 1, 2)))  # nobody listens


def test_how_far_a_text_is_read_in_is_told() -> None:
    recorder, heard = Recorder(), []
    session = MeasuredSession(recorder, reader=True, told=heard.append)  # type: ignore[arg-type]
    session.add_text("The text.", title="t", source="s", graph="retrieval", settings={})
    progress = Progress("index", 1, 2)
    recorder.calls[1][1]["listen"](Event("progress", "r", progress=progress))
    recorder.calls[1][1]["listen"](Event("begin", "r"))
    assert heard == [progress]


def test_questions_are_passed_on() -> None:
    recorder = Recorder()
    session = MeasuredSession(recorder, reader=True)  # type: ignore[arg-type]
    budget = Budget(calls=3)
    assert session.ask("Which?", ["d"], graph="g", settings={"x": 1}, budget=budget) == "answer"
    options = {"graph": "g", "settings": {"x": 1}, "budget": budget}
    assert recorder.calls == [("ask", {"question": "Which?", "document_ids": ["d"], **options})]


def test_fingerprints_name_the_models_that_are_used() -> None:
    recorder = Recorder()
    small = "small 0123456789abcdef"
    assert MeasuredSession(recorder, reader=True).fingerprints() == {"gister": small, "embedder": small}  # type: ignore[arg-type]
    recorder.models = SimpleNamespace(gister=None, scorer=None, embedder=recorder.models.embedder)
    assert MeasuredSession(recorder, reader=False).fingerprints() == {"embedder": small}  # type: ignore[arg-type]
