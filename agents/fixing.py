"""What cannot change any more in the middle of a run: said beside the settings and the nodes that make it so.

A fork may change settings and models, but not those that a step which it takes over has worked by. A setting says in
its annotation which nodes do once what it says; a node says with which roles' models it makes what only they can go on
with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class FixedBy:
    """Marks a setting, in its annotation, with the nodes that do once what it says.

    Before the first of them has run it may change. ``None`` stands for any node, and is what holds for a setting that
    says nothing.
    """

    nodes: tuple[str, ...] | None


FIRST_STEP = FixedBy(None)
"""The setting decides what steps there are, or what all of them work on."""
EVERY_STEP = FixedBy(())
"""Every step takes the setting as it is then, so it may change at any time."""


def fixed_by(*nodes: str) -> FixedBy:
    """Mark a setting with the nodes that fix it.

    ``ratio: Annotated[float, fixed_by("compress")] = 4.0`` may change until the node ``compress`` has run.
    """
    return FixedBy(nodes)


def declared(settings: type) -> Mapping[str, FixedBy]:
    """Which nodes fix each setting of a dataclass, as far as its annotations say."""
    hints = get_type_hints(settings, include_extras=True)
    marks = {name: _marks(hint) for name, hint in hints.items()}
    return {name: found[-1] for name, found in marks.items() if found}


def _marks(hint: Any) -> list[FixedBy]:
    more = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return [mark for mark in more if isinstance(mark, FixedBy)]


def made_with(*roles: str) -> Callable[[Made], Made]:
    """Declare that a node's work counts in the tokens of these roles' models, or is kept under their names."""

    def declare(work: Made) -> Made:
        work.__dict__["made_with"] = roles
        return work

    return declare


def roles_of(work: Any) -> tuple[str, ...]:
    """The roles whose models a node, or what it is made of, has said that its work depends on."""
    found: tuple[str, ...] = getattr(getattr(work, "func", work), "made_with", ())
    return found
