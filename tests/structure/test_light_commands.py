"""Looking at what lies in a workspace loads no model, no index, no graph and no server: it answers at once."""

import subprocess
import sys

import pytest
from long_runs import RUN, write_long_run

from rereader.memory.library import Library

HEAVY = {
    *("torch", "transformers", "sentence_transformers", "safetensors", "tokenizers", "faiss", "numpy", "psutil"),
    *("langgraph", "langchain_core", "fastapi", "starlette", "uvicorn", "mcp", "httpx", "matplotlib"),
    *("rich.markdown", "rich.syntax", "rich.traceback", "asyncio"),
}
"""What may be loaded by none of these commands, whatever they print."""
LOADED = """
import sys
from rereader.cli.main import run
code = run({arguments!r})
print(code, *sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("light")
    with Library(folder) as library:
        write_long_run(library, steps=3)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["show", RUN],
        ["diff", RUN, "1", "3"],
        ["blame", RUN, "--fact", "abcdefghi"],
        ["runs", "list"],
        ["runs", "tree"],
        ["documents"],
    ],
    ids=" ".join,
)
def test_looking_loads_nothing_heavy(workspace, command):
    loaded = LOADED.format(arguments=[*command, "--workspace", str(workspace)], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout
    assert done.stderr.split() == ["0"]


def test_a_step_of_a_run_that_ended_needs_no_lock_and_no_other_command(workspace):
    with Library(workspace) as library:
        library.runs.update(RUN, status="answered")
    arguments = ["show", RUN, "--step", "2", "--workspace", str(workspace)]
    needless = HEAVY | {"filelock", "rich.progress", "rereader.memory.vectors", "rereader.cli.ask"}
    loaded = LOADED.format(arguments=arguments, heavy=needless)
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=100)
    assert done.stderr.split() == ["0"]


def test_the_help_of_all_commands_loads_no_model_library():
    loaded = LOADED.format(arguments=["--help"], heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=100)
    assert done.stderr.split() == ["0"]
