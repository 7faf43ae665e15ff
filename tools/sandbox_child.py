"""The sandbox's process: runs blocks of a model's code one after the other and keeps their variables.

Started by :mod:`rereader.tools.sandbox` as a plain file, without our package and without site-packages; speaks JSON
lines over its two pipes. First it is given the text and locks itself in, then it is given blocks. It enforces no limit
on calls of models: those are the host's.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import reprlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]
_ERROR_CHARACTERS = 500
_PREVIEW = 80
_MOST_VARIABLES = 40


def _sibling(name: str) -> Any:
    """A module that lies beside this file; our package cannot be imported here."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Host:
    """The two pipes."""

    def __init__(self) -> None:
        self._from, self._to = sys.stdin.buffer, sys.stdout.buffer

    def hear(self) -> Message | None:
        """The next message; ``None`` at the end."""
        line = self._from.readline()
        return json.loads(line) if line else None

    def say(self, message: Message) -> None:
        """Send a message."""
        self._to.write(json.dumps(message).encode() + b"\n")
        self._to.flush()


class Output:
    """What a block prints, up to a limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.text = ""
        self.left_out = 0

    def write(self, text: str) -> None:
        """Keep what still fits."""
        room = self.most - len(self.text)
        self.text += text[:room]
        self.left_out += max(0, len(text) - room)


class Blocks:
    """Runs blocks in one name space.

    Args:
        host: Who answers calls.
        rules: The module of rules.
        gate: Opened to compile a block.
        first: What the host said first.
    """

    def __init__(self, host: Host, rules: Any, gate: Any, first: Message) -> None:
        self._host, self._rules, self._gate = host, rules, gate
        self._output = Output(first["output"])
        self._final: str | None = None
        self._fixed: dict[str, Any] = {
            "__builtins__": rules.builtins(lambda text: self._output.write(text)),
            **rules.MODULES,
            "P": first["text"],
            "llm_query": self._one("llm"),
            "llm_query_batched": self._many("llm"),
            "SHOW_VARS": lambda: "\n".join(": ".join(map(str, row)) for row in self.variables()),
            "FINAL": self._finish,
            "FINAL_VAR": self._finish_with,
        }
        if first["depth"] > 1:
            self._fixed["rlm_query"] = lambda prompt, text: self._call("rlm", [str(prompt)], [str(text)])[0]
        self._names = dict(self._fixed)

    def run(self, source: str) -> Message:
        """Run a block; what it prints, its error if it has one, the answer if it gave one, and the variables."""
        self._output = Output(self._output.most)
        self._final = None
        for name in self._fixed["__builtins__"]:
            self._names.pop(name, None)  # a block that calls something print must not silence the next one
        self._names.update(self._fixed)
        error = ""
        try:
            self._run(source)
        except BaseException as problem:  # whatever it is, the model is told
            with self._gate.opened("object.__getattr__"):
                error = _told(problem)
        left_out = self._output.left_out
        return {
            "output": self._output.text,
            "left_out": left_out,
            "error": error,
            "final": self._final,
            "variables": self.variables(),
        }

    def _run(self, source: str) -> None:
        with self._gate.opened("compile", "exec"):
            tree = self._rules.check(source)
            shown = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
            if shown:
                tree.body[-1] = _kept(tree.body[-1])
            block = compile(tree, "<block>", "exec")
            self._names.pop("_", None)
            exec(block, self._names)
        last = self._names.get("_") if shown else None
        if last is not None:
            self._output.write((last if isinstance(last, str) else repr(last)) + "\n")

    def variables(self) -> list[list[str]]:
        """Name, type, length and beginning of each variable."""
        modules = self._rules.Names
        made = [(name, value) for name, value in self._names.items() if name not in self._fixed and name[0] != "_"]
        return [_row(name, value) for name, value in made if not isinstance(value, modules)][:_MOST_VARIABLES]

    def _one(self, kind: str) -> Callable[[Any], str]:
        return lambda prompt: self._call(kind, [str(prompt)])[0]

    def _many(self, kind: str) -> Callable[[Any], list[str]]:
        return lambda prompts: self._call(kind, [str(prompt) for prompt in prompts])

    def _call(self, kind: str, prompts: list[str], texts: list[str] | None = None) -> list[str]:
        self._host.say({"call": kind, "prompts": prompts, "texts": texts or []})
        heard = self._host.hear()
        if heard is None:
            os._exit(0)
        if "refused" in heard:
            raise RuntimeError(heard["refused"])
        return list(heard["replies"])

    def _finish(self, text: Any) -> None:
        self._final = str(text)

    def _finish_with(self, name: Any) -> None:
        made = {key: value for key, value in self._names.items() if key not in self._fixed}
        if isinstance(name, str) and name in made:
            self._finish(made[name])
        elif isinstance(name, str) and not any(value is name for value in made.values()):
            raise NameError(f"there is no variable {name[:50]}; make it first, then call FINAL_VAR('{name[:50]}')")
        else:
            self._finish(name)  # FINAL_VAR(answer) instead of FINAL_VAR("answer")


def _kept(last: ast.stmt) -> ast.stmt:
    """A block's last expression, kept under a name so that it can be shown as in a notebook."""
    assert isinstance(last, ast.Expr)
    kept = ast.Assign(targets=[ast.Name("_", ast.Store())], value=last.value)
    return ast.fix_missing_locations(ast.copy_location(kept, last))


def _told(problem: BaseException) -> str:
    line, trace = 0, problem.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<block>" else line
        trace = trace.tb_next
    try:
        text = str(problem)
    except BaseException:
        text = ""
    name = "not allowed" if type(problem).__name__ == "Refused" else type(problem).__name__
    where = f" (line {line})" if line else ""
    return f"{name}: {text}"[:_ERROR_CHARACTERS] + where


def _row(name: str, value: Any) -> list[str]:
    try:
        size = str(len(value))
    except BaseException:
        size = ""
    try:
        start = "" if callable(value) else reprlib.repr(value[:_PREVIEW] if isinstance(value, str) else value)
    except BaseException:
        start = ""
    return [name[:_PREVIEW], type(value).__name__, size, start[: 2 * _PREVIEW]]


def main() -> None:
    """Be locked in, then run blocks until the host closes the pipe."""
    host = Host()
    rules, locks = _sibling("sandbox_rules"), _sibling("sandbox_lock")
    first = host.hear()
    if first is None:
        return
    gate = locks.Gate()
    blocks = Blocks(host, rules, gate, first)
    layers = locks.lock(first["memory"], first["seconds"])
    gate.shut()
    host.say({"ready": [*layers, "audit"]})
    while (message := host.hear()) is not None:
        host.say(blocks.run(message["run"]))
    os._exit(0)


if __name__ == "__main__":
    main()
