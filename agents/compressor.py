"""The compressor: makes a block of keys and values of every chunk, once, whatever will be asked.

A block stands in for its chunk in prompts of the model that made it, and of no other one. Blocks are kept in the bank
of the workspace (:mod:`rereader.memory.bank`); one that is gone or damaged is made again when it is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from rereader.agents.block_maker import compression_of, identity_of, make_all, means_of, tell_lost
from rereader.agents.calls import Caller
from rereader.agents.chunker import ensure_chunks
from rereader.agents.context import Outcome, ReadingState, RoleModels, RunContext
from rereader.agents.costs import PROMPT_TOKENS, Facts, StageCost, Work, costs
from rereader.agents.fixing import made_with
from rereader.memory.bank import Held
from rereader.memory.chunks import Chunking
from rereader.models.base import LanguageModel
from rereader.models.kvmemory import reading_factor
from rereader.prompts.loader import Piece
from rereader.prompts.openings import opening_digest
from rereader.schema import InputError, StoreError

Place = tuple[Chunking, int]
"""A chunk: its chunking and its ordinal."""
_BYTES = {"exact": 4.0, "bfloat16": 2.0, "int8": 1.1}
_KV_NUMBERS = 14336
"""Numbers in the keys and values of a token where nobody knows: 28 layers of 2 key heads of size 128."""


def wants_blocks(settings: Any) -> bool:
    """Whether a graph with these settings reads blocks."""
    return getattr(settings, "reads", "") in ("kv", "both")


def reads_both(settings: Any) -> bool:
    """Whether a graph with these settings lets blocks decide and reads texts."""
    return getattr(settings, "reads", "") == "both"


def block_role(settings: Any, bound: Collection[str]) -> str:
    """Whose model makes and reads blocks: who reads (``kv``), or who only judges (``both``)."""
    judged = settings.reads == "both" and (settings.order == "waves" or "scorer" in bound)
    return "scorer" if judged else "reader"


def compress_cost(settings: Any, facts: Facts) -> StageCost:
    """Each chunk is read after the opening, once or as often as the compressor asks."""
    role, how = block_role(settings, facts.bound), compression_of(settings)
    scorer, model = identity_of(how.scorer), facts.models.get(role, "")
    key = block_key(model, opening_digest(), scorer, how.ratio, how.budgets, settings.precision)
    # As far as can be told without loading the model.
    left = [(document, max(0, document.chunks - document.blocks.get(key, 0))) for document in facts.documents]
    chunks = sum(missing for _, missing in left)
    if not chunks:
        return StageCost("compress")
    tokens = sum(document.tokens * missing / document.chunks for document, missing in left)
    kept = tokens / how.ratio * facts.kv_numbers.get(role, _KV_NUMBERS) * _BYTES[settings.precision]
    read = tokens * reading_factor(how.scorer) + chunks * PROMPT_TOKENS
    return StageCost("compress", (Work("score", role, read, calls=chunks),), kept)


def block_key(model: str, opening: str, scorer: str, ratio: float, budgets: str, precision: str) -> str:
    """How blocks are made, in a line."""
    return f"{model}:{opening}:{scorer}:{ratio:g}:{budgets}:{precision}"


@costs(compress_cost)
@made_with("reader", "gister", "scorer")
def compress(state: ReadingState, context: RunContext) -> Outcome:
    """Node: make sure that every chunk of the run's documents has a block."""
    caller = block_caller(context)
    made = {}
    for document in context.documents:
        made[document.id[:12]] = ensure_blocks(context, ensure_chunks(context, document), caller)
    means = means_of(context, caller.model)
    how = block_key(means.model, means.opening, means.scorer, means.ratio, means.budgets, means.precision)
    return Outcome(detail={"compressed": made, "how": how})


def block_caller(context: RunContext) -> Caller:
    """The model that makes and reads blocks.

    Raises:
        InputError: If it cannot.
        ModelError: If there is none.
    """
    return context.need(_role_of(context.models, context.settings))


def check_blocks(models: RoleModels, settings: Any) -> None:
    """Make sure that the model which is to make and read blocks can do so as asked. One that is not bound passes.

    Raises:
        InputError: If it cannot, or the compressor or its ratio cannot be used.
    """
    identity_of(settings.compressor)
    model: LanguageModel | None = getattr(models, _role_of(models, settings))
    if model is not None:
        model.kv_bytes(1, compression_of(settings), settings.precision)


def _role_of(models: RoleModels, settings: Any) -> str:
    """The role whose model makes and reads blocks.

    Raises:
        InputError: If it cannot.
    """
    bound = ("scorer",) if settings.reads == "both" and models.scorer is not None else ()
    role = block_role(settings, bound)
    model: LanguageModel | None = getattr(models, role)
    if model is not None and not model.capabilities.white_box:
        msg = f"The {role} {model.name} cannot read compressed memories: its insides are not open."
        option = "--runtime transformers" if role == "reader" else "--role scorer=NAME"
        raise InputError(msg, f"Choose a local model run by transformers, with {option}; or read text: --memory text.")
    return role


def ensure_blocks(context: RunContext, chunking: Chunking, caller: Caller) -> int:
    """Make the blocks that a document lacks, in batches that are stored one by one; says how many were made."""
    bank, library = context.library.bank, context.library
    block_set = bank.block_set(chunking, means_of(context, caller.model))
    tell_lost(context, chunking, {chunk: "it is missing or damaged" for chunk in bank.lost(block_set)})
    if not bank.missing(block_set):
        return 0
    with library.adding(chunking.document_id, context.checkpoint):
        missing = bank.missing(block_set)
        make_all(context, block_set, caller, missing)
    return len(missing)


def block_pieces(context: RunContext, role: str, places: Sequence[Place]) -> list[Piece]:
    """What fills the slot ``memory`` for each of some chunks: its block, made again if it is gone or damaged.

    Args:
        context: The run.
        role: Whose model reads it; see :func:`block_role`.
        places: The chunks.
    """
    return [Piece("", record=held.record, memory=(held.block,)) for held in blocks_of(context, role, places)]


def blocks_of(context: RunContext, role: str, places: Sequence[Place]) -> list[Held]:
    """The block of each chunk, in the order asked, made again if it is gone or damaged."""
    caller, found = context.need(role), dict[Place, Held]()
    wanted = sorted(set(places), key=lambda place: (place[0].id, place[1]))
    for chunking, group in groupby(wanted, key=lambda place: place[0]):
        chunks = [chunk for _, chunk in group]
        found |= {(chunking, chunk): held for chunk, held in _read(context, caller, chunking, chunks).items()}
    return [found[place] for place in places]


def _read(context: RunContext, caller: Caller, chunking: Chunking, chunks: Sequence[int]) -> dict[int, Held]:
    bank = context.library.bank
    block_set = bank.block_set(chunking, means_of(context, caller.model))
    found, lost = bank.read(block_set, chunks, caller.model.load_kv)
    if gone := [chunk for chunk in chunks if chunk not in found]:
        tell_lost(context, chunking, {chunk: lost.get(chunk, "it is missing") for chunk in gone})
        with context.library.adding(chunking.document_id, context.checkpoint):
            missing = [chunk for chunk in bank.missing(block_set) if chunk in gone]
            make_all(context, block_set, caller, missing, again=True)
        again, lost = bank.read(block_set, gone, caller.model.load_kv)
        if lost:
            [(chunk, why), *_] = lost.items()
            msg = f"The memory of chunk {chunk} cannot be used although it was just made: {why}."
            raise StoreError(msg, f"Check the disk of {bank.files.folder}.")
        found |= again
    return found
