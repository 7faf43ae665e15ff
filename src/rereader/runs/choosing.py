"""Which model fills which role: what was named, else the configuration, else the best that is pulled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

from rereader.config import Config
from rereader.memory.runs import Run
from rereader.models.roles import RoleNames, default_names
from rereader.schema import InputError

ROLES = tuple(field.name for field in fields(RoleNames))


def choose_names(config: Config, named: Mapping[str, str] | None = None) -> tuple[RoleNames, list[str]]:
    """Models by role, and what to tell the user of models that had to stand in for others.

    Raises:
        InputError: If a role does not exist.
    """
    wanted = dict(config.roles)
    if config.model:
        wanted["reader"] = config.model
    wanted |= named or {}
    _check_roles(wanted)
    best, warnings = default_names(config.models_dir)
    names = RoleNames(**{role: wanted.get(role, getattr(best, role)) for role in ROLES})
    return names, [text for text in warnings if not text.startswith(tuple(f"The {role} " for role in wanted))]


def fork_names(parent: Run, named: Mapping[str, str]) -> RoleNames:
    """The models of a run with those that a fork of it names anew.

    Raises:
        InputError: If a role does not exist.
    """
    return renamed(RoleNames(**parent.models), named)


def renamed(names: RoleNames, named: Mapping[str, str]) -> RoleNames:
    """Models by role with those that are named anew.

    Raises:
        InputError: If a role does not exist.
    """
    _check_roles(named)
    return replace(names, **named)


def _check_roles(named: Mapping[str, str]) -> None:
    for role in named:
        if role not in ROLES:
            raise InputError(f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
