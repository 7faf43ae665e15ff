"""What stands around a quote: the sentence before it and the one after it."""

from __future__ import annotations

from dataclasses import dataclass

from rereader.tools.sentences import sentence_spans

REACH = 1_000
"""Characters on either side of a quote that are looked at."""
_LONGEST = 240


@dataclass(frozen=True)
class Surroundings:
    """Text on either side of a quote.

    ``before`` and ``after`` are one sentence each on one line, shortened on the far side; ``earlier`` and ``later`` are
    as they stand in the document, up to :data:`REACH` characters, and end at the quote.
    """

    before: str = ""
    after: str = ""
    earlier: str = ""
    later: str = ""


def surroundings(earlier: str, quote: str, later: str) -> Surroundings:
    """The sentences next to ``quote``, cut out of the text right before it and right after it.

    A quote that begins inside a sentence has the beginning of that sentence before it, and likewise at its end.
    """
    text = earlier + quote + later
    start, end = len(earlier), len(earlier) + len(quote)
    spans = sentence_spans(text)
    before = next((text[first:start] for first, _ in reversed(spans) if text[first:start].strip()), "")
    after = next((text[end:last] for _, last in spans if last > end and text[end:last].strip()), "")
    return Surroundings(_last_words(before), _first_words(after), earlier, later)


def _last_words(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= _LONGEST:
        return line
    start = len(line) - _LONGEST
    space = line.find(" ", start, start + _LONGEST // 4)  # some scripts have no spaces
    return "…" + line[max(start, space + 1) :]


def _first_words(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= _LONGEST:
        return line
    space = line.rfind(" ", _LONGEST - _LONGEST // 4, _LONGEST)
    return line[: space if space > 0 else _LONGEST] + "…"
