"""Quotes of the working memory as evidence: checked against the source, with the places that they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rereader.memory.library import Library
from rereader.memory.runs import Step
from rereader.schema import Document, Evidence, Match, Record, Span
from rereader.tools.citations import supports


def quote_scores(steps: Sequence[Step]) -> dict[str, float]:
    """Score of each quote when it was added, by record id, from the steps' details."""
    scores: dict[str, float] = {}
    for step in steps:
        scores |= step.detail.get("scores", {})
    return scores


def evidence_of(
    library: Library,
    documents: Sequence[Document],
    records: Sequence[Record],
    steps: Sequence[Step],
    scores: Mapping[str, float],
    text: str = "",
) -> list[Evidence]:
    """Evidence of quotes, document by document, each quote cut out of its document anew.

    Args:
        library: Holds the documents.
        documents: In the order of the evidence.
        records: The quotes, in the order of the text.
        steps: The steps that found them.
        scores: Score by record id.
        text: What they are to support, if there is anything yet.
    """
    matches = {identity: match for step in steps for identity, match in step.detail.get("matches", {}).items()}
    made: list[Evidence] = []
    for document in documents:
        mine = [record for record in records if record.spans[0].document_id == document.id]
        spans = [record.spans[0] for record in mine]
        lines = library.documents.lines_of(document.id, [span.start for span in spans])
        places = library.documents.places_at(document.id, [at for span in spans for at in _edges(span)])
        for record, span in zip(mine, spans, strict=True):
            source = library.documents.text_of(span)
            made.append(
                Evidence(
                    document=document.title,
                    document_id=document.id,
                    start=span.start,
                    end=span.end,
                    quote=source,
                    match=Match(matches.get(record.id, Match.EXACT)),
                    verified=source == record.content,
                    supports=round(supports(text, source), 3) if text else None,
                    score=scores.get(record.id),
                    line=lines[span.start],
                    **_where(places, span),
                    record=record.id,
                )
            )
    return made


def _edges(span: Span) -> tuple[int, int]:
    return span.start, max(span.start, span.end - 1)


def _where(places: Mapping[int, Mapping[str, str]], span: Span) -> dict[str, str]:
    """The places a quote begins in; page, row and time also say where it ends, if that is another one."""
    first, last = (places[at] for at in _edges(span))
    found = dict(first)
    for kind in ("page", "row", "time"):
        begun, ended = first.get(kind), last.get(kind)
        if begun is not None and ended is not None and begun != ended:
            found[kind] = f"{begun} to {ended}" if "-" in begun + ended else f"{begun}-{ended}"
    return found
