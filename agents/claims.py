"""Claims: the answer's sentences, each tied to the quotes that carry its words."""

from __future__ import annotations

from collections.abc import Sequence

from rereader.agents.answerer import carriers
from rereader.schema import Claim, Record
from rereader.tools.sentences import sentence_spans


def claims_of(text: str, cited: Sequence[Record], evidence: Sequence[Record]) -> list[Claim]:
    """One claim per sentence or list item of an answer.

    A sentence rests on those of the answer's own quotes (``cited``) that carry its words, else on others of the
    evidence; one that none carries rests on nothing. An answer of one sentence rests on the answer's quotes.
    """
    spans = [_trimmed(text, start, end) for start, end in sentence_spans(text) if text[start:end].strip()]
    places = {record.id: index for index, record in enumerate(evidence)}
    claims = []
    for start, end in spans:
        carrying = cited if len(spans) == 1 else _carrying(text[start:end], cited, evidence)
        indices = tuple(places[record.id] for record in carrying)
        claims.append(Claim(text=text[start:end], start=start, end=end, evidence=indices))
    return claims


def _carrying(sentence: str, cited: Sequence[Record], evidence: Sequence[Record]) -> list[Record]:
    for records in (cited, evidence):
        if records and (found := carriers(sentence, records)):
            return [records[i] for i in found]
    return []


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space around it."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
