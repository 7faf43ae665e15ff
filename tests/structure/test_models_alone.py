"""rereader.models works on a bare machine: from src alone, without LangGraph, faiss, typer and the root folders."""

import subprocess
import sys
from pathlib import Path

import pytest

BLOCKER = """
import importlib, importlib.abc, sys

BLOCKED = {"langgraph", "langchain_core", "typer", "faiss", "agents", "graphs", "tools", "prompts", "memory"}
BLOCKED |= {f"rereader.{name}" for name in ("agents", "graphs", "tools", "prompts", "memory", "runs", "cli")}

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in BLOCKED):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""

IMPORT = "importlib.import_module({name!r})"
SPEAK = """
from rereader.models.base import Sampling, Segment
from rereader.models.scripted import ScriptedModel

model = ScriptedModel(["Anna did."])
(reply,) = model.generate([(Segment("user", "Who wrote the letter?"),)], Sampling(max_new_tokens=8))
assert reply.text == "Anna did." and reply.prompt_tokens > 0
"""


def run_alone(root: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` behind the blocker, in an empty folder, with src as the only path of ours."""
    return subprocess.run(
        [sys.executable, "-c", BLOCKER + code],
        cwd=folder,
        env={"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize(
    "name",
    [f"rereader.models{part}" for part in ("", ".base", ".scripted", ".catalogue", ".local", ".endpoint")],
)
def test_imports_alone(root: Path, tmp_path: Path, name: str) -> None:
    done = run_alone(root, tmp_path, IMPORT.format(name=name))
    assert done.returncode == 0, done.stderr


def test_a_model_replies_alone(root: Path, tmp_path: Path) -> None:
    done = run_alone(root, tmp_path, SPEAK)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks(root: Path, tmp_path: Path) -> None:
    done = run_alone(root, tmp_path, IMPORT.format(name="rereader.memory"))
    assert done.returncode != 0
    assert "rereader.memory is blocked" in done.stderr
