"""Batches of prompts of like length under a ceiling of padded tokens, and what to do when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rereader.schema.errors import ModelError

T = TypeVar("T")


def by_length(lengths: Sequence[int]) -> list[int]:
    """Indices from the longest to the shortest, ties in the order given.

    The longest comes first so that a batch that does not fit fails at the start, not after an hour.
    """
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def plan_batches(lengths: Sequence[int], max_rows: int, max_tokens: int) -> list[list[int]]:
    """Cut prompts into batches of like length.

    Args:
        lengths: Tokens of each prompt.
        max_rows: Most prompts in a batch.
        max_tokens: Ceiling of rows times the longest row; a single longer prompt gets a batch of its own.

    Returns:
        Indices batch by batch; each index occurs once. Depends on the lengths alone, so it is repeatable.
    """
    batches: list[list[int]] = []
    for index in by_length(lengths):
        last = batches[-1] if batches else []
        fits = last and len(last) < max_rows and (len(last) + 1) * lengths[last[0]] <= max_tokens
        if fits:
            last.append(index)
        else:
            batches.append([index])
    return batches


def restore(batches: Sequence[Sequence[int]], results: Sequence[Sequence[T]]) -> list[T]:
    """Put the results of :func:`plan_batches` back into the order of the prompts."""
    placed = {
        index: value
        for batch, values in zip(batches, results, strict=True)
        for index, value in zip(batch, values, strict=True)
    }
    return [placed[index] for index in range(len(placed))]


def run_halving(batch: Sequence[int], run: Callable[[Sequence[int]], list[T]]) -> list[T]:
    """Run a batch; when memory runs out, run its two halves instead, and so on down to one row.

    Raises:
        ModelError: If a single row does not fit.
    """
    try:
        return run(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise out_of_memory() from error
    # Outside the handler: the traceback would keep the failed batch's tensors alive.
    middle = (len(batch) + 1) // 2
    return run_halving(batch[:middle], run) + run_halving(batch[middle:], run)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python or torch says that memory, of the host or the device, ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )


def out_of_memory() -> ModelError:
    """The error for a prompt that does not fit into memory even on its own."""
    return ModelError(
        "The model ran out of memory on a single prompt.",
        "Use a smaller model, a shorter prompt or smaller chunks, or close other programs.",
    )
