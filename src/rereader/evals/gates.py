"""How well gates tell the chunks that hold a fact from the others, on questions that no gate was trained on.

A text holds the paragraphs of a question among those of others (see :mod:`rereader.evals.multihop`), cut into chunks of
about a document's size. Every gate scores every chunk; a chunk that holds a supporting sentence is wanted. Once nothing
is known yet, and once a supporting sentence of one paragraph is, and chunks of the other paragraphs are wanted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.agents.gate_inputs import all_chunks
from rereader.agents.gates import Asked
from rereader.agents.ledger import quote
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import ChunkKey, Target
from rereader.agents.settings import ReadingSettings
from rereader.evals.environment import describe_environment
from rereader.evals.gate_scores import CHEAP, GATES, find_scores
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

CHUNKS = {"chunk_tokens": 128, "gist_share": 0.5}
"""Chunks of about a document's size."""
_GRAPH = "compressed-memory"
_SETTINGS: Mapping[str, Mapping[str, str]] = {"bm25": {}, "fused": {}, "similarity": {"recall": "memory"}}
"""Of the gates that recall alone decides; the others are named by themselves."""
_PROMPTS = {"choose": "gate", "lora": "gate", "likelihood": "recall", "attention": "attend"}
"""Of the gates that ask the scorer."""
_TRAINED = {"trained": "trained_gate", "lora": "lora"}
"""Of the gates that were trained, what the facts call that."""
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class GateBench:
    """What is measured.

    Args:
        source: Set of questions.
        documents: Documents of a text.
        gates: Gates, of :data:`~rereader.evals.gate_scores.GATES`.
        items: Most questions.
        questions: Questions of a text.
        settings: Settings of the graph that are not the usual ones.
        judged: Most chunks of a question that a language model judges, those recalled best; all of them by default.
        lora: Folder of the adapters that the gate ``lora`` is.
    """

    source: str
    documents: int
    gates: tuple[str, ...] = CHEAP
    items: int = 200
    questions: int = 20
    settings: Mapping[str, Any] | None = None
    judged: int | None = None
    lora: Path | None = None

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

    def settings_of(self, gate: str) -> ReadingSettings:
        """The settings of the graph with which a gate is measured."""
        own = _SETTINGS.get(gate, {"gate": gate})
        if gate == "lora":
            own = {"gate": "trained", "trained_gate": str(self.lora)}
        return get_graph(_GRAPH).settings({**self.values, **own})

    def system(self, gate: str) -> str:
        """What the rows of a gate say that was measured."""
        return gate if gate in CHEAP or self.judged is None else f"{gate} of {self.judged}"

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            InputError: If a gate is unknown, or the trained gate is of another kind.
        """
        if unknown := [name for name in self.gates if name not in GATES]:
            raise InputError(f"There is no gate {unknown[0]!r}.", f"Known: {', '.join(GATES)}.")
        if "lora" in self.gates and (self.lora is None or not self.lora.is_dir()):
            raise InputError("The gate lora needs its folder of adapters.", "Name it with --lora.")
        named = self.values.get("trained_gate")
        if "trained" in self.gates and named and Path(named).is_dir():
            raise InputError(f"{named} is a folder of adapters.", f"Measure it with --gates lora --lora {named}.")


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
        InputError: If a gate is unknown, or the trained gate is of another kind.
    """
    bench.check()
    options = {"source": bench.source, "documents": bench.documents, "questions": bench.questions}
    texts = Multihop(data, options)
    items = texts.items("test", 0)[: bench.items]
    rows = ResultsFile(out)
    written, live = 0, dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="rereader-gates-") as folder, session_on(Path(folder)) as session:
        facts = {gate: _facts(bench, session, texts, gate) for gate in bench.gates}
        settings = {gate: hash_settings(made_of) for gate, made_of in facts.items()}
        every = {name: fact for one in facts.values() for name, fact in one.items()}
        models = {role: every[role]["name"] for role in ("embedder", "scorer") if every.get(role)}
        environment = {**describe_environment(), **every, "models": models}
        for done, item in enumerate(items):
            told(done, len(items))
            todo = [gate for gate in bench.gates if row_key(_key(bench, item, gate, settings[gate])) not in rows]
            if not todo:
                continue
            if not written:
                rows.begin(environment)
            for gate, row in _measure(session, bench, item, texts.text(item.documents[0]), todo, live):
                rows.add({**_key(bench, item, gate, settings[gate], known=row["known"]), **row})
                written += 1
    told(len(items), len(items))
    return written


