"""Where the answer of a recursive run came from."""

from __future__ import annotations

from rereader.agents.context import ReadingState, RunContext
from rereader.agents.desk import Desk, desk_of, whole_text
from rereader.agents.quoter import sources_of
from rereader.schema import Span


def found_places(state: ReadingState, context: RunContext) -> tuple[str, list[Span]]:
    """What helpers said, and the places that were read or shown; all of the text if there were none."""
    desk = desk_of(state, context)
    return " ".join(record.content for record in desk.notes), places_of(context, desk)


def places_of(context: RunContext, desk: Desk) -> list[Span]:
    """The places that notes rest on and that the root model was shown; all of the text if there were none."""
    told = [turn.told for turn in desk.turns if turn.told is not None]
    return sources_of(context, [*desk.notes, *told]) or list(whole_text(context).spans)
