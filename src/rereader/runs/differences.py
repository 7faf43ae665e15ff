"""What tells two runs apart: what was asked and how, what came of it, and the first step at which they part."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from rereader.memory.library import Library
from rereader.memory.runs import Call, Run, Step
from rereader.schema import Evidence, Record
from rereader.tools.word_diff import Stretch, word_diff

_UNCOMPARED = frozenset({"work", "estimate", "warnings"})
"""Parts of a step's detail that tell of time; two runs of one thing differ in them."""
_RECORD_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Differing:
    """Something that has a name and two values; ``None`` where a run has no such thing."""

    name: str
    one: Any
    other: Any


@dataclass(frozen=True)
class Parting:
    """The first step in which two runs are not the same.

    Args:
        number: The step.
        nodes: Its node in each run; ``None`` for a run that had ended before.
        what: What differs: the node, a model call's prompt or reply, what the node decided, or what it wrote.
        named: Which of them: numbers of calls (from 1), names of the detail, slots of the working memory.
    """

    number: int
    nodes: tuple[str | None, str | None]
    what: Literal["end", "node", "prompt", "reply", "detail", "memory"]
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunDiff:
    """Two runs side by side.

    Args:
        one: The first run.
        other: The second one.
        question: The first question against the second, word by word.
        settings: Settings with different values.
        models: Roles with different models.
        answer: The first answer against the second, word by word.
        both: Quotes of the same characters in both answers.
        only_one: Quotes of the first answer alone.
        only_other: Quotes of the second answer alone.
        parting: Where the runs part; ``None`` if every step is the same.
    """

    one: Run
    other: Run
    question: tuple[Stretch, ...]
    settings: tuple[Differing, ...]
    models: tuple[Differing, ...]
    answer: tuple[Stretch, ...]
    both: tuple[Evidence, ...]
    only_one: tuple[Evidence, ...]
    only_other: tuple[Evidence, ...]
    parting: Parting | None


def run_diff(library: Library, one: Run, other: Run) -> RunDiff:
    """Compare two runs of a workspace."""
    first, second = _quotes(one), _quotes(other)
    return RunDiff(
        one=one,
        other=other,
        question=word_diff(one.question, other.question),
        settings=_differing(one.settings, other.settings),
        models=_differing(one.models, other.models),
        answer=word_diff(_text(one), _text(other)),
        both=tuple(quote for span, quote in first.items() if span in second),
        only_one=tuple(quote for span, quote in first.items() if span not in second),
        only_other=tuple(quote for span, quote in second.items() if span not in first),
        parting=parting(library, one, other),
    )


def parting(library: Library, one: Run, other: Run) -> Parting | None:
    """The first step at which two runs part; steps are read one by one up to it.

    Records are compared by what they say, since their ids name their runs.
    """
    numbers = (library.runs.step_numbers(run.id) for run in (one, other))
    for first, second in zip_longest(*numbers):
        steps = [
            library.runs.step(run.id, number) if number is not None else None
            for run, number in ((one, first), (other, second))
        ]
        found = _parting(library, (one.id, other.id), steps[0], steps[1])
        if found:
            return found
    return None


def _parting(library: Library, runs: tuple[str, str], one: Step | None, other: Step | None) -> Parting | None:
    if one is None or other is None:
        numbers = [step.number for step in (one, other) if step]
        return Parting(numbers[0], (one.node if one else None, other.node if other else None), "end")
    nodes = (one.node, other.node)
    if one.node != other.node or one.number != other.number:
        return Parting(one.number, nodes, "node")
    if named := _unlike_calls(one.calls, other.calls, "prompt_sha256"):
        return Parting(one.number, nodes, "prompt", named)
    if named := _unlike_calls(one.calls, other.calls, "reply"):
        return Parting(one.number, nodes, "reply", named)
    details = [_named(library, step.detail) for step in (one, other)]
    if named := tuple(difference.name for difference in _differing(*details)):
        return Parting(one.number, nodes, "detail", named)
    written = [_written(library, run, step) for run, step in zip(runs, (one, other), strict=True)]
    if written[0] != written[1]:
        slots = {slot for slot, _, _ in (*written[0], *written[1]) if slot}
        return Parting(one.number, nodes, "memory", tuple(sorted(slots)))
    return None


def _unlike_calls(one: Sequence[Call], other: Sequence[Call], what: str) -> tuple[str, ...]:
    """Numbers of the calls that have another prompt or reply, or that only one of the steps made.

    What is kept of a document is made once: a run that found it made asked nothing where an earlier one did.
    """
    if not one or not other:
        return ()
    pairs = enumerate(zip_longest(one, other), 1)
    return tuple(str(n) for n, (a, b) in pairs if getattr(a, what, None) != getattr(b, what, None))


def _written(library: Library, run_id: str, step: Step) -> list[tuple[str, str, str]]:
    """What a step did to the working memory: in which slot, what, with a record that says what."""
    before = library.runs.memory_version(run_id, step.number - 1)
    changes = library.working_memory(run_id).changes(before, step.memory_version)
    return [(slot, change, record.content) for change, slot, record in changes]


def _named(library: Library, detail: Mapping[str, Any]) -> dict[str, Any]:
    """A step's detail with records named by what they say."""
    compared = {name: value for name, value in detail.items() if name not in _UNCOMPARED}
    records = library.records.find(sorted(set(_identities(compared))))
    names = {identity: _name(record) for identity, record in records.items()}
    return {name: _with_names(value, names) for name, value in compared.items()}


def _identities(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from [value] if _RECORD_ID.fullmatch(value) else []
    elif isinstance(value, Mapping):
        for key, held in value.items():
            yield from (*_identities(key), *_identities(held))
    elif isinstance(value, list):
        for held in value:
            yield from _identities(held)


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {_with_names(key, names): _with_names(held, names) for key, held in value.items()}
    return [_with_names(held, names) for held in value] if isinstance(value, list) else value


def _name(record: Record) -> str:
    """What a record would be called in any run."""
    said = hashlib.sha256(record.content.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{record.kind.value} {record.agent} {record.step}.{record.ordinal} {said} {record.spans}"


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Differing, ...]:
    names = dict.fromkeys((*one, *other))
    return tuple(Differing(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name))


def _quotes(run: Run) -> dict[tuple[str, int, int], Evidence]:
    evidence = run.answer.evidence if run.answer else ()
    return {(quote.document_id, quote.start, quote.end): quote for quote in evidence}


def _text(run: Run) -> str:
    return run.answer.answer if run.answer else ""
