"""Imports point downward only, also those inside functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LEVELS = (
    {"__main__"},
    {"cli"},
    {"testing"},
    {"server", "training"},
    {"evals"},
    {"runs"},
    {"graphs"},
    {"agents"},
    {"tools", "prompts"},
    {"memory"},
    {"models"},
    {"config"},
    {"schema"},
)
LEVEL = {package: height for height, packages in enumerate(reversed(LEVELS)) for package in packages}
FOLDERS = ("agents", "graphs", "tools", "prompts", "memory")
ABOVE_LANGGRAPH = {"tools", "prompts", "memory", "models", "config", "schema"}
ROOT = Path(__file__).resolve().parents[2]


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the distribution as (dotted name, file)."""
    homes = {f"rereader.{name}": ROOT / name for name in FOLDERS} | {"rereader": ROOT / "src" / "rereader"}
    for package, folder in homes.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def called_imports(node: ast.Call) -> Iterator[str]:
    """Module names handed to import_module or __import__ as a literal, or the literal start of an f-string."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in {"import_module", "__import__"} or not node.args:
        return
    argument = node.args[0]
    if isinstance(argument, ast.JoinedStr) and argument.values:
        argument = argument.values[0]
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value.rstrip(".")


def imports(source: str) -> Iterator[str]:
    """Every module that the source imports, at its top, in functions, under TYPE_CHECKING, or by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from called_imports(node)


def faults(module: str, source: str) -> list[str]:
    """What is wrong with the imports of one module."""
    found = []
    own = module.partition(".")[2].partition(".")[0]
    for target in imports(source):
        top, _, rest = target.partition(".")
        other = rest.split(".")[0]
        if top == "" or top in FOLDERS:
            found.append(f"{module} imports {target}: write rereader...")
        elif top == "rereader" and own and other != "__version__":
            found += upward(module, own, target, other)
        elif top == "langgraph" and own in ABOVE_LANGGRAPH:
            found.append(f"{module} imports {target}: LangGraph starts at agents")
        elif top == "typer" and not any(part == "cli" or part.endswith("_cli") for part in module.split(".")):
            found.append(f"{module} imports {target}: only command lines know typer")
    return found


def upward(module: str, own: str, target: str, other: str) -> list[str]:
    """The fault of an import inside the distribution, if it has one."""
    if own not in LEVEL:
        return [f"{module}: give {own} a place in LEVELS"]
    if other not in LEVEL:
        return [f"{module} imports {target}: name the module that holds it"]
    if other == own or LEVEL[other] < LEVEL[own]:
        return []
    return [f"{module} imports {target}: {own} stands below or beside {other}"]


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_the_arrows_that_are_told_are_these(name: str) -> None:
    arrows = " -> ".join(" | ".join(sorted(packages)) for packages in LEVELS[1:])
    assert f"    {arrows}\n" in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("module", "path"), [pytest.param(*found, id=found[0]) for found in modules()])
def test_imports_point_downward(module: str, path: Path) -> None:
    assert faults(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rereader.memory.store", "from rereader.tools.search import find"),
        ("rereader.memory.store", "def f():\n    import rereader.graphs"),
        ("rereader.models.local", "from rereader import memory"),
        ("rereader.models.local", "from rereader import ask"),
        ("rereader.tools.search", "from rereader.prompts import load"),
        ("rereader.prompts", "from rereader.tools import search"),
        ("rereader.evals.score", "from rereader.cli.main import application"),
        ("rereader.runs.api", "import importlib\nimportlib.import_module('rereader.cli')"),
        ("rereader.agents.gate", "from importlib import import_module\nimport_module(f'rereader.graphs.{1}')"),
        ("rereader.agents.gate", "from agents.base import Agent"),
        ("rereader.agents.gate", "from . import base"),
        ("rereader.agents.gate", "from ..graphs import base"),
        ("rereader.memory.store", "from langgraph.graph import StateGraph"),
        ("rereader.runs.api", "import typer"),
        ("rereader.runs.api", "if TYPE_CHECKING:\n    from rereader.cli.main import application"),
        ("rereader.unknown.thing", "from rereader.schema import Span"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("rereader.tools.search", "from rereader.memory.store import find\nfrom rereader.tools.quote import q"),
        ("rereader.cli.main", "from rereader import __version__\nimport typer\nimport rereader.evals.bench"),
        ("rereader", "from rereader.runs.api import ask"),
        ("rereader.graphs.registry", "from importlib import import_module\nimport_module(f'rereader.graphs.{1}')"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert faults(module, source) == []
