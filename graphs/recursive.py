"""A root model works on the text by actions or code that it writes, without seeing it, and lets helpers read parts.

After Recursive Language Models (arXiv 2512.24601, and its published code). Idea: a prompt that is too long is not shown
but put into a variable; the root model is told its type and length, looks at pieces, and calls itself on parts, in
loops that the program runs; results stay in variables too. Sub-calls are fresh calls of the reader on raw text.

``mode=code`` is the published form: the model writes Python, which runs until it calls ``FINAL``. Where it departs: the
code runs in a locked process instead of our own, without files, network or modules other than six; calls of one batch
are made by the engine's batching; the root model is shown its last three turns whole and a line of each of those
before (the published code keeps all of them, at a cost that grows with their square); at the cap of turns the question
is put to parts found by search instead of to the root model.

``mode=actions`` (default) is for models that cannot program: one line a turn, out of a dozen actions. The text is a
handle, results are named variables, and ``map`` is recursion by symbol: what is asked of a thousand parts is one line.
It still is an analogue, and so is the graph as registered, since its default is: the model writes no loops or
conditions of its own, so that questions on pairs of parts cannot be asked, and ``search`` (BM25) does work that is the
model's in the paper. ``plan=choose`` goes further from it for models up to about 4 billion weights: the kind of action
is scored among those that make sense, and only its words are written.

``depth=2`` lets a sub-call that is given more than it can read be such a run itself (``ask`` on a long part,
``rlm_query``); each of its calls counts as a sub-call. Turns, sub-calls, depth and the run's budget of tokens and
seconds are caps that the program keeps, whatever the model writes. Three errors in a row, an empty answer or the
instructions' placeholder, or the last turn end the loop: then, and the answer says so, the question is put to parts
found by search and the replies to one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from rereader.agents.chunker import chunk
from rereader.agents.fixing import EVERY_STEP, fixed_by
from rereader.agents.mapreducer import finish_recursion
from rereader.agents.recursion import act, goes_on, plan
from rereader.agents.settings import Positive, ReadingSettings
from rereader.graphs.registry import reading_graph
from rereader.graphs.routing import Graph, connect, new_graph


@dataclass(frozen=True)
class RecursiveSettings(ReadingSettings):
    """Settings of ``recursive``.

    Args:
        mode: ``actions`` takes one of a dozen actions a turn; ``code`` runs Python that the model writes.
        plan: Of ``actions``: ``choose`` scores the kinds of action that make sense, ``generate`` has the line written.
        turns: Most turns of the root model, and of a sub-run.
        sub_calls: Most calls on parts, those of sub-runs included.
        depth: 1 makes plain sub-calls; 2 lets a sub-call be a recursive run.
        part_tokens: Tokens of a part where the model does not say how many parts there are to be.
        sub_tokens: Most tokens of a sub-call's reply.
        fallback_parts: Parts that are asked where the root model gave no answer.
        code_tokens: Most tokens of a reply with code.
        output_characters: Characters that a block may print.
        block_seconds: Seconds that a block may take, without those of its sub-calls.
        memory_mb: MiB that code may take beside the text.
    """

    mode: Annotated[Literal["actions", "code"], fixed_by("plan")] = "actions"
    plan: Annotated[Literal["choose", "generate"], EVERY_STEP] = "choose"
    turns: Annotated[Positive, EVERY_STEP] = 12
    sub_calls: Annotated[Positive, EVERY_STEP] = 64
    depth: Annotated[int, Field(ge=1, le=2), EVERY_STEP] = 1
    part_tokens: Annotated[Positive, EVERY_STEP] = 2048
    sub_tokens: Annotated[Positive, EVERY_STEP] = 96
    fallback_parts: Annotated[Positive, EVERY_STEP] = 6
    code_tokens: Annotated[Positive, fixed_by("plan")] = 512
    output_characters: Annotated[Positive, fixed_by("plan")] = 20_000
    block_seconds: Annotated[Positive, fixed_by("plan")] = 20
    memory_mb: Annotated[Positive, fixed_by("plan")] = 512


@reading_graph("recursive", system="RLM 2512.24601", honesty="analogue", settings=RecursiveSettings)
def build(settings: RecursiveSettings) -> Graph:
    """Build chunk -> (plan -> act) in turns -> answer."""
    graph = new_graph([("chunk", chunk), ("plan", plan), ("act", act), ("answer", finish_recursion)])
    connect(graph, "chunk", "plan")
    connect(graph, "plan", "act")
    connect(graph, "act", "plan", "answer", choose=goes_on)
    connect(graph, "answer", "finish")
    return graph
