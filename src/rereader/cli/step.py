"""One step of a run on the terminal: what it decided, quoted, changed and asked."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rereader.cli.coloured import coloured, indented
from rereader.cli.console import one_line, output, print_json, shortened
from rereader.cli.display import spent
from rereader.memory.library import Library
from rereader.memory.runs import Run
from rereader.memory.timeline import Decision, Found
from rereader.memory.working import Entry
from rereader.runs.prompting import Part, Rendered
from rereader.runs.timeline import Asked, MemoryDiff, Moment, with_whole_memory
from rereader.schema import Record
from rereader.schema.wording import counted

_MOST_SHOWN = 2_000
"""Characters of a part of a prompt that are shown; text of a document may be as long as the model's window."""
_LINE = 100
"""Characters of a record that nothing happened to."""
_SHOWN_ELSEWHERE = frozenset({"decisions", "log_odds", "scores", "work"})
"""Parts of a step's detail that other headings hold, or that only the estimator reads."""


def show_moment(library: Library, run: Run, moment: Moment, *, json: bool) -> None:
    """Print a step; as JSON it is whole, on the terminal long texts of prompts are cut in the middle."""
    memory = with_whole_memory(library, run, moment.memory)
    if json:
        print_json(to_jsonable_python(replace(moment, memory=memory)))
        return
    console = output()
    console.print(Text(run.question, style="bold"))
    last = library.runs.step_numbers(run.id)[-1]
    console.print(Text(f"run {run.id} · {run.graph} · step {moment.number} of {last}: {moment.node}", style="dim"))
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.started_at))
    console.print(Text(f"{began} · {moment.seconds:.2f} s · {spent(moment.usage)}", style="dim"))
    titles = {identity: library.documents.get(identity).title for identity in run.document_ids}
    _detail(console, moment)
    _decisions(console, moment.decisions, titles)
    _evidence(console, moment.evidence, titles)
    show_memory(console, memory)
    for number, asked in enumerate(moment.calls, 1):
        _call(console, number, asked)


def heading(console: Console, text: str) -> None:
    """Print a heading."""
    console.print()
    console.print(Text(text, style="bold cyan"))


def _detail(console: Console, moment: Moment) -> None:
    held = {name: value for name, value in moment.detail.items() if name not in _SHOWN_ELSEWHERE and value != []}
    if held:
        heading(console, "Detail")
    for name, value in held.items():
        console.print(Text(f"  {name}: ") + Text(json.dumps(value, ensure_ascii=False)))


def _decisions(console: Console, decisions: Sequence[Decision], titles: dict[str, str]) -> None:
    if not decisions:
        return
    accepted = sum(decision.accepted for decision in decisions)
    heading(console, f"Gate: {accepted} of {counted(len(decisions), 'chunk')} let in")
    table = Table(
        "", "document", "chunk", "characters", "recalled", "judged", "log-odds", box=None, padding=(0, 2, 0, 0)
    )
    for row in decisions:
        span = f"{row.span.start}-{row.span.end}" if row.span else ""
        scores = ("" if score is None else f"{score:.4f}" for score in (row.recalled, row.judged, row.log_odds))
        mark = "let in" if row.accepted else "  out"
        style = "green" if row.accepted else "dim"
        table.add_row(mark, Text(titles[row.document_id]), str(row.chunk), span, *scores, style=style)
    console.print(table)


def _evidence(console: Console, evidence: Sequence[Found], titles: dict[str, str]) -> None:
    if evidence:
        heading(console, f"Evidence: {counted(len(evidence), 'quote')} added")
    for found in evidence:
        score = "" if found.score is None else f", score {found.score:.4f}"
        for span, source in zip(found.record.spans, found.source, strict=True):
            where = f"{titles.get(span.document_id, span.document_id[:12])}, characters {span.start}-{span.end}{score}"
            console.print(Text(f"  {where}", style="dim"))
            indented(console, Text(one_line(source), style="green"), 4)


def show_memory(console: Console, memory: MemoryDiff) -> None:
    """Print what became of the working memory, and in a line each what stayed as it was."""
    versions = (
        f"v{memory.before_version}"
        if memory.before_version == memory.after_version
        else (f"v{memory.before_version} to v{memory.after_version}")
    )
    before = counted(memory.before_count, "entry", "entries")
    heading(console, f"Working memory {versions}: {before} before, {memory.after_count} after")
    for entry in memory.dropped:
        _entry(console, "-", entry, "red")
    for pair in memory.superseded:
        console.print(
            Text(f"  ~ {pair.slot} ", "yellow") + Text(f"{_origin(pair.new)}, in place of {_origin(pair.old)}")
        )
        indented(console, coloured(console, pair.diff), 4)
    for entry in memory.added:
        _entry(console, "+", entry, "green")
    for word, entries in (("pinned", memory.pinned), ("unpinned", memory.unpinned)):
        for entry in entries:
            console.print(Text(f"  {word}: {entry.slot} {_origin(entry.record)}"))
    _unchanged(console, memory)


def _entry(console: Console, mark: str, entry: Entry, style: str) -> None:
    pinned = ", pinned" if entry.pinned else ""
    console.print(Text(f"  {mark} {entry.slot} ", style) + Text(f"{_origin(entry.record)}{pinned}"))
    content = entry.record.content
    indented(console, Text(one_line(content) if entry.slot == "quote" else content, style=style), 4)


def _origin(record: Record) -> str:
    return f"{record.id[:12]} ({record.agent}, step {record.step})"


def _unchanged(console: Console, memory: MemoryDiff) -> None:
    """Print what stayed, as one text: a console takes longer over each that it is given than over its characters."""
    fresh = {entry.record.id for entry in memory.added} | {pair.new.id for pair in memory.superseded}
    stayed = (entry for entry in memory.after if entry.record.id not in fresh)
    lines = [f"    {one.slot} {one.record.id[:12]} {shortened(one.record.content, _LINE)}" for one in stayed]
    if lines:
        console.print(Text("\n".join(lines), style="dim"))


def _call(console: Console, number: int, asked: Asked) -> None:
    call = asked.call
    cached = ", from the cache" if call.cached else ""
    tokens = f"{call.prompt_tokens:,} + {counted(call.completion_tokens, 'token')}{cached}"
    heading(console, f"Call {number}: {call.role} {call.method}, {call.template}, {tokens}")
    _prompt(console, asked.prompt)
    console.print(Text("  reply", style="cyan"))
    indented(console, Text(call.reply), 4)


def _prompt(console: Console, prompt: Rendered) -> None:
    if prompt.parts is None:
        console.print(Text(f"  The prompt cannot be shown. {prompt.reason}", style="yellow"))
        return
    role, turn = "", Text()
    for part in prompt.parts:
        if part.role != role:
            _turn(console, role, turn)
            role, turn = part.role, Text()
        turn.append_text(_part(part))
    _turn(console, role, turn)


def _turn(console: Console, role: str, text: Text) -> None:
    if role:
        console.print(Text(f"  {role}", style="cyan"))
        indented(console, text, 4)


def _part(part: Part) -> Text:
    """A part of a prompt: our own words as they are, all others green."""
    if part.blocks:
        names = ", ".join(name[:12] for name in part.blocks)
        return Text(f"[keys and values of {counted(len(part.blocks), 'compressed text')}: {names}]", style="magenta")
    text, left_out = part.text, len(part.text) - _MOST_SHOWN
    if left_out > 0:
        half = _MOST_SHOWN // 2
        text = f"{text[:half]}\n[… {left_out:,} characters left out here; --json has them …]\n{text[-half:]}"
    return Text(text, style="" if part.trusted else "green")