def _facts(bench: GateBench, session: Session, texts: Multihop, gate: str) -> dict[str, Any]:
    """What the rows of a gate depend on; what other gates take does not change it."""
    settings = asdict(get_graph(_GRAPH).settings(bench.values))  # with the defaults, which may change
    judged = {"judged": bench.judged} if gate not in CHEAP and bench.judged is not None else {}
    return {
        "benchmark": bench.name,
        "data": texts.facts(),
        "data_hash": texts.data_hash(),
        "settings": {name: value for name, value in settings.items() if name != "trained_gate"},
        "counter": session.counter.name,
        "embedder": _named(session.models.embedder),
        **({_TRAINED[gate]: _trained(bench, session, gate)} if gate in _TRAINED else {}),
        **({} if gate in CHEAP else _asking(session, gate)),
        **judged,
    }


def _asking(session: Session, gate: str) -> dict[str, Any]:
    """Which scorer is asked, and with which prompt."""
    scorer = session.models.scorer
    return {"scorer": _named(scorer) if scorer else None, "prompt": load(_PROMPTS[gate]).digest}


def _named(model: Embedder | LanguageModel) -> dict[str, str]:
    return {"name": model.name, "fingerprint": model.fingerprint}


def _trained(bench: GateBench, session: Session, gate: str) -> dict[str, Any]:
    """Which trained gate is measured: its name and checksum, and whether it is adapters of the scorer."""
    folder = gate == "lora"
    named = bench.lora if folder else bench.values.get("trained_gate")
    path = Path(named or shipped_head(session.models.embedder.name))
    return {"name": path.name, "sha256": hash_file(path / FACTS if folder else path), "adapters": folder}


def _key(bench: GateBench, item: Item, gate: str, settings: str, *, known: bool = False) -> dict[str, Any]:
    name = f"{bench.name}-known" if known else bench.name
    names = {"benchmark": name, "split": "test", "seed": 0, "item": item.id}
    return {**names, "system": bench.system(gate), "settings_hash": settings}


def _measure(
    session: Session, bench: GateBench, item: Item, text: str, gates: Sequence[str], live: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a question, each with its gate; ``live`` keeps adapters open from one question to the next."""
    document = session.add_text(text, title="text", source=item.documents[0], settings=bench.values)
    known = [span for span in item.gold if _paragraph(text, span) == _paragraph(text, item.gold[0])]
    missing = [span for span in item.gold if span not in known]
    for gate in gates:
        if missing:
            yield gate, _row(session, bench, document, item, gate, known, missing, live)
        # This one comes last and marks the question as done.
        yield gate, _row(session, bench, document, item, gate, (), item.gold, live)


def _row(
    session: Session,
    bench: GateBench,
    document: Document,
    item: Item,
    gate: str,
    facts: Sequence[GoldSpan],
    missing: Sequence[GoldSpan],
    live: dict[str, Any],
) -> dict[str, Any]:
    context = RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=bench.settings_of(gate),
        run_id=document.id,
        documents=(document,),
        live=live,
    )
    targets = targets_of(context, "gist")
    records = [_record(context, document, span, number) for number, span in enumerate(facts)]
    asked = Asked(context, targets, item.question, records)
    closed = _holding(targets[0], context, facts)
    started = time.perf_counter()
    found = find_scores(asked, gate, closed, bench.judged)
    seconds = time.perf_counter() - started
    keys = [key for key in all_chunks(targets) if key not in closed]
    # A chunk without any of the words has BM25 0; others leave out none, or what lies below all that they recall.
    low = 0.0 if gate == "bm25" else min(found.scores.values(), default=0.0) - 1.0
    scores = np.array([found.scores.get(key, low) for key in keys])
    holding = _holding(targets[0], context, missing)
    wanted = np.array([key in holding for key in keys])
    calls = {"calls": context.usage.calls, "tokens": context.usage.prompt_tokens}
    shape = {"kind": item.kind, "known": bool(facts), "seconds": round(seconds, 4), **calls}
    return {**shape, **described(scores, wanted), **(found.among_judged(holding) if found.judged else {})}


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
