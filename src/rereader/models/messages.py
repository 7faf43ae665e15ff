"""Segments to chat messages: text from documents cannot open a turn of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rereader.models.base import ChatRole, Prompt, Segment
from rereader.models.recalled import no_memory
from rereader.models.rendering import NEUTRAL_SYSTEM
from rereader.schema.errors import InputError

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

Turn = tuple[ChatRole, str]

_MARKERS = (
    r"<\|(?:[^|<>\n]{0,64}\|>)?",  # ChatML, Llama 3 and 4, Phi, Granite, Command, gpt-oss, GLM, Gemma 4
    "<\uff5c(?:[^\uff5c<>\n]{0,64}\uff5c>)?",  # DeepSeek writes full-width bars
    r"\[\|(?:[^|\[\]\n]{0,64}\|\])?",  # EXAONE
    r"</?s>",
    r"<</?SYS>>",
    r"\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK|IMG)\]",
    r"\[(?:BOS|EOS|PAD|UNK|CLS|SEP|gMASK|sMASK)\]",
    r"</?(?:bos|eos|pad|unk|mask|sop|eop|think|tools|tool_call|tool_response|tool_code)>",
    r"<(?:start|end)_of_(?:turn|image|audio|utterance)>",
    r"<(?:unused|extra_id_|reserved_token_)\d+>",
    r"<[A-Z][A-Z_]*_TOKEN>",
    r"<(?:fim_\w+|repo_?name|file_sep|filename|gh_stars|empty_output|(?:issue|jupyter|commit)_\w+)>",
)
_CONTROL = re.compile("|".join(f"(?:{marker})" for marker in _MARKERS))
_PLACE = re.compile(f"(?={_CONTROL.pattern})")


def turns(prompt: Prompt) -> list[Turn]:
    """The turns of a prompt: neighbouring segments of one role joined, control tokens of untrusted text defused.

    A server may read ``<|im_end|>`` and its like inside a message as the token itself. So every such marker that is not
    wholly a prompt's own gets a space after its first character (``< |im_end|>``), also where two segments would form
    one together. The model sees that space; quotes are cut from the source and do not.

    A prompt without a system turn gets the neutral one that local models get, since some templates put in another.

    Raises:
        InputError: If the prompt has no segments, or compressed texts.
    """
    if not prompt:
        raise InputError("A prompt must have at least one segment.")
    if any(segment.memory for segment in prompt):
        raise no_memory("A model on a server")
    made: list[Turn] = [(role, defuse(list(group))) for role, group in groupby(prompt, key=lambda part: part.role)]
    return made if made[0][0] == "system" else [("system", NEUTRAL_SYSTEM), *made]


def defuse(segments: Sequence[Segment]) -> str:
    """The joined text of segments with a space inside each control token that untrusted text has a part in."""
    text = "".join(segment.text for segment in segments)
    trusted = _trusted_ranges(segments)
    pieces, done = [], 0
    for place in _PLACE.finditer(text):
        start = place.start()
        found = _CONTROL.match(text, start)
        if found and not any(first <= start and found.end() <= last for first, last in trusted):
            pieces += [text[done : start + 1], " "]
            done = start + 1
    return "".join([*pieces, text[done:]])


def without_system(made: Sequence[Turn]) -> list[Turn]:
    """The same turns for a template that knows no system turn: its text opens the first user turn."""
    (_, system), *rest = made
    if rest and rest[0][0] == "user":
        return [("user", f"{system}\n\n{rest[0][1]}"), *rest[1:]]
    return [("user", system), *rest]


def to_messages(made: Sequence[Turn]) -> list[BaseMessage]:
    """LangChain's messages of turns."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[role](content=text) for role, text in made]


def _trusted_ranges(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    ranges, start = [], 0
    for segment in segments:
        end = start + len(segment.text)
        if segment.trusted:
            ranges.append((start, end))
        start = end
    return ranges
