"""What the shell offers when the user presses Tab: ids, names and titles, found without loading anything heavy."""

from __future__ import annotations

import pkgutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing

import typer

import rereader.graphs
from rereader.config import NOT_GRAPHS, load_config
from rereader.schema import RereaderError

Offer = tuple[str, str]
"""A value and what it means."""
_MOST = 100
_NOT_GRAPHS = frozenset({"registry", "routing"})


def run_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Ids of runs, newest first, each with its question."""
    return _rows(
        ctx, "SELECT id, question FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY created_at DESC", incomplete
    )


def document_titles(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Titles of documents, each with its id; ids where no title begins so."""
    query = "SELECT {0}, {1} FROM documents WHERE substr({0}, 1, length(?1)) = ?1 ORDER BY added_at"
    short = "substr(id, 1, 12)"
    return _rows(ctx, query.format("title", short), incomplete) or _rows(ctx, query.format(short, "title"), incomplete)


def graph_names(incomplete: str) -> list[str]:
    """Names of reading graphs: those of their files, since importing them takes a second."""
    modules = [module.name for module in pkgutil.iter_modules(rereader.graphs.__path__)]
    names = [name for name in modules if name not in _NOT_GRAPHS] + _own_graphs()
    return _beginning((name.replace("_", "-") for name in names), incomplete)


def _own_graphs() -> list[str]:
    try:
        files = [path.stem for path in load_config().graphs_dir.glob("*.py")]
    except RereaderError:
        return []
    return sorted(name for name in files if not name.startswith(NOT_GRAPHS))


def model_names(incomplete: str) -> list[str]:
    """Names and aliases of the catalogue."""
    from rereader.models.catalogue import load_catalogue

    return _beginning((name for entry in load_catalogue().entry for name in (entry.name, entry.alias)), incomplete)


def reader_names(incomplete: str) -> list[str]:
    """Models that are here and can be the reader."""
    from rereader.models.roles import EXTRACTIVE

    return _beginning([*_here("generate"), EXTRACTIVE], incomplete)


def role_pairs(incomplete: str) -> list[str]:
    """``ROLE=NAME`` for the roles other than the reader, of models that are here."""
    from rereader.models.roles import HASHING, NONE

    pairs = [f"{role}={name}" for role in ("gister", "scorer") for name in [*_here("generate"), NONE]]
    return _beginning([*pairs, *(f"embedder={name}" for name in [*_here("embed"), HASHING])], incomplete)


def _here(kind: str) -> list[str]:
    from rereader.models.installed import installed

    try:
        return [model.name for model in installed(load_config().models_dir) if model.manifest.kind == kind]
    except RereaderError:
        return []  # whoever runs the command is told; whoever presses Tab is offered nothing


def _rows(ctx: typer.Context, query: str, incomplete: str) -> list[Offer]:
    """Rows of the library that the command line names, read without making, locking or migrating it."""
    try:
        path = load_config(workspace=ctx.params.get("workspace")).workspace / "library.db"
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [(value, meaning) for value, meaning in connection.execute(query, (incomplete,)).fetchmany(_MOST)]
    except (RereaderError, sqlite3.Error, OSError):
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
