"""What a graph's settings are: read from its settings dataclasses and what their docstrings say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from rereader.graphs.registry import ReadingGraph

_ARGS = re.compile(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): ((?:.*\n?)(?:^ {8}.*\n?|^\n)*)", re.MULTILINE)
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Args:
        name: Its name.
        default: What it is if nobody says.
        values: What it may be, for people.
        meaning: What it does.
        kind: ``choice``, or the type of its values: ``bool``, ``int``, ``float``, ``str``.
        choices: Its values, if they are counted.
    """

    name: str
    default: Any
    values: str
    meaning: str
    kind: str
    choices: tuple[str, ...] = ()


def settings_of(graph: ReadingGraph) -> list[Setting]:
    """A graph's settings, its own first, then those that it shares with others."""
    meanings: dict[str, str] = {}
    for kind in graph.settings_type.__mro__:
        for name, meaning in _told(kind).items():
            meanings.setdefault(name, meaning)
    hints = get_type_hints(graph.settings_type, include_extras=True)
    found = {
        field.name: _setting(field.name, field.default, hints[field.name], meanings.get(field.name, ""))
        for field in fields(graph.settings_type)
    }
    own = [name for name in _told(graph.settings_type) if name in found]
    return [found[name] for name in dict.fromkeys([*own, *found])]


def _setting(name: str, default: Any, hint: Any, meaning: str) -> Setting:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(bare) is Literal:
        return Setting(name, default, _values(hint), meaning, "choice", tuple(map(str, get_args(bare))))
    return Setting(name, default, _values(hint), meaning, getattr(bare, "__name__", str(bare)))


def _told(kind: type) -> dict[str, str]:
    """What a class's own docstring says of its arguments."""
    args = _ARGS.search(inspect.cleandoc(kind.__doc__ or "") + "\n")
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(args[1])} if args else {}


def _values(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        kind, *more = get_args(hint)
        return " ".join([_values(kind), *_bounds(more)])
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    return "true | false" if hint is bool else getattr(hint, "__name__", str(hint))


def _bounds(annotations: Iterable[Any]) -> Iterator[str]:
    """``>= 1`` and the like, of what pydantic checks."""
    for annotation in annotations:
        for bound in getattr(annotation, "metadata", [annotation]):
            for name, sign in _SIGNS.items():
                if (value := getattr(bound, name, None)) is not None:
                    yield f"{sign} {value:g}"
