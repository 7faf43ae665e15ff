"""The public names are what they say, and loading them costs nothing that is not needed."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import rereader

FOLDERS = ("agents", "graphs", "tools", "prompts", "memory")  # the editable install keeps them elsewhere


def packages() -> list[str]:
    """Every package of the distribution, itself included."""
    inner = [module.name for module in pkgutil.iter_modules(rereader.__path__) if module.ispkg]
    return ["rereader", *(f"rereader.{name}" for name in sorted([*inner, *FOLDERS]))]


@pytest.mark.parametrize("name", packages())
def test_exported_names_are_sorted_and_exist(name: str) -> None:
    package = importlib.import_module(name)
    exported = getattr(package, "__all__", [])
    assert list(exported) == sorted(set(exported))
    assert [one for one in exported if not hasattr(package, one)] == []


def test_the_front_door() -> None:
    assert rereader.__all__ == ["Answer", "Budget", "Library", "RereaderError", "ask"]
    assert set(rereader.__all__) <= set(dir(rereader))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = rereader.no_such_name


@pytest.mark.parametrize("name", ["rereader", "rereader.schema", "rereader.models", "rereader.cli.main"])
def test_loading_a_name_loads_no_heavy_library(name: str) -> None:
    heavy = {"torch", "transformers", "sentence_transformers", "matplotlib"}
    code = f"import sys, {name}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == []


def test_version_is_the_installed_one() -> None:
    assert rereader.__version__ == importlib.import_module("importlib.metadata").version("rereader")
