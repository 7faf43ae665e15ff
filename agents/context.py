"""What every agent is given, and what it gives back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypedDict

from rereader.agents.call_log import CallLog, Done
from rereader.agents.calls import Caller
from rereader.agents.embed_calls import EmbedCaller
from rereader.memory.bank import Means
from rereader.memory.library import Library
from rereader.memory.working import WorkingMemory
from rereader.models.base import Cancel, Embedder, LanguageModel
from rereader.models.tokens import TokenCounter
from rereader.schema import (
    Answer,
    Budget,
    BudgetMeter,
    Document,
    Event,
    Interrupted,
    ModelError,
    Progress,
    Span,
    Usage,
)
from rereader.schema.usage import WAITING, difference


class ReadingState(TypedDict, total=False):
    """State of every reading graph: plain JSON, ids and counters only; no text of a document ever enters it."""

    question: str
    document_ids: list[str]
    step: int
    wave: int
    memory_version: int
    status: str
    accepted: list[list[int]]
    """``[document position, chunk ordinal]`` of the chunks that the gate let in last."""
    recalled: list[list[int]]
    """The same of the chunks whose blocks were read, the most wanted first."""
    waiting: int
    """Chunks above the trained gate's threshold that no wave has let in yet."""
    fresh: int
    """Quotes added by the last reading."""
    windows: int
    """Pieces that the text was looked at in; 1 if it was looked at whole."""
    kind: str
    """How much of the text the question needs; see :mod:`rereader.agents.sorter`."""
    block: int
    """Blocks of the text that were read, one after the other."""
    size: int
    """Tokens of a block; as the first of them was cut, so are the others, whatever a fork changes."""
    pages: list[int]
    """Numbers (from 1, over all documents) of the pages that were looked up, the most wanted first."""
    lookups: int
    """Turns of looking pages up."""
    ended: bool
    """Whether reading ended before the text did, since the budget has room for the answer alone."""
    keys: list[list[int]]
    """Words that rest on something far back: ``[document position, word's start, end, segment's start, end]``."""
    turn: int
    """Turns that the root model of a recursive run has begun."""
    errors: int
    """Turns in a row that could not be done."""
    sub_calls: int
    """Calls that a recursive run has made on parts of the text."""
    ending: str
    """Why a loop ended; empty while it goes on."""


class RoleModels(Protocol):
    """The models of a run by role; ``None`` where a role is switched off."""

    @property
    def reader(self) -> LanguageModel | None:
        """Reasons and answers."""

    @property
    def gister(self) -> LanguageModel | None:
        """Writes gists."""

    @property
    def scorer(self) -> LanguageModel | None:
        """Scores what the gate decides on."""

    @property
    def embedder(self) -> Embedder:
        """Turns text into vectors."""

    @property
    def on_cuda(self) -> bool:
        """Whether language models run on a CUDA device."""

    @property
    def loads(self) -> Sequence[tuple[str, float, float]]:
        """Models loaded so far: name, when it began (``time.monotonic``), seconds."""

    @property
    def waited(self) -> float:
        """Seconds that calls of the loaded models have waited so far; see :attr:`LanguageModel.waited`."""

    @property
    def loading(self) -> Mapping[str, float]:
        """Seconds that calls have spent so far on loading weights, by model; see :attr:`LanguageModel.loading`."""


