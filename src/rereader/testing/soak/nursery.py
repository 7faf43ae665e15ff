"""A process that has imported everything and forks children that begin at once: the other end of ``Children``.

It reads one task (JSON) a line, and writes the child's process id, and then its exit code, a line each.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rereader.testing.soak.clock import unsettle
from rereader.testing.soak.countdown import Countdown

Main = Callable[[list[str]], int]
_HEAVY = (
    "faiss",
    "langchain_openai",
    "langgraph.checkpoint.sqlite",
    "rereader.runs.documents",
    "rereader.evals.opening",
)
_LOCAL = ("torch", "transformers.models.llama.modeling_llama", "rereader.models.local", "rereader.training.compressor")


def serve(main: Main) -> None:
    """Fork a child for each task until there are no more."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _work(main, json.loads(line))
        _tell(child)
        _tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def warm(local: bool) -> None:
    """Import what every command needs, and what local models need, so that a child's time is its work."""
    from rereader.graphs.registry import all_graphs
    from rereader.models.tokens import tiktoken_counter

    for name in (*_HEAVY, *(_LOCAL if local else ())):
        importlib.import_module(name)
    all_graphs()
    tiktoken_counter()([""])


def _work(main: Main, task: dict[str, Any]) -> None:
    """Do one task in the child, which ends here."""
    os.environ.update(task["environment"])
    os.chdir(task["folder"])
    for number, path in ((0, os.devnull), (1, task["out"]), (2, task["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    if task["clock"]:
        unsettle(task["clock"])
    countdown = Countdown(task["last"])
    countdown.begin()
    code = main(task["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    Path(task["count"]).write_text(str(countdown.count))
    os._exit(code)


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _module, _, _name = sys.argv[1].partition(":")
    warm(local="--local" in sys.argv)
    serve(getattr(importlib.import_module(_module), _name))
