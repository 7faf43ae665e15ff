"""Makes blocks: compresses chunks in batches, puts what comes of it into the bank, and says what it needs for that."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rereader.agents.calls import Caller
from rereader.agents.context import RunContext
from rereader.memory.bank import BlockSet, Entry, Means
from rereader.memory.block_files import size_text
from rereader.memory.chunks import Chunking
from rereader.models.base import LanguageModel
from rereader.models.kvmemory import Compression
from rereader.prompts.loader import Piece
from rereader.prompts.openings import opening_digest
from rereader.schema import Chunk

_BATCH_TOKENS = 8192
"""Tokens of a batch of chunks that are compressed and stored together."""
_MOST_CHUNKS = 16
_COUNTED = 64
"""Chunks whose tokens are counted at once."""
_NAMED = 3
"""Chunks that a warning names."""


def make_all(context: RunContext, block_set: BlockSet, caller: Caller, wanted: Sequence[int]) -> None:
    """Make the blocks of some chunks in batches; each finished batch is stored, so that a killed process goes on there.

    Raises:
        BudgetSpent: If a batch does not fit the budget.
        StoreError: If the blocks do not fit the bank or the disk; then none is made.
    """
    chunks = [context.library.chunks.chunk(block_set.chunking, ordinal) for ordinal in wanted]
    _make_room(context, block_set, caller, chunks)
    started, done, tokens = time.monotonic(), 0, 0
    for batch in _batches(chunks):
        context.checkpoint()
        _make(context, block_set, caller, batch)
        done += len(batch)
        tokens += sum(chunk.token_count for chunk in batch)
        context.progress("compress", started, done, len(chunks), tokens)


def _make(context: RunContext, block_set: BlockSet, caller: Caller, batch: Sequence[Chunk]) -> None:
    """Compress a batch of chunks; files first, then rows together with what they have cost."""
    bank, mark = context.library.bank, context.mark()
    entries: list[Entry] = []
    todo: list[tuple[Chunk, str]] = []
    for chunk in batch:
        text = context.library.documents.text_of(chunk.span)
        adopted = bank.adopt(block_set, chunk, text)
        if adopted is None:
            todo.append((chunk, text))
        else:
            entries.append(adopted)
    if todo:
        blocks = caller.compress([Piece(text, span=chunk.span) for chunk, text in todo], _compression(context))
        made = zip(todo, blocks, strict=True)
        entries += [bank.write(block_set, chunk, text, block) for (chunk, text), block in made]
    with context.storing(mark):
        bank.enter(block_set, entries)


def _batches(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    for chunk in chunks:
        size = sum(one.token_count for one in batch) + chunk.token_count
        if batch and (size > _BATCH_TOKENS or len(batch) == _MOST_CHUNKS):
            yield batch
            batch = []
        batch.append(chunk)
    if batch:
        yield batch


def _texts(context: RunContext, chunks: Sequence[Chunk]) -> Iterator[list[str]]:
    """The chunks' texts, some at a time."""
    for first in range(0, len(chunks), _COUNTED):
        context.checkpoint()
        yield [context.library.documents.text_of(chunk.span) for chunk in chunks[first : first + _COUNTED]]


def _make_room(context: RunContext, block_set: BlockSet, caller: Caller, chunks: Sequence[Chunk]) -> None:
    """Say what will be kept before it is written, and let go of what was not used for long.

    Raises:
        StoreError: If there is no room for it.
    """
    model, settings, bank = caller.model, context.settings, context.library.bank
    how = _compression(context)
    tokens = (count for part in _texts(context, chunks) for count in model.count_tokens(part))
    size = sum(model.kv_bytes(count, how, settings.precision) for count in tokens)
    read = {document.id for document in context.documents}
    others = bank.sets_of(context.library.being_read() - read)
    means = means_of(context, model)
    cuts = [context.library.chunks.chunking(identity, context.chunking_key()) for identity in sorted(read)]
    ours = [bank.block_set(cut, means).id for cut in cuts if cut is not None]
    gone = bank.make_room(size, {block_set.id, *ours, *others})
    told = f"About {size_text(size)} of compressed memories are kept in the workspace ({settings.precision})"
    context.warn(f"{told}; {gone} that were not used for long made room." if gone else f"{told}.")


def tell_lost(context: RunContext, chunking: Chunking, lost: Mapping[int, str]) -> None:
    """Tell of blocks that cannot be used, once."""
    if not lost:
        return
    title = next(document.title for document in context.documents if document.id == chunking.document_id)
    named = ", ".join(str(chunk) for chunk in list(lost)[:_NAMED])
    more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    why = next(iter(lost.values()))
    context.warn(f"The compressed memory of chunk {named}{more} of {title} cannot be used: {why}. It is made again.")


def means_of(context: RunContext, model: LanguageModel) -> Means:
    """How the run's settings have a model make blocks."""
    settings = context.settings
    return Means(
        model=model.name,
        fingerprint=model.fingerprint,
        opening=opening_digest(),
        scorer=identity_of(settings.compressor),
        ratio=float(settings.ratio),
        budgets=settings.budgets,
        precision=settings.precision,
    )


def _compression(context: RunContext) -> Compression:
    settings = context.settings
    path = Path(settings.compressor).expanduser()
    return Compression(str(path) if path.exists() else settings.compressor, float(settings.ratio), settings.budgets)


def identity_of(compressor: str) -> str:
    """A compressor's name; of a trained one, which is a path, with what its files hold."""
    path = Path(compressor).expanduser()
    if not path.exists():
        return compressor
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    return f"{path.name}@{digest.hexdigest()[:16]}"
