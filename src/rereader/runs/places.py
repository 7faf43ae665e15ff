"""Places in the documents of a run as people write them: ``START-END``, or ``DOCUMENT:START-END``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rereader.schema import Document, InputError, Span

_PLACE = re.compile(r"(?:(?P<document>.+):)?(?P<start>[0-9]{1,12})-(?P<end>[0-9]{1,12})", re.DOTALL)


def place_of(documents: Sequence[Document], text: str) -> Span:
    """The place that a text names.

    Args:
        documents: Those of the run.
        text: A document's id, its first characters or its title, a colon, and offsets in characters, the end exclusive;
            the offsets will do where there is one document.

    Raises:
        InputError: If it names no place, no document or several, or lies outside of the document.
    """
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        hint = "Write DOCUMENT:START-END, such as 3f2a9c:120-180, in characters from the document's beginning."
        raise InputError(f"{text!r} is no place in a document.", hint)
    document, start, end = _named(documents, found["document"]), int(found["start"]), int(found["end"])
    if not start < end <= document.length:
        hint = f"It has {document.length:,} characters; the first of a place is 0, its end lies behind it."
        raise InputError(f"{document.title} has no place {start}-{end}.", hint)
    return Span(document_id=document.id, start=start, end=end)


def _named(documents: Sequence[Document], name: str | None) -> Document:
    """The document of this id or title; of several with this beginning of an id none."""
    found = [one for one in documents if one.id == name or one.title == name]
    found = found or [one for one in documents if not name or one.id.startswith(name)]
    if len(found) != 1:
        count = "no document" if not found else f"{len(found)} documents"
        hint = f"It was asked about: {', '.join(f'{one.id[:12]} ({one.title})' for one in documents)}."
        raise InputError(f"The run has {count} {name or 'that a place without a name could mean'}.", hint)
    return found[0]
