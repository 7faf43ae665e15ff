"""How well gates tell the chunks that hold a fact from the others, on questions that no gate was trained on.

A text holds the paragraphs of a question among those of others (see :mod:`rereader.evals.multihop`), cut into chunks of
about a document's size. Every gate scores every chunk; a chunk that holds a supporting sentence is wanted. Once nothing
is known yet, and once a supporting sentence of one paragraph is, and chunks of the other paragraphs are wanted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.agents.gate import gate_named, recall
from rereader.agents.gate_inputs import all_chunks
from rereader.agents.gates import Asked
from rereader.agents.ledger import quote
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import ChunkKey, Target, bm25_passages, queries_of
from rereader.agents.searcher import asked as as_query
from rereader.evals.environment import describe_environment
from rereader.evals.gate_table import grid
from rereader.evals.intervals import auroc
from rereader.evals.items import GoldSpan, Item
from rereader.evals.multihop import Multihop
from rereader.evals.rows import ResultsFile, hash_settings, row_key
from rereader.graphs.registry import get_graph
from rereader.models.base import Embedder, LanguageModel
from rereader.models.files import hash_file
from rereader.models.gatehead import shipped_head
from rereader.models.gatelora import FACTS
from rereader.prompts.loader import load
from rereader.runs.session import Session
from rereader.schema import Document, InputError, Record, Span

GATES = ("bm25", "similarity", "fused", "trained", "choose", "likelihood", "attention")
CHEAP = GATES[:4]
"""Those that call no language model."""
CHUNKS = {"chunk_tokens": 128, "gist_share": 0.5}
"""Chunks of about a document's size."""
_SETTINGS: Mapping[str, Mapping[str, str]] = {"bm25": {}, "fused": {}, "similarity": {"recall": "memory"}}
"""Of the gates that recall alone decides; the others are named by themselves."""
_PROMPTS = {"choose": "gate", "trained": "gate", "likelihood": "recall", "attention": "attend"}
"""Of the gates that ask the scorer."""
Told = Callable[[int, int], None]
Scores = dict[ChunkKey, float]


@dataclass(frozen=True)
class GateBench:
    """What is measured.

    Args:
        source: Set of questions.
        documents: Documents of a text.
        gates: Gates, of :data:`GATES`.
        items: Most questions.
        questions: Questions of a text.
        settings: Settings of the graph that are not the usual ones.
    """

    source: str
    documents: int
    gates: tuple[str, ...] = CHEAP
    items: int = 200
    questions: int = 20
    settings: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Names the rows."""
        chunk = int(self.values["chunk_tokens"])
        cut = "" if chunk == CHUNKS["chunk_tokens"] else f"-chunks{chunk}"
        return f"gates-{self.source}-{self.documents}{cut}"

    @property
    def values(self) -> dict[str, Any]:
        """The settings of the graph."""
        return {"gist": "extract", **CHUNKS, **(self.settings or {})}


def measure_gates(
    bench: GateBench,
    data: Path,
    session_on: Callable[[Path], Any],
    out: Path,
    told: Told = lambda done, total: None,
) -> int:
    """Append a row for every question, gate and state of knowledge; rows that are there are skipped.

    Args:
        bench: What is measured.
        data: The folder of the benchmark data.
        session_on: Opens a session on a workspace folder, as a context manager.
        out: The results file.
        told: Is told questions done and questions in all.

    Returns:
        The number of rows written.

    Raises:
        InputError: If a gate is unknown.
    """
    if unknown := [name for name in bench.gates if name not in GATES]:
        raise InputError(f"There is no gate {unknown[0]!r}.", f"Known: {', '.join(GATES)}.")
    options = {"source": bench.source, "documents": bench.documents, "questions": bench.questions}
    texts = Multihop(data, options)
    items = texts.items("test", 0)[: bench.items]
    rows = ResultsFile(out)
    written = 0
    with tempfile.TemporaryDirectory(prefix="rereader-gates-") as folder, session_on(Path(folder)) as session:
        facts = {gate: _facts(bench, session, texts, gate) for gate in bench.gates}
        settings = {gate: hash_settings(made_of) for gate, made_of in facts.items()}
        every = {name: fact for one in facts.values() for name, fact in one.items()}
        models = {role: every[role]["name"] for role in ("embedder", "scorer") if every.get(role)}
        environment = {**describe_environment(), **every, "models": models}
        for done, item in enumerate(items):
            told(done, len(items))
            todo = [gate for gate in bench.gates if row_key(_key(bench.name, item, gate, settings[gate])) not in rows]
            if not todo:
                continue
            if not written:
                rows.begin(environment)
            for name, row in _measure(session, bench, item, texts.text(item.documents[0]), todo):
                rows.add({**_key(name, item, row["system"], settings[row["system"]]), **row})
                written += 1
    told(len(items), len(items))
    return written


def _facts(bench: GateBench, session: Session, texts: Multihop, gate: str) -> dict[str, Any]:
    """What the rows of a gate depend on; what other gates take does not change it."""
    trained = _trained(bench, session) if gate == "trained" else None
    return {
        "benchmark": bench.name,
        "data": texts.facts(),
        "data_hash": texts.data_hash(),
        "settings": {name: value for name, value in bench.values.items() if name != "trained_gate"},
        "counter": session.counter.name,
        "embedder": _named(session.models.embedder),
        **({"trained_gate": trained} if trained else {}),
        **(_asking(session, gate) if gate not in CHEAP or (trained and trained["adapters"]) else {}),
    }


def _asking(session: Session, gate: str) -> dict[str, Any]:
    """Which scorer is asked, and with which prompt."""
    scorer = session.models.scorer
    return {"scorer": _named(scorer) if scorer else None, "prompt": load(_PROMPTS[gate]).digest}


def _named(model: Embedder | LanguageModel) -> dict[str, str]:
    return {"name": model.name, "fingerprint": model.fingerprint}


def _trained(bench: GateBench, session: Session) -> dict[str, Any]:
    """Which trained gate is measured: its name and checksum, and whether it is adapters of the scorer."""
    path = Path(bench.values.get("trained_gate") or shipped_head(session.models.embedder.name))
    folder = path.is_dir()
    return {"name": path.name, "sha256": hash_file(path / FACTS if folder else path), "adapters": folder}


def _key(name: str, item: Item, gate: str, settings: str) -> dict[str, Any]:
    names = {"benchmark": name, "split": "test", "seed": 0, "item": item.id}
    return {**names, "system": gate, "settings_hash": settings}


def _measure(
    session: Session, bench: GateBench, item: Item, text: str, gates: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a question with the benchmark that each belongs to."""
    document = session.add_text(text, title="text", source=item.documents[0], settings=bench.values)
    known = [span for span in item.gold if _paragraph(text, span) == _paragraph(text, item.gold[0])]
    missing = [span for span in item.gold if span not in known]
    for gate in gates:
        if missing:
            yield f"{bench.name}-known", _row(session, bench, document, item, gate, known, missing)
        # This one comes last and marks the question as done.
        yield bench.name, _row(session, bench, document, item, gate, (), item.gold)


