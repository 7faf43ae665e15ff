"""Values as small pieces of HTML for notebooks: what ``_repr_html_`` methods are made of.

Every text is escaped; what a browser would not show or would act upon (control characters, marks that turn the
direction of writing, invisible ones, lone surrogates) is written out as ``[U+202E]``. Colours are those of the page, so
that it reads on light and dark ground; nothing is loaded and no script runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

LONG = 600
"""Characters of a text that are shown."""
_NO_CHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
"""Code points that Unicode keeps for no character, which no page may hold."""
_UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    f"\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f{_NO_CHARACTERS}]"
)
"""Characters that are written out; joiners (U+200C and U+200D) are part of scripts."""
_LINE = "1px solid rgba(128,128,128,.35)"
_TABLE = "border-collapse:collapse;margin:.4em 0;color:inherit;font:inherit"
_CELL = f"border:none;border-top:{_LINE};padding:.2em .6em;text-align:left;vertical-align:top;background:none"
_TONES = {
    "": "",
    "faint": "opacity:.65",
    "strong": "font-weight:600",
    "quote": "border-left:3px solid rgba(64,160,96,.7);padding-left:.6em;margin:.2em 0;white-space:pre-wrap",
    "source": "background:rgba(64,160,96,.12)",
    "added": "background:rgba(64,160,96,.25);text-decoration:none",
    "removed": "background:rgba(208,72,72,.22);text-decoration:line-through",
    "warning": "border-left:3px solid rgba(208,144,32,.8);padding-left:.6em;margin:.2em 0",
}


class Html(str):
    """Markup that is put into a page as it is; all other texts are escaped first."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def shown(value: object, most: int = LONG) -> Html:
    """A value as text that a page shows to the letter; a long one is cut and says by how much.

    Args:
        value: Markup stays as it is; anything else is turned into a string and escaped.
        most: Most characters of it.
    """
    if isinstance(value, Html):
        return value
    text = str(value)
    left = len(text) - most
    cut = styled(f" [… {left:,} more characters]", "faint") if left > 0 else Html("")
    visible = _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text[:most])
    return Html(escape(visible) + cut)


def styled(value: object, tone: str, tag: str = "span") -> Html:
    """A value in a tone: ``faint``, ``strong``, ``quote``, ``source``, ``added``, ``removed``, ``warning``, or none."""
    return Html(f'<{tag} style="{_TONES[tone]}">{shown(value)}</{tag}>')


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], most: int = 50) -> Html:
    """A table; of many rows the first, and how many more there are."""
    kept = list(rows)
    body = "".join(_row(row, "td") for row in kept[:most])
    whole = f'<table style="{_TABLE}">{_row(heads, "th")}{body}</table>'
    return Html(whole + (styled(f"and {len(kept) - most:,} more", "faint", "div") if len(kept) > most else ""))


def _row(cells: Sequence[object], tag: str) -> str:
    inner = "".join(f'<{tag} style="{_CELL}">{"" if cell is None else shown(cell)}</{tag}>' for cell in cells)
    return f'<tr style="background:none">{inner}</tr>'


def facts(values: Mapping[str, object]) -> Html:
    """Names and values in a line each; those that are empty are left out."""
    kept = {name: value for name, value in values.items() if value not in (None, "", (), [], {})}
    rows = "".join(_row((styled(name, "faint"), value), "td") for name, value in kept.items())
    return Html(f'<table style="{_TABLE}">{rows}</table>' if rows else "")


def folded(title: object, *parts: object) -> Html:
    """Parts that are shown once their title is clicked."""
    inner = "".join(shown(part) for part in parts)
    head = f'<summary style="cursor:pointer">{shown(title)}</summary>'
    return Html(f'<details style="margin:.2em 0">{head}{inner}</details>')


def box(title: object, subtitle: object, *parts: object) -> Html:
    """The whole of a value: a frame with a title, a faint line below it, and parts."""
    inner = "".join(f"<div>{shown(part)}</div>" for part in parts if part)
    head = f"{styled(title, 'strong', 'div')}{styled(subtitle, 'faint', 'div')}"
    style = f"border:{_LINE};border-radius:6px;padding:.6em .9em;margin:.3em 0;max-width:60em;overflow-wrap:anywhere"
    return Html(f'<div style="{style}">{head}{inner}</div>')
