"""Makes blocks: compresses chunks in batches, puts what comes of it into the bank, and says what it needs for that."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rereader.agents.calls import Caller
from rereader.agents.context import RunContext
from rereader.memory.bank import BlockSet, Entry, Means
from rereader.memory.block_files import size_text
from rereader.memory.chunks import Chunking
from rereader.models.base import LanguageModel
from rereader.models.kvmemory import MEMORY_TOKENS_FILE, RULES, Compression
from rereader.prompts.loader import Piece
from rereader.prompts.openings import opening_digest
from rereader.schema import Chunk, InputError

_BATCH_TOKENS = 8192
"""Tokens of a batch of chunks that are compressed and stored together."""
_MOST_CHUNKS = 16
_LOOKED_UP = 64
"""Chunks that are looked up at once."""
_NAMED = 3
"""Chunks that a warning names."""


def make_all(
    context: RunContext, block_set: BlockSet, caller: Caller, wanted: Sequence[int], *, again: bool = False
) -> None:
    """Make the blocks of some chunks in batches; each finished batch is stored, so that a killed process goes on there.

    Args:
        context: The run.
        block_set: The set that they belong to.
        caller: The model that makes them.
        wanted: Ordinals of the chunks, ascending.
        again: Whether they take the places of blocks that were lost just now: then nothing makes room for them.

    Raises:
        BudgetSpent: If a batch does not fit the budget.
        StoreError: If the blocks do not fit the bank or the disk; then none is made.
    """
    size = _size(context, block_set, caller.model, wanted)
    if again:
        context.library.bank.check_disk(size)
    elif size:
        _make_room(context, block_set, caller.model, size)
    started, done, tokens = time.monotonic(), 0, 0
    for batch in _batches(_chunks(context, block_set.chunking, wanted)):
        context.checkpoint()
        _make(context, block_set, caller, batch)
        done += len(batch)
        tokens += sum(chunk.token_count for chunk in batch)
        context.progress("compress", started, done, len(wanted), tokens)


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
        pieces = [Piece(text, span=chunk.span) for chunk, text in todo]
        blocks = caller.compress(pieces, compression_of(context.settings))
        made = zip(todo, blocks, strict=True)
        entries += [bank.write(block_set, chunk, text, block) for (chunk, text), block in made]
    with context.storing(mark):
        bank.enter(block_set, entries)


def _chunks(context: RunContext, chunking: Chunking, wanted: Sequence[int]) -> Iterator[Chunk]:
    """The named chunks in their order, looked up some at a time."""
    for first in range(0, len(wanted), _LOOKED_UP):
        part = wanted[first : first + _LOOKED_UP]
        among = set(part)
        for chunk in context.library.chunks.range(chunking, part[0], part[-1] + 1):
            if chunk.ordinal in among:
                yield chunk


def _batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    for chunk in chunks:
        size = sum(one.token_count for one in batch) + chunk.token_count
        if batch and (size > _BATCH_TOKENS or len(batch) == _MOST_CHUNKS):
            yield batch
            batch = []
        batch.append(chunk)
    if batch:
        yield batch


def _size(context: RunContext, block_set: BlockSet, model: LanguageModel, wanted: Sequence[int]) -> int:
    """Bytes that the blocks of some chunks will take, about; those of texts that have one already take none."""
    sizes: Counter[int] = Counter()
    counted: set[str] = set()
    for batch in _batches(_chunks(context, block_set.chunking, wanted)):
        context.checkpoint()
        keys = {block_set.means.key(context.library.documents.text_of(chunk.span)): chunk for chunk in batch}
        new = keys.keys() - counted - context.library.bank.whole(keys)
        sizes.update(keys[key].token_count for key in new)
        counted |= new
    how, precision = compression_of(context.settings), context.settings.precision
    return sum(count * model.kv_bytes(tokens, how, precision) for tokens, count in sizes.items())


def _make_room(context: RunContext, block_set: BlockSet, model: LanguageModel, size: int) -> None:
    """Say what will be kept before it is written, and let go of what was not used for long.

    Raises:
        StoreError: If there is no room for it.
    """
    library, bank = context.library, context.library.bank
    others = bank.sets_of(library.being_read(but=context.run_id))
    cuts = [library.chunks.chunking(document.id, context.chunking_key()) for document in context.documents]
    means = means_of(context, model)
    ours = [bank.block_set(cut, means).id for cut in cuts if cut is not None]
    gone = bank.make_room(size, {block_set.id, *ours, *others})
    told = f"About {size_text(size)} of compressed memories are kept in the workspace ({context.settings.precision})"
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
    """How the run's settings have a model make blocks; worked out once in a run."""
    if model.fingerprint not in context.means:
        how = compression_of(context.settings)
        context.means[model.fingerprint] = Means(
            model=model.name,
            fingerprint=model.fingerprint,
            opening=opening_digest(),
            scorer=identity_of(how.scorer),
            ratio=how.ratio,
            budgets=how.budgets,
            precision=context.settings.precision,
        )
    return context.means[model.fingerprint]


def compression_of(settings: Any) -> Compression:
    """How a graph's settings have texts compressed."""
    return Compression(settings.compressor, float(settings.ratio), settings.budgets).normalised()


def identity_of(compressor: str) -> str:
    """A rule's name; of a trained compressor, which is a folder, with what its weights are.

    Raises:
        InputError: If there is neither.
    """
    if compressor in RULES:
        return compressor
    weights = Path(compressor) / MEMORY_TOKENS_FILE
    try:
        with weights.open("rb") as file:
            return f"{weights.parent.name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = f"There is no compressor {compressor}."
        hint = f"Use one of {', '.join(RULES)}, or the folder that 'rereader train compressor' wrote."
        raise InputError(msg, hint) from error
    except OSError as error:
        msg = f"The compressor {compressor} cannot be read: {error.strerror or error}."
        raise InputError(msg, f"Check {weights}.") from error
