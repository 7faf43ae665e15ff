"""What is lost when a model reads compressed blocks of paragraphs side by side instead of their texts.

Each question is put to the same eight paragraphs in many ways (:mod:`rereader.evals.memory_systems`). Measured are the
reply, and how likely the model finds the accepted answer as the reply, in natural logarithms per token: that tells
differences with far fewer questions, and also with models too small to answer well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rereader.evals.environment import describe_environment
from rereader.evals.heads import CHOSEN, Told
from rereader.evals.items import Split
from rereader.evals.memory_blocks import PRECISION, Blocks
from rereader.evals.memory_items import PARAGRAPHS, ParagraphText, Question, paragraph_texts, squad_hash
from rereader.evals.memory_systems import ALL_SCORERS, METHOD, RATIOS, TEMPLATE, Reader, Reading, System, systems_of
from rereader.evals.rows import ResultsFile, Row, hash_settings
from rereader.evals.wordings import contains, exact_match, token_f1
from rereader.models.base import Head, LanguageModel, Sampling
from rereader.prompts.loader import load

BENCHMARK = "memory-squad"
ANSWER_TOKENS = 16
ANSWER_WORDS = 16
"""Words of a reply that are scored."""


@dataclass(frozen=True)
class MemoryBench:
    """What is measured.

    Args:
        split: Articles to try things on, or those to measure.
        scorers: What compresses.
        ratios: Tokens for each that is kept.
        seed: Decides the paragraphs beside the right one, and their order.
        limit: Most questions.
        max_seconds: No text is begun after so long.
        answers: Whether replies are written as well; else only likelihoods are measured.
    """

    split: Split = "test"
    scorers: tuple[str, ...] = ALL_SCORERS
    ratios: tuple[float, ...] = RATIOS
    seed: int = 0
    limit: int | None = None
    max_seconds: float | None = None
    answers: bool = True

    @property
    def name(self) -> str:
        """Names the rows; those with replies have a name of their own, so that they can be fewer."""
        return f"{BENCHMARK}-answers" if self.answers else BENCHMARK


def measure_memory(
    bench: MemoryBench,
    model: LanguageModel,
    heads: Sequence[Head],
    data: Path,
    folder: Path,
    out: Path,
    told: Told = lambda done, total: None,
) -> int:
    """Append one row for each question and system; rows that are there are skipped.

    The main systems come first, on all questions, then the others.

    Args:
        bench: What is measured.
        model: A model that can read compressed texts.
        heads: Its retrieval heads, best first; the best :data:`CHOSEN` choose a paragraph.
        data: Folder of the benchmark data.
        folder: Where blocks are kept.
        out: The results file.
        told: Is told rows done and rows in all.

    Returns:
        The number of rows written.

    Raises:
        InputError: If the data is not here, or a scorer is unknown.
        ModelError: If the model cannot read compressed texts.
    """
    started = time.monotonic()
    everything = paragraph_texts(data, bench.split, bench.seed)
    texts = _limited(everything, bench.limit)
    best = list(heads[:CHOSEN])
    facts = {"benchmark": bench.name, **_facts(model, best, data)}
    rows = ResultsFile(out)
    rows.begin({**describe_environment(), **facts})
    blocks = Blocks(model, folder)
    reader = Reader(model, blocks, best, everything)
    job = _Job(bench, model, blocks, reader)
    tiers = systems_of(bench.scorers, bench.ratios)
    total = sum(len(text.questions) for text in texts) * sum(map(len, tiers))
    done = written = 0
    for text, system in ((text, system) for tier in tiers for text in texts for system in tier):
        told(done, total)
        if bench.max_seconds is not None and time.monotonic() - started > bench.max_seconds:
            return written
        done += len(text.questions)
        settings = hash_settings({**facts, "system": asdict(system)})
        for row in job.measure(system, text, _missing(rows, bench, text, system, settings)):
            rows.add({**_key(bench, row.pop("item"), system, settings), **row})
            written += 1
    told(total, total)
    return written


def _limited(texts: Sequence[ParagraphText], limit: int | None) -> list[ParagraphText]:
    """Whole texts, until there are as many questions."""
    chosen: list[ParagraphText] = []
    for text in texts:
        if limit is not None and sum(len(one.questions) for one in chosen) >= limit:
            break
        chosen.append(text)
    return chosen


def _facts(model: LanguageModel, heads: Sequence[Head], data: Path) -> dict[str, Any]:
    """What all rows depend on."""
    return {
        "data_hash": squad_hash(data),
        "models": {"reader": model.name},
        "fingerprint": model.fingerprint,
        "heads": heads,
        "prompt": load(TEMPLATE).digest,
        "paragraphs": PARAGRAPHS,
        "precision": PRECISION,
        "gist": METHOD,
        "answer_tokens": ANSWER_TOKENS,
    }


def _key(bench: MemoryBench, item: str, system: System, settings: str) -> Row:
    names = {"benchmark": bench.name, "split": bench.split, "seed": bench.seed, "item": item}
    return {**names, "system": system.name, "settings_hash": settings}


def _missing(
    rows: ResultsFile, bench: MemoryBench, text: ParagraphText, system: System, settings: str
) -> list[Question]:
    return [
        question
        for question in text.questions
        if (bench.name, bench.split, bench.seed, question.id, system.name, settings) not in rows
    ]


@dataclass(frozen=True)
class _Job:
    """Puts questions to texts."""

    bench: MemoryBench
    model: LanguageModel
    blocks: Blocks
    reader: Reader

    def measure(self, system: System, text: ParagraphText, questions: Sequence[Question]) -> Iterator[Row]:
        """A row for each question; all of them are asked together and share the seconds."""
        if not questions:
            return
        making, started = self.blocks.seconds, time.perf_counter()
        readings = self.reader.readings(system, text, [one.question for one in questions])
        made = self.blocks.seconds - making
        scores = self._likelihoods(readings, questions)
        seconds = (time.perf_counter() - started - made) / len(questions)
        replies = self._replies(readings) if self.bench.answers else [None] * len(questions)
        tokens = self.reader.tokens(system, text)
        shape = {
            "text": text.name,
            "gold_place": text.gold,
            "tokens": tokens,
            "bytes_per_token": round(self.reader.stored_bytes(system, text) / tokens, 2),
            "seconds": round(seconds, 4),
            "compress_seconds": round(made / len(questions), 4),
        }
        for question, reading, score, reply in zip(questions, readings, scores, replies, strict=True):
            yield {
                "item": question.id,
                "kind": question.kind,
                **shape,
                "places": reading.places,
                "logprob": round(score, 5),
                **_scored(reply, question.answers),
                **({} if reading.chosen is None else {"chosen_right": float(reading.chosen == text.gold)}),
            }

    def _likelihoods(self, readings: Sequence[Reading], questions: Sequence[Question]) -> list[float]:
        """Log-probability per token of each question's first accepted answer."""
        answers = [question.answers[0] for question in questions]
        sums = self.model.log_likelihood([one.prompt for one in readings], answers)
        return [float(total) / count for total, count in zip(sums, self.model.count_tokens(answers), strict=True)]

    def _replies(self, readings: Sequence[Reading]) -> list[str | None]:
        sampling = Sampling(max_new_tokens=ANSWER_TOKENS, stop=("\n",))
        return [reply.text.strip() for reply in self.model.generate([one.prompt for one in readings], sampling)]


def _scored(reply: str | None, answers: Sequence[str]) -> Row:
    if reply is None:
        return {}
    return {
        "answer": reply,
        "contained": float(any(contains(reply, answer, ANSWER_WORDS) for answer in answers)),
        "f1": round(token_f1(reply, answers), 4),
        "exact": float(exact_match(reply, answers)),
    }
