"""The published form of a recursive run: the root model writes Python, which runs in a sandbox that holds the text.

After Recursive Language Models (arXiv 2512.24601, section 2 and its published code). The sandbox lives as long as the
run's process. A resumed run makes it anew: blocks of earlier turns are run again with the replies they got then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rereader.agents.actions import ActionError
from rereader.agents.actor import Done, answer_of
from rereader.agents.authors import ACTOR, EXCHANGE, PLANNER, SUBREADER
from rereader.agents.call_log import Stop
from rereader.agents.calls import Caller, Request
from rereader.agents.context import RunContext
from rereader.agents.desk import DOC, Desk, Turn, Variable, history
from rereader.agents.planner import metadata
from rereader.agents.subreader import Bench, generate, room, says_nothing
from rereader.models.base import Sampling
from rereader.prompts.loader import Piece, SlotValue, load
from rereader.schema import Span
from rereader.tools.located import located
from rereader.tools.sandbox import CallRefused, Ran, Sandbox, SandboxLimits, require_sandbox

_BETWEEN = "\n\n"
_LIVE = "sandbox"
_WRITTEN = 150
"""Tokens of a block that are expected."""
_FENCE = re.compile(r"```[ \t]*(?:repl|python3?|py)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)
_FINAL = re.compile(r"^\s*FINAL\((?P<text>.*)\)\s*\Z", re.DOTALL | re.MULTILINE)
_FINAL_VARIABLE = re.compile(r"^\s*FINAL_VAR\(\s*[\"']?(?P<name>\w+)[\"']?\s*\)\s*\Z", re.MULTILINE)
_LEAST_SHOWN = 200
"""Characters of a turn that are shown even if the prompt does not fit then; the model says so."""
_SHARE = 2 / 3
"""Characters of a turn that are shown for each token of the window: with three turns in full about half of it."""
_KERNEL_WALLS = frozenset({"seccomp", "landlock"})
_VARIABLES = 800
"""Characters of the list of variables that is told after a block."""


@dataclass
class Cell:
    """A sandbox and what it holds.

    Args:
        text: All documents of the run, in which places of prompts are looked for.
        sandbox: The process; a sub-run's holds a text of its own.
        lost: Variables of earlier turns are gone and the model was not told yet.
    """

    text: str
    sandbox: Sandbox
    lost: bool = False

    def close(self) -> None:
        """End the process."""
        self.sandbox.close()


@dataclass
class _Said:
    """What the host said to a block, in order, so that the block can be run again."""

    messages: list[dict[str, Any]] = field(default_factory=list)


def code_cost(settings: Any) -> tuple[int, int]:
    """Tokens of a turn that are expected, and at most."""
    return min(_WRITTEN, settings.code_tokens), settings.code_tokens


def plan_code(bench: Bench, turn: int, turns: int) -> str:
    """The root model's next reply, with a block of code in it.

    Raises:
        InputError: Where the sandbox cannot be had.
    """
    require_sandbox()
    context, settings = bench.context, bench.context.settings
    reader = context.need("reader")
    most = min(settings.output_characters, int(reader.model.context_window * _SHARE))
    deeper = "rlm_query(prompt, text): like this whole conversation on another text.\n" if _may_recurse(bench) else ""
    slots: dict[str, SlotValue] = {
        "question": bench.question,
        "text": [Piece(metadata(bench).replace(DOC, "P"), trusted=True)],
        "deeper": [Piece(deeper, trusted=True)],
        "turn": [Piece(f"Turn {turn} of {turns}.", trusted=True)],
    }
    sampling = Sampling(max_new_tokens=settings.code_tokens, seed=settings.seed)
    return reader.generate([_fitting(reader, bench, slots, most)], sampling)[0].text.strip()


def _fitting(reader: Caller, bench: Bench, slots: Mapping[str, SlotValue], most: int) -> Request:
    """The prompt with as much of the last turns as fits the window."""
    room = reader.model.context_window - bench.context.settings.code_tokens
    while True:
        request = Request(load("recursive_code"), {**slots, "history": history(bench.desk.turns, most=most)})
        if most < _LEAST_SHOWN or reader.model.prompt_tokens([request.prompt])[0] <= room:
            return request
        most //= 2


def run_code(bench: Bench) -> Done:
    """Run the block of the last turn and keep what the model is told of it."""
    reply = bench.desk.turns[-1].wrote.content
    code = code_in(reply)
    if not code:
        return _without_code(bench, reply)
    cell = _live(bench)
    said = _Said()
    try:
        ran = cell.sandbox.run(code, partial(_answer, bench, cell, said))
    except BaseException:
        close_sandbox(bench.context)
        raise
    if not _KERNEL_WALLS & set(cell.sandbox.layers) and not ran.lost:
        bench.context.warn("This system's kernel adds no wall of its own around the model's code.")
    exchange = {"code": code, "said": said.messages, "lost": ran.lost}
    bench.keep(json.dumps(exchange), EXCHANGE)
    return _done(bench, cell, ran)


def code_in(reply: str) -> str:
    """The blocks of code in a reply, one after the other; the last one need not be closed."""
    return "\n".join(block.strip("\n") for block in _FENCE.findall(reply)).strip()


def close_sandbox(context: RunContext) -> None:
    """End the run's sandbox, if there is one."""
    cell = context.live.pop(_LIVE, None)
    if cell is not None:
        cell.close()


