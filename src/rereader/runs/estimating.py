"""What a run will cost, before it starts: calls, tokens, seconds and disk of every stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from rereader.agents.costs import DocumentFacts, Facts, StageCost, Work
from rereader.agents.settings import ReadingSettings
from rereader.graphs.registry import get_graph
from rereader.memory.library import Library
from rereader.models.installed import locate
from rereader.models.manifest import read_manifest
from rereader.models.roles import Models
from rereader.models.runtimes import marked, split_mark
from rereader.models.speed import Shape, Speed, read_shape, speed_of
from rereader.models.tokens import TokenCounter
from rereader.runs.facts import EMBEDDED_CHARACTERS, known_documents, plain_rates
from rereader.runs.speeds import Source, Speeds, pasts
from rereader.schema import RereaderError

_STEPS_LOOKED_AT = 400
_CHARACTERS_PER_QUESTION_TOKEN = 4.0
_BY_MODEL = ("embed", "generate", "score")


@dataclass(frozen=True)
class StageEstimate:
    """What a stage is expected to cost. ``source`` is the weakest of what its seconds rest on."""

    stage: str
    calls: int
    tokens_in: int
    tokens_out: int
    embedded_tokens: int
    seconds: float
    disk: int
    source: Source


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to cost; ``loads`` are seconds of loading by model."""

    graph: str
    stages: tuple[StageEstimate, ...]
    loads: Mapping[str, float]
    source: Source

    @property
    def seconds(self) -> float:
        """Seconds from start to answer, loading included."""
        return sum(stage.seconds for stage in self.stages) + sum(self.loads.values())

    def total(self, name: str) -> int:
        """Sum of a count over the stages."""
        return sum(getattr(stage, name) for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """JSON-plain; what ``rereader estimate --json`` prints and the first step of a run keeps."""
        counts = {name: self.total(name) for name in ("calls", "tokens_in", "tokens_out", "embedded_tokens", "disk")}
        stages = [{**asdict(stage), "seconds": round(stage.seconds, 3)} for stage in self.stages]
        loads = {name: round(seconds, 3) for name, seconds in self.loads.items()}
        seconds = round(self.seconds, 3)
        return {
            "graph": self.graph,
            "seconds": seconds,
            **counts,
            "loads": loads,
            "source": self.source,
            "stages": stages,
        }


@dataclass(frozen=True)
class Outlook:
    """What an estimate needs to know of a session."""

    library: Library
    models: Models
    models_dir: Path | None
    loaded: Callable[[str], bool]
    """Whether a role's model is there already."""

    def folder(self, name: str) -> Path | None:
        """Where a model lies; ``None`` for one that is not a folder here."""
        if self.models_dir is None:
            return None
        try:
            return locate(name, self.models_dir, weights=False)
        except RereaderError:
            return None

    def names(self) -> dict[str, str]:
        """Role -> name of its model as its calls are written down: an alias is resolved, an address left out."""
        return {role: self._shown(name) for role, name in self.models.describe().items()}

    def _shown(self, name: str) -> str:
        folder = self.folder(name)
        manifest = read_manifest(folder) if folder else None
        if manifest:
            return marked(manifest.name, split_mark(name)[1])
        return Path(name).name if folder else name.partition("@")[0]

    def speed(self, name: str) -> Speed:
        """What is known of a model's speed."""
        folder = self.folder(name)
        return speed_of(name, folder, self.models_dir, cuda=bool(folder) and self.models.uses_cuda)


def foretell(
    outlook: Outlook,
    question: str,
    documents: Sequence[tuple[str, int]],
    graph: str,
    settings: ReadingSettings,
    counter: TokenCounter,
) -> Estimate:
    """What asking a question of documents, given as ``(id, characters)``, will cost; loads no model."""
    models, library = outlook.models, outlook.library
    embedder = models.embedder.fingerprint if models.is_loaded("embedder") else ""
    cut = f"{settings.cut};tokens={counter.name}"
    name = models.describe()["embedder"]
    known = known_documents(library, documents, cut, settings.chunk_tokens, embedder, name)
    identities = [identity for identity, _ in documents]
    repeated = library.runs.asked_before(question, graph, asdict(settings), models.describe(), identities)
    costs = partial(get_graph(graph).costs, settings)
    return estimate(outlook, graph, costs, gather(outlook, question, known), repeated=repeated)


def estimate(
    outlook: Outlook,
    graph: str,
    costs: Callable[[Facts], Sequence[StageCost]],
    facts: Facts,
    *,
    repeated: bool = False,
) -> Estimate:
    """Add the costs of a graph up in seconds of this machine.

    Args:
        outlook: The session.
        graph: The graph's name.
        costs: The graph's costs for these facts.
        facts: The documents and the question.
        repeated: Whether the same was asked before, so that every model call is stored.
    """
    names = outlook.names()
    asked = {names[role]: name for role, name in outlook.models.describe().items()}

    @cache
    def known(shown: str) -> Speed:
        return outlook.speed(asked.get(shown, shown))

    history = pasts(outlook.library.runs.recent_details(_STEPS_LOOKED_AT))
    speeds = Speeds(history, known, plain_rates(outlook.models_dir))
    found = list(costs(facts))
    roles = dict.fromkeys([work.role for cost in found for work in cost.works if work.role])
    if "reader" in facts.bound:
        roles["reader"] = None  # counts the question's tokens
    if repeated:
        found = [_without_models(cost) for cost in found]
    stages = tuple(_stage(cost, names, speeds) for cost in found)
    waiting = dict.fromkeys(names[role] for role in roles if not outlook.loaded(role))
    loads = {name: speeds.load(name) for name in waiting}
    return Estimate(
        graph,
        stages,
        {name: seconds for name, (seconds, _) in loads.items()},
        _weakest([stage.source for stage in stages] + [source for _, source in loads.values()]),
    )


def _without_models(cost: StageCost) -> StageCost:
    return replace(cost, works=tuple(work for work in cost.works if work.kind not in _BY_MODEL))


def _stage(cost: StageCost, names: Mapping[str, str], speeds: Speeds) -> StageEstimate:
    works = list(cost.works)
    if not any(work.kind == "rest" for work in works):
        works.append(Work("rest"))
    parts = [speeds.seconds(cost.stage, work, names.get(work.role, ""), cost.turns) for work in works]
    told = [source for (seconds, source), work in zip(parts, works, strict=True) if work.kind != "rest" and seconds]
    models = [work for work in works if work.kind in ("generate", "score")]
    return StageEstimate(
        stage=cost.stage,
        calls=sum(work.calls for work in models),
        tokens_in=round(sum(work.amount for work in models)),
        tokens_out=round(sum(speeds.written(cost.stage, work, names.get(work.role, "")) for work in models)),
        embedded_tokens=round(sum(work.amount for work in works if work.kind == "embed")),
        seconds=sum(seconds for seconds, _ in parts),
        disk=round(cost.disk),
        source=_weakest(told),
    )


def _weakest(sources: Sequence[Source]) -> Source:
    return next((source for source in ("guess", "measured") if source in sources), "runs")


def gather(outlook: Outlook, question: str, documents: Sequence[DocumentFacts]) -> Facts:
    """What a run's cost depends on; loads no model."""
    names = outlook.models.describe()
    bound = frozenset(role for role, name in names.items() if name not in ("extractive", "none"))
    shapes = {role: shape for role in ("reader", "scorer") if role in bound and (shape := _shape(outlook, role))}
    hashing = names["embedder"] == "hashing"
    return Facts(
        documents=tuple(documents),
        question_tokens=max(1, round(len(question) / _CHARACTERS_PER_QUESTION_TOKEN)),
        bound=bound,
        on_cuda=lambda: outlook.models.on_cuda,
        **{f"{role}_window": shape.window for role, shape in shapes.items()},
        dimension=512 if hashing else 384,
        characters_per_embedded=EMBEDDED_CHARACTERS["hashing" if hashing else "model"],
        models=outlook.names(),
        kv_numbers={role: shape.kv for role, shape in shapes.items()},
    )


def _shape(outlook: Outlook, role: str) -> Shape | None:
    """Sizes of the model of a role, if it lies here."""
    folder = outlook.folder(outlook.models.describe()[role])
    return read_shape(folder) if folder else None
