"""Actions of a recursive run that call no model: looking at the text, cutting it, keeping and counting parts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rereader.agents.actions import Action, ActionError
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import RunContext
from rereader.agents.desk import DOC, Desk, Variable, part_of
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import Query, Scored, bm25_passages, resolve
from rereader.schema import Chunk, InputError, Span
from rereader.tools.grep import grep
from rereader.tools.words import content_words, words

MOST_SHOWN = 10
"""Places that a search shows."""
MOST_PEEKED = 1_000
_MOST_PARTS = 1_000
_SNIPPET = 160
_AROUND = 60


@dataclass(frozen=True)
class View:
    """What came of an action: a line or more for the root model, a variable, and the places that were shown."""

    told: str
    variable: Variable | None = None
    shown: tuple[Span, ...] = ()


def text_of(context: RunContext, variable: Variable) -> str:
    """The text that a variable stands for, or says."""
    if variable.form in ("text", "parts"):
        return "".join(context.library.documents.text_of(span) for span in variable.spans)
    return variable.text()


def item_texts(context: RunContext, variable: Variable) -> list[str]:
    """The text of each part or note."""
    if variable.form in ("notes", "note"):
        return [record.content for record in variable.notes]
    return [context.library.documents.text_of(span) for span in variable.spans]


def cut(variable: Variable, start: int, end: int) -> tuple[Span, ...]:
    """Characters ``[start, end)`` of a text as spans of the documents."""
    found: list[Span] = []
    before = 0
    for span in variable.spans:
        first, last = max(start - before, 0), min(end - before, len(span))
        if first < last:
            found.append(Span(document_id=span.document_id, start=span.start + first, end=span.start + last))
        before += len(span)
    return tuple(found)


def position(variable: Variable, place: Span) -> int:
    """Where a place stands in a text, in characters."""
    before = 0
    for span in variable.spans:
        if span.overlaps(place):
            return before + max(0, place.start - span.start)
        before += len(span)
    return before


def peek(context: RunContext, desk: Desk, action: Action) -> View:
    """Characters of the text as they are."""
    doc, start = desk.variables[DOC], action.count("start")
    spans = cut(doc, start, start + min(action.count("n"), MOST_PEEKED))
    if not spans:
        raise ActionError(f"doc has characters 0 to {doc.length:,}")
    return View("\n".join(context.library.documents.text_of(span) for span in spans), shown=spans)


def search(context: RunContext, desk: Desk, action: Action) -> View:
    """The passages that match words best, and the chunks around them as parts."""
    wanted = action.text("words")
    passages = matching(context, desk.variables[DOC], wanted)[: min(action.count("k"), MOST_SHOWN)]
    if not passages:
        return View(f"nothing in doc holds a word of: {wanted[:_SNIPPET]}")
    return _found(context, desk, action, [scored.passage.span for scored in passages])


def matching(context: RunContext, doc: Variable, wanted: str) -> list[Scored]:
    """Passages of a text by BM25 for some words, best first."""
    targets = targets_of(context, None)
    query = Query(tuple(content_words(wanted) or words(wanted)))
    ranked = resolve(context, targets, bm25_passages(context, targets, query))
    return [scored for scored in ranked if any(span.overlaps(scored.passage.span) for span in doc.spans)]


def find(context: RunContext, desk: Desk, action: Action) -> View:
    """Matches of a regular expression, and the chunks around them as parts."""
    doc, most = desk.variables[DOC], min(action.count("k"), MOST_SHOWN)
    try:
        matches = grep(action.text("pattern"), text_of(context, doc), most)
    except InputError as error:
        raise ActionError(str(error)) from error
    places = [found for start, end in matches for found in cut(doc, start, max(end, start + 1))[:1]]
    if not places:
        return View("nothing in doc matches")
    return _found(context, desk, action, [_around(context, place) for place in places])


def split(context: RunContext, desk: Desk, action: Action) -> View:
    """Parts of a text that begin where chunks do; without a number, as many as a helper's share takes."""
    whole, wanted = desk.find(action.ref), action.count("n")
    if whole.form not in ("text", "parts"):
        raise ActionError(f"{whole.name} is a {whole.form}; only texts can be split")
    if wanted > _MOST_PARTS:
        raise ActionError(f"a text is split into at most {_MOST_PARTS:,} parts")
    spans = parts_of(context, whole, wanted)
    made = Variable(action.name or desk.name_for("parts"), "parts", tuple(spans))
    longest = max(len(span) for span in spans)
    return View(f"{made.name}: {len(spans)} parts of up to {longest:,} characters", made)