def _row(
    session: Session,
    bench: GateBench,
    document: Document,
    item: Item,
    gate: str,
    facts: Sequence[GoldSpan],
    missing: Sequence[GoldSpan],
) -> dict[str, Any]:
    context = RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=get_graph("compressed-memory").settings({**bench.values, **_SETTINGS.get(gate, {"gate": gate})}),
        run_id=document.id,
        documents=(document,),
    )
    targets = targets_of(context, "gist")
    records = [_record(context, document, span, number) for number, span in enumerate(facts)]
    asked = Asked(context, targets, item.question, records)
    started = time.perf_counter()
    found = _scores(asked, gate)
    seconds = time.perf_counter() - started
    closed = _holding(targets[0], context, facts)
    keys = [key for key in all_chunks(targets) if key not in closed]
    # A chunk without any of the words has BM25 0; others leave out none, or what lies below all that they recall.
    low = 0.0 if gate == "bm25" else min(found.values(), default=0.0) - 1.0
    scores = np.array([found.get(key, low) for key in keys])
    holding = _holding(targets[0], context, missing)
    wanted = np.array([key in holding for key in keys])
    calls = {"calls": context.usage.calls, "tokens": context.usage.prompt_tokens}
    shape = {"system": gate, "kind": item.kind, "known": bool(facts), "seconds": round(seconds, 4), **calls}
    return {**shape, **described(scores, wanted)}


def described(scores: NDArray[np.float64], wanted: NDArray[np.bool_]) -> dict[str, Any]:
    """What is kept of the scores of a question's chunks: how many, the wanted ones, and a grid of all.

    Args:
        scores: float64 [chunks].
        wanted: bool [chunks].
    """
    order = np.sort(scores)[::-1]
    above = [int((scores > score).sum()) for score in scores[wanted]]
    equal = [int((scores == score).sum()) for score in scores[wanted]]
    return {
        "chunks": len(scores),
        "gold_ranks": [a + (e + 1) / 2 for a, e in zip(above, equal, strict=True)],
        "gold_scores": [round(float(score), 5) for score in scores[wanted]],
        "auroc": auroc(scores.tolist(), wanted.tolist()),
        "scores_at": [round(float(order[rank - 1]), 5) for rank in grid(len(scores))],
    }


def _scores(asked: Asked, gate: str) -> Scores:
    """The score that a gate gives to every chunk."""
    context, targets = asked.context, asked.targets
    if gate == "bm25":
        return _bm25(asked)
    if gate in ("similarity", "fused"):
        queries = queries_of(context, targets, asked.question, [(record, 1.0) for record in asked.known])
        return recall(context, targets, queries, [span for record in asked.known for span in record.spans])
    return gate_named(gate).judge(asked, all_chunks(targets))


def _bm25(asked: Asked) -> Scores:
    best: Scores = {}
    passages = bm25_passages(asked.context, asked.targets, as_query(asked.question, asked.context.settings.beside))
    for target in asked.targets:
        identities = [identity for position, identity in passages if position == target.position]
        for identity, passage in asked.context.library.chunks.passages_by_id(target.chunking, identities).items():
            key = (target.position, passage.chunk)
            best[key] = max(best.get(key, 0.0), passages[target.position, identity])
    return best


def _holding(target: Target, context: RunContext, spans: Sequence[GoldSpan]) -> set[ChunkKey]:
    chunks = [context.library.chunks.overlapping(target.chunking, start, end) for _, start, end in spans]
    return {(target.position, chunk.ordinal) for found in chunks for chunk in found}


def _record(context: RunContext, document: Document, span: GoldSpan, number: int) -> Record:
    _, start, end = span
    place = Span(document_id=document.id, start=start, end=end)
    return quote(context, place, context.library.documents.text_of(place), "bench", number)


def _paragraph(text: str, span: GoldSpan) -> int:
    """Where the paragraph of a span begins."""
    return text.rfind("\n\n", 0, span[1])
