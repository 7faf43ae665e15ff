"""What replaying evidence costs beside reading the text once: the same code reads for both sides.

Times do not depend on which sentences are replayed, so evidence is any run of tokens of the right length, and the first
32 tokens of a reply are forced. Cold: nothing was read before. Warm: the text was read for another question, and so was
the empty question after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rereader.agents.scanner import heads_of
from rereader.evals.clock import Clock
from rereader.evals.environment import describe_environment
from rereader.evals.published_replay import PublishedReplay
from rereader.evals.rows import ResultsFile, hash_settings
from rereader.models.base import Head, LanguageModel
from rereader.models.batch import Batch
from rereader.models.engine import Engine
from rereader.models.local import LocalModel
from rereader.models.rendering import Rendered
from rereader.schema.errors import InputError

ROUNDS = 2
EVIDENCE_TOKENS = 512
"""Evidence of all rounds together."""
QUESTION_TOKENS = 32
"""A question with the template's end."""
REPLY_TOKENS = 32
_MARKS = ("<|im_start|>system", "<|im_start|>user", "<|im_start|>assistant", "<|im_end|>")
Ids = tuple[int, ...]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """Token ids of everything that is read.

    Args:
        text: The text.
        questions: Two questions, and the empty one.
        evidence: One block of evidence for each round.
    """

    text: Ids
    questions: tuple[Ids, Ids, Ids]
    evidence: tuple[Ids, ...]

    @classmethod
    def make(cls, tokens: Sequence[int], length: int, rounds: int = ROUNDS) -> Job:
        """A job whose text has ``length`` tokens, cut out of ``tokens`` (repeated as needed)."""
        questions = [length + place * QUESTION_TOKENS for place in range(3)]
        block = EVIDENCE_TOKENS // rounds

        def cut(start: int, count: int) -> Ids:
            return tuple(tokens[place % len(tokens)] for place in range(start, start + count))

        evidence = tuple(cut(length // 2 + place * block, block) for place in range(rounds))
        first, second, empty = (cut(start, QUESTION_TOKENS) for start in questions)
        return cls(cut(0, length), (first, second, empty), evidence)


def full_context(engine: Engine, job: Job, question: Ids) -> dict[str, float]:
    """Read text and question once and reply: seconds by part."""
    clock = Clock(engine.device.type)
    engine.forget()
    engine.prefixes.clear()
    prompt = Rendered((*job.text, *question), (), ())
    with clock.timing("read"):
        batch = engine.prefill([prompt], _never)
    with clock.timing("reply"):
        _reply(engine, batch)
    return clock.parts


def looked(engine: Engine, job: Job, heads: Sequence[Head], *, whole: bool) -> dict[str, float]:
    """Read the text for what a question looks at in it, and write nothing, as with a text past the window."""
    clock = Clock(engine.device.type)
    engine.forget()
    deepest = None if whole else max(head.layer for head in heads)
    with clock.timing("read"):
        context = engine.read(job.text, [len(job.text)], _never, deepest=deepest)
    with clock.timing("look"):
        for question in (job.questions[0], job.questions[2]):
            engine.attend(context, question, heads)
    return clock.parts


def replayed(engine: Engine, job: Job, question: Ids, heads: Sequence[Head], *, warm: bool = False) -> dict[str, float]:
    """Look in rounds, replay and reply: seconds by part."""
    clock = Clock(engine.device.type)
    if not warm:
        engine.forget()
    engine.prefixes.clear()
    ids, ends = job.text, [len(job.text)]
    for place, block in enumerate(job.evidence):
        with clock.timing("look" if place else "read"):
            context = engine.read(ids, ends, _never)
        with clock.timing("look"):
            engine.attend(context, question, heads)
            if not (warm and place == 0):
                engine.attend(context, job.questions[2], heads)
        ids += block
        ends.append(len(ids))
    with clock.timing("replay"):
        batch = engine.prefill([Rendered((*ids, *question), tuple(ends), ())], _never)
    with clock.timing("reply"):
        _reply(engine, batch)
    return clock.parts


def replay_costs(
    model: LanguageModel,
    lengths: Sequence[int],
    out: Path,
    *,
    repeats: int = 2,
    published: bool = True,
    told: Told = lambda done, total: None,
) -> int:
    """Measure a local model on a made-up text; see :func:`measure_costs`.

    Raises:
        InputError: If the model does not run in this process, has no list of heads, or a window too small.
    """
    if not isinstance(model, LocalModel):
        raise InputError(f"{model.name} does not run in this process.", "Name a local model that transformers runs.")
    longest = max(lengths) + EVIDENCE_TOKENS + QUESTION_TOKENS + REPLY_TOKENS
    if longest > model.context_window:
        msg = f"{longest:,} tokens do not fit the window of {model.context_window:,}."
        raise InputError(msg, "Lower --tokens.")
    heads, encode = heads_of(model, ""), partial(model.tokenizer.encode, add_special_tokens=False)
    tokens = encode("".join(f"Page {page} tells of the river and of house {page * 7 % 101}. " for page in range(2000)))
    theirs = None
    if published:
        patterns = [tuple(encode(mark)) for mark in _MARKS]
        theirs = PublishedReplay(model.engine.prefill_model, heads, model.tokenizer.decode, patterns)
    given: dict[str, Any] = {"model": model.name, "repeats": repeats, "published": theirs, "told": told}
    return measure_costs(model.engine, heads, tokens, lengths, out, **given)


def measure_costs(
    engine: Engine,
    heads: Sequence[Head],
    tokens: Sequence[int],
    lengths: Sequence[int],
    out: Path,
    *,
    model: str,
    repeats: int = 2,
    published: PublishedReplay | None = None,
    told: Told = lambda done, total: None,
) -> int:
    """Append one row for each length, way and repeat; rows that are there are skipped.

    Args:
        engine: Reads and writes.
        heads: The heads that look.
        tokens: Tokens of a text of the model's, repeated where it is too short.
        lengths: Tokens of the texts to measure.
        out: The results file.
        model: Its name, for the rows.
        repeats: How often each way is timed; ways take turns.
        published: The published procedure on the same model, to compare with.
        told: Is told how far it is.

    Returns:
        The number of rows written.
    """
    settings = {"rounds": ROUNDS, "evidence": EVIDENCE_TOKENS, "heads": list(heads), "model": model}
    identity, rows = hash_settings(settings), ResultsFile(out)
    rows.begin({**describe_environment(), "benchmark": "replay-costs", "models": {"model": model}, **settings})
    written, todo = 0, [(length, repeat) for length in lengths for repeat in range(repeats)]
    for done, (length, repeat) in enumerate(todo):
        told(done, len(todo))
        key = {"benchmark": "replay-costs", "split": model, "seed": repeat, "settings_hash": identity}
        if ("replay-costs", model, repeat, str(length), "warm", identity) in rows:
            continue
        job = Job.make(tokens, length)
        for system, run in _ways(engine, job, heads, published).items():
            parts = run()
            rows.add({**key, "item": str(length), "system": system, "kind": "cost", "parts": parts})
            written += 1
    told(len(todo), len(todo))
    return written


def _ways(
    engine: Engine, job: Job, heads: Sequence[Head], published: PublishedReplay | None
) -> Mapping[str, Callable[[], dict[str, float]]]:
    first, second, _ = job.questions
    ways: dict[str, Callable[[], dict[str, float]]] = {
        "full-context": lambda: full_context(engine, job, first),
        "look, all layers": lambda: looked(engine, job, heads, whole=True),
        "look": lambda: looked(engine, job, heads, whole=False),
        "cold": lambda: replayed(engine, job, first, heads),
        "warm": lambda: replayed(engine, job, second, heads, warm=True),
    }
    if published is None:
        return ways
    return {"published": lambda: published.run(job.text, job.evidence, first, REPLY_TOKENS), **ways}


def _reply(engine: Engine, batch: Batch) -> None:
    for _ in range(REPLY_TOKENS - 1):  # the first token comes with reading
        engine.step(batch, batch.logits.argmax(-1).cpu())


def _never() -> bool:
    return False
