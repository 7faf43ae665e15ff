"""A session without weights: every graph runs whole, in milliseconds, the same way each time."""

from __future__ import annotations

import re
from pathlib import Path

from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.models.tokens import estimate_counter
from rereader.runs.session import Session
from rereader.tools.words import content_words

_SEGMENT = re.compile(r"<(?:user|system|assistant)>\n")
_PARTS = re.compile(r"Passages([^\n:]*):\n(.*)Question:\s+(.*?)\n", re.DOTALL)


def quoting_reply(prompt: str) -> str:
    """Reply with the beginning of the passage that shares most words with the question; ``1`` to other prompts."""
    parts = _PARTS.search(_SEGMENT.sub("", prompt))
    if not parts or "numbers" in prompt:
        return "1"
    wanted = set(content_words(parts[3]))
    between = "\n" if parts[1] else "\n\n"  # replayed sentences stand one on a line
    passages = [" ".join(text.split()) for text in parts[2].split(between) if text.strip()]
    return max(passages, key=lambda text: len(wanted & set(content_words(text))), default="unknown")[:60]


def scripted_models() -> Models:
    """A reader that quotes, a gister and a scorer that always say the same, a hashing embedder."""
    return Models(
        reader=ScriptedModel(quoting_reply, name="reader", attends=True),
        gister=ScriptedModel(lambda prompt: "A gist.", name="gister"),
        scorer=ScriptedModel(lambda prompt: "A", name="scorer", attends=True),
        embedder=HashingEmbedder(),
    )


def scripted_session(workspace: Path, models: Models | None = None) -> Session:
    """A session on a workspace with :func:`scripted_models`, or other ones."""
    return Session(Library(workspace), models or scripted_models(), estimate_counter())
