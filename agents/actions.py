"""The actions of a restricted recursive run: how a model writes them, and how they are read.

One action is one line, ``name = action(arguments)`` or JSON; it is parsed, never run. What is wrong with a line is
told in a line that the model is shown.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from rereader.models.replies import sound

Type = Literal["text", "count", "variable"]
"""``text``: words; ``count``: a whole number; ``variable``: a variable, one part of it or some."""
MOST_CHARACTERS = 2_000
"""Of a line; the rest is cut off."""
Read = TypeVar("Read")
_NAME = re.compile(r"[A-Za-z]\w{0,30}\Z", re.ASCII)
_CALL = re.compile(r"\s*(?:(?P<name>[A-Za-z]\w*)\s*=\s*)?(?P<kind>[A-Za-z]\w*)\s*\((?P<inside>.*)\)", re.DOTALL)
_LEAD = re.compile(r"^\s*(?:[-*>]\s+|\d+[.)]\s+|(?:next\s+)?action\s*\d*\s*:\s*|`+)+", re.IGNORECASE)
_TEXT_NAMED = re.compile(r"^\s*text\s*=\s*")
_UNFILLED = re.compile(
    r"(?:your|the|my|a|final|short|full|complete)*(?:answer|text|reply|phrase|variable|name|string)(?:text|here|name)*"
)


@dataclass(frozen=True)
class Ref:
    """A variable, its part ``first``, or its parts ``[first, last)``."""

    name: str
    first: int | None = None
    last: int | None = None
    whole: bool = True


Argument = str | int | Ref


@dataclass(frozen=True)
class Kind:
    """An action: its parameters in order with their types, what is taken where one is left out, and what it does."""

    parameters: tuple[tuple[str, Type], ...]
    defaults: Mapping[str, Argument]
    does: str


KINDS: Mapping[str, Kind] = {
    "info": Kind((("name", "variable"),), {"name": Ref("doc")}, "length and beginning of a variable"),
    "peek": Kind((("start", "count"), ("n", "count")), {"start": 0, "n": 300}, "show n characters of doc from start"),
    "search": Kind((("words", "text"), ("k", "count")), {"k": 5}, "find the k places of doc that match words best"),
    "grep": Kind((("pattern", "text"), ("k", "count")), {"k": 5}, "find k matches of a regular expression in doc"),
    "split": Kind((("name", "variable"), ("n", "count")), {"name": Ref("doc"), "n": 0}, "cut a text into n parts"),
    "slice": Kind((("name", "variable"), ("start", "count"), ("end", "count")), {}, "characters or parts start to end"),
    "ask": Kind((("name", "variable"), ("question", "text")), {}, "a helper reads the text or part and replies"),
    "map": Kind((("name", "variable"), ("question", "text")), {}, "a helper reads every part; keeps what it found"),
    "filter": Kind((("name", "variable"), ("words", "text")), {}, "keep the parts or notes that hold one of the words"),
    "count": Kind((("name", "variable"), ("words", "text")), {"words": ""}, "how many parts or notes hold the words"),
    "reduce": Kind((("name", "variable"), ("question", "text")), {}, "a helper replies from all notes together"),
    "answer": Kind((("text", "text"),), {}, "end with this answer, or with a variable"),
}
MAKING = frozenset({"search", "grep", "split", "slice", "ask", "map", "filter", "count", "reduce"})
"""Actions whose result is a variable."""


@dataclass(frozen=True)
class Action:
    """A parsed line; ``name`` is what its result is to be called, if the model said so."""

    kind: str
    arguments: Mapping[str, Argument]
    name: str = ""

    def text(self, parameter: str) -> str:
        """An argument of type ``text``; escapes that a model wrote may stand for halves of characters."""
        return sound(str(self.arguments[parameter]))

    def count(self, parameter: str) -> int:
        """An argument of type ``count``."""
        value = self.arguments[parameter]
        assert isinstance(value, int)
        return value

    @property
    def ref(self) -> Ref:
        """The argument that names a variable."""
        value = self.arguments["name"]
        assert isinstance(value, Ref)
        return value


class ActionError(Exception):
    """A line that is no action, or one that cannot be done; the message is for the model."""


def usage() -> str:
    """The actions as lines for a prompt."""
    return "\n".join(
        f"{name}({', '.join(parameter for parameter, _ in kind.parameters)}): {kind.does}"
        for name, kind in KINDS.items()
    )


def parse_action(reply: str) -> Action:
    """The first line of a reply that looks like an action.

    Raises:
        ActionError: If there is none, or it is not written as it should be.
    """
    lines = [_LEAD.sub("", line).rstrip("` ") for line in reply[:MOST_CHARACTERS].splitlines()]
    lines = [line for line in lines if line.strip() and line.strip() not in ("python", "json", "text")]
    if not lines:
        raise ActionError("nothing was written; write one action such as search(words, 5)")
    line = next((line for line in lines if _looks_right(line)), lines[0])
    if line.lstrip().startswith("{"):
        return _from_json(line)
    return _from_call(line)


def is_unfilled(text: str) -> bool:
    """Whether an answer says nothing, or is the placeholder of the instructions left as it was."""
    words = re.sub(r"[\W_]+", "", text.lower())
    return not words or _UNFILLED.fullmatch(words) is not None


def _looks_right(line: str) -> bool:
    found = _CALL.match(line)
    return line.lstrip().startswith("{") or (found is not None and found["kind"].lower() in KINDS)


def _from_json(line: str) -> Action:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ActionError("this is not JSON on one line") from error
    if not isinstance(given, dict) or not isinstance(given.get("action"), str) or given["action"] not in KINDS:
        raise ActionError(f'write {{"action": NAME, ...}} with one of {", ".join(KINDS)}')
    kind = str(given.pop("action"))
    result = given.pop("result", "")
    inner = given.pop("arguments", {})
    values = {**given, **(inner if isinstance(inner, dict) else {})}
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values.values()):
        raise ActionError("arguments are texts or whole numbers")
    return _made(kind, (), values, result if isinstance(result, str) else "")


def _from_call(line: str) -> Action:
    found = _CALL.match(line)
    if found is None:
        raise ActionError("this is no action; write one such as search(words, 5)")
    kind, name = found["kind"].lower(), found["name"] or ""
    if kind not in KINDS:
        raise ActionError(f"there is no action {kind[:30]}; there are {', '.join(KINDS)}")
    if kind == "answer":
        return Action(kind, {"text": _raw(found["inside"])}, name)
    positional, named = _arguments(kind, found["inside"])
    return _made(kind, positional, named, name)


def _raw(inside: str) -> str:
    """What stands in ``answer(...)``: an answer may hold quotation marks, commas and brackets of its own."""
    text = _TEXT_NAMED.sub("", inside).strip()
    try:
        value = _read(ast.literal_eval, text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = None
    if isinstance(value, str | int | float):
        return str(value)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def _read(parse: Callable[[str], Read], text: str) -> Read:
    """Parse without a word about backslashes that begin no escape sequence; a pattern's stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse(text)


