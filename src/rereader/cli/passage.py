"""What became of a passage, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from rereader.cli.console import shortened
from rereader.runs.lineage import Made
from rereader.runs.passages import Judged, Passage, Shown
from rereader.schema import Document
from rereader.schema.wording import counted

_TEXT = 160
"""Characters of a text that are printed."""
_MOST = 20
"""Lines under a heading."""


def show_passage(console: Console, document: Document, found: Passage) -> None:
    """Print what became of a passage: where it is now, then how it came to that."""
    span = found.span
    console.print(Text(f"{document.title}, characters {span.start}-{span.end}", style="bold"))
    console.print(Text(f"  “{shortened(found.text, _TEXT)}”"))
    console.print(Text(f"  {_fate(found)}", style="cyan"))
    _listed(console, "in prompts", [_prompt(one, len(span)) for one in found.shown])
    _listed(console, "gate", [_decision(one) for one in found.judged])
    _listed(console, "made from it", [_record(one, found.drafted) for one in found.made])
    _listed(console, "words kept, approximately where prose kept them", list(_words(found)))
    _listed(console, "claims that rest on it", [_claim(found, place) for place in range(len(found.claims))])


def _fate(found: Passage) -> str:
    if not found.shown and not found.made:
        return "no step was shown it, and nothing was made from it"
    if not any(one.first is not None for one in found.kept):
        return "nothing of it was kept in the working memory"
    if found.lost is not None:
        return f"the last of it was lost by step {found.lost}"
    names = ", ".join(one.record.id[:12] for one in found.lives_in[:_MOST])
    kept = sum(one.first is not None and one.lost is None for one in found.kept)
    return f"{kept} of its {counted(len(found.kept), 'word')} live in {names}"


def _listed(console: Console, heading: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(Text(f"  {heading}:", style="dim"))
    for line in lines[:_MOST]:
        console.print(Text(f"    {line}"))
    if len(lines) > _MOST:
        console.print(Text(f"    and {len(lines) - _MOST:,} more; --json has them", style="dim"))


def _prompt(one: Shown, length: int) -> str:
    form = "text" if one.form == "text" else "keys and values"
    part = "" if one.characters == length else f", {one.characters:,} of its {length:,} characters"
    return f"step {one.step} ({one.node}): {one.role} {one.method}, as {form}{part}"


def _decision(one: Judged) -> str:
    scores = [
        f", {word} {score:.4f}"
        for word, score in (("recalled", one.recalled), ("judged", one.judged))
        if score is not None
    ]
    return (
        f"step {one.step} ({one.node}): chunk {one.chunk} {'let in' if one.accepted else 'left out'}{''.join(scores)}"
    )


def _record(one: Made, drafted: int | None) -> str:
    came = "made from such a record, " if one.how == "parents" else ""
    if one.step is None:
        since = f"shown in step {one.shown[0]}" if one.shown else "not in the working memory"
    elif one.step == drafted:
        since = f"step {one.step}, with the answer"
    else:
        since = f"in memory from step {one.step}" + (f" until step {one.lost} dropped it" if one.lost else "")
    record = one.record
    kind = record.kind.value
    content = "" if kind == "kv" else f": {shortened(record.content, _TEXT)}"
    return f"{record.id[:12]}, {kind} of the {record.agent}, {came}{since}{content}"


def _words(found: Passage) -> Iterator[str]:
    """Words that shared a fate on one line, those that live on first."""
    fates: dict[tuple[int, int | None], list[str]] = {}
    for one in found.kept:
        if one.first is not None:
            fates.setdefault((one.first, one.lost), []).append(one.word)
    for (first, lost), words in sorted(fates.items(), key=lambda fate: (fate[0][1] is not None, fate[0])):
        yield f"{', '.join(words)}: from step {first}" + (
            f", lost by step {lost}" if lost is not None else " to the end"
        )


def _claim(found: Passage, place: int) -> str:
    one = found.claims[place]
    quotes = "by quote" + ("" if one.exact else ", found for the answer afterwards") if one.quotes else ""
    words = f"by prose, approximately: {', '.join(one.words)}" if one.words else ""
    return f"{shortened(one.text, _TEXT)} ({'; '.join(way for way in (quotes, words) if way)})"
