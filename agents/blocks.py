"""Blocks: a run's documents cut into consecutive stretches of so many of a model's own tokens, wherever that falls."""

from __future__ import annotations

from collections.abc import Iterator

from rereader.agents.calls import Caller
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import RunContext
from rereader.models.base import LanguageModel
from rereader.schema import Chunk, Document, InputError, ModelError, Span

LEAST_BLOCK = 64
"""Tokens that a block has at least, unless fewer are asked for."""


def blocks(context: RunContext, model: LanguageModel, tokens: int) -> list[Span]:
    """Blocks of ``tokens`` tokens, in order; the last one of a document may be shorter. They partition each document.

    Tokens are those of chunks that are tokenised one by one. Where a model's tokens are not known here (a server's),
    a block is as many whole chunks as fit.
    """
    key = (model.fingerprint, tokens)
    if key not in context.cuts:
        context.cuts[key] = [span for document in context.documents for span in _cut(context, model, document, tokens)]
    return context.cuts[key]


def block_size(context: RunContext, caller: Caller, wanted: int, room: int, before: int = 0) -> int:
    """Tokens of a block: ``wanted``, or as many as there is room for in a window, which is said then.

    Args:
        context: The run.
        caller: Who reads the blocks.
        wanted: Tokens that are asked for.
        room: Tokens that fit the window beside what must stand with a block.
        before: The size that earlier steps of the run have counted blocks by, which stays; 0 if none has.

    Raises:
        InputError: If the room is too small for a block to say anything, or for blocks of the size before.
    """
    size, name, window = before or min(wanted, room), caller.model.name, caller.model.context_window
    if before > max(0, room):
        number = _first_read(context)
        msg = f"Blocks of {before:,} tokens, as step {number} has cut them, do not fit the {window:,} tokens of {name}"
        hint = f"Ask for a shorter question or answer, or fork at --step {number - 1} or before."
        raise InputError(f"{msg} beside what must stand with them.", hint)
    if size < min(LEAST_BLOCK, wanted):
        msg = f"No block of text fits the {window:,} tokens of {name} beside what must stand with it."
        raise InputError(msg, "Ask for shorter memories or recaps, or choose a reader with a larger window.")
    if size < wanted:
        context.warn(f"Blocks have {size:,} tokens instead of {wanted:,}, to fit {name}.")
    return size


def _first_read(context: RunContext) -> int:
    """The step of the run that has cut its blocks."""
    steps = context.library.runs.steps_alone(context.run_id)
    return next((step.number for step in steps if "block" in step.detail), context.step)


def _cut(context: RunContext, model: LanguageModel, document: Document, tokens: int) -> Iterator[Span]:
    start = held = 0
    for chunk in context.library.chunks.range(ensure_chunks(context, document)):
        context.checkpoint()
        begins = _token_starts(context, model, chunk)
        if begins is None:
            if held and held + chunk.token_count > tokens:
                yield Span(document_id=document.id, start=start, end=chunk.span.start)
                start, held = chunk.span.start, 0
            held += chunk.token_count
            continue
        for begin in begins[max(0, tokens - held) :: tokens]:
            if begin > start:  # tokens may share a character
                yield Span(document_id=document.id, start=start, end=begin)
                start = begin
        held = (held + len(begins) - 1) % tokens + 1 if begins else held
    if start < document.length:
        yield Span(document_id=document.id, start=start, end=document.length)


def _token_starts(context: RunContext, model: LanguageModel, chunk: Chunk) -> list[int] | None:
    """Where each of a chunk's tokens begins in the document; ``None`` if the model does not tell."""
    try:
        [spans] = model.token_spans([context.library.documents.text_of(chunk.span)])
    except ModelError:
        return None
    return [chunk.span.start + start for start, _ in spans]
