"""What may change in the middle of a run, and what cannot, since steps have worked by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rereader.memory.runs import Step
from rereader.schema import InputError

_TAKEN_ANEW = frozenset(
    {
        *("bm25_weight", "evidence_words", "max_new_tokens", "answer", "decline_below", "null_question", "seed"),
        *("rerank", "rerank_depth", "rerank_weight", "recall", "gate", "gate_weight", "gate_recall", "accept", "waves"),
        *("seeds", "hop_weight", "reasoner", "threshold", "working_tokens", "summary_tokens"),
        *("temperature", "skip_writes", "early_exit", "sub_calls", "depth", "part_tokens", "sub_tokens"),
        *("fallback_parts", "plan"),
    }
)
"""Settings that every step takes as they are then, in every graph that has them."""
_FIXED_BY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gist", "gist_share", "extract"), ("gist",)),
    "memory": ("gist", "index"),
    "trained_gate": ("gate",),
    **dict.fromkeys(("every", "recap_tokens", "fan"), ("tree", "recap")),
    **dict.fromkeys(("deserve", "candidates", "recaps", "short_tokens", "long_tokens", "leaves"), ("recap",)),
    **dict.fromkeys(("compressor", "ratio", "budgets", "precision"), ("compress",)),
    "ahead": ("recall",),
    **dict.fromkeys(("block_tokens", "memory_tokens", "memories"), ("read",)),
    **dict.fromkeys(("pagination", "min_words", "max_words", "rest_words"), ("paginate",)),
    **dict.fromkeys(("gist_by", "gist_tokens"), ("gist",)),
    **dict.fromkeys(("lookup", "pages"), ("lookup",)),
    "turns": ("lookup",),
    "kind": ("sort",),
    **dict.fromkeys(("mode", "code_tokens", "output_characters", "block_seconds", "memory_mb"), ("plan",)),
    "ranker": ("retrieve",),
    **dict.fromkeys(("preset", "rounds", "sentences", "heads", "stand_out", "fill", "keep"), ("attend",)),
    **dict.fromkeys(("context", "window_tokens"), ("read", "attend")),
}
"""Nodes that do once what a setting says; before the first of them it may change."""
_ROLES_FIXED_BY: Mapping[str, tuple[str, ...]] = {
    "reader": ("compress", "read", "recap", "tree", "paginate"),
    "gister": ("gist", "tree", "compress"),
    "scorer": ("attend", "compress"),
    "embedder": ("index",),
}
"""Nodes whose work counts in a model's tokens, or is kept under its name."""


def check_settings(old: Mapping[str, Any], new: Mapping[str, Any], steps: Sequence[Step], *, ours: bool) -> None:
    """Refuse settings that contradict what was made.

    Args:
        old: The parent's settings.
        new: Those of the fork.
        steps: The steps that it takes over.
        ours: Whether the graph is one of this package. A setting of another one may mean anything, whatever it is
            called, and is taken to be fixed by the first step.

    Raises:
        InputError: If one differs that a step has worked by; it names the step to fork at.
    """
    for name in new:
        if name in old and old[name] == new[name]:
            continue
        fixed = _FIXED_BY.get(name, () if name in _TAKEN_ANEW else None) if ours else None
        _check(f"The setting {name}", steps, fixed)


def check_roles(old: Mapping[str, str], new: Mapping[str, str], steps: Sequence[Step]) -> None:
    """Refuse models that cannot go on with what others have made; see :func:`check_settings`.

    Raises:
        InputError: If a role is given another model, and a step has made what only the first one can go on with.
    """
    for role in new:
        if old.get(role) != new[role]:
            _check(f"The {role}", steps, _ROLES_FIXED_BY.get(role, ()))


def _check(what: str, steps: Sequence[Step], nodes: Sequence[str] | None) -> None:
    """Refuse a change if one of the nodes has done its work; ``None`` stands for any node."""
    done = next((step for step in steps if nodes is None or step.node in nodes), None)
    if done is not None:
        msg = f"{what} cannot change after step {done.number} ({done.node}), which has worked by it."
        raise InputError(msg, f"Fork at --step {done.number - 1} or before.")
