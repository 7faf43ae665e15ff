"""A recap is carried from part to part, or a tree of recaps is grown; either is made once for all questions.

After ARL, Active Recap Learning (arXiv 2601.13734), at inference: the text is read part by part; the recap so far, in
tags, and the next part give the new recap; the answer is written from the carried recap and the last part, with the
question last and nowhere before. Analogue: the published system is a model whose pre-training was continued on texts
with recaps put in, and no code, weights or sizes of it were found; only its inference is reproduced here, with
untrained models, our prompts, and our reading of what is open (parts of 4096 tokens, recaps of at most 256). The last
part is read by the answer alone, not condensed first. Every version of the recap stays a record; quotes are found after
the fact. ``recaps=off`` is the control: the answer is made from the last part alone.

``deserve=gap`` takes the idea of its training data to the reading: words that a scorer foretells well after a long
context and badly after a short one (a long-short gap of more than 2 nats) rest on an earlier segment, found by trying
which one makes the word most likely. Only a part with such words is condensed, together with their segments; over
others the recap is carried as it is. Here a search by words chooses the segments that are tried; the paper tries all.

``variant=tree`` is ours: parts are condensed in batches and merged level by level, so that calls that depend on one
another grow with the logarithm of the length; a question finds parts by their recaps and has their raw text quoted, and
``request=whole`` has a long answer, such as a summary, written from the top of the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from rereader.agents.chunker import chunk
from rereader.agents.context import ReadingState, Work
from rereader.agents.fixing import FIRST_STEP, fixed_by
from rereader.agents.gap import find_keys
from rereader.agents.leaves import answer_leaves, recall
from rereader.agents.recap_tree import grow, summarise
from rereader.agents.recapper import answer_recap, recap
from rereader.agents.settings import Positive, RecapSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph
from rereader.schema import InputError


@dataclass(frozen=True)
class ActiveRecapSettings(RecapSettings):
    """Settings of ``active-recap``.

    Args:
        variant: ``linear`` carries one recap (ARL); ``tree`` merges recaps of all parts (ours).
        request: ``whole`` writes a long answer about the whole of the documents, such as a summary.
        recaps: ``off`` makes no recap and answers from the last part alone (a control for ``linear``).
        deserve: Which parts are condensed: all, or those with a long-short gap, which needs a local scorer.
        short_tokens: Tokens of the short context; segments lie before it.
        long_tokens: Most tokens of the long context; at least half of them, or all there are, stand before a token.
        candidates: Segments that are tried for a word with a gap. Each is read with the whole short context.
        leaves: Parts that a question has read again in a tree.
    """

    variant: Annotated[Literal["linear", "tree"], FIRST_STEP] = "linear"
    request: Annotated[Literal["question", "whole"], FIRST_STEP] = "question"
    recaps: Annotated[Literal["on", "off"], fixed_by("gap", "recap")] = "on"
    deserve: Annotated[Literal["always", "gap"], fixed_by("gap", "recap")] = "always"
    short_tokens: Annotated[Positive, fixed_by("gap", "recap")] = 1024
    long_tokens: Annotated[Positive, fixed_by("gap", "recap")] = 8192
    candidates: Annotated[Positive, fixed_by("gap", "recap")] = 32
    leaves: Annotated[Positive, fixed_by("recall")] = 4


@reading_graph("active-recap", system="ARL 2601.13734", honesty="analogue", settings=ActiveRecapSettings)
def build(settings: ActiveRecapSettings) -> Graph:
    """Build chunk -> recap, part after part -> answer; or chunk -> tree -> recall -> answer."""
    return _tree(settings) if settings.variant == "tree" else _linear(settings)


def _linear(settings: ActiveRecapSettings) -> Graph:
    works: list[tuple[str, Work]] = [("chunk", chunk), ("gap", find_keys), ("recap", recap), ("answer", answer_recap)]
    left_out = {"gap"} if settings.deserve == "always" else set()
    if settings.recaps == "off":
        left_out = {"gap", "recap"}
    works = [work for work in works if work[0] not in left_out]

    def next_part(state: ReadingState) -> str:
        done = state.get("ended") or state["block"] + 1 >= state["windows"]
        return "answer" if done else "recap"

    graph = new_graph(works)
    for origin, goal in pairwise([name for name, _ in works]):
        if origin == "recap":
            connect(graph, "recap", "recap", "answer", choose=next_part)
        else:
            connect(graph, origin, goal)
    connect(graph, "answer", "finish")
    return graph


def _tree(settings: ActiveRecapSettings) -> Graph:
    if settings.recaps == "off" or settings.deserve == "gap":
        msg = "A tree is made of recaps of every part; recaps=off and deserve=gap are for variant=linear."
        raise InputError(msg, "Leave them out, or take variant=linear.")
    works: list[tuple[str, Work]] = [("chunk", chunk), ("tree", grow), ("recall", recall), ("answer", answer_leaves)]
    if settings.request == "whole":
        works = [("chunk", chunk), ("tree", grow), ("answer", summarise)]
    graph = new_graph(works)
    for origin, goal in pairwise([*(name for name, _ in works), "finish"]):
        connect(graph, origin, goal)
    return graph
