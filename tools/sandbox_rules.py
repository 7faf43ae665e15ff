"""What code in the sandbox may say: an allow-list of syntax, plain built-ins, and the public names of a few modules.

Runs inside the sandbox's process (see :mod:`rereader.tools.sandbox_child`) and imports nothing of ours. It is the first
of several walls and not the one to rely on alone: it turns most attempts into a clear message to the model.
"""

from __future__ import annotations

import ast
import collections
import heapq
import itertools
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

_STATEMENTS = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.Pass, ast.Break, ast.Continue)
_BLOCKS = (ast.If, ast.For, ast.While, ast.Try, ast.ExceptHandler, ast.FunctionDef, ast.Return, ast.Raise, ast.Assert)
_NAMES = (ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.alias, ast.arguments, ast.arg, ast.keyword)
_VALUES = (ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice, ast.Starred, ast.NamedExpr, ast.Lambda)
_MADE = (ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_OPERATIONS = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.IfExp, ast.JoinedStr, ast.FormattedValue)
_SMALL = (ast.comprehension, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
_YIELDS = (ast.Yield, ast.YieldFrom)
_ALLOWED = (ast.Module, *_STATEMENTS, *_BLOCKS, *_NAMES, *_VALUES, *_MADE, *_OPERATIONS, *_SMALL, *_YIELDS)

_INSIDES = ("f_", "tb_", "gi_", "cr_", "ag_", "co_", "func_")
"""Beginnings of attributes that lead from values to frames and code."""
_FORMATS = {"format", "format_map"}
_REFUSED = {"mro", *_FORMATS}

_PLAIN = (str, int, float, bool, list, dict, tuple, set, frozenset, bytes, complex, range)
_BUILTINS = """
    abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash hex
    int isinstance issubclass iter len list map max min next oct ord pow range repr reversed round set slice sorted str
    sum tuple zip True False None
    ArithmeticError AssertionError AttributeError Exception IndexError KeyError LookupError NameError OverflowError
    RecursionError RuntimeError StopIteration TypeError UnicodeError ValueError ZeroDivisionError
"""
_PUBLIC: Mapping[ModuleType, str] = {
    re: "compile search match fullmatch split findall finditer sub subn escape error "
    "A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE U UNICODE",
    json: "loads dumps JSONDecodeError",
    collections: "Counter OrderedDict defaultdict deque ChainMap",
    math: " ".join(name for name in dir(math) if not name.startswith("_")),
    itertools: " ".join(name for name in dir(itertools) if not name.startswith("_")),
    statistics: " ".join(statistics.__all__),
}


LATE = (heapq,)
"""Modules that those import when a function is first called; nothing can be imported then."""


class Refused(Exception):
    """Code that may not run; the message is for the model."""


class Names:
    """The public names of a module, and nothing that leads out of it."""

    def __init__(self, module: ModuleType, names: str) -> None:
        for name in names.split():
            object.__setattr__(self, name, getattr(module, name))

    def __setattr__(self, name: str, value: object) -> None:
        msg = "modules cannot be changed"
        raise AttributeError(msg)


MODULES = {module.__name__: Names(module, names) for module, names in _PUBLIC.items()}


def check(source: str) -> ast.Module:
    """Parse a block of code.

    Raises:
        Refused: If it says what is not allowed.
        SyntaxError: If it is not Python.
    """
    tree = ast.parse(source, "<block>")
    for node in ast.walk(tree):
        _check(node)
    return tree


def _check(node: ast.AST) -> None:
    line = getattr(node, "lineno", 0)
    if not isinstance(node, _ALLOWED):
        raise Refused(f"line {line}: {type(node).__name__} is not allowed here")
    for name in _identifiers(node):
        if name.startswith("__"):
            raise Refused(f"line {line}: the name {name} is not allowed")
    if isinstance(node, ast.Attribute):
        _check_attribute(node)
    if isinstance(node, ast.Import):
        for alias in node.names:
            _check_module(alias.name, line)
    if isinstance(node, ast.ImportFrom):
        _check_module(node.module if node.level == 0 else None, line)
        if any(alias.name == "*" for alias in node.names):
            raise Refused(f"line {line}: import the names one by one")


def _identifiers(node: ast.AST) -> list[str]:
    found: list[str] = []
    for field, value in ast.iter_fields(node):
        if field in ("value", "kind", "type_comment") or isinstance(node, ast.Constant):
            continue
        values = value if isinstance(value, list) else [value]
        found += [one for one in values if isinstance(one, str)]
    return found


def _check_attribute(node: ast.Attribute) -> None:
    if node.attr in _FORMATS:
        raise Refused(f"line {node.lineno}: write an f-string instead of .{node.attr}")
    if node.attr.startswith(("_", *_INSIDES)) or node.attr in _REFUSED:
        raise Refused(f"line {node.lineno}: the attribute .{node.attr} is not allowed")
    if not isinstance(node.ctx, ast.Load):
        raise Refused(f"line {node.lineno}: attributes cannot be set")


def _check_module(name: str | None, line: int) -> None:
    if name not in MODULES:
        known = ", ".join(MODULES)
        raise Refused(f"line {line}: {name or 'this'} cannot be imported; there are {known}")


def builtins(write: Callable[[str], None]) -> dict[str, Any]:
    """The built-in names that code has; ``write`` takes what it prints."""
    import builtins as real

    def show(*values: object, sep: str | None = " ", end: str | None = "\n", flush: bool = False) -> None:
        write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))

    def module(name: str, _globals: object = None, _locals: object = None, _from: object = (), _level: int = 0) -> Any:
        if name not in MODULES:
            raise ImportError(f"{name} cannot be imported")
        return MODULES[name]

    found = {name: getattr(real, name) for name in _BUILTINS.split()}
    return {**found, "print": show, "type": kind_of, "__import__": module}


def kind_of(value: object) -> Any:
    """What ``type`` gives: a plain type, else only its name; a metaclass would make classes."""
    found = type(value)
    return found if found in _PLAIN else found.__name__
