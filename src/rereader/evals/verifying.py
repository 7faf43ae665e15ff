"""``rereader bench verify``: every number of the docs has raw rows behind it, or is exempt by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from rereader.evals.expressions import Figures
from rereader.evals.manifest import Manifest
from rereader.evals.markdown_blocks import block_of, markers_in
from rereader.evals.prose import Claim, Paragraph, paragraphs, says, without_code
from rereader.evals.regenerating import Told, make_block, stale_pictures
from rereader.schema.errors import InputError

Place = tuple[int, str]
"""A number as it stands on a page, and its line before it."""


def faults(manifest: Manifest, told: Told) -> list[str]:
    """What is wrong, a line each, with the place first.

    Blocks must be what the report would write, pictures drawn from the rows as they are, and every measured number in
    prose be claimed by a note whose expression gives it, or be exempt.

    Raises:
        StoreError: If raw rows cannot be read.
    """
    blocks: dict[str, str] = {}
    found: list[str] = []
    steps = len(manifest.block) + len(manifest.plot)
    for done, block in enumerate(manifest.block, 1):
        try:
            blocks[block.marker] = make_block(manifest, block)
            found += _of_block(manifest, block.into, block.marker, blocks[block.marker])
        except InputError as error:
            found.append(f"{block.into}: {block.marker}: {error}")
        told(done, steps)
    for done, plot in enumerate(manifest.plot, len(manifest.block) + 1):
        for path in stale_pictures(manifest, plot):
            found.append(f"{path}: not drawn from these rows; `rereader bench report` draws it.")
        told(done, steps)
    figures = Figures(manifest.results_file, blocks)
    for path in manifest.page_paths():
        found += _of_page(manifest, path, figures)
    return found


def _of_block(manifest: Manifest, page: Path, marker: str, made: str) -> Iterator[str]:
    path = manifest.root / page
    standing = block_of(path.read_text(encoding="utf-8"), marker) if path.is_file() else None
    if standing is None:
        yield f"{page}: there is no block {marker!r}."
    elif standing != made:
        yield f"{page}: the block {marker!r} is not what its rows make; `rereader bench report` writes it."


def _of_page(manifest: Manifest, path: Path, figures: Figures) -> Iterator[str]:
    text = (manifest.root / path).read_text(encoding="utf-8")
    known = {block.marker for block in manifest.block if block.into == path}
    yield from (
        f"{path}: no rows are named for the block {m!r}." for m in markers_in(without_code(text)) if m not in known
    )
    exempt = [re.compile(one.pattern) for one in manifest.exempt if one.file in (None, path)]
    for paragraph in paragraphs(text):
        yield from (f"{path}:{line}" for line in _of_paragraph(manifest, paragraph, exempt, figures))


def _of_paragraph(
    manifest: Manifest, paragraph: Paragraph, exempt: list[re.Pattern[str]], figures: Figures
) -> Iterator[str]:
    """Lines that begin with the number of the line."""
    measured = paragraph.measured(exempt)
    claimed = [(claim.line, number) for claim in paragraph.claims for number in claim.numbers]
    yield from _unmatched(measured, claimed)
    for claim in paragraph.claims:
        yield from _of_claim(manifest, claim, figures)


def _unmatched(measured: Sequence[Place], claimed: Sequence[Place]) -> Iterator[str]:
    """Numbers of a paragraph that its notes do not name, and the other way round; else the first out of its order.

    Notes name the numbers in the paragraph's order, each as often as it stands there: if only the set counted, two
    that changed places would both be claimed.
    """
    noted, standing = ({number for _, number in places} for places in (claimed, measured))
    unclaimed = [place for place in dict.fromkeys(measured) if place[1] not in noted]
    strange = [place for place in claimed if place[1] not in standing]
    yield from (
        f"{line}: {number} has no row behind it; write a note, or name it among the exempt."
        for line, number in unclaimed
    )
    yield from (f"{line}: {number} does not stand in the paragraph before this note." for line, number in strange)
    if unclaimed or strange:
        return
    for (line, number), (_, other) in zip_longest(measured, claimed, fillvalue=(0, "nothing")):
        if number != other:
            yield f"{line}: the notes have {other} where the paragraph has {number}; they go through it in its order."
            return


def _of_claim(manifest: Manifest, claim: Claim, figures: Figures) -> Iterator[str]:
    if not claim.expression:
        if claim.reason not in manifest.reasons:
            known = ", ".join(manifest.reasons)
            yield f"{claim.line}: {claim.reason!r} is no reason for a number without rows; there are: {known}."
        return
    try:
        value = figures.value(claim.expression)
    except InputError as error:
        yield f"{claim.line}: {error}"
        return
    for number in claim.numbers:
        if not re.fullmatch(r"[+-]?[\d,.]+%?", number) or not says(number, value):
            yield f"{claim.line}: {number} is {value:.6g} by its rows: {claim.expression}"
