"""Cuts documents into sentences, and those into windows that a model whose attention is read can take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rereader.agents.calls import Caller
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import RunContext
from rereader.models.base import Head, LanguageModel
from rereader.models.headlist import no_heads
from rereader.models.white_box import white_box
from rereader.prompts.loader import Piece
from rereader.schema import InputError, Span
from rereader.tools.sentences import sentence_spans
from rereader.tools.words import count_words


@dataclass(frozen=True)
class Sentence:
    """A sentence of a document, with the white space after it; ``tokens`` are the model's."""

    span: Span
    text: str
    tokens: int

    @property
    def words(self) -> int:
        """Its words."""
        return count_words(self.text)


@dataclass(frozen=True)
class Window:
    """Neighbouring sentences that are looked at together."""

    sentences: tuple[Sentence, ...]

    @property
    def tokens(self) -> int:
        """Tokens of its text."""
        return sum(sentence.tokens for sentence in self.sentences)

    def pieces(self) -> tuple[list[Piece], list[int]]:
        """The text for a prompt's slot, to be kept for the next question, and which of the pieces are sentences."""
        pieces: list[Piece] = []
        places: list[int] = []
        before = None
        for sentence in self.sentences:
            if before is not None and before != sentence.span.document_id:
                pieces.append(Piece("\n\n", trusted=True))
            before = sentence.span.document_id
            places.append(len(pieces))
            pieces.append(Piece(sentence.text, span=sentence.span))
        pieces[-1] = replace(pieces[-1], cacheable=True)
        return pieces, places


def sentences(context: RunContext, model: LanguageModel) -> list[Sentence]:
    """The run's documents as sentences; none goes beyond its chunk."""
    found: list[Sentence] = []
    for document in context.documents:
        for chunk in context.library.chunks.range(ensure_chunks(context, document)):
            context.checkpoint()
            text = context.library.documents.text_of(chunk.span)
            spans = sentence_spans(text)
            counts = model.count_tokens([text[start:end] for start, end in spans])
            for (start, end), tokens in zip(spans, counts, strict=True):
                at = chunk.span.start
                span = Span(document_id=document.id, start=at + start, end=at + end)
                found.append(Sentence(span, text[start:end], tokens))
    return found


def windows(found: Sequence[Sentence], whole: int, part: int) -> list[Window]:
    """Sentences in one window if they have at most ``whole`` tokens, else in windows of at most ``part``.

    Raises:
        InputError: If a single sentence does not fit.
    """
    total = sum(sentence.tokens for sentence in found)
    if total <= whole:
        return [Window(tuple(found))] if found else []
    return list(_cut(found, -(-total // -(-total // part)), part))


def _cut(found: Sequence[Sentence], aim: int, most: int) -> Iterator[Window]:
    """Windows of about ``aim`` tokens each, so that the last one is not a scrap."""
    held: list[Sentence] = []
    size = 0
    for sentence in found:
        if sentence.tokens > most:
            msg = f"A sentence of {sentence.tokens:,} tokens does not fit a window of {most:,}."
            raise InputError(msg, "Raise window_tokens, or choose a scorer with a larger window.")
        if held and (size >= aim or size + sentence.tokens > most):
            yield Window(tuple(held))
            held, size = [], 0
        held.append(sentence)
        size += sentence.tokens
    if held:
        yield Window(tuple(held))


def white_box_scorer(context: RunContext) -> Caller:
    """The scorer, whose attention is going to be read.

    Raises:
        InputError: If there is none, or its attention cannot be read.
    """
    white_box(context.models)
    return context.need("scorer")


def heads_of(model: LanguageModel, named: str) -> list[Head]:
    """The heads to look with: those that are named (``18-6 23-2``), else the model's retrieval heads.

    Raises:
        InputError: If a name is no head, or none is named and none is known.
    """
    if not named:
        if not model.retrieval_heads:
            raise no_heads(model.name)
        return list(model.retrieval_heads)
    try:
        pairs = [(int(layer), int(head)) for layer, head in (pair.split("-") for pair in named.split())]
    except ValueError as error:
        raise InputError(f"{named!r} names no heads.", "Write them as LAYER-HEAD: heads='18-6 23-2'.") from error
    return [Head(layer, head) for layer, head in pairs]
