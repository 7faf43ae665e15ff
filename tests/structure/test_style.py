"""House rules that a linter does not know."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ("src/", "agents/", "graphs/", "tools/", "prompts/", "memory/")
MOST_LINES = 400
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Written in pieces, so that this file does not break its own rules.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("huggingface", "co"),
        ("hf", "co"),
        ("download", "pytorch", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
    )
]
MACHINE_PATH = re.compile(r"(?<![\w.~)}*-])/(?:work|root|home|Users|opt|mnt|media)/[\w.-]")
UNFINISHED = re.compile(rf"\b(?:{'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' * 3))})\b")


def tracked() -> list[Path]:
    """Files of the checkout that git tracks or would track, as paths relative to the root."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({Path(name) for name in names if name and (ROOT / name).is_file()})


def text_of(path: Path) -> str:
    """The text of a tracked file; empty for a binary one."""
    raw = (ROOT / path).read_bytes()
    return "" if b"\0" in raw else raw.decode("utf-8")


def is_library(path: Path) -> bool:
    """Whether the file is a module of the distribution."""
    return path.suffix == ".py" and path.as_posix().startswith(LIBRARY)


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public classes, functions and methods with their qualified names; those inside functions are private."""
    waiting: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    while waiting:
        prefix, scope = waiting.pop()
        for node in scope.body:
            if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
                continue
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                waiting.append((f"{prefix}{node.name}.", node))


def inherits_its_text(node: Function) -> bool:
    """Whether an overload or an override takes its documentation from elsewhere."""
    names = {getattr(decorator, "attr", getattr(decorator, "id", "")) for decorator in node.decorator_list}
    return bool(names & {"overload", "override"})


def annotated(function: Function) -> bool:
    """Whether every parameter but self and cls, and the result, has an annotation."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
    missing = [one.arg for one in named if one.annotation is None and one.arg not in {"self", "cls"}]
    return not missing and function.returns is not None


FILES = tracked()
MODULES = [path for path in FILES if is_library(path)]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_public_things_are_documented_and_annotated(path: Path) -> None:
    tree = ast.parse(text_of(path))
    faults = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    for name, node in public_definitions(tree):
        function = isinstance(node, Function)
        if not ast.get_docstring(node) and not (function and inherits_its_text(node)):
            faults.append(f"{name} (line {node.lineno}) has no docstring")
        if function and not annotated(node):
            faults.append(f"{name} (line {node.lineno}) is not annotated")
    assert faults == []


def test_no_module_is_long() -> None:
    sizes = {path: text_of(path).count("\n") for path in FILES if path.suffix == ".py"}
    assert {str(path): lines for path, lines in sizes.items() if lines > MOST_LINES} == {}


def test_no_module_is_a_drawer() -> None:
    assert [str(path) for path in FILES if path.stem in {"utils", "util", "helpers", "misc", "common"}] == []


def test_library_code_does_not_print() -> None:
    calls = [
        f"{path}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []


def lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """Where the pattern occurs, as file:line: text."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path in files
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_unfinished() -> None:
    assert lines_with(UNFINISHED, FILES) == []


def test_no_registry_host_is_named() -> None:
    hosts = re.compile("|".join(rf"(?<![\w-]){re.escape(host)}\b" for host in HOSTS))
    ours = [path for path in FILES if "licences" not in path.parts]  # other people's licence texts stay as they are
    assert lines_with(hosts, ours) == []


def test_no_path_of_a_machine_is_named() -> None:
    assert lines_with(MACHINE_PATH, FILES) == []


def test_only_rereader_prompts_and_pages_are_tracked_whole() -> None:
    large = [str(path) for path in FILES if (ROOT / path).stat().st_size > 2_000_000]
    assert large == []


def test_the_rules_find_what_they_forbid() -> None:
    tree = ast.parse("class A:\n    def b(self, c): ...\n    def _d(self): ...\ndef e(*f: int) -> None: ...\n")
    found = dict(public_definitions(tree))
    assert set(found) == {"A", "A.b", "e"}
    assert [annotated(node) for node in found.values() if isinstance(node, Function)].count(False) == 1
    assert MACHINE_PATH.search("open('/" + "home/me/x')")
    assert not MACHINE_PATH.search("see docs/" + "work/x and https://a.b/" + "home/")
    assert UNFINISHED.search("# TO" + "DO: later")
