"""What a question looks at in blocks that lie side by side in one prompt, by the retrieval heads of who reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from rereader.agents.attender import NULL
from rereader.agents.calls import Caller, Request
from rereader.agents.compressor import block_caller
from rereader.agents.context import RunContext
from rereader.agents.reranker import in_parts
from rereader.agents.scanner import heads_of
from rereader.models.base import Float32Array, Head
from rereader.models.kvmemory import KVMemory
from rereader.prompts.loader import Piece, load
from rereader.prompts.openings import SLOT
from rereader.tools.attended import Cue, part_masses


def attention_of_blocks(context: RunContext, question: str, blocks: Sequence[KVMemory]) -> Float32Array:
    """Attention to each block, less an empty question's: float32 [blocks].

    Blocks that do not fit the window together are looked at in several prompts, of as many blocks each.

    Raises:
        InputError: If the model has no list of heads, or one block does not fit.
    """
    scorer = block_caller(context)
    heads = heads_of(scorer.model, "")

    def masses(part: Sequence[KVMemory]) -> Float32Array:
        return _masses(scorer, heads, question, part)

    return in_parts(scorer, blocks, lambda part: _request(question, part), masses)


def _masses(scorer: Caller, heads: Sequence[Head], question: str, blocks: Sequence[KVMemory]) -> Float32Array:
    rows = [scorer.look(_request(asked, blocks), SLOT, heads, Cue()).texts[0][None] for asked in (question, NULL)]
    ends = [0, *accumulate(block.places for block in blocks)]
    masses: Float32Array = part_masses(rows[0], list(pairwise(ends)), rows[1])[0]
    return masses


def _request(question: str, blocks: Sequence[KVMemory]) -> Request:
    memory = Piece("", memory=tuple(blocks), cacheable=True)
    return Request(load("kv_answer"), {SLOT: [memory], "known": "", "question": question})
