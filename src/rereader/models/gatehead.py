"""The head of the trained gate: small networks over the features, and the file that they are kept in.

The forward pass is numpy. One file holds weights, calibration and where they come from, with a checksum over all of it,
and vectors of a few fixed texts tell whether the bound embedder is the one that the head was trained with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from rereader.models.base import Float32Array
from rereader.models.calibration import Calibration
from rereader.models.files import writing
from rereader.models.gatefeatures import FEATURES
from rereader.schema.errors import InputError, MissingExtra, ModelError

VERSION = 2
PROBES = ("The bridge was built in 1897.", "Who wrote the letter?", "A bird sings in the garden.")
"""Texts whose vectors are stored, to know the embedder by: its fingerprint differs between machines, these do not."""
CLIP = 8.0
"""Standardised features are cut off here: what training has never seen must not decide by its size."""
_SAME = 0.999
_HINT = "Train one with 'rereader train gate', name its file with trained_gate, or choose another gate."
_TENSORS = ("mean", "scale", "inner", "inner_bias", "outer", "outer_bias", "probes")


@dataclass(frozen=True)
class GateHead:
    """Networks with one hidden layer each, whose mean is the raw score.

    Args:
        mean: Subtracted from the features: float32 [features].
        scale: What they are divided by then: float32 [features].
        inner: float32 [networks, features, hidden].
        inner_bias: float32 [networks, hidden].
        outer: float32 [networks, hidden].
        outer_bias: float32 [networks].
        probes: The embedder's vectors of :data:`PROBES`: float32 [probes, d].
        calibration: What the raw scores mean.
        about: Where it comes from: embedder, data, split, metrics, commit, seed, versions.
    """

    mean: Float32Array
    scale: Float32Array
    inner: Float32Array
    inner_bias: Float32Array
    outer: Float32Array
    outer_bias: Float32Array
    probes: Float32Array
    calibration: Calibration
    about: Mapping[str, Any] = field(default_factory=dict)

    def raw(self, features: Float32Array) -> Float32Array:
        """The score of each row before calibration: float32 [n]."""
        rows = np.clip((features - self.mean) / self.scale, -CLIP, CLIP)
        hidden = np.maximum(np.einsum("nf,kfh->knh", rows, self.inner) + self.inner_bias[:, None], 0.0)
        scores = np.einsum("knh,kh->kn", hidden, self.outer) + self.outer_bias[:, None]
        return np.asarray(scores.mean(axis=0), dtype=np.float32)

    def check(self, embedder: str, vectors: Float32Array) -> None:
        """Refuse an embedder that the head was not trained with.

        Args:
            embedder: Its name, to be shown.
            vectors: Its vectors of :data:`PROBES`: float32 [probes, d].

        Raises:
            InputError: If they are not those that are stored.
        """
        same = vectors.shape == self.probes.shape and bool(((vectors * self.probes).sum(axis=1) > _SAME).all())
        if not same:
            made_with = self.about.get("embedder", "another embedder")
            raise InputError(f"The trained gate was made with {made_with}; {embedder} gives other vectors.", _HINT)

    def write(self, path: Path) -> None:
        """Store it; all or nothing.

        Raises:
            MissingExtra: If safetensors is not installed.
            OSError: If the file cannot be written.
        """
        tensors = {name: np.ascontiguousarray(getattr(self, name), dtype=np.float32) for name in _TENSORS}
        facts = {
            "version": VERSION,
            "features": list(FEATURES),
            "calibration": self.calibration.model_dump(),
            "about": dict(self.about),
        }
        metadata = {"gate": json.dumps({**facts, "sha256": _checksum(tensors, facts)})}
        with writing(path) as beside:
            _safetensors().save_file(tensors, str(beside), metadata=metadata)


def read_head(path: Path) -> GateHead:
    """A head from its file.

    Raises:
        InputError: If there is no such file, or it was made for another version.
        MissingExtra: If safetensors is not installed.
        ModelError: If it is damaged or no gate.
    """
    if not path.is_file():
        raise InputError(f"There is no trained gate {path}.", "Make one with: rereader train gate --out FILE")
    tensors, facts = _read(path)
    if facts.get("version") != VERSION or facts.get("features") != list(FEATURES):
        msg = f"The trained gate {path.name} was made for another version of Rereader."
        raise InputError(msg, "Train it again with: rereader train gate")
    try:
        if facts.pop("sha256") != _checksum(tensors, facts):
            raise _damaged(path)
        found = {name: tensors[name] for name in _TENSORS}
        return GateHead(**found, calibration=Calibration.model_validate(facts["calibration"]), about=facts["about"])
    except (KeyError, TypeError, ValidationError) as error:
        raise _damaged(path) from error


def shipped_head(embedder: str) -> Path:
    """The head that comes with the package for an embedder.

    Raises:
        InputError: If none does.
    """
    folder = resources.files("rereader.models") / "gates"
    path = Path(str(folder / f"{embedder}.safetensors"))
    if not embedder.replace("-", "").replace(".", "").isalnum() or not path.is_file():
        raise InputError(f"No trained gate comes with the package for the embedder {embedder}.", _HINT)
    return path


def _read(path: Path) -> tuple[dict[str, Float32Array], dict[str, Any]]:
    from_numpy = _safetensors()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["gate"])
        tensors: dict[str, Float32Array] = from_numpy.load_file(str(path))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(facts, dict):
        raise _damaged(path)
    return tensors, facts


def _safetensors() -> Any:
    try:
        from safetensors import numpy
    except ImportError as error:
        raise MissingExtra("The trained gate", "local") from error
    return numpy


def _checksum(tensors: Mapping[str, Float32Array], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}\n".encode() + tensors[name].tobytes())
    return digest.hexdigest()


def _damaged(path: Path) -> ModelError:
    return ModelError(f"The trained gate {path.name} is damaged, or no gate.", "Train it again, or install again.")
