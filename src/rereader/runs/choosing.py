"""Which model fills which role: what was named, else the configuration, else the best that is pulled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from rereader.config import Config
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
    for role in wanted:
        if role not in ROLES:
            raise InputError(f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
    best, warnings = default_names(config.models_dir)
    names = RoleNames(**{role: wanted.get(role, getattr(best, role)) for role in ROLES})
    return names, [text for text in warnings if not text.startswith(tuple(f"The {role} " for role in wanted))]
