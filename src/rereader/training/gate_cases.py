"""Labelled cases for a gate: a question, what is known so far, memories, and whether each holds a fact still missing.

The memories are made as in any other run: chunks, gists, vectors of the bound embedder. What is known is nothing, or
facts of some of the other paragraphs, with now and then a sentence that is beside the point, as in a real working
memory; so the second hop is learnt too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rereader.agents.context import RunContext
from rereader.agents.gate_inputs import all_chunks, gate_inputs
from rereader.agents.gates import Asked
from rereader.agents.ledger import quote
from rereader.agents.retriever import targets_of
from rereader.agents.searcher import Target
from rereader.graphs.registry import get_graph
from rereader.memory.library import Library
from rereader.models.base import Cancel, Float32Array
from rereader.models.gatefeatures import FEATURES, features
from rereader.models.roles import Models
from rereader.models.tokens import TokenCounter
from rereader.runs.session import Session
from rereader.schema import Interrupted, Record, Span
from rereader.tools.sentences import sentence_spans
from rereader.training.gate_texts import GateQuestion, GateText, Place, make_texts

FORMS: tuple[Mapping[str, Any], ...] = (
    {"chunk_tokens": 128, "gist_share": 0.5},
    {"chunk_tokens": 256, "gist_share": 0.35},
    {"chunk_tokens": 512, "gist_share": 0.25},
)
"""Ways of cutting and compressing that cases are made of; the last is what graphs do unless told otherwise."""
SIZES = (50, 200)
"""Documents of a text."""
_DOCUMENTS_PER_QUESTION = 10
_HARD = 12
"""Memories nearest to the question by each measure that are kept as negatives."""
_EASY = 24
"""Other memories that are kept; each stands for as many as were left out."""
_BESIDE = 2
"""Most sentences beside the point that a working memory holds."""
_MEASURES = [FEATURES.index(name) for name in ("cosine", "coverage by the chunk", "coverage of a lead")]
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Case:
    """A question in one state of knowledge, and the memories that are kept of its text.

    Args:
        question: The question's name.
        asked: The question.
        known: The working memory.
        memories: What a language model would see of each kept memory.
        features: float32 [kept, len(FEATURES)].
        labels: Whether each holds a missing fact: bool [kept].
        weights: How many memories each stands for: float32 [kept].
        hops: Paragraphs that are known.
    """

    question: str
    asked: str
    known: tuple[Record, ...]
    memories: tuple[str, ...]
    features: Float32Array
    labels: NDArray[np.bool_]
    weights: Float32Array
    hops: int


def make_cases(
    rows: Sequence[Mapping[str, Any]],
    models: Models,
    counter: TokenCounter,
    *,
    rounds: int,
    seed: int,
    told: Told = lambda done, total: None,
    cancel: Cancel | None = None,
) -> list[Case]:
    """Cases of all questions; in each round every question stands in another text, cut and compressed another way.

    Args:
        rows: Questions as ``read_questions`` gives them.
        models: The embedder counts.
        counter: What chunks are measured in.
        rounds: How often every question is put.
        seed: Decides everything that is drawn.
        told: Is told texts done and texts in all.
        cancel: Stops.

    Raises:
        Interrupted: If ``cancel`` is set.
    """
    rng = Random(f"gate:{seed}")
    texts = [
        (text, FORMS[(number + turn) % len(FORMS)])
        for turn in range(rounds)
        for number, text in enumerate(_texts(rows, SIZES[turn % len(SIZES)], rng))
    ]
    cases: list[Case] = []
    for done, (text, form) in enumerate(texts):
        told(done, len(texts))
        stop_if(cancel)
        with _library() as library:
            cases += _cases(Session(library, models, counter), text, form, rng)
    told(len(texts), len(texts))
    return cases


def stop_if(cancel: Cancel | None) -> None:
    """Stop a training that keeps nothing.

    Raises:
        Interrupted: If ``cancel`` is set.
    """
    if cancel is not None and cancel.is_set():
        raise Interrupted("Stopped; nothing was written.", "Run the same again.")


def _texts(rows: Sequence[Mapping[str, Any]], documents: int, rng: Random) -> Iterator[GateText]:
    return make_texts(rows, documents, max(1, documents // _DOCUMENTS_PER_QUESTION), rng)


@contextmanager
def _library() -> Iterator[Library]:
    with tempfile.TemporaryDirectory(prefix="rereader-gate-") as folder:
        library = Library(Path(folder))
        try:
            yield library
        finally:
            library.close()


def _cases(session: Session, text: GateText, form: Mapping[str, Any], rng: Random) -> list[Case]:
    settings = {**form, "gist": "extract"}
    document = session.add_text(text.text, title="text", source="text", settings=settings)
    context = RunContext(
        library=session.library,
        models=session.models,
        counter=session.counter,
        settings=get_graph("compressed-memory").settings(settings),
        run_id=document.id,
        documents=(document,),
    )
    targets = targets_of(context, "gist")
    return [
        case
        for question in text.questions
        for state in _states(question, rng)
        if (case := _case(context, targets, text.text, question, state, rng))
    ]


@dataclass(frozen=True)
class _State:
    """What is known: the facts of some paragraphs, by number, and so many sentences that are beside the point."""

    known: tuple[int, ...] = ()
    beside: int = 0


def _states(question: GateQuestion, rng: Random) -> list[_State]:
    """Nothing; only what is beside the point; the facts of one paragraph, and of two where more are needed."""
    places = rng.sample(range(len(question.facts)), len(question.facts))
    known = [_State(tuple(places[:count]), rng.randint(0, _BESIDE)) for count in range(1, min(3, len(places)))]
    return [_State(), _State((), rng.randint(1, _BESIDE)), *known]


def _case(
    context: RunContext, targets: Sequence[Target], text: str, question: GateQuestion, state: _State, rng: Random
) -> Case | None:
    chunks = context.library.chunks.range(targets[0].chunking)
    spans = [(chunk.span.start, chunk.span.end) for chunk in chunks]
    facts = [place for number in state.known for place in question.facts[number]]
    missing = [place for number, places in enumerate(question.facts) if number not in state.known for place in places]
    places = [*facts, *(_beside(text, question, rng) for _ in range(state.beside))]
    labels = np.array([_touches(span, missing) for span in spans])
    open_chunks = np.array([not _touches(span, facts) for span in spans])
    if not (labels & open_chunks).any():
        return None
    records = [_record(context, targets[0], text, place, number) for number, place in enumerate(places)]
    asked = Asked(context, targets, question.question, records)
    table = features(gate_inputs(asked))
    own = np.array([_touches(span, question.paragraphs) for span in spans])
    kept, weights = _kept(table, labels, own, open_chunks, rng)
    keys = all_chunks(targets)
    memories = tuple(piece.text for piece in asked.memories([keys[place] for place in kept]))
    fields = (tuple(records), memories, table[kept], labels[kept], weights, len(state.known))
    return Case(question.id, question.question, *fields)


def _kept(
    table: Float32Array,
    labels: NDArray[np.bool_],
    own: NDArray[np.bool_],
    open_chunks: NDArray[np.bool_],
    rng: Random,
) -> tuple[list[int], Float32Array]:
    """Positives, hard negatives and some easy ones, as places, with how many memories each stands for."""
    hard = (own | labels) & open_chunks
    for column in _MEASURES:
        hard[np.argsort(-table[:, column], kind="stable")[:_HARD]] = True
    hard &= open_chunks
    rest = np.flatnonzero(open_chunks & ~hard).tolist()
    easy = sorted(rng.sample(rest, min(_EASY, len(rest))))
    chosen = sorted([*np.flatnonzero(hard).tolist(), *easy])
    light = set(easy)
    share = len(rest) / max(1, len(easy))
    return chosen, np.array([share if place in light else 1.0 for place in chosen], dtype=np.float32)


def _beside(text: str, question: GateQuestion, rng: Random) -> Place:
    """A sentence of one of the question's other paragraphs."""
    facts = [place for places in question.facts for place in places]
    others = [place for place in question.paragraphs if not _touches(place, facts)] or list(question.paragraphs)
    start, end = rng.choice(others)
    sentences = [(start + a, start + b) for a, b in sentence_spans(text[start:end])]
    return rng.choice(sentences or [(start, end)])


def _record(context: RunContext, target: Target, text: str, place: Place, number: int) -> Record:
    span = Span(document_id=target.chunking.document_id, start=place[0], end=place[1])
    return quote(context, span, text[slice(*place)], "trainer", number)


def _touches(span: Place, places: Sequence[Place]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in places)
