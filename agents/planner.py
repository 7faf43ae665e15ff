"""The root model of a recursive run writes its next action: as a whole line, or by choosing among legal ones.

It is shown a question, what kind of thing the text is and how long, the table of variables and what was done so far;
never the text (arXiv 2512.24601, section 2). ``plan=choose`` is for small models: the kind of action is scored among
those that make sense, and only its words are written.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rereader.agents.actions import KINDS, usage
from rereader.agents.calls import Request
from rereader.agents.context import RunContext
from rereader.agents.desk import DOC, Desk, history, variable_table
from rereader.agents.subreader import Bench, fits, room
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, SlotValue, load

LINE_TOKENS = 96
"""Most tokens of a line."""
_CHARACTERS_PER_TOKEN = 4
_MOST_SEARCHES = 3
"""Searches that are offered; a small model would go on with them."""
_NUMBERING = re.compile(r"^\s*(?:\d+[.)]|[-*])\s+")


def metadata(bench: Bench) -> str:
    """What the root model is told of the text: its type, its length and parts, and what a helper can read."""
    context, doc = bench.context, bench.desk.variables[DOC]
    parts = f"{len(doc.spans)} pieces" if len(doc.spans) > 1 else "one piece"
    capacity = room(context, bench.question) * _CHARACTERS_PER_TOKEN
    return (
        f"doc is a text of {doc.length:,} characters in {parts}. A helper reads about {capacity:,} characters at once; "
        f"{bench.left} calls of it are left."
    )


def decide(bench: Bench, turn: int, turns: int) -> str:
    """The root model's next line."""
    if bench.context.settings.plan == "choose":
        if bench.context.need("reader").model.capabilities.choose:
            return _chosen(bench)
        bench.context.warn("The reader cannot score choices; it writes its actions instead, as with plan=generate.")
    slots = _shown(bench) | {"actions": [Piece(usage(), trusted=True)]}
    slots["turn"] = [Piece(f"Turn {turn} of {turns}.", trusted=True)]
    return _write(bench.context, Request(load("recursive_plan"), slots))


def _shown(bench: Bench) -> dict[str, SlotValue]:
    desk = bench.desk
    return {
        "question": bench.question,
        "text": [Piece(metadata(bench), trusted=True)],
        "variables": variable_table(bench.context, list(desk.variables.values())),
        "history": history(desk.turns),
    }


def _write(context: RunContext, request: Request) -> str:
    sampling = Sampling(max_new_tokens=LINE_TOKENS, seed=context.settings.seed)
    return context.need("reader").generate([request], sampling)[0].text.strip()


@dataclass(frozen=True)
class _Option:
    """An action that makes sense now: what it would do, what its words are, and the line that they make."""

    does: str
    wanted: str
    line: Callable[[str], str]


def _chosen(bench: Bench) -> str:
    """A line whose kind is scored among those that make sense; its words are written unless it has none."""
    options = _options(bench)
    kind = _best(bench, options)
    option = options[kind]
    if not option.wanted:
        return option.line("")
    slots: dict[str, SlotValue] = {
        "question": bench.question,
        "history": history(bench.desk.turns),
        "action": [Piece(f"{kind}, {option.does}", trusted=True)],
        "wanted": [Piece(option.wanted, trusted=True)],
    }
    words = _write(bench.context, Request(load("recursive_argument"), slots))
    return option.line(_NUMBERING.sub("", words.split("\n")[0]).strip().strip("\"'`") or bench.question)


def _best(bench: Bench, options: Mapping[str, _Option]) -> str:
    """The kind with the best label; what an empty question would choose is subtracted: models like some letters."""
    if len(options) == 1:
        return next(iter(options))
    labels = list(string.ascii_uppercase[: len(options)])
    lines = [f"{label}. {kind}: {option.does}" for label, (kind, option) in zip(labels, options.items(), strict=True)]
    slots = _shown(bench) | {"options": [Piece("\n".join(lines), trusted=True)]}
    empty = slots | {"question": "", "history": "", "variables": ""}
    template = load("recursive_choose")
    [scores] = bench.context.need("reader").choose([Request(template, slots)], labels, Request(template, empty))
    return list(options)[int(np.argmax(scores))]


def _options(bench: Bench) -> dict[str, _Option]:
    """Actions that make sense, by kind, and were not done with the same things before; so they lead to an answer."""
    desk, wrote = bench.desk, [turn.wrote.content for turn in bench.desk.turns]
    made = _finding(desk, wrote) | _reading(bench, wrote)
    if desk.latest("notes", "note", "number") is not None:
        words = "Write the answer, on one line, with the shortest exact phrase."
        made["answer"] = _Option("end with an answer", words, lambda text: f"answer({_quoted(text)})")
    return made or {"search": _search()}


def _finding(desk: Desk, wrote: Sequence[str]) -> dict[str, _Option]:
    found = {}
    if sum(line.startswith("search(") for line in wrote) < _MOST_SEARCHES:
        found["search"] = _search()
    if not _done(wrote, "split(doc"):
        found["split"] = _Option("cut all of doc into parts", "", lambda _: "split(doc)")
    return found


def _quoted(text: str) -> str:
    """A text as an argument of an action: Python reads JSON's escapes of astral characters as two halves."""
    return json.dumps(text, ensure_ascii=False)


def _search() -> _Option:
    words = "Write the words to search for, on one line: names and rare words that the answer's place must hold."
    return _Option(KINDS["search"].does, words, lambda text: f"search({_quoted(text)}, 5)")


def _reading(bench: Bench, wrote: Sequence[str]) -> dict[str, _Option]:
    """Asking the helper, of what was found last; its own question is written for it."""
    words = "Write the question that the helper is to answer from each part, on one line."
    found: dict[str, _Option] = {}
    if not _done(wrote, "ask(doc,") and fits(bench.context, bench.desk.variables[DOC].spans, bench.question):
        found["ask"] = _Option("the helper reads all of doc", words, lambda text: f"ask(doc, {_quoted(text)})")
    parts, notes = bench.desk.latest("parts"), bench.desk.latest("notes")
    if parts is not None and parts.items <= bench.left and not _done(wrote, f"map({parts.name},"):
        does = f"the helper reads the {parts.items} parts of {parts.name}"
        found["map"] = _Option(does, words, lambda text: f"map({parts.name}, {_quoted(text)})")
    if notes is not None and notes.items > 1 and not _done(wrote, f"reduce({notes.name},"):
        does = f"the helper replies from the {notes.items} notes of {notes.name}"
        found["reduce"] = _Option(does, "", lambda _: f"reduce({notes.name}, {_quoted(bench.question)})")
    return found


def _done(wrote: Sequence[str], beginning: str) -> bool:
    return any(line.startswith(beginning) for line in wrote)
