"""A tree of recaps over a document: one for each part, merged to one, level by level, whatever will be asked.

Our answer to the serial chain of recaps of ARL (arXiv 2601.13734): the recaps of a level do not depend on one another,
so that a document of n parts takes log n batches in a row instead of n calls. A question finds its parts by their
recaps and has them read again; a request about the whole document is answered from the top.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rereader.agents.blocks import blocks
from rereader.agents.calls import Caller, Request
from rereader.agents.context import Outcome, ReadingState, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.agents.quoter import quote_sources
from rereader.agents.recapper import (
    WRITTEN,
    answer_whole,
    part_size,
    part_tokens,
    recap_request,
    tagged,
    words_wanted,
    write,
)
from rereader.agents.spending import end_with_draft
from rereader.prompts.loader import load
from rereader.schema import BudgetSpent, Document, InputError, Record, RecordKind, Span

_BATCH = 16
_AGENT = "recapper"
_SHOWN = 2048
"""Tokens of recaps that an answer about whole documents is written from, if the root alone is not longer."""
_TEMPLATE_TOKENS = 160
_MARKS = 8
"""Tokens of the marks around a record in a prompt."""
_STORED = 16.0
"""Bytes in the library per token of a recap."""


Levels = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Tree:
    """The recaps of a document by their ids, leaves first; the last level holds the root.

    A recap without a neighbour to be merged with stands in the next level, too.
    """

    document_id: str
    levels: Levels

    @property
    def root(self) -> str:
        """The recap of the whole document."""
        return self.levels[-1][0]

    @property
    def depth(self) -> int:
        """Levels above the leaves."""
        return len(self.levels) - 1


@dataclass(frozen=True)
class _Node:
    """A recap to be written, or to be found in the library by what it is made of."""

    level: int
    ordinal: int
    spans: tuple[Span, ...]
    request: Request
    key: str
    parents: tuple[str, ...] = ()


def merges(leaves: int, fan: int) -> int:
    """Recaps above so many leaves."""
    made = 0
    while leaves > 1:
        groups = -(-leaves // fan)
        made += groups - (leaves % fan == 1)
        leaves = groups
    return made


def tree_cost(settings: Any, facts: Facts) -> StageCost:
    """One call for each part and one for each merge; none if the tree is there, which is not known without a model."""
    size = part_size(settings, facts)
    leaves = [-(-document.tokens // size) for document in facts.documents]
    above = sum(merges(count, settings.fan) for count in leaves)
    calls, written = sum(leaves) + above, round(WRITTEN * settings.recap_tokens)
    read = facts.tokens + calls * PROMPT_TOKENS + above * settings.fan * written
    work = Work("generate", "reader", read, calls * written, calls, calls * settings.recap_tokens)
    return StageCost("tree", (work,), calls * written * _STORED)


@costs(tree_cost)
@made_with("reader", "gister")
def grow(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every document of the run has its tree."""
    size = state.get("size") or part_tokens(context, context.need("reader"))
    try:
        trees = [ensure_tree(context, document, size) for document in context.documents]
    except BudgetSpent as error:
        # A graph without the setting grows trees for nothing but requests about the whole.
        if getattr(context.settings, "request", "whole") != "whole":
            raise
        return end_with_draft(context, error, _top_so_far(context))
    levels = {tree.document_id[:12]: [len(level) for level in tree.levels] for tree in trees}
    return Outcome({"size": size}, {"levels": levels, "roots": [tree.root for tree in trees]})


def ensure_tree(context: RunContext, document: Document, size: int = 0) -> Tree:
    """The tree of recaps of a document, what is missing of it made now in batches that are stored one by one.

    Settings that decide it: ``every``, ``recap_tokens``, ``fan`` (see ``RecapSettings``). The recaps belong to the
    document, like gists, and hold no question; a process that was killed goes on after the last finished batch.

    Args:
        context: The run.
        document: One of its documents.
        size: Tokens of a part, as an earlier step of the run has cut them; 0 if none has.

    Raises:
        BudgetSpent: If the budget has no room for the next batch.
        InputError: If no part, or not ``fan`` recaps, fit the reader's window.
    """
    if document.id not in context.trees:
        context.trees[document.id] = _ensure_tree(context, document, size)
    return Tree(document.id, context.trees[document.id])


