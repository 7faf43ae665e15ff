"""What a run returns; a stable JSON document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rereader.schema.shown import answer_html
from rereader.schema.types import Frozen, Match
from rereader.schema.usage import Usage

Status = Literal["answered", "declined", "budget_spent", "interrupted", "failed"]


class Evidence(Frozen):
    """A passage of a document that supports a claim.

    ``verified`` means that ``quote`` is the source slice ``[start, end)``. ``supports`` is a separate score: how much
    of the claim's wording the quote carries (0 to 1), or ``None`` when it was not measured. ``page``, ``section``,
    ``row`` and ``time`` are labels (see :class:`~rereader.schema.types.Place`), ``None`` where the document has no such
    places. They and ``line`` (from 1) say where the quote begins; a page, row or time that it ends in is
    named too if it is another one: ``12-13``.
    """

    document: str
    document_id: str
    start: int
    end: int
    quote: str
    match: Match
    verified: bool
    supports: float | None = None
    score: float | None = None
    page: str | None = None
    section: str | None = None
    row: str | None = None
    time: str | None = None
    line: int | None = None
    record: str | None = None


class Claim(Frozen):
    """A part ``[start, end)`` of the answer's text and the evidence (indices) it rests on."""

    text: str
    start: int
    end: int
    evidence: tuple[int, ...] = ()


class Answer(BaseModel):
    """The outcome of a question."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    question: str
    answer: str
    claims: list[Claim] = Field(default_factory=list)
    evidence: list[Evidence] = Field(default_factory=list)
    declined: bool = False
    confidence: float | None = None
    status: Status = "answered"
    warnings: list[str] = Field(default_factory=list)
    graph: str
    models: dict[str, str] = Field(default_factory=dict)
    run_id: str
    usage: Usage = Field(default_factory=Usage)

    def cited(self) -> list[int]:
        """Indices of the quotes that claims rest on, in the order in which the claims name them."""
        return list(dict.fromkeys(index for claim in self.claims for index in claim.evidence))

    def quote_order(self) -> list[int]:
        """Indices of all quotes in the order of their numbers: the cited ones, then the others, best first.

        Wherever an answer is shown, quote ``[n]`` is ``evidence[quote_order()[n - 1]]``.
        """
        cited = self.cited()
        rest = sorted(set(range(len(self.evidence))) - set(cited), key=lambda i: -(self.evidence[i].score or 0.0))
        return [*cited, *rest]

    def _repr_html_(self) -> str:
        return answer_html(self)
