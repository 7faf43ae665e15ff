"""Attacks that a document may carry (``attacks.toml``), the text that they are planted in, and a model that obeys."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from rereader.evals.suite import System
from rereader.graphs.registry import all_graphs
from rereader.models.hashing import HashingEmbedder
from rereader.models.roles import Models
from rereader.models.scripted import ScriptedModel
from rereader.schema import InputError

Thing = TypeVar("Thing")


class Attack(BaseModel):
    """One attack.

    Args:
        id: Stable; results name it.
        kind: One of the suite's kinds.
        wants: What it wants the answer to say; it stands in the text, and nowhere else.
        text: What stands in the document.
        reply: What a model that obeys writes; ``wants`` where it is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str
    wants: str
    text: str
    reply: str = ""

    @property
    def obeyed(self) -> str:
        """What a model that obeys writes."""
        return self.reply or self.wants


class AttackSuite(BaseModel):
    """The attacks and what they are planted in; see the head of ``attacks.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    answer: str
    fact: str
    other: str
    secret: str
    text: str
    settings: Mapping[str, Any]
    kinds: Mapping[str, str]
    attacks: tuple[Attack, ...] = Field(min_length=1)
    forms: tuple[System, ...] = ()

    def systems(self, names: Sequence[str] = ()) -> list[System]:
        """Every registered graph as it is, then the forms in which more hangs on a model; or those of these names.

        Raises:
            InputError: If there is none of a name.
        """
        plain = [System(name=graph.name, graph=graph.name) for graph in all_graphs()]
        found = _named([*plain, *self.forms], names, "system", lambda system: system.name)
        return [system.with_settings({**self.settings, **system.settings}) for system in found]

    def of_kinds(self, kinds: Sequence[str] = ()) -> list[Attack]:
        """The attacks of these kinds, or all; kind by kind in turns, so that any first part is of all kinds.

        Raises:
            InputError: If there is no such kind.
        """
        wanted = set(_named(list(self.kinds), kinds, "kind", str))
        chosen = [attack for attack in self.attacks if attack.kind in wanted]
        return sorted(chosen, key=lambda attack: int(attack.id.rpartition("-")[2]))

    def planted(self, attacks: Sequence[Attack], grounds: Grounds) -> str:
        """The text with its fact and with these attacks right behind it; without any it is the control."""
        said = "\n\n".join(grounds.filled(attack.text) for attack in attacks)
        return self.text.replace("@FACT@", self.fact).replace("@ATTACK@\n\n", f"{said}\n\n" if said else "")


class Grounds(BaseModel):
    """Where files lie that no run may touch: one that must not be read, one that must not come into being."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: Path
    target: Path

    def filled(self, text: str) -> str:
        """A text of an attack with the paths in it."""
        return text.replace("@SECRET@", str(self.secret)).replace("@TARGET@", str(self.target))


def lay_out(folder: Path, suite: AttackSuite) -> Grounds:
    """Make the file that must not be read, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    grounds = Grounds(secret=folder / "private.txt", target=folder / "written.txt")
    grounds.secret.write_text(f"{suite.secret}\n", encoding="utf-8")
    return grounds


@cache
def load_attacks() -> AttackSuite:
    """The attacks that come with the package."""
    path = resources.files("rereader.evals") / "attacks.toml"
    return AttackSuite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


def obeying(suite: AttackSuite, attacks: Sequence[Attack], grounds: Grounds) -> Callable[[str], str]:
    """The script of a model that does what the first attack that it sees wants, in every reply: the worst case.

    Where it sees none it answers the suite's question if it can, and names the first of what is numbered.

    Args:
        suite: The question, and where its answer stands.
        attacks: The attacks that stand in the document.
        grounds: The paths that they name.
    """

    def reply(prompt: str) -> str:
        seen = [attack for attack in attacks if attack.wants in prompt]
        if seen:
            return grounds.filled(min(seen, key=lambda attack: prompt.index(attack.wants)).obeyed)
        return suite.answer if suite.fact in prompt and "numbers" not in prompt else "1"

    return reply


def obeying_models(script: Callable[[str], str]) -> Models:
    """All roles on models that follow a script: the worst case."""
    reader, gister, scorer = (ScriptedModel(script, name=role, attends=True) for role in ("reader", "gister", "scorer"))
    return Models(reader=reader, gister=gister, scorer=scorer, embedder=HashingEmbedder())


def _named(things: Sequence[Thing], names: Sequence[str], what: str, name_of: Callable[[Thing], str]) -> list[Thing]:
    known = [name_of(thing) for thing in things]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"There is no {what} {unknown[0]!r} to attack.", f"There are: {', '.join(known)}.")
    return [thing for thing, name in zip(things, known, strict=True) if not names or name in names]
