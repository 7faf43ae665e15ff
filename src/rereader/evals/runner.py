"""Puts one question to one system: reads the texts in, asks, scores, writes the row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rereader.evals.citations import score_citations
from rereader.evals.items import Benchmark, GoldSpan, Item, Split
from rereader.evals.rows import ResultsFile, Row, RowKey
from rereader.evals.scoring import Scores, score_answer, score_evidence, wrong_answer
from rereader.evals.suite import System
from rereader.schema import Answer, Budget, Document, Interrupted, MissingExtra, StoreError, Usage

EVIDENCE_WORDS = "evidence_words"
"""The setting that limits a system's evidence; the scorer counts no more words than it says."""


class Session(Protocol):
    """What answers: an open workspace, see :mod:`rereader.evals.opening`."""

    def add_text(
        self, text: str, *, title: str, source: str, graph: str, settings: Mapping[str, Any]
    ) -> tuple[Document, Usage]:
        """Store a text and make the memories that the graph needs; what is there is not made, nor charged, again."""

    def ask(
        self,
        question: str,
        document_ids: Sequence[str],
        *,
        graph: str,
        settings: Mapping[str, Any],
        budget: Budget,
    ) -> Answer:
        """Answer a question about documents through a graph."""

    def fingerprints(self) -> Mapping[str, str]:
        """What decides the replies of each model role: role -> fingerprint."""

    def all_settings(self, graph: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every setting that a graph runs with when these are named: theirs, and its defaults."""


SessionFactory = Callable[[Path], AbstractContextManager[Session]]


@dataclass(frozen=True)
class Planned:
    """A system with all settings that it is really run with, defaults among them, and their hash."""

    system: System
    settings: Mapping[str, Any]
    settings_hash: str


@dataclass
class _Ingest:
    """What reading texts in has cost for one row; nothing when they were there."""

    seconds: float = 0.0
    tokens: int = 0
    embedded_tokens: int = 0
    calls: int = 0

    def add(self, usage: Usage, seconds: float) -> None:
        """Charge one text; ``seconds`` are those since the row's first text was begun."""
        self.seconds = seconds
        self.tokens += usage.total_tokens
        self.embedded_tokens += usage.embedded_tokens
        self.calls += usage.calls

    def plain(self) -> dict[str, float | int]:
        """JSON-plain."""
        return dict(vars(self))


@dataclass
class Runner:
    """Asks, scores and writes; remembers which texts are in the session."""

    benchmark: Benchmark
    split: Split
    session: Session
    file: ResultsFile
    budget: Budget
    reader: bool
    document_ids: dict[tuple[str, str], str] = field(default_factory=dict)
    written: int = 0
    failed: int = 0
    tokens: int = 0

    def measure(self, item: Item, planned: Planned) -> None:
        """Put one question to one system and write the row; a call that fails is a wrong answer with its error."""
        system = planned.system
        ingest = _Ingest()
        started = time.perf_counter()
        try:
            ids = self._add(item, system, ingest)
            started = time.perf_counter()
            answer = self.session.ask(
                item.question,
                list(ids.values()),
                graph=system.graph,
                settings=system.settings,
                budget=self.budget,
            )
        except (Interrupted, StoreError, MissingExtra):
            raise  # not the system's failure: nothing after it would be measured rightly
        except Exception as error:
            self.failed += 1
            outcome = self._failure(item, error)
        else:
            outcome = self._success(item, system, answer, {value: key for key, value in ids.items()})
            self.tokens += answer.usage.total_tokens
        seconds = time.perf_counter() - started
        self.file.add({**self._heading(item, planned), **outcome, "wall_seconds": seconds, "ingest": ingest.plain()})
        self.written += 1

    def _add(self, item: Item, system: System, ingest: _Ingest) -> dict[str, str]:
        """Read the item's texts in, if this system has not got them: key -> document id."""
        started = time.perf_counter()
        for key in item.documents:
            if (system.name, key) in self.document_ids:
                continue
            text = self.benchmark.text(key)
            title = f"{item.benchmark} {key}"
            document, usage = self.session.add_text(
                text, title=title, source=title, graph=system.graph, settings=system.settings
            )
            if document.length != len(text):
                msg = f"The session changed the text {key}: {len(text)} characters became {document.length}."
                raise StoreError(msg, "Gold spans would not fit; a benchmark must give normalised text.")
            self.document_ids[system.name, key] = document.id
            ingest.add(usage, time.perf_counter() - started)
        return {key: self.document_ids[system.name, key] for key in item.documents}

    def _heading(self, item: Item, planned: Planned) -> Row:
        return {
            **_key_fields(item, planned, self.split),
            "kind": item.kind,
            "graph": planned.system.graph,
            "settings": dict(planned.system.settings),
            "reader": self.reader,
            "question": item.question,
            "answers": list(item.answers),
            "expects": item.expects,
            "rule": item.rule,
            "base": item.base,
            "length": item.length,
            "gold": [list(span) for span in item.gold],
        }

    def _success(self, item: Item, system: System, answer: Answer, keys: Mapping[str, str]) -> Row:
        texts = {key: self.benchmark.text(key) for key in item.documents}
        shown = [one for one in answer.evidence if one.verified and one.document_id in keys]
        spans: list[GoldSpan] = [(keys[one.document_id], one.start, one.end) for one in shown]
        true = [texts[span[0]][span[1] : span[2]] == one.quote for span, one in zip(spans, shown, strict=True)]
        said = self._said(item, answer, keys) if self.reader else {}
        return {
            "status": answer.status,
            "error": None,
            "answer": answer.answer,
            "declined": answer.declined if self.reader else None,
            "confidence": answer.confidence,
            "scores": {**score_evidence(item, spans, texts, system.settings.get(EVIDENCE_WORDS)), **said},
            "evidence": [list(span) for span in spans],
            "evidence_false": true.count(False),
            "evidence_unverified": len(answer.evidence) - len(shown),
            "usage": answer.usage.model_dump(),
            "models": answer.models,
            "run_id": answer.run_id,
            "warnings": answer.warnings,
        }

    @staticmethod
    def _said(item: Item, answer: Answer, keys: Mapping[str, str]) -> Scores:
        """Scores of the answer's words and of its citations."""
        return {**score_answer(item, answer.answer, answer.declined), **score_citations(answer, keys, item.gold)}

    def _failure(self, item: Item, error: Exception) -> Row:
        texts = {key: self.benchmark.text(key) for key in item.documents}
        said = wrong_answer(item) if self.reader else {}
        return {
            "status": "failed",
            "error": {"type": type(error).__name__, "message": str(error)},
            "answer": "",
            "declined": None,
            "confidence": None,
            "scores": {**score_evidence(item, [], texts, None), **said},
            "evidence": [],
            "usage": {},
            "models": {},
        }


def result_key(item: Item, planned: Planned, split: Split) -> RowKey:
    """What identifies the row of this item and system."""
    return item.benchmark, split, item.seed, item.id, planned.system.name, planned.settings_hash


def _key_fields(item: Item, planned: Planned, split: Split) -> Row:
    names = ("benchmark", "split", "seed", "item", "system", "settings_hash")
    return dict(zip(names, result_key(item, planned, split), strict=True))
