"""Texts cut into pieces of one length."""

from rereader.schema import Chunk, Span


def chunk_text(document, size):
    spans = [
        Span(document_id=document.id, start=s, end=min(s + size, document.length))
        for s in range(0, document.length, size)
    ]
    return [Chunk(id=f"{i}", span=span, token_count=size, ordinal=i) for i, span in enumerate(spans)]


def cut(library, document, size=100):
    chunks = chunk_text(document, size)
    passages = [(c.ordinal, c.span.start, c.span.end, library.documents.text_of(c.span)) for c in chunks]
    return library.chunks.add(document.id, f"size={size}", chunks, passages)
