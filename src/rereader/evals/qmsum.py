"""QMSum (arXiv 2104.05938): summaries of meetings, of the whole or of what a query asks about.

ROUGE moves little between systems here; for ``specific`` queries the turns that tell are gold evidence, and recall of
them separates better. Reads our own file and the published one (``ALL/jsonl/val.jsonl``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.evals.drafts import join_lines
from rereader.evals.given import Given, GivenTexts
from rereader.evals.items import GoldSpan, Item, benchmark
from rereader.evals.origins import benchmark_file, read_rows
from rereader.evals.summaries import summary_item


@benchmark("qmsum")
class Qmsum(GivenTexts):
    """The benchmark ``qmsum``; a text's key is its meeting's id; a line of it is what one person says at a time."""

    name = "qmsum"

    def files(self) -> Sequence[Path]:
        """The one file."""
        file, hub = self._options.file, self._options.hub
        return [benchmark_file(self._data, "qmsum/qmsum.jsonl.gz", file=file, hub=hub, original="Yale-LILY/QMSum")]

    def load(self) -> Iterator[Given]:
        """The meetings."""
        for row in read_rows(self.files()[0]):
            text, lines = join_lines(f"{speaker}: {said}" for speaker, said in _turns(row))
            key = row.get("meeting_id") or f"qmsum-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            yield Given(key, "meeting", text, tuple(self._items(key, row, lines)))

    def _items(self, key: str, row: Mapping[str, Any], lines: Sequence[tuple[int, int]]) -> Iterator[Item]:
        asked = [("general", raw) for raw in row.get("general", row.get("general_query_list", ()))]
        asked += [("specific", raw) for raw in row.get("specific", row.get("specific_query_list", ()))]
        for number, (kind, raw) in enumerate(asked):
            gold = _spoken(key, raw.get("turns", raw.get("relevant_text_span", ())), lines)
            budget = self._options.answer_budget
            yield summary_item(self.name, f"{key}-{number}", kind, raw["query"], [raw["answer"]], key, gold, budget)


def _turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "transcript" in row:
        return [(speaker, said) for speaker, said in row["transcript"]]
    return [(turn["speaker"], turn["content"]) for turn in row["meeting_transcripts"]]


def _spoken(key: str, ranges: Sequence[Sequence[str]], lines: Sequence[tuple[int, int]]) -> tuple[GoldSpan, ...]:
    """The lines of turns from the first to the last of each range, both counted in; those past the end left out."""
    numbers = {at for first, last in ranges for at in range(int(first), int(last) + 1) if at < len(lines)}
    return tuple((key, *lines[at]) for at in sorted(numbers))
