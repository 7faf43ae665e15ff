"""A session without weights: every graph runs whole, in milliseconds, the same way each time."""

from __future__ import annotations

import re
from pathlib import Path

from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.runs.session import Session
from rereader.tools.tokens import estimate_counter
from rereader.tools.words import content_words

_SEGMENT = re.compile(r"<(?:user|system|assistant)>\n")
_PASSAGE = re.compile(r"\[(\d+)\] (.*)")
_QUESTION = re.compile(r"Question: (.*)")


def quoting_reply(prompt: str) -> str:
    """Reply with the passage that shares most words with the question, and its number."""
    text = re.sub(r"\n(?=\n)", "", _SEGMENT.sub("", prompt)).replace("] \n", "] ").replace(": \n", ": ")
    text = re.sub(r"(\[\d+\])\s+", r"\1 ", text)
    text = re.sub(r"Question:\s+", "Question: ", text)
    question = _QUESTION.search(text)
    wanted = set(content_words(question[1])) if question else set()
    found = [(len(wanted & set(content_words(body))), -int(number), body) for number, body in _PASSAGE.findall(text)]
    if not found:
        return "unknown"
    _, number, body = max(found)
    return f"{body[:60]} [{-number}]"


def scripted_models() -> Models:
    """A reader that quotes, a gister and a scorer that always say the same, a hashing embedder."""
    return Models(
        reader=ScriptedModel(quoting_reply, name="reader"),
        gister=ScriptedModel(lambda prompt: "A gist.", name="gister"),
        scorer=ScriptedModel(lambda prompt: "A", name="scorer"),
        embedder=HashingEmbedder(),
    )


def scripted_session(workspace: Path, models: Models | None = None) -> Session:
    """A session on a workspace with :func:`scripted_models`, or other ones."""
    return Session(Library(workspace), models or scripted_models(), estimate_counter())
