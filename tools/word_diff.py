"""Word-level differences between two texts, to the letter: nothing of either text is lost.

Matching blocks are found by :mod:`difflib` (Ratcliff and Obershelp's gestalt matching) on words, runs of white space
and single other characters. White space never starts a match, so that texts are told apart by their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from rereader.tools.words import WORD

StretchKind = Literal["kept", "removed", "added"]

_TOKEN = re.compile(rf"{WORD}|\s+|.", re.DOTALL)
_LONG = 3_000
"""Tokens from which on frequent ones start no match, since comparing takes time with the square of the length."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of text that stayed, went or came."""

    kind: StretchKind
    text: str


def word_diff(old: str, new: str) -> tuple[Stretch, ...]:
    """What became of ``old`` in ``new``, word by word.

    Joining what was kept and removed gives ``old``; joining what was kept and added gives ``new``. No two neighbours
    are of one kind, what was removed stands before what was added in its place, and white space alone between two
    changes counts as a part of both unless it holds a line break.
    """
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    frequent = max(len(before), len(after)) > _LONG
    matcher = SequenceMatcher(str.isspace, before, after, autojunk=frequent)
    kept = removed = added = ""
    found: list[Stretch] = []
    for kind, first, last, start, end in matcher.get_opcodes():
        gone, come = "".join(before[first:last]), "".join(after[start:end])
        if kind == "equal":
            kept += gone
            continue
        if kept and kept.isspace() and "\n" not in kept and (removed or added):
            removed, added = removed + kept, added + kept
        elif kept:
            found += [*_change(removed, added), Stretch("kept", kept)]
            removed = added = ""
        removed, added, kept = removed + gone, added + come, ""
    found += _change(removed, added)
    return (*found, Stretch("kept", kept)) if kept else tuple(found)


def _change(removed: str, added: str) -> Iterator[Stretch]:
    if removed:
        yield Stretch("removed", removed)
    if added:
        yield Stretch("added", added)


def marked(diff: Sequence[Stretch]) -> str:
    """The differences as plain text: ``[-old-]{+new+}``."""
    marks = {"kept": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(marks[stretch.kind].format(stretch.text) for stretch in diff)