def _without_code(bench: Bench, reply: str) -> Done:
    """A reply may end the run in plain words, as the published code lets it; an answer may hold brackets and quotes."""
    named, final = _FINAL_VARIABLE.search(reply), _FINAL.search(reply)
    if named or not final:
        what = f"make it in a block, then call FINAL_VAR('{named['name']}') there" if named else "write a block of code"
        error = f"there is no code; {what}, between ```repl and ```"
        return Done(bench.keep(f"error: {error}", ACTOR), error=error)
    text = final["text"].strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return Done(bench.keep(f"answered: {text}"[:200], ACTOR), "answer", answer=text)


def _done(bench: Bench, cell: Cell, ran: Ran) -> Done:
    lines = [ran.output.rstrip("\n")] if ran.output else []
    if ran.left_out:
        lines.append(f"[{ran.left_out:,} more characters were not shown]")
    if ran.error:
        lines.append(f"error: {ran.error}")
    if ran.lost or cell.lost:
        lines.append("[the variables of earlier turns are lost; P is there]")
    if ran.variables:
        shown = ", ".join(f"{name} ({kind} {size})".replace(" )", ")") for name, kind, size, _ in ran.variables)
        lines.append(f"[variables: {shown[:_VARIABLES]}]")
    cell.lost = False
    read = [record for record in bench.records if record.agent == SUBREADER]
    told = bench.keep("\n".join(lines) or "[nothing was printed]", ACTOR, parents=read)
    return Done(told, "code", ran.error, None if ran.error else ran.final)


def _live(bench: Bench) -> Cell:
    """The run's sandbox; in a resumed run it is made as it was."""
    context = bench.context
    if _LIVE not in context.live:
        texts = [context.library.documents.text_of(span) for span in bench.desk.variables[DOC].spans]
        cell = context.live[_LIVE] = _cell(bench, _BETWEEN.join(texts), _BETWEEN.join(texts))
        exchanges = [json.loads(record.content) for record in bench.desk.exchanges]
        if not rebuild(cell.sandbox, exchanges):
            context.warn("The variables of the model's code could not be made again; it goes on without them.")
            cell.lost = True
    found = context.live[_LIVE]
    assert isinstance(found, Cell), "nobody else keeps anything under this name"
    return found


def _cell(bench: Bench, text: str, whole: str) -> Cell:
    settings = bench.context.settings
    limits = SandboxLimits(
        block_seconds=settings.block_seconds,
        cpu_seconds=settings.block_seconds * (settings.turns + 1),
        memory_bytes=settings.memory_mb << 20,
        output_characters=settings.output_characters,
        depth=settings.depth if _may_recurse(bench) else 1,
    )
    return Cell(whole, Sandbox(text, limits, Stop(bench.context.cancel, bench.context.meter).is_set))


def rebuild(sandbox: Sandbox, exchanges: Sequence[dict[str, Any]]) -> bool:
    """Run blocks again with the replies they got; those before the last loss of all variables are left out.

    Returns whether all of them did as they did then.
    """
    losses = [i for i, exchange in enumerate(exchanges) if exchange["lost"]]
    for exchange in exchanges[losses[-1] + 1 if losses else 0 :]:
        waiting = list(exchange["said"])

        def answer(_kind: str, prompts: Sequence[str], _texts: Sequence[str], waiting: Any = waiting) -> list[str]:
            said = waiting.pop(0) if waiting else {"refused": "this is not what was asked before"}
            if "refused" in said:
                raise CallRefused(said["refused"])
            return list(said["replies"])

        if sandbox.run(exchange["code"], answer).lost or waiting:
            sandbox.close()
            return False
    return True


