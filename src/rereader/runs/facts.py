"""What the library knows of documents before a run: lengths, and which memories are made already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from rereader.agents.compressor import block_key
from rereader.agents.costs import DocumentFacts
from rereader.memory.chunks import Chunking
from rereader.memory.library import Library
from rereader.models.hashing import HashingEmbedder
from rereader.models.measure import entries
from rereader.models.speed import CACHE, speed_key
from rereader.runs.speeds import Plain
from rereader.tools.paragraphs import words_in_paragraphs

EMBEDDED_CHARACTERS = {"hashing": 5.6, "model": 4.5}
"""Characters in a token of an embedder: words of the hashing one, word pieces of the others."""
PLAIN = "plain"
"""What the rates of work without a model are kept under."""


def known_documents(
    library: Library, found: Sequence[tuple[str, int]], cut: str, chunk_tokens: int, embedder: str, embedders: str
) -> list[DocumentFacts]:
    """Facts of documents given as ``(id, characters)``, stored or not.

    Args:
        library: The workspace.
        found: The documents.
        cut: The run's way of cutting (see ``RunContext.chunking_key``).
        chunk_tokens: Most tokens of a chunk.
        embedder: Fingerprint of the embedder if it is loaded, else empty.
        embedders: Name of the embedder.
    """
    return [_facts(library, *one, cut, chunk_tokens, embedder, embedders) for one in found]


def _facts(
    library: Library, identity: str, characters: int, cut: str, chunk_tokens: int, fingerprint: str, name: str
) -> DocumentFacts:
    words = _word_count(library, identity)
    chunking = library.chunks.chunking(identity, cut)
    if chunking is None:
        return DocumentFacts.guessed(characters, chunk_tokens, words)
    database = library.database
    gists = database.rows("SELECT method, COUNT(*) FROM gists WHERE chunking = ? GROUP BY method", (chunking.id,))
    return DocumentFacts(
        characters,
        chunking.tokens,
        chunking.chunks,
        cut=True,
        gists={row[0]: row[1] for row in gists},
        spaces=_spaces(library, chunking, fingerprint, name),
        blocks=_blocks(library, chunking),
        words=words,
    )


def _word_count(library: Library, identity: str) -> Callable[[int], int] | None:
    """Counts the words of a stored document's paragraphs, once for each limit."""
    if not library.database.row("SELECT 1 FROM documents WHERE id = ?", (identity,)):
        return None
    return cache(lambda most: words_in_paragraphs(library.documents.text(identity), most))


def _blocks(library: Library, chunking: Chunking) -> dict[str, int]:
    """Compressed chunks by the name of their model and how they are made."""
    rows = library.database.rows(
        "SELECT model, opening, scorer, ratio, budgets, precision, COUNT(*) AS made FROM kv_sets "
        "JOIN kv_blocks ON kv_set = id WHERE chunking = ? GROUP BY id",
        (chunking.id,),
    )
    return {block_key(*(row[name] for name in row.keys()[:-1])): row["made"] for row in rows}


def _spaces(library: Library, chunking: Chunking, fingerprint: str, name: str) -> frozenset[str]:
    """Kinds of complete vectors of the embedder; until it is loaded, those of any embedder that is not hashing."""
    hashing = HashingEmbedder().fingerprint
    rows = library.database.rows("SELECT kind, embedder FROM spaces WHERE chunking = ? AND complete", (chunking.id,))
    if name == "hashing":
        fingerprint = hashing
    return frozenset(
        row["kind"] for row in rows if (row["embedder"] == fingerprint if fingerprint else row["embedder"] != hashing)
    )


def plain_rates(models_dir: Path | None) -> Plain:
    """Rates of cutting and extracting as ``rereader doctor --measure`` found them, or a guess."""
    known = entries(models_dir / CACHE).get(speed_key(PLAIN, "cpu"), {}) if models_dir else {}
    try:
        return Plain(float(known["cut"]), float(known["extract"]), measured=True)
    except (KeyError, TypeError, ValueError):
        return Plain()