def parts_of(context: RunContext, whole: Variable, wanted: int) -> list[Span]:
    """A text cut into about ``wanted`` parts of equal length; with 0, into parts of ``part_tokens`` at most."""
    chunks = [chunk for span in whole.spans for chunk in chunks_in(context, span)]
    if wanted:
        starts = [position(whole, chunk.span) for chunk in chunks]
        cuts = list(_nearest(starts, [whole.length * i // wanted for i in range(1, wanted)]))
    else:
        cuts = [position(whole, chunk.span) for chunk in _leaders(chunks, context.settings.part_tokens)]
    edges = sorted({0, *cuts, whole.length})
    return [span for start, end in pairwise(edges) for span in cut(whole, start, end)]


def chunks_in(context: RunContext, span: Span) -> list[Chunk]:
    """Chunks that share a character with a span."""
    document = next(one for one in context.documents if one.id == span.document_id)
    return context.library.chunks.overlapping(ensure_chunks(context, document), span.start, span.end)


def take(context: RunContext, desk: Desk, action: Action) -> View:
    """Characters of a text, or parts, from one number to another."""
    whole, start, end = desk.find(action.ref), action.count("start"), action.count("end")
    name = action.name or desk.name_for("slice")
    if whole.form == "text":
        made = Variable(name, "text", cut(whole, start, end))
        if not made.length:
            raise ActionError(f"{whole.name} has characters 0 to {whole.length:,}")
        return View(f"{name}: text of {made.length:,} characters", made)
    part = part_of(whole, start, end)
    made = Variable(name, part.form, part.spans, part.notes)
    return View(f"{name}: {made.items} items", made)


def keep(context: RunContext, desk: Desk, action: Action) -> View:
    """The parts or notes that hold one of some words."""
    whole = desk.find(action.ref)
    kept = holding(context, whole, action.text("words"))
    if not kept:
        return View(f"none of the {whole.items} items holds one of these words")
    name = action.name or desk.name_for("kept")
    if whole.notes:
        made = Variable(name, "notes", notes=tuple(whole.notes[i] for i in kept))
    else:
        made = Variable(name, "parts", tuple(whole.spans[i] for i in kept))
    return View(f"{name}: {len(kept)} of {whole.items} items", made)


def number(context: RunContext, desk: Desk, action: Action) -> View:
    """How many parts or notes there are, or hold one of some words."""
    whole, wanted = desk.find(action.ref), action.text("words")
    total = len(holding(context, whole, wanted)) if wanted else whole.items
    made = Variable(action.name or desk.name_for("count"), "number", value=str(total))
    return View(f"{made.name}: {total}", made)


def holding(context: RunContext, whole: Variable, wanted: str) -> list[int]:
    """Which parts or notes hold one of some words, whatever their case."""
    looked_for = set(words(wanted))
    return [i for i, text in enumerate(item_texts(context, whole)) if looked_for & set(words(text))]


def line_of(text: str, most: int = _SNIPPET) -> str:
    """Some text on one line."""
    return " ".join(text.split())[:most]


def _found(context: RunContext, desk: Desk, action: Action, places: Sequence[Span]) -> View:
    around = dict.fromkeys(chunk.span for place in places for chunk in chunks_in(context, place)[:1])
    made = Variable(action.name or desk.name_for("found"), "parts", tuple(around))
    lines = [f"{made.name}: {made.items} parts around these places"]
    for i, place in enumerate(places):
        text = line_of(context.library.documents.text_of(place))
        lines.append(f"[{i}] at {position(desk.variables[DOC], place):,}: {text}")
    return View("\n".join(lines), made, tuple(places))


def _around(context: RunContext, place: Span) -> Span:
    """A match with some characters on both sides, inside its chunk."""
    chunk = chunks_in(context, place)[0].span
    start, end = max(chunk.start, place.start - _AROUND), min(chunk.end, place.end + _AROUND)
    return Span(document_id=place.document_id, start=start, end=max(end, place.start + 1))


def _nearest(starts: Sequence[int], wanted: Sequence[int]) -> Iterator[int]:
    """The start that is nearest to each wanted position; ``starts`` ascend."""
    for at in wanted:
        after = bisect_left(starts, at)
        around = starts[max(0, after - 1) : bisect_right(starts, at) + 1]
        if around:
            yield min((abs(start - at), start) for start in around)[1]


def _leaders(chunks: Sequence[Chunk], tokens: int) -> Iterator[Chunk]:
    """The chunks that begin a part, if a part has at most ``tokens`` tokens."""
    held = 0
    for chunk in chunks:
        if held and held + chunk.token_count > tokens:
            yield chunk
            held = 0
        held += chunk.token_count
