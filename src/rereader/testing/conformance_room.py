"""Where a graph is tried out: a fresh workspace with one document, scripted models that are watched, a question."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any

from rereader.memory.library import Library
from rereader.models.base import LanguageModel, Prompt
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import estimate_counter
from rereader.runs.session import Session, ignore
from rereader.schema import Answer, Budget, Document, Event, Usage
from rereader.testing.sessions import quoting_reply, scripted_models
from rereader.testing.texts import essay, plant
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import content_words

QUESTION = "With which number does the strongbox of the Ulpelhala office open?"
FACTS = (
    "Ferrowick Quillane painted the weathercock of Marrowby.",
    "The strongbox of the Ulpelhala office opens with 5265.",
    "Tamwenis Kelgarweno keeps forty hives behind the quarry.",
)
TEXT = plant(essay(1, 80), FACTS)
SETTINGS: Mapping[str, Any] = {"chunk_tokens": 256}
"""Small chunks, so that a short text has several."""
ROLES = ("reader", "gister", "scorer")
_METHODS = ("generate", "choose", "log_likelihood", "attention", "compress_kv")
_LONGEST_REPLY = 200
_ROLE = re.compile(r"<(?:user|system|assistant)>\n")
_NUMBERS = re.compile(r"\bnumbers?\b")
_NAMES = re.compile(r"\bnames?(?:,| and) numbers?\b")
"""What is to be kept as it is written; no number is asked for."""


def echoing_reply(prompt: str) -> str:
    """Reply with the sentence of the prompt that shares most words with the question; ``1`` where numbers are asked."""
    told = _ROLE.sub("\n", prompt)
    if _NUMBERS.search(_NAMES.sub("", told.replace(QUESTION, ""))):
        return "1"
    reply = quoting_reply(prompt)
    if reply not in ("1", "unknown"):
        return reply
    wanted = set(content_words(QUESTION))
    sentences = [told[start:end].strip() for start, end in sentence_spans(told)]
    shared = {text: len(wanted & set(content_words(text))) for text in sentences if not text.endswith("?")}
    best = max(shared, key=shared.__getitem__, default="")
    return best[:_LONGEST_REPLY] if shared.get(best) else "1"


def echoing_models(window: int = 32_768) -> Models:
    """The scripted models with a reader of this window that quotes whatever the prompt looks like."""
    others = scripted_models()
    reader = ScriptedModel(echoing_reply, name="reader", attends=True, context_window=window)
    return Models(reader=reader, gister=others.gister, scorer=others.scorer, embedder=others.embedder)


@dataclass(frozen=True)
class ModelCall:
    """One finished call of a model: for which prompt, and with which sampling, options or heads."""

    model: str
    method: str
    prompt: Prompt
    how: str


@dataclass
class Room:
    """A workspace with the document in it.

    Args:
        graph: Name of the graph.
        session: Its session.
        documents: What is asked about.
        settings: Settings of the graph.
        calls: What its models were asked, as far as they replied.
        events: What the runs told.
    """

    graph: str
    session: Session
    documents: list[Document]
    settings: Mapping[str, Any]
    calls: list[ModelCall] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def library(self) -> Library:
        """The workspace's library."""
        return self.session.library

    def ask(self, question: str = QUESTION, *, listen: Callable[[Event], None] = ignore, **more: Any) -> Answer:
        """Ask the graph."""

        def hear(event: Event) -> None:
            self.events.append(event)
            listen(event)

        identities = [document.id for document in self.documents]
        return self.session.ask(
            question, identities, graph=self.graph, settings=self.settings, listen=hear, **{"budget": Budget(), **more}
        )

    def count_calls(self) -> Counter[ModelCall]:
        """How often each call was made."""
        return Counter(self.calls)


@dataclass(frozen=True)
class Trial:
    """A graph that is to be tried out.

    Args:
        graph: Its name.
        folder: Where workspaces may be made.
        settings: Settings that it is tried with.
        models: Makes the models, anew for each workspace.
    """

    graph: str
    folder: Path
    settings: Mapping[str, Any]
    models: Callable[[], Models] = echoing_models

    @contextmanager
    def room(self, name: str, texts: Sequence[str] = (TEXT,)) -> Iterator[Room]:
        """A fresh workspace; the documents are stored and nothing is made of them yet."""
        models = self.models()
        session = Session(Library(self.folder / name), models, estimate_counter())
        try:
            add = partial(session.library.documents.add, loader="text/1")
            documents = [add(text, title=f"text {i}", source=f"{i}.txt") for i, text in enumerate(texts)]
            room = Room(self.graph, session, documents, self.settings)
            watch(models, room.calls)
            yield room
        finally:
            session.close()


def watch(models: Models, calls: list[ModelCall]) -> None:
    """Write down every call that a model has finished."""
    found = {id(model): model for model in (getattr(models, role) for role in ROLES) if model is not None}
    for model in found.values():
        for method in _METHODS:
            setattr(model, method, _watched(model, method, calls))


def _watched(model: LanguageModel, method: str, calls: list[ModelCall]) -> Callable[..., Any]:
    original = getattr(model, method)
    signature = inspect.signature(original)

    @wraps(original)
    def call(*positional: Any, **named: Any) -> Any:
        made = original(*positional, **named)
        given = signature.bind(*positional, **named).arguments
        calls.extend(ModelCall(model.name, method, prompt, how) for prompt, how in _asked(given))
        return made

    return call


def _asked(given: Mapping[str, Any]) -> Iterator[tuple[Prompt, str]]:
    """Each prompt of a call with all else that its reply depends on."""
    continuations = given.get("continuations")
    how = repr([given.get(name) for name in ("sampling", "options", "heads", "compression")])
    prompts = given["prompts"] if "prompts" in given else [given["prompt"]]
    for place, prompt in enumerate(prompts):
        yield prompt, f"{how} {continuations[place]!r}" if continuations else how
    if given.get("null"):
        yield given["null"], how


def same_evidence(answer: Answer) -> list[tuple[str, int, int, str]]:
    """What two answers to the same question share if their evidence is the same."""
    return [(item.document_id, item.start, item.end, item.quote) for item in answer.evidence]


def counts(usage: Usage) -> dict[str, Any]:
    """A usage without what differs from run to run: seconds, memory, what a cache served."""
    left_out = {"seconds", "peak_host_bytes", "peak_device_bytes", "cached_calls", "cached_tokens", "embedded_tokens"}
    return usage.model_dump(exclude=left_out)
