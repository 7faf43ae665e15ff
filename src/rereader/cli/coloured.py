"""Word-level differences on the terminal: in colour, or with marks where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from rereader.tools.word_diff import Stretch, marked

_STYLES = {"kept": "", "removed": "red strike", "added": "green"}


def coloured(console: Console, diff: Sequence[Stretch]) -> Text:
    """What changed: coloured where the console has colours, ``[-old-]{+new+}`` where it has none."""
    if console.color_system is None or console.no_color:
        return Text(marked(diff))
    return Text.assemble(*((stretch.text, _STYLES[stretch.kind]) for stretch in diff))


def indented(console: Console, text: Text, indent: int) -> None:
    """Print a text of several lines: wrapped on a terminal, line by line in a pipe."""
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent)), soft_wrap=False)
        return
    for line in text.split("\n", allow_blank=True):
        console.print(Text(" " * indent) + line if line.plain else Text(""))