def _answer(
    bench: Bench, cell: Cell, said: _Said, kind: str, prompts: Sequence[str], texts: Sequence[str]
) -> Sequence[str]:
    """Make the calls that code asks for, under the run's caps."""
    try:
        replies = _sub_runs(bench, cell, prompts, texts) if kind == "rlm" else _sub_calls(bench, cell, prompts)
    except ActionError as error:
        said.messages.append({"refused": str(error)})
        raise CallRefused(str(error)) from error
    said.messages.append({"replies": replies})
    return replies


def _sub_calls(bench: Bench, cell: Cell, prompts: Sequence[str]) -> list[str]:
    context = bench.context
    most = room(context, "")
    for i, size in enumerate(context.need("reader").model.count_tokens(prompts) if prompts else []):
        if size > most:
            raise ActionError(f"prompt {i} has {size:,} tokens and the helper reads {most:,}; make it shorter")
    bench.charge(len(prompts))
    shown = [_pieces(context, prompt, cell.text) for prompt in prompts]
    replies = generate(context, [Request(load("recursive_query"), {"prompt": pieces}) for pieces in shown])
    for pieces, reply in zip(shown, replies, strict=True):
        spans = [piece.span for piece in pieces if piece.span is not None]
        if spans and not says_nothing(reply.text):
            bench.keep(reply.text.strip(), SUBREADER, spans)
    return [reply.text.strip() for reply in replies]


def _pieces(context: RunContext, prompt: str, whole: str) -> list[Piece]:
    """A prompt whose slices of the documents are marked as such, so that they are stored as places, not as text."""
    pieces: list[Piece] = []
    at = 0
    for found in located(prompt, whole):
        for start, span in _spans(context, found.at, found.end - found.start):
            first = found.start + start
            pieces += [Piece(prompt[at:first])] if first > at else []
            at = first + len(span)
            pieces.append(Piece(prompt[first:at], span=span))
    return [*pieces, Piece(prompt[at:])] if at < len(prompt) or not pieces else pieces


def _spans(context: RunContext, at: int, length: int) -> list[tuple[int, Span]]:
    """Characters of the joined documents as spans, each with how far from ``at`` it begins."""
    found: list[tuple[int, Span]] = []
    before = 0
    for document in context.documents:
        start, end = max(at, before), min(at + length, before + document.length)
        if start < end:
            found.append((start - at, Span(document_id=document.id, start=start - before, end=end - before)))
        before += document.length + len(_BETWEEN)
    return found


def _may_recurse(bench: Bench) -> bool:
    most: int = bench.context.settings.depth
    return bench.depth < most


def _sub_runs(bench: Bench, cell: Cell, prompts: Sequence[str], texts: Sequence[str]) -> list[str]:
    if not _may_recurse(bench) or len(prompts) != len(texts):
        raise ActionError("rlm_query cannot be called here; use llm_query")
    return [_sub_run(bench, cell, prompt, text) for prompt, text in zip(prompts, texts, strict=True)]


def _sub_run(bench: Bench, cell: Cell, question: str, text: str) -> str:
    """The same loop on another text, in a sandbox of its own; every one of its calls counts as a sub-call."""
    desk = Desk({DOC: Variable(DOC, "text", value=text)})
    inner = replace(bench, question=question, desk=desk, depth=bench.depth + 1)
    own = _cell(inner, text, cell.text)
    turns = bench.context.settings.turns
    with closing(own):
        answer = answer_of(turns, lambda turn: _sub_turn(inner, own, turn, turns))
    if answer is None:
        raise ActionError("the sub-run came to no answer; use llm_query on smaller parts")
    return answer


def _sub_turn(inner: Bench, own: Cell, turn: int, turns: int) -> Done:
    inner.charge(1)
    wrote = inner.keep(plan_code(inner, turn, turns), PLANNER)
    code = code_in(wrote.content)
    if code:
        done = _done(inner, own, own.sandbox.run(code, partial(_answer, inner, own, _Said())))
    else:
        done = _without_code(inner, wrote.content)
    inner.desk.turns.append(Turn(wrote, done.told))
    return done
