"""Sub-calls of a recursive run: a fresh call of the reader on a part of the text, or on what was found in parts.

The three caps of a run lie here and in its one budget, on our side, whatever the root model writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rereader.agents.actions import ActionError
from rereader.agents.authors import SUBREADER
from rereader.agents.calls import Request
from rereader.agents.context import RunContext
from rereader.agents.costs import PROMPT_TOKENS
from rereader.agents.desk import Desk, Variable
from rereader.agents.notes import note
from rereader.models.base import Generation, Sampling
from rereader.prompts.loader import Piece, load
from rereader.schema import Record, Span

_BATCH = 16
"""Sub-calls of one model batch; each is stored when it is done."""
_MARGIN = 2 * PROMPT_TOKENS
_NOTHING = re.compile(r"\W*(?:nothing\b.*|(?:none|n/?a|not (?:mentioned|stated|given|found))\W*)?\Z", re.IGNORECASE)


@dataclass
class Tally:
    """Sub-calls of the run so far, those of sub-runs included."""

    used: int = 0


@dataclass
class Bench:
    """What actions of one node work on.

    Args:
        context: The run.
        question: What is asked: the run's question, or a sub-run's.
        desk: Variables and turns.
        depth: 1 for the root, 2 for a sub-run.
        tally: Counts sub-calls.
        records: Records to be kept, in the order made.
    """

    context: RunContext
    question: str
    desk: Desk
    depth: int = 1
    tally: Tally = field(default_factory=Tally)
    records: list[Record] = field(default_factory=list)

    def keep(self, text: str, agent: str, spans: Sequence[Span] = (), parents: Sequence[Record] = ()) -> Record:
        """Make a record of this step and keep it; a sub-run's own are told from the root's by their author."""
        agent = agent if self.depth == 1 or agent == SUBREADER else f"sub-{agent}"
        made = note(self.context, text, agent, spans=spans, parents=parents, ordinal=len(self.records))
        self.records.append(made)
        return made

    def keep_variable(self, variable: Variable) -> None:
        """Put a variable on the desk; those of a sub-run end with it."""
        self.desk.variables.pop(variable.name, None)
        self.desk.variables[variable.name] = variable
        if self.depth == 1:
            self.records.append(variable.record(self.context, len(self.records)))

    def charge(self, calls: int) -> None:
        """Count sub-calls.

        Raises:
            ActionError: If so many are not left; then none is counted.
        """
        if calls > self.left:
            msg = f"{calls} calls of the helper are too many, {self.left} are left; take fewer parts or answer"
            raise ActionError(msg)
        self.tally.used += calls

    @property
    def left(self) -> int:
        """Sub-calls that are left."""
        most: int = self.context.settings.sub_calls
        return most - self.tally.used


def room(context: RunContext, question: str) -> int:
    """Tokens of text that a sub-call can read beside a question."""
    model = context.need("reader").model
    asked = model.count_tokens([question])[0]
    most: int = model.context_window - context.settings.sub_tokens - asked - _MARGIN
    return max(0, most)


def fits(context: RunContext, spans: Sequence[Span], question: str) -> bool:
    """Whether a sub-call can read these places at once."""
    texts = [context.library.documents.text_of(span) for span in spans]
    return sum(context.need("reader").model.count_tokens(texts)) + 2 * len(texts) <= room(context, question)


def ask_parts(bench: Bench, parts: Sequence[Sequence[Span]], question: str) -> list[Record | None]:
    """The same question of each part; a record of what was found there, in the order of the parts.

    Raises:
        ActionError: If a part does not fit, or too few sub-calls are left; then no call is made.
    """
    context = bench.context
    for i, part in enumerate(parts):
        if not fits(context, part, question):
            size = sum(len(span) for span in part)
            raise ActionError(f"part {i} is too long for the helper ({size:,} characters); split it finer")
    bench.charge(len(parts))
    replies = found_in(context, parts, question)
    return [bench.keep(text, SUBREADER, part) if text else None for part, text in zip(parts, replies, strict=True)]


def found_in(context: RunContext, parts: Sequence[Sequence[Span]], question: str) -> list[str]:
    """What a helper says of each part; empty where it found nothing."""
    replies = generate(context, [_request(context, part, question) for part in parts])
    return ["" if says_nothing(reply.text) else reply.text.strip() for reply in replies]


def generate(context: RunContext, requests: Sequence[Request], *, tokens: int = 0) -> list[Generation]:
    """Replies of the reader, in order, in batches that are stored one by one."""
    settings = context.settings
    sampling = Sampling(max_new_tokens=tokens or settings.sub_tokens, seed=settings.seed)
    replies: list[Generation] = []
    for first in range(0, len(requests), _BATCH):
        replies += context.need("reader").generate(requests[first : first + _BATCH], sampling)
    return replies


def reduce_notes(bench: Bench, notes: Sequence[Record], question: str) -> Generation:
    """One reply from all notes; where they do not fit one call, from replies to groups of them.

    Raises:
        ActionError: If too few sub-calls are left.
    """
    context = bench.context
    while True:
        groups = grouped(context, notes, question)
        bench.charge(len(groups))
        replies = generate(context, [reduce_request(group, question) for group in groups])
        if len(groups) == 1:
            return replies[0]
        pairs = zip(replies, groups, strict=True)
        notes = [bench.keep(reply.text.strip(), SUBREADER, parents=group) for reply, group in pairs]


def says_nothing(reply: str) -> bool:
    """Whether a helper's reply says that it found nothing."""
    return _NOTHING.match(reply) is not None


def _request(context: RunContext, part: Sequence[Span], question: str) -> Request:
    pieces: list[Piece] = []
    for span in part:
        pieces += [Piece("\n\n", trusted=True)] if pieces else []
        pieces.append(Piece(context.library.documents.text_of(span), span=span))
    return Request(load("recursive_ask"), {"part": pieces, "question": question})


def reduce_request(notes: Sequence[Record], question: str) -> Request:
    """A question to be answered from notes."""
    pieces: list[Piece] = []
    for record in notes:
        pieces += [Piece("- ", trusted=True), Piece(record.content, record=record.id), Piece("\n", trusted=True)]
    return Request(load("recursive_reduce"), {"notes": pieces, "question": question})


def grouped(context: RunContext, notes: Sequence[Record], question: str) -> list[list[Record]]:
    """Notes in groups that a sub-call can read; two at least in each but the last, so that groups become fewer."""
    groups: list[list[Record]] = [[]]
    most, held = room(context, question), 0
    sizes = context.need("reader").model.count_tokens([record.content for record in notes])
    for record, size in zip(notes, sizes, strict=True):
        if held + size + 4 > most and len(groups[-1]) > 1:
            groups.append([])
            held = 0
        groups[-1].append(record)
        held += size + 4
    return groups
