"""Heads with made-up weights, and cases with made-up features, for tests of the trained gate."""

from dataclasses import replace

import numpy as np

from rereader.models.calibration import Calibration
from rereader.models.gatefeatures import FEATURES
from rereader.models.gatehead import PROBES, GateHead
from rereader.models.hashing import HashingEmbedder
from rereader.schema import Record, RecordKind
from rereader.training.gate_cases import Case

CALIBRATION = Calibration(slope=1.0, offset=0.0, thresholds={"0.90": 0.5, "0.95": 0.0, "0.98": -1.0}, margin=1.0)


def random_head(seed=0, networks=3, hidden=4, calibration=CALIBRATION):
    rng = np.random.default_rng(seed)
    count = len(FEATURES)
    shapes = [(networks, count, hidden), (networks, hidden), (networks, hidden), (networks,)]
    weights = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    mean, scale = rng.normal(size=count).astype(np.float32), rng.uniform(0.5, 2.0, count).astype(np.float32)
    probes = HashingEmbedder().embed(list(PROBES))
    return GateHead(mean, scale, *weights, probes, calibration, {"embedder": "hashing"})


def coverage_head(threshold, margin=0.5, scale=20.0):
    """A head that goes by the coverage of the question's words alone: log-odds ``scale * (coverage - threshold)``."""
    count = len(FEATURES)
    inner = np.zeros((1, count, 2), dtype=np.float32)
    inner[0, FEATURES.index("coverage by the chunk")] = [1.0, -1.0]
    return GateHead(
        mean=np.zeros(count, dtype=np.float32),
        scale=np.ones(count, dtype=np.float32),
        inner=inner,
        inner_bias=np.array([[-threshold, threshold]], dtype=np.float32),
        outer=np.array([[scale, -scale]], dtype=np.float32),
        outer_bias=np.zeros(1, dtype=np.float32),
        probes=HashingEmbedder().embed(list(PROBES)),
        calibration=Calibration(
            slope=1.0, offset=0.0, thresholds={"0.90": 0.1, "0.95": 0.0, "0.98": -0.1}, margin=margin
        ),
        about={"embedder": "hashing"},
    )


def made_up_cases(count=60, memories=20, seed=0):
    """Cases that two of the features tell apart, not quite without a doubt; every other question has two.

    In its second case one of the wanted memories is known, and what is wanted still moved a little.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        labels = np.zeros(memories, dtype=np.bool_)
        labels[rng.choice(memories, 2, replace=False)] = True
        features = rng.normal(size=(memories, len(FEATURES))).astype(np.float32)
        features[:, 0] += 1.5 * labels
        features[:, 7] += 1.5 * labels
        texts = tuple(f"{'wanted' if label else 'other'} memory {place}" for place, label in enumerate(labels))
        weights = np.ones(memories, dtype=np.float32)
        case = Case(f"q{number}", "Which memory is wanted?", (), texts, features, labels, weights, 0)
        cases += [case] if number % 2 else [case, _once_one_is_known(case, rng)]
    return cases


def _once_one_is_known(case, rng):
    known = int(np.flatnonzero(case.labels)[0])
    kept = np.arange(len(case.labels)) != known
    note = Record.create(run_id="run", kind=RecordKind.QUOTE, content=case.memories[known], agent="test")
    moved = case.features + rng.normal(0, 0.2, case.features.shape).astype(np.float32)
    texts = tuple(text for place, text in enumerate(case.memories) if place != known)
    return replace(
        case,
        known=(note,),
        memories=texts,
        features=moved[kept],
        labels=case.labels[kept],
        weights=case.weights[kept],
        hops=1,
    )
