"""Where a quote stands, in words: one wording for every way of showing an answer."""

from __future__ import annotations

from rereader.schema import Evidence


def where(evidence: Evidence) -> str:
    """Document, page, section, row, time and line of a quote, as far as the document has them.

    Example: ``report.pdf, p. 12, § Chapter 2, line 345``; a quote over a page border has ``p. 12-13``.
    A row makes the line superfluous.
    """
    named = (
        ("p. ", evidence.page),
        ("§ ", evidence.section),
        ("row ", evidence.row),
        ("at ", evidence.time),
        ("line ", evidence.line if evidence.row is None else None),
    )
    return ", ".join([evidence.document, *(f"{word}{value}" for word, value in named if value is not None)])