def _arguments(kind: str, inside: str) -> tuple[list[Argument], dict[str, Argument]]:
    try:
        call = _read(partial(ast.parse, mode="eval"), f"f({inside.strip()})").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ActionError(f"the arguments of {kind} cannot be read; put texts in quotation marks") from error
    if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
        raise ActionError(f"the arguments of {kind} cannot be read")
    named = {str(keyword.arg): _argument(keyword.value) for keyword in call.keywords}
    return [_argument(node) for node in call.args], named


def _argument(node: ast.expr) -> Argument:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.Name):
        return Ref(node.id)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if isinstance(node.slice, ast.Slice):
            return Ref(node.value.id, _number(node.slice.lower), _number(node.slice.upper), whole=False)
        first = _number(node.slice)
        return Ref(node.value.id, first, None if first is None else first + 1, whole=False)
    raise ActionError("an argument is a text in quotation marks, a whole number, a variable or a part such as name[3]")


def _number(node: ast.expr | None) -> int | None:
    if node is None:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    raise ActionError("parts are named by whole numbers from 0, such as name[3] or name[2:5]")


def _made(kind: str, positional: Sequence[Argument], named: Mapping[str, Argument], name: str) -> Action:
    wanted = KINDS[kind]
    names = [parameter for parameter, _ in wanted.parameters]
    if len(positional) > len(names) or any(one not in names for one in named):
        raise ActionError(f"{kind} takes {', '.join(names)}")
    given = {**wanted.defaults, **dict(zip(names, positional, strict=False)), **named}
    missing = [one for one in names if one not in given]
    if missing:
        raise ActionError(f"{kind} takes {', '.join(names)}; {missing[0]} is missing")
    if name and (not _NAME.match(name) or name == "doc"):
        raise ActionError(f"{name[:30]} cannot be the name of a variable")
    return Action(kind, {one: _typed(kind, one, type_, given[one]) for one, type_ in wanted.parameters}, name)


def _typed(kind: str, parameter: str, type_: Type, value: Argument) -> Argument:
    if type_ == "variable":
        ref = _ref(value) if isinstance(value, str) else value
        if isinstance(ref, Ref):
            return ref
    if type_ == "count" and isinstance(value, int | str) and str(value).strip().isdecimal() and len(str(value)) < 12:
        return int(value)
    if type_ == "text" and isinstance(value, Ref) and value.whole:
        value = value.name  # a single word without quotation marks
    if type_ == "text" and isinstance(value, str | int):
        if str(value).strip().lower() == parameter:
            raise ActionError(f"write {parameter} of your own instead of the word {parameter}")
        return str(value).strip()
    said = {"variable": "the name of a variable", "count": "a whole number", "text": "a text in quotation marks"}
    raise ActionError(f"{parameter} of {kind} is {said[type_]}")


def _ref(text: str) -> Ref | None:
    try:
        found = _argument(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, ActionError):
        return None
    return found if isinstance(found, Ref) else None
