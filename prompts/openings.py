"""What stands before the compressed text in a prompt: blocks are made after it, and read best after the same."""

from __future__ import annotations

import hashlib
import json

from rereader.models.base import Prompt, Segment
from rereader.prompts.loader import Piece, Template, load
from rereader.schema import InputError

SLOT = "memory"
"""The slot that compressed texts fill."""
OPENING = "kv_opening"
"""What a call that compresses is written down under, in place of a template's name."""
KV_PROMPTS = ("kv_answer", "kv_gate", "kv_rewrite")
"""The prompts that read compressed texts; all of them open alike."""


def opening(template: Template) -> Prompt:
    """What stands before a template's slot ``memory``.

    Raises:
        InputError: If it has no such slot, or another slot stands before it.
    """
    if SLOT not in template.slots:
        raise InputError(f"Prompt {template.name!r} has no slot {SLOT!r}.", "Compare it with prompts/kv_answer.md.")
    segments: list[Segment] = []
    for role, literal, slot in ((role, *part) for role, parts in template.turns for part in parts):
        if literal:
            segments.append(Segment(role, literal))
        if slot == SLOT:
            break
        if slot:
            msg = f"The slot {slot!r} stands before {SLOT!r} in the prompt {template.name!r}."
            raise InputError(msg, "Blocks are made once, so what stands before them must be the same always.")
    return tuple(segments)


def kv_opening() -> Prompt:
    """The opening that all prompts share which read compressed texts."""
    return opening(load(KV_PROMPTS[0]))


def opening_digest() -> str:
    """What identifies the opening: the beginning of a sha256."""
    body = json.dumps([[segment.role, segment.text] for segment in kv_opening()])
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def compressing(text: Piece) -> Prompt:
    """The prompt that a text is compressed with: after the opening, in the user's turn, and not to be trusted."""
    span = (text.span.document_id, text.span.start, text.span.end) if text.span else None
    return (*kv_opening(), Segment("user", text.text, trusted=False, span=span))
