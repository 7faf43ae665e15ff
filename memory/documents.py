"""Documents and their text, kept in blocks so that a slice never loads the whole."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence

from rereader.memory.database import Database
from rereader.schema import Document, InputError, NotThere, Place, Span
from rereader.schema.types import PlaceKind

BLOCK = 1 << 16
"""Characters per stored block."""


def document_id(text: str, loader: str) -> str:
    """Identity of a text as a loader read it: sha256 of both."""
    digest = hashlib.sha256(loader.encode())
    digest.update(b"\0")
    for start in range(0, len(text), BLOCK):
        digest.update(text[start : start + BLOCK].encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class DocumentStore:
    """Adds, reads and removes documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, text: str, *, title: str, source: str, loader: str, places: Sequence[Place] = ()) -> Document:
        """Store a text and its places; the same text read by the same loader is one document.

        A document that was stored without places (by an older version, say) gets these; else the first ones stay. Of
        two places of one kind at one offset the later one holds.

        Raises:
            InputError: If the text is empty or white space only.
        """
        if not text.strip():
            raise InputError(f"{source} holds no text.", "Name a file with readable text.")
        document = Document(id=document_id(text, loader), title=title, source=source, length=len(text), loader=loader)
        blocks = ((document.id, start, text[start : start + BLOCK]) for start in range(0, len(text), BLOCK))
        with self._database.transaction():
            added = self._database.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?, ?, ?)",
                (document.id, title, source, len(text), loader, time.time()),
            )
            if added:
                self._database.execute_many("INSERT INTO text_blocks VALUES (?, ?, ?)", blocks)
                self._database.execute("DELETE FROM tombstones WHERE id = ?", (document.id,))
            if places and not self._database.row("SELECT 1 FROM places WHERE document_id = ?", (document.id,)):
                rows = ((document.id, place.kind, place.start, place.label) for place in places)
                self._database.execute_many("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", rows)
        return self.get(document.id)

    def get(self, identity: str) -> Document:
        """The document with this id, or with this unique prefix of an id, or with this title.

        Raises:
            InputError: If there is none, or several.
        """
        rows = self._database.rows(
            "SELECT id, title, source, length, loader FROM documents "
            "WHERE id = ?1 OR (length(?1) >= 6 AND substr(id, 1, length(?1)) = ?1) OR title = ?1",
            (identity,),
        )
        exact = [row for row in rows if row["id"] == identity]
        rows = exact or rows
        if len(rows) != 1:
            found, kind = ("no document", NotThere) if not rows else (f"{len(rows)} documents", InputError)
            raise kind(f"There is {found} {identity!r} in the workspace.", "See 'rereader documents'.")
        return Document(**dict(rows[0]))

    def all(self) -> list[Document]:
        """Every document, oldest first."""
        rows = self._database.rows("SELECT id, title, source, length, loader FROM documents ORDER BY added_at, id")
        return [Document(**dict(row)) for row in rows]

    def slice(self, identity: str, start: int, end: int) -> str:
        """Characters ``[start, end)`` of a document's text."""
        first = start // BLOCK * BLOCK
        rows = self._database.rows(
            "SELECT text FROM text_blocks WHERE document_id = ? AND start >= ? AND start < ? ORDER BY start",
            (identity, first, max(end, start + 1)),
        )
        return "".join(row[0] for row in rows)[start - first : end - first]

    def text_of(self, span: Span) -> str:
        """The characters of a span."""
        return self.slice(span.document_id, span.start, span.end)

    def text(self, identity: str) -> str:
        """The whole text of a document."""
        return "".join(self.blocks(identity))

    def blocks(self, identity: str) -> Iterator[str]:
        """The text of a document, block by block."""
        start = 0
        while row := self._database.row(
            "SELECT text FROM text_blocks WHERE document_id = ? AND start = ?", (identity, start)
        ):
            yield row[0]
            start += BLOCK

    def lines_of(self, identity: str, offsets: Iterable[int]) -> dict[int, int]:
        """One-based number of the line that holds each character, in one pass over the text."""
        lines: dict[int, int] = {}
        wanted = sorted(set(offsets))
        start = line = 0
        for block in self.blocks(identity):
            while wanted and wanted[0] < start + len(block):
                offset = wanted.pop(0)
                lines[offset] = line + block.count("\n", 0, offset - start) + 1
            if not wanted:
                break
            line += block.count("\n")
            start += len(block)
        return lines

    def places_at(self, identity: str, offsets: Iterable[int]) -> dict[int, dict[str, str]]:
        """For each offset the label of the last place of every kind at or before it, by kind."""
        found: dict[int, dict[str, str]] = {}
        query = "SELECT DISTINCT kind FROM places WHERE document_id = ?"
        kinds = [row[0] for row in self._database.rows(query, (identity,))]
        for offset in set(offsets):
            rows = {kind: self._place(identity, kind, offset) for kind in kinds}
            found[offset] = {kind: label for kind, label in rows.items() if label is not None}
        return found

    def starts_of(self, identity: str, kind: PlaceKind) -> list[int]:
        """Where the places of a kind begin, ascending."""
        query = "SELECT start FROM places WHERE document_id = ? AND kind = ? ORDER BY start"
        return [row[0] for row in self._database.rows(query, (identity, kind))]

    def _place(self, identity: str, kind: str, offset: int) -> str | None:
        row = self._database.row(
            "SELECT label FROM places WHERE document_id = ? AND kind = ? AND start <= ? ORDER BY start DESC LIMIT 1",
            (identity, kind, offset),
        )
        return None if row is None else str(row[0])