class Closing(Protocol):
    """What holds something of the machine until it is closed."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True)
class Mark:
    """What a run had spent at a moment: its usage, and the model calls of its step."""

    usage: Usage
    calls: int


@dataclass
class RunContext:
    """Everything an agent may touch. Live objects stay here and never enter graph state."""

    library: Library
    models: RoleModels
    counter: TokenCounter
    settings: Any
    run_id: str
    documents: tuple[Document, ...]
    budget: Budget = field(default_factory=Budget)
    usage: Usage = field(default_factory=Usage)
    cancel: Cancel = field(default_factory=threading.Event)
    listen: Callable[[Event], None] = field(default=lambda _event: None)
    warnings: list[str] = field(default_factory=list)
    resume_hint: str = "Run the same again to go on."
    estimate: Mapping[str, Any] | None = None
    """What the run was expected to cost; kept with its first step."""
    languages_seen: set[str] = field(default_factory=set)
    """Documents whose language was looked at; every wave asks, and finding it out takes a while."""
    cuts: dict[tuple[str, int], list[Span]] = field(default_factory=dict)
    """Blocks by model and size; every step asks, and a resumed run cuts the same ones again."""
    trees: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """Levels of record ids of the trees of recaps by document; several steps ask for them."""
    means: dict[str, Means] = field(default_factory=dict)
    """How blocks are made, by the model's fingerprint; a trained compressor is read to tell."""
    live: dict[str, Closing] = field(default_factory=dict)
    """What lives until the run ends or stops, such as a sandbox; a resumed run makes it anew."""

    def __post_init__(self) -> None:
        self.meter = BudgetMeter(
            self.budget,
            spent_tokens=self.usage.total_tokens,
            spent_calls=self.usage.calls,
            spent_seconds=sum(self.usage.seconds.values()),
        )
        self.log = CallLog(self.meter, self.usage, tuple(d.id for d in self.documents), self.cancel, warn=self.warn)
        self.step = 0

    @property
    def memory(self) -> WorkingMemory:
        """The run's ledger."""
        return self.library.working_memory(self.run_id)

    @property
    def embed(self) -> EmbedCaller:
        """The embedder for short texts."""
        return EmbedCaller(self.models.embedder, self.library.calls, self.log, self._storing_next)

    def caller(self, role: str) -> Caller | None:
        """The model of a role (reader, gister or scorer), or ``None`` where it is switched off."""
        model: LanguageModel | None = getattr(self.models, role)
        return Caller(role, model, self.library.calls, self.log, self._storing_next) if model else None

    def need(self, role: str) -> Caller:
        """The model of a role.

        Raises:
            ModelError: If the role is switched off.
        """
        caller = self.caller(role)
        if caller is None:
            option = "--model NAME" if role == "reader" else f"--role {role}=NAME"
            hint = f"Name one with {option} (rereader models list shows those that are here)."
            raise ModelError(f"This graph needs a {role} and none is bound.", hint)
        return caller

    def warn(self, text: str) -> None:
        """Tell the user something once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.listen(Event("warning", self.run_id, self.step, text=text))

    def checkpoint(self) -> None:
        """Stop here if the user asked to, or if the time is over.

        Raises:
            Interrupted: If the user asked to.
            BudgetSpent: If the budget's seconds are spent.
        """
        if self.cancel.is_set():
            raise Interrupted("Interrupted.", self.resume_hint)
        self.meter.reserve(tokens=0, calls=0)

    def release(self) -> None:
        """Close what lives as long as the run is at work."""
        while self.live:
            self.live.popitem()[1].close()

    def mark(self) -> Mark:
        """What is spent so far, to tell later what a batch has cost."""
        return Mark(self.usage.model_copy(deep=True), len(self.log.calls))

    @contextmanager
    def storing(self, since: Mark) -> Iterator[None]:
        """Store a batch that outlives the run together with what was spent on it ``since``: both or neither.

        The step that runs again after a kill finds the batch done and is charged for it all the same.
        """
        with self.library.database.transaction():
            yield
            if self.step:  # 'add' reads for no run
                cost = difference(self.usage, since.usage)
                self.library.parts.add(self.run_id, self.step, cost, self.log.calls[since.calls :])

    @contextmanager
    def _storing_next(self) -> Iterator[None]:
        with self.storing(self.mark()):
            yield

    def take_up(self) -> None:
        """Charge the step with what it stored before it was killed.

        Only a batch that failed has calls and no depth: the step asks for it again, and its calls are charged then.
        """
        self.log.paid.clear()
        for usage, calls in self.library.parts.of_step(self.run_id, self.step):
            if calls and not usage.serial_depth:
                self.log.paid |= {(call.method, call.prompt_sha256) for call in calls}
                continue
            self.usage.add(usage)
            self.meter.charge(tokens=usage.total_tokens, calls=usage.calls)
            self.log.calls.extend(calls)

    def chunking_key(self) -> str:
        """What identifies the run's way of cutting documents."""
        return f"{self.settings.cut};tokens={self.counter.name}"

    def worked(self, clock: float, seconds: float, waited: float, loading: Mapping[str, float]) -> list[dict[str, Any]]:
        """What the step did and how long each part took, so that later runs can be foretold.

        Args:
            clock: When the step began (``time.monotonic``).
            seconds: How long it took; what no part accounts for is the ``rest``.
            waited: How long of that its models waited.
            loading: What calls had spent on loading weights when it began, by model.
        """
        loads = [Done("load", name, load) for name, began, load in self.models.loads if began >= clock]
        late = {name: load - loading.get(name, 0.0) for name, load in self.models.loading.items()}
        loads += [Done("load", name, load, calls=1) for name, load in late.items() if load > 0]
        done = [*self.log.done, *loads, *([Done(WAITING, "", waited)] if waited else [])]
        rest = max(0.0, seconds - sum(part.seconds for part in done))
        length = sum(document.length for document in self.documents)
        return [asdict(part) for part in (*done, Done("rest", "", rest, amount=length))]

    def progress(self, stage: str, started: float, done: int, total: int, tokens: int = 0) -> None:
        """Report that ``done`` of ``total`` units are finished since ``started`` (``time.monotonic``)."""
        seconds = time.monotonic() - started
        report = Progress(stage, done, total, tokens, seconds)
        self.listen(Event("progress", self.run_id, self.step, progress=report))


@dataclass(frozen=True)
class Outcome:
    """What a node changes in the state, what it wants remembered of its decisions, and the answer that ends the run."""

    update: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None


Work = Callable[[ReadingState, RunContext], Outcome]