def _ensure_tree(context: RunContext, document: Document, size: int) -> Levels:
    reader = context.need("reader")
    _check_fan(context, reader)
    parts = blocks(context, reader.model, size or part_tokens(context, reader))
    spans = [span for span in parts if span.document_id == document.id]
    with context.library.adding(document.id, context.checkpoint):
        stored = _Stored(context, document)
        level = [
            _Node(0, i, (span,), recap_request(context, span), _key(context, reader, "recap"))
            for i, span in enumerate(spans)
        ]
        levels = [_ensure(context, reader, level, stored)]
        while len(levels[-1]) > 1:
            levels.append(_merged(context, reader, levels[-1], len(levels), stored))
    return tuple(tuple(record.id for record in made) for made in levels)


class _Stored:
    """A document's recaps by what they are made of."""

    def __init__(self, context: RunContext, document: Document) -> None:
        records = [r for r in context.library.records.of_run(document.id) if r.kind is RecordKind.RECAP]
        self._found = {(record.prompt_hash, record.spans, record.parents): record for record in records}

    def get(self, node: _Node) -> Record | None:
        """The recap, if it was written before."""
        return self._found.get((node.key, node.spans, node.parents))


def _check_fan(context: RunContext, reader: Caller) -> None:
    settings, window = context.settings, reader.model.context_window
    empty = Request(load("recap_merge"), {"recaps": "", "words": words_wanted(context)})
    needed = sum(reader.model.prompt_tokens([empty.prompt])) + (settings.fan + 1) * (
        settings.recap_tokens + PROMPT_TOKENS
    )
    if needed > window:
        msg = f"{settings.fan} recaps and a new one do not fit the {window:,} tokens of {reader.model.name}."
        raise InputError(msg, "Lower fan or recap_tokens, or choose a reader with a larger window.")


def _key(context: RunContext, reader: Caller, template: str) -> str:
    """What decides a recap besides what it is made of."""
    return f"{template}:{reader.model.fingerprint[:16]}:{load(template).digest}:{context.settings.recap_tokens}"


def _merged(context: RunContext, reader: Caller, below: Sequence[Record], level: int, stored: _Stored) -> list[Record]:
    """The next level: neighbours merged, ``fan`` at a time; one that is left alone moves up as it is."""
    fan, key = context.settings.fan, _key(context, reader, "recap_merge")
    groups = [below[at : at + fan] for at in range(0, len(below), fan)]
    nodes = [_merge(context, group, level, i, key) for i, group in enumerate(groups) if len(group) > 1]
    made = iter(_ensure(context, reader, nodes, stored))
    return [next(made) if len(group) > 1 else group[0] for group in groups]


def _merge(context: RunContext, group: Sequence[Record], level: int, ordinal: int, key: str) -> _Node:
    first, last = group[0].spans[0], group[-1].spans[0]
    span = Span(document_id=first.document_id, start=first.start, end=last.end)
    request = Request(load("recap_merge"), {"recaps": tagged(group, ""), "words": words_wanted(context)})
    return _Node(level, ordinal, (span,), request, key, tuple(record.id for record in group))


def _ensure(context: RunContext, reader: Caller, nodes: Sequence[_Node], stored: _Stored) -> list[Record]:
    """The recaps of a level; batches are the same ones after a kill, since whole ones are stored."""
    found = [stored.get(node) for node in nodes]
    missing = [node for node, record in zip(nodes, found, strict=True) if record is None]
    made = iter([record for batch in _written(context, reader, missing) for record in batch])
    return [record if record is not None else next(made) for record in found]


def _written(context: RunContext, reader: Caller, nodes: Sequence[_Node]) -> Iterator[list[Record]]:
    started = time.monotonic()
    for first in range(0, len(nodes), _BATCH):
        context.checkpoint()
        mark, batch = context.mark(), nodes[first : first + _BATCH]
        texts = write(context, reader, [node.request for node in batch])
        context.usage.parse_failures += sum(not text for text in texts)
        records = [_record(node, text, reader.model.name) for node, text in zip(batch, texts, strict=True)]
        with context.storing(mark):
            context.library.records.add(records)
        context.progress("tree", started, first + len(batch), len(nodes))
        yield records


