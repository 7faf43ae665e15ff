"""Runs and their steps as notebooks show them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from rereader.schema.html import Html, box, facts, folded, styled, table
from rereader.schema.shown import answer_parts, cost, spent
from rereader.schema.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rereader.memory.runs import Call, Run, Step

SHOWN_ELSEWHERE = frozenset({"decisions", "log_odds", "scores", "work"})
"""Parts of a step's detail that are long, or that only the estimator reads."""
_LONG_VALUE = 200


def run_html(run: Run) -> Html:
    """A run: what was asked how, what came of it, what it cost."""
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created_at))
    came_from = f"{run.parent}, after step {run.forked_at}" if run.forked_at is not None else run.parent
    settings = facts({name: json.dumps(value) for name, value in run.settings.items()})
    return box(
        run.question,
        f"run {run.id} · {run.graph} · {run.status.replace('_', ' ')} · {began}",
        *(answer_parts(run.answer) if run.answer else ()),
        styled(run.failure, "warning", "div") if run.failure else "",
        facts({"goes on from": came_from, "models": ", ".join(f"{role} {name}" for role, name in run.models.items())}),
        folded("settings", settings) if run.settings else "",
        styled(cost(run.usage), "faint", "div"),
    )


def step_html(step: Step) -> Html:
    """A step: what its node decided, asked and spent."""
    about = f"{step.seconds:.2f} s · memory v{step.memory_version} · {spent(step.usage)}"
    decisions = step.detail.get("decisions", [])
    gate = {"gate": f"{sum(bool(row[-1]) for row in decisions):,} of {counted(len(decisions), 'chunk')} let in"}
    return box(
        f"step {step.number}: {step.node}",
        about,
        facts(gate) if decisions else "",
        detail_html(step.detail),
        calls_html(step.calls),
    )


def detail_html(detail: Mapping[str, Any]) -> Html:
    """What a node wrote down of its work."""
    kept = {name: value for name, value in detail.items() if name not in SHOWN_ELSEWHERE}
    return facts({name: _short(value) for name, value in kept.items() if value not in ([], {}, None)})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONG_VALUE else f"{text[:_LONG_VALUE]}…"


def calls_html(calls: Sequence[Call]) -> Html:
    """Model calls in a line each."""
    rows = [
        (call.role, call.template, f"{call.prompt_tokens:,} + {call.completion_tokens:,}", _from(call), call.reply)
        for call in calls
    ]
    return table(("role", "prompt", "tokens", "", "reply"), rows, 20) if rows else Html("")


def _from(call: Call) -> str:
    return "from the cache" if call.cached else ""
