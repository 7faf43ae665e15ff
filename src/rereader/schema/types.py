"""Documents, chunks, spans, records and quotes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rereader.schema.shown import record_html

PlaceKind = Literal["page", "section", "row", "time"]
USER = "user"
"""The agent of records that a user wrote."""
Runtime = Literal["auto", "llamacpp", "transformers", "8bit", "4bit"]
"""What runs a model; ``8bit`` and ``4bit`` are transformers with weights that are quantised while they load."""


class Frozen(BaseModel):
    """A value: immutable, hashable where its fields are, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Frozen):
    """Half-open offsets ``[start, end)`` into a document's text, in Python code points."""

    document_id: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            msg = f"a span must not end before it starts: [{self.start}, {self.end})"
            raise ValueError(msg)
        return self

    def __len__(self) -> int:
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Whether the two spans share at least one character of one document."""
        return self.document_id == other.document_id and self.start < other.end and other.start < self.end

    def contains(self, other: Span) -> bool:
        """Whether ``other`` lies wholly inside this span."""
        return self.document_id == other.document_id and self.start <= other.start and other.end <= self.end


class Document(Frozen):
    """One text in the library.

    ``id`` is the sha256 of the normalised text and the loader version, so a changed file is another document;
    ``length`` is in code points.
    """

    id: str
    title: str
    source: str
    length: int
    loader: str


class Place(Frozen):
    """A mark in a document's text that holds from ``start`` (a code point) to the next one of its kind.

    ``label`` is what a reader would look for: the page's printed label where the file says it, else its number; a
    section's headings from the highest to its own (``Chapter 2 › Letters``); the number of a table's row, the header's
    being 1; the time at which a subtitle appears (``00:12:05``).
    """

    kind: PlaceKind
    start: int = Field(ge=0)
    label: str


class Chunk(Frozen):
    """A piece of a document; without overlap the chunks of a document partition its text."""

    id: str
    span: Span
    token_count: int
    ordinal: int


class RecordKind(StrEnum):
    """What a record holds."""

    GIST = "gist"
    RECAP = "recap"
    NOTE = "note"
    QUOTE = "quote"
    KV = "kv"
    SCORES = "scores"


class Record(Frozen):
    """One append-only piece of memory.

    ``run_id`` is the run that wrote it, or the document's id for memories written while a document is added. A change
    is a new record that names the old one in ``parents``. What a user wrote while a run was forked has the agent
    ``user``, or ``user: AGENT`` where it stands in the place of what an agent wrote.
    """

    id: str
    run_id: str
    kind: RecordKind
    content: str
    spans: tuple[Span, ...] = ()
    parents: tuple[str, ...] = ()
    step: int = 0
    ordinal: int = 0
    agent: str
    prompt_hash: str = ""
    model: str = ""

    @property
    def author(self) -> str:
        """The agent whose work this is, or stands in the place of."""
        return self.agent.removeprefix(f"{USER}: ")

    def _repr_html_(self) -> str:
        return record_html(self)

    @classmethod
    def create(
        cls,
        *,
        run_id: str,
        kind: RecordKind,
        content: str,
        agent: str,
        spans: Sequence[Span] = (),
        parents: Sequence[str] = (),
        step: int = 0,
        ordinal: int = 0,
        prompt_hash: str = "",
        model: str = "",
    ) -> Record:
        """Build a record whose id is a hash of (run, agent, step, ordinal, kind, parents, spans, content, prompt).

        A node that LangGraph runs again after a kill therefore writes the same ids and duplicates nothing.
        """
        identity = [run_id, agent, step, ordinal, kind.value, list(parents)]
        identity += [[s.document_id, s.start, s.end] for s in spans]
        identity.append(content)
        if prompt_hash:  # records of one wording by different means are different ones
            identity.append(prompt_hash)
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
        return cls(
            id=digest,
            run_id=run_id,
            kind=kind,
            content=content,
            spans=tuple(spans),
            parents=tuple(parents),
            step=step,
            ordinal=ordinal,
            agent=agent,
            prompt_hash=prompt_hash,
            model=model,
        )


class Match(StrEnum):
    """How a model's quote was found in the source."""

    EXACT = "exact"
    NORMALISED = "normalised"
    ALIGNED = "aligned"
    NONE = "none"


class Quote(Frozen):
    """A passage of the source.

    ``text`` is always the slice ``document.text[span.start:span.end]``; ``claimed`` is the wording the model used.
    """

    span: Span
    text: str
    claimed: str
    match: Match
