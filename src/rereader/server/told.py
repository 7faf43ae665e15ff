"""What answers hold, for the OpenAPI document: what it is made of where that is told as it is, and shapes of our own.

Routes answer with JSON that is made of the values themselves (:mod:`rereader.server.plain`); nothing is checked or
copied by way of these shapes. A test holds them against real answers, to the letter.
"""

from __future__ import annotations

from typing import Any, get_type_hints

from pydantic import BaseModel, create_model

from rereader.memory.runs import Run, RunHead
from rereader.runs.blame import Known
from rereader.runs.estimating import StageEstimate
from rereader.runs.families import Descent
from rereader.runs.passages import Passage
from rereader.runs.prompting import Rendered
from rereader.runs.speeds import Source
from rereader.runs.timeline import Moment
from rereader.schema import Document, Record, Span
from rereader.server.errors import Failure
from rereader.server.jobs import Kind, State


def _like(name: str, origin: type, about: str, /, **more: Any) -> Any:
    """A shape with the fields of another one, and with more of its own."""
    fields: dict[str, Any] = {field: (kind, ...) for field, kind in {**get_type_hints(origin), **more}.items()}
    return create_model(name, __doc__=about, **fields)


class SettingTold(BaseModel):
    """A setting of a graph; ``kind`` is ``choice``, ``bool``, ``int``, ``float`` or ``str``.

    ``fixed_by`` are the nodes after which a fork can change it no more; ``None`` stands for any node.
    """

    name: str
    default: Any
    kind: str
    choices: list[str]
    values: str
    help: str
    fixed_by: list[str] | None


class GraphTold(BaseModel):
    """A graph and its settings."""

    name: str
    title: str
    summary: str
    honesty: str
    settings: list[SettingTold]


class AboutTold(BaseModel):
    """What the server is and what can be asked of it."""

    version: str
    workspace: str
    graphs: list[GraphTold]
    models: dict[str, str]
    pulled: list[str]
    default_graph: str


class EstimateTold(BaseModel):
    """What a question would cost; ``loads`` are seconds of loading by model."""

    graph: str
    seconds: float
    calls: int
    tokens_in: int
    tokens_out: int
    embedded_tokens: int
    disk: int
    loads: dict[str, float]
    source: Source
    stages: list[StageEstimate]


DocumentTold = _like("DocumentTold", Document, "A document; ``runs`` counts those that have read it.", runs=int)


class TextTold(BaseModel):
    """Characters ``[start, end)`` of a document of so many."""

    start: int
    end: int
    length: int
    text: str


class Removed(BaseModel):
    """How many runs went with a document, and whether its text is out of the library's files already."""

    runs: int
    erased: bool


class Accepted(BaseModel):
    """The id of the job that will do it."""

    job: str


class ProgressTold(BaseModel):
    """How far a stage has come."""

    stage: str
    done: int
    total: int
    tokens_per_second: float
    eta_seconds: float | None


class JobTold(BaseModel):
    """A job; ``place`` is its place among those that wait, 0 if it does not."""

    id: str
    kind: Kind
    state: State
    run: str | None
    document: str | None
    question: str
    graph: str
    place: int
    created_at: float
    progress: ProgressTold | None
    warnings: list[str]
    error: Failure | None


ListedRun = _like("ListedRun", RunHead, "A run in a list.", answer=str | None, depth=int, descent=Descent)


class TitledDocument(BaseModel):
    """A document of a run."""

    id: str
    title: str
    length: int


class RunTold(BaseModel):
    """A run with its answer; ``job`` works on it, ``steps`` counts those that have ended."""

    run: Run
    documents: list[TitledDocument]
    at_work: bool
    job: str | None
    steps: int


class CallTold(BaseModel):
    """A model call and its prompt."""

    role: str
    method: str
    template: str
    prompt_sha256: str
    reply: str
    prompt_tokens: int
    completion_tokens: int
    cached: bool
    prompt: Rendered


RecordTold = _like("RecordTold", Record, "A record, and whose work it is or stands in the place of.", author=str)
StepTold = _like("StepTold", Moment, Moment.__doc__ or "", calls=list[CallTold])
PassageTold = _like("PassageTold", Passage, Passage.__doc__ or "", lives_in=list[str], lost=int | None)


class CourseTold(BaseModel):
    """A fact from step to step: when it was known first, and the steps that lost it."""

    fact: str
    first: int | None
    losses: list[int]
    known_at_end: bool
    steps: list[Known]


class HotTold(Span):
    """A sentence and the attention that it got; ``[start, end, score]`` of a token is in characters from its start."""

    score: float
    taken: bool
    tokens: list[tuple[int, int, float]]


class RoundTold(BaseModel):
    """A round of attention."""

    round: int
    windows: int
    sentences: list[HotTold]


class HeatTold(BaseModel):
    """Every round of attention of a run."""

    rounds: list[RoundTold]


class EntryTold(BaseModel):
    """An entry of a working memory, as a fork's edits name it."""

    record: str
    slot: str
    agent: str
    span: str = ""
    pin: bool = False
    text: str


class MemoryTold(BaseModel):
    """A working memory."""

    memory: list[EntryTold]