def _record(node: _Node, text: str, model: str) -> Record:
    return Record.create(
        run_id=node.spans[0].document_id,
        kind=RecordKind.RECAP,
        content=text,
        agent=_AGENT,
        spans=node.spans,
        parents=node.parents,
        step=node.level,
        ordinal=node.ordinal,
        prompt_hash=node.key,
        model=model,
    )


def _top_so_far(context: RunContext) -> str:
    """The recaps that stand highest in trees that are not finished, in the order of the texts."""
    texts: list[str] = []
    keys = {_key(context, context.need("reader"), template) for template in ("recap", "recap_merge")}
    for document in context.documents:
        records = [r for r in context.library.records.of_run(document.id) if r.prompt_hash in keys and r.content]
        merged = {parent for record in records for parent in record.parents}
        tops = sorted((r for r in records if r.id not in merged), key=lambda r: (r.spans[0].start, -r.spans[0].end))
        end = 0
        for record in tops:
            if record.spans[0].start >= end:
                texts.append(record.content)
                end = record.spans[0].end
    return "\n".join(texts)


def summarise_cost(settings: Any, facts: Facts) -> StageCost:
    """One long answer from the top of the trees."""
    if not settings.answer:
        return StageCost("answer")
    read = _SHOWN / 2 + facts.question_tokens + PROMPT_TOKENS
    most = settings.summary_tokens
    return StageCost(
        "answer", (Work("generate", "reader", read, most / 2, 1, most), Work("rest", amount=facts.characters))
    )


@costs(summarise_cost)
def summarise(state: ReadingState, context: RunContext) -> Outcome:
    """Node: answer a request about whole documents from the top levels of their trees.

    Trees that are missing are made. Works in any graph whose settings are ``RecapSettings``.
    """
    whole = [Span(document_id=document.id, start=0, end=document.length) for document in context.documents]
    try:
        size = state.get("size", 0)
        trees = [ensure_tree(context, document, size) for document in context.documents]
        room = min(_SHOWN, recap_room(context, state["question"], context.settings.summary_tokens))
        top = [record for tree in trees for record in top_recaps(context, tree, room // len(trees))]
        shown = fitting(context, top, room)
        if not context.settings.answer:
            return quote_sources(state, context, "\n".join(record.content for record in shown), whole)
        return answer_whole(state, context, tagged(shown, "Recaps of the text's parts, in order:\n"), [], whole)
    except BudgetSpent as error:
        return end_with_draft(context, error, _top_so_far(context))


def recap_room(context: RunContext, question: str, written: int, shown: Sequence[Record] = ()) -> int:
    """Tokens of recaps that fit the reader's window beside a question, other records and a reply of ``written``."""
    model = context.need("reader").model
    others = sum(model.count_tokens([question, *(record.content for record in shown)]))
    return max(0, model.context_window - others - written - _TEMPLATE_TOKENS - _MARKS * len(shown))


def fitting(context: RunContext, records: Sequence[Record], room: int) -> list[Record]:
    """The first recaps that take at most ``room`` tokens together; what is left out is said."""
    model = context.need("reader").model
    kept: list[Record] = []
    for record, size in zip(records, model.count_tokens([record.content for record in records]), strict=True):
        room -= size + _MARKS
        if room < 0:
            context.warn(f"Recaps that do not fit the window of {model.name} are left out: {len(records) - len(kept)}.")
            break
        kept.append(record)
    return kept


def top_recaps(context: RunContext, tree: Tree, tokens: int) -> list[Record]:
    """The lowest level of a tree whose recaps have at most so many tokens together; the root if none has."""
    reader = context.need("reader")
    for level in tree.levels:
        records = [record for record in context.library.records.get(level) if record.content]
        if sum(reader.model.count_tokens([record.content for record in records])) <= tokens:
            return records
    return [record for record in context.library.records.get([tree.root]) if record.content]
