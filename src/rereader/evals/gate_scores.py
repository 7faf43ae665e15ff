"""The score that each gate gives to the chunks of a text, as ``rereader bench gates`` measures it.

A gate that asks a language model may be given the best recalled chunks only, as in a run: then it stands for what it
makes of them together with the recall, and all other chunks stand after them in the order of the recall.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rereader.agents.gate import combine, gate_named, recall
from rereader.agents.gate_inputs import all_chunks
from rereader.agents.gates import Asked
from rereader.agents.searcher import ChunkKey, bm25_passages, queries_of
from rereader.agents.searcher import asked as as_query
from rereader.evals.intervals import auroc

CHEAP = ("bm25", "similarity", "fused", "trained")
"""Gates that call no language model."""
GATES = (*CHEAP, "choose", "likelihood", "attention", "lora")
Scores = dict[ChunkKey, float]


@dataclass(frozen=True)
class Found:
    """What a gate made of a question.

    Args:
        scores: The score of every chunk that it tells apart from the rest, higher is better.
        recalled: The recall of those that were judged, if not all were.
        judged: What a language model made of them.
    """

    scores: Scores
    recalled: Scores
    judged: Scores

    def among_judged(self, wanted: Collection[ChunkKey]) -> dict[str, float | None]:
        """How well recall and judgement each tell the wanted chunks from the others that were judged.

        Args:
            wanted: The wanted chunks.

        Returns:
            Areas under the ROC curve, chance being 0.5; ``None`` where all that were judged are wanted, or none is.
        """
        return {"auroc_recalled": _area(self.recalled, wanted), "auroc_judged": _area(self.judged, wanted)}


def find_scores(asked: Asked, gate: str, closed: Collection[ChunkKey], judged: int | None) -> Found:
    """The scores of a gate.

    Args:
        asked: The question and what is known; its settings name the gate.
        gate: One of :data:`GATES`.
        closed: Chunks that hold what is known; they are not judged where not all are.
        judged: Most chunks that a language model judges; all of them by default.
    """
    if gate == "bm25":
        return Found(_bm25(asked), {}, {})
    if gate in ("similarity", "fused"):
        return Found(_recall(asked), {}, {})
    judge = gate_named(asked.context.settings.gate).judge
    if gate in CHEAP or judged is None:
        return Found(judge(asked, all_chunks(asked.targets)), {}, {})
    recalled = {key: score for key, score in _recall(asked).items() if key not in closed}
    ranked = sorted(recalled, key=lambda key: (-recalled[key], key))
    candidates, rest = ranked[:judged], ranked[judged:]
    found = judge(asked, candidates)
    # A trained gate decides alone, the others beside the recall: see rereader.agents.gate.
    scores = found if gate == "lora" else combine(recalled, found, candidates, asked.context.settings.gate_weight)
    lowest = min(scores.values(), default=0.0)
    after = {key: lowest - 1.0 + recalled[key] - recalled[rest[0]] for key in rest}
    return Found({**scores, **after}, {key: recalled[key] for key in candidates}, found)


def _recall(asked: Asked) -> Scores:
    context, targets = asked.context, asked.targets
    queries = queries_of(context, targets, asked.question, [(record, 1.0) for record in asked.known])
    return recall(context, targets, queries, [span for record in asked.known for span in record.spans])


def _bm25(asked: Asked) -> Scores:
    best: Scores = {}
    passages = bm25_passages(asked.context, asked.targets, as_query(asked.question, asked.context.settings.beside))
    for target in asked.targets:
        identities = [identity for position, identity in passages if position == target.position]
        for identity, passage in asked.context.library.chunks.passages_by_id(target.chunking, identities).items():
            key = (target.position, passage.chunk)
            best[key] = max(best.get(key, 0.0), passages[target.position, identity])
    return best


def _area(scores: Scores, wanted: Collection[ChunkKey]) -> float | None:
    keys: Sequence[ChunkKey] = list(scores)
    return auroc([scores[key] for key in keys], [key in wanted for key in keys]) if keys else None
