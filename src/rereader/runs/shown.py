"""Moments of a run as notebooks show them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rereader.memory.shown import calls_html, detail_html
from rereader.schema.html import Html, box, folded, styled, table
from rereader.schema.shown import spans_text, spent
from rereader.schema.wording import counted

if TYPE_CHECKING:
    from rereader.memory.working import Entry
    from rereader.runs.timeline import MemoryChange, Moment

_MOST_ENTRIES = 20


def moment_html(moment: Moment) -> Html:
    """A moment: the gate's decisions, quotes, what became of the working memory, model calls."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.started_at))
    prompts = [_prompt(moment, place) for place in range(min(len(moment.calls), _MOST_ENTRIES))]
    return box(
        f"step {moment.number}: {moment.node}",
        f"run {moment.run_id} · {began} · {moment.seconds:.2f} s · {spent(moment.usage)}",
        detail_html(moment.detail),
        _decisions(moment),
        *(_evidence(moment) if moment.evidence else ()),
        *memory_parts(moment.memory),
        calls_html([asked.call for asked in moment.calls]),
        *prompts,
    )


def _decisions(moment: Moment) -> Html:
    if not moment.decisions:
        return Html("")
    let_in = sum(one.accepted for one in moment.decisions)
    rows = [
        (
            "let in" if one.accepted else "out",
            one.chunk,
            f"{one.span.start}-{one.span.end}" if one.span else "",
            *("" if score is None else f"{score:.4f}" for score in (one.recalled, one.judged)),
        )
        for one in moment.decisions
    ]
    heads = ("", "chunk", "characters", "recalled", "judged")
    return folded(f"gate: {let_in:,} of {counted(len(rows), 'chunk')} let in", table(heads, rows))


def _evidence(moment: Moment) -> Iterator[Html]:
    yield styled(f"quotes added: {len(moment.evidence):,}", "strong", "div")
    for found in moment.evidence[:_MOST_ENTRIES]:
        score = "" if found.score is None else f", score {found.score:.4f}"
        yield styled(f"{spans_text(found.record.spans)}{score}", "faint", "div")
        yield from (styled(text, "quote", "div") for text in found.source)


def memory_parts(memory: MemoryChange) -> Iterator[Html]:
    """What became of a working memory; what is quoted is shown as evidence already."""
    counts = f"{counted(memory.before_count, 'entry', 'entries')} before, {memory.after_count:,} after"
    yield styled(f"working memory v{memory.before_version} to v{memory.after_version}: {counts}", "strong", "div")
    for pair in memory.superseded[:_MOST_ENTRIES]:
        tones = {"kept": "", "removed": "removed", "added": "added"}
        words = Html("".join(styled(stretch.text, tones[stretch.kind]) for stretch in pair.diff))
        yield styled(f"{pair.slot}, {pair.new.agent}, in place of {pair.old.id[:12]}", "faint", "div")
        yield styled(words, "quote", "div")
    notes = [entry for entry in memory.added if entry.slot != "quote"]
    yield from _entries("added", notes, "added")
    yield from _entries("dropped", list(memory.dropped), "removed")
    for word, entries in (("pinned", memory.pinned), ("unpinned", memory.unpinned)):
        yield from _entries(word, list(entries), "")


def _entries(word: str, entries: list[Entry], tone: str) -> Iterator[Html]:
    for entry in entries[:_MOST_ENTRIES]:
        record = entry.record
        yield styled(f"{word}: {entry.slot} {record.id[:12]}, {record.agent}", "faint", "div")
        yield styled(styled(record.content, tone), "quote", "div")
    if len(entries) > _MOST_ENTRIES:
        yield styled(f"and {len(entries) - _MOST_ENTRIES:,} more {word}", "faint", "div")


def _prompt(moment: Moment, place: int) -> Html:
    asked = moment.calls[place]
    if asked.prompt.parts is None:
        return styled(f"The prompt of call {place + 1} cannot be shown. {asked.prompt.reason}", "warning", "div")
    parts = [
        styled(part.text or f"[keys and values of {len(part.blocks)} texts]", "" if part.trusted else "source")
        for part in asked.prompt.parts
    ]
    return folded(f"prompt of call {place + 1}: {asked.call.template}", styled(Html("".join(parts)), "quote", "div"))
