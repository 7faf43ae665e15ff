"""The sandbox: what code may do, and every way out of it that we know of."""

import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from rereader.schema import InputError, Interrupted, ModelError
from rereader.tools.sandbox import CallRefused, Sandbox, SandboxLimits, require_sandbox

TEXT = "The mill was sold in 1871. The barge was not. " * 20
pytestmark = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no resource limits here")


def upper(kind, prompts, texts):
    """Replies that are the prompts in capitals."""
    return [prompt.upper() for prompt in prompts]


@pytest.fixture
def sandbox():
    made = Sandbox(TEXT, SandboxLimits(block_seconds=5))
    yield made
    made.close()


@pytest.fixture
def quick():
    made = Sandbox(TEXT, SandboxLimits(block_seconds=0.5))
    yield made
    made.close()


# What code may do


def test_variables_stay_and_the_last_value_is_shown(sandbox):
    assert sandbox.run("x = len(P)\nprint(x)", upper).output == f"{len(TEXT)}\n"
    ran = sandbox.run("x + 1", upper)
    assert (ran.output, ran.error, ran.final, ran.lost) == (f"{len(TEXT) + 1}\n", "", None, False)
    assert ran.variables == (("x", "int", "", str(len(TEXT))),)


def test_the_modules_can_be_used_with_and_without_an_import(sandbox):
    code = """
from collections import Counter
import math, json as j
def longest(words):
    return max(words, key=len)
words = re.findall(r"\\w+", P)
print(Counter(words).most_common(1), math.floor(1.5), j.dumps([1]), statistics.mean([1, 2]), longest(words))
print(list(itertools.islice((w for w in words if w[0] == "b"), 2)), f"{1/3:.2f}")
try:
    1 / 0
except ZeroDivisionError as error:
    print(error)
"""
    ran = sandbox.run(code, upper)
    assert ran.error == ""
    assert ran.output.splitlines()[1:] == ["['barge', 'barge'] 0.33", "division by zero"]


def test_calls_travel_to_the_host_and_come_back_in_order(sandbox):
    seen = []

    def answer(kind, prompts, texts):
        seen.append((kind, list(prompts), list(texts)))
        return upper(kind, prompts, texts)

    ran = sandbox.run("r = llm_query('a') \nprint(r, llm_query_batched(['b', 'c', P[:3]]))", answer)
    assert ran.output == "A ['B', 'C', 'THE']\n"
    assert seen == [("llm", ["a"], []), ("llm", ["b", "c", "The"], [])]


def test_a_refused_call_is_an_error_that_code_may_catch(sandbox):
    def refuse(kind, prompts, texts):
        raise CallRefused("no calls are left")

    assert sandbox.run("llm_query('a')", refuse).error == "RuntimeError: no calls are left (line 1)"
    caught = sandbox.run("try:\n    llm_query('a')\nexcept RuntimeError as error:\n    print('so:', error)", refuse)
    assert (caught.output, caught.error) == ("so: no calls are left\n", "")


def test_what_the_host_raises_ends_the_process_and_is_raised(sandbox):
    def fail(kind, prompts, texts):
        raise ModelError("the model failed")

    with pytest.raises(ModelError, match="the model failed"):
        sandbox.run("llm_query('a')", fail)
    assert sandbox.pid is None


def test_rlm_query_is_there_only_with_depth():
    for depth, error in ((1, "NameError"), (2, "")):
        sandbox = Sandbox(TEXT, SandboxLimits(depth=depth))
        ran = sandbox.run("rlm_query('who?', P[:5])", lambda kind, prompts, texts: [f"{kind} {prompts} {texts}"])
        assert ran.error.startswith(error)
        assert ran.output == ("" if error else "rlm ['who?'] ['The m']\n")
        sandbox.close()


def test_answers_are_given_by_text_or_by_variable(sandbox):
    assert sandbox.run("""FINAL('He said "yes", (really).')""", upper).final == 'He said "yes", (really).'
    assert sandbox.run("found = 'x' * 50_000\nFINAL_VAR('found')", upper).final == "x" * 50_000
    assert sandbox.run("FINAL_VAR(found)", upper).final == "x" * 50_000
    assert sandbox.run("FINAL_VAR([1, 2])", upper).final == "[1, 2]"
    ran = sandbox.run("FINAL_VAR('nothing_there')", upper)
    assert ran.final is None and "there is no variable nothing_there" in ran.error
    assert sandbox.run("SHOW_VARS()", upper).output.startswith("found: str: 50000: 'xxx")


def test_the_text_and_the_functions_are_put_back_before_each_block(sandbox):
    sandbox.run("P = 'mine'\nllm_query = None\nprint = 3", upper)
    assert sandbox.run("print(len(P), llm_query('a'))", upper).output == f"{len(TEXT)} A\n"


def test_what_is_printed_beyond_the_limit_is_counted_and_dropped(sandbox):
    ran = sandbox.run("print('start')\nprint('x' * 10_000_000)\nprint('end')", upper)
    assert (len(ran.output), ran.left_out) == (20_000, 6 + 10_000_001 + 4 - 20_000)
    assert ran.output.startswith("start\nxxx")


def test_code_that_is_no_python_is_an_error(sandbox):
    assert "SyntaxError" in sandbox.run("for in in", upper).error
    assert sandbox.run("1/0\n2", upper).error == "ZeroDivisionError: division by zero (line 1)"
    assert sandbox.run("", upper).error == ""


def test_hashes_are_the_same_in_every_process():
    shown = []
    for _ in range(2):
        sandbox = Sandbox(TEXT)
        shown.append(sandbox.run("hash('a'), list({'one', 'two', 'three', 'four'})", upper).output)
        sandbox.close()
    assert shown[0] == shown[1]


# Ways out

WAYS_OUT = [
    "open('/etc/passwd').read()",
    "open('mine.txt', 'w').write('x')",
    "__import__('os').system('id')",
    "import os",
    "import sys",
    "import subprocess, socket",
    "import collections.abc",
    "from os import path",
    "from . import re",
    "from collections import abc",
    "from re import *",
    "().__class__.__bases__[0].__subclasses__()",
    "(1).__class__",
    "getattr(P, '__cl' + 'ass__')",
    "'{0.__class__}'.format(P)",
    "str.format('{0.__class__.__mro__}', P)",
    "'{x.__class__}'.format_map({'x': P})",
    "list(map(str.format, ['{0.__class__}'], [1]))",
    "f'{P.__class__}'",
    "re.sys.exit()",
    "json.codecs.open('/etc/passwd')",
    "collections.abc.sys",
    "statistics.sys.modules",
    "re.sub.__globals__",
    "llm_query.__self__",
    "llm_query.__globals__['os']",
    "(lambda: 0).__code__",
    "(i for i in [1]).gi_frame.f_back.f_globals",
    "def f():\n    yield\nf().gi_code",
    "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
    "try:\n    1/0\nexcept Exception as e:\n    e.with_traceback(None).tb_frame",
    "class A: pass",
    "type(type(1))('A', (), {})",
    "type('A', (), {})",
    "int.mro()",
    "eval('1')",
    "exec('x=1')",
    "compile('1', '', 'eval')",
    "globals()",
    "vars()",
    "dir()",
    "breakpoint()",
    "input()",
    "help()",
    "memoryview(b'')",
    "object.__subclasses__()",
    "super().__init__",
    "__builtins__",
    "__loader__",
    "import re as __builtins__",
    "def __build_class__(): pass",
    "lambda __x: 1",
    "global __builtins__",
    "match P:\n    case str(__class__=x):\n        x",
    "with P: pass",
    "async def f(): pass",
    "re.compile = 1",
    "P.x = 1",
    "setattr(re, 'x', 1)",
    "print('x', file=3)",
    "raise SystemExit",
    "raise KeyboardInterrupt",
    "exit()",
]


@pytest.fixture(scope="module")
def cell():
    made = Sandbox(TEXT, SandboxLimits(block_seconds=60))
    made.run("kept = 1", upper)
    yield made
    made.close()


@pytest.mark.parametrize("code", WAYS_OUT)
def test_a_way_out_is_an_error_and_nothing_else(cell, code):
    pid = cell.pid
    ran = cell.run(code, upper)
    assert ran.error and not ran.lost and ran.output == ""
    assert "\n" not in ran.error and "root:" not in ran.error
    assert cell.run("kept", upper).output == "1\n" and cell.pid == pid


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def f(n):\n    return f(n + 1)\nf(0)", "RecursionError"),
        ("x = []\nfor i in range(100_000):\n    x = [x]\nprint(x)", "RecursionError"),
        ("x = 'a' * 10 ** 12", "MemoryError"),
        ("x = [0] * 10 ** 10", "MemoryError"),
        ("x = []\nwhile True:\n    x.append('a' * 10 ** 8)", "MemoryError"),
        ("print(10 ** 5000)", "ValueError"),
        ("(" * 100_000 + ")" * 100_000, "SyntaxError"),
        ("-" * 100_000 + "1", "Error"),
    ],
)
def test_bombs_are_errors(cell, code, error):
    ran = cell.run(code, upper)
    assert error in ran.error and not ran.lost
    cell.run("x = None", upper)
    assert cell.run("kept", upper).output == "1\n"


@pytest.mark.parametrize(
    "code", ["while True:\n    pass", "10 ** 10 ** 9", "re.match('(a+)+$', 'a' * 60 + 'b')", "max(itertools.count())"]
)
def test_what_never_ends_is_ended_and_the_next_block_begins_anew(quick, code):
    quick.run("x = 1", upper)
    pid, started = quick.pid, time.monotonic()
    ran = quick.run(code, upper)
    assert time.monotonic() - started < 5
    assert ran.lost and "longer than 0.5 seconds" in ran.error
    assert not psutil.pid_exists(pid)
    assert "NameError" in quick.run("x", upper).error


def test_a_slow_host_costs_the_block_no_time(quick):
    def slow(kind, prompts, texts):
        time.sleep(0.8)
        return ["done"]

    assert quick.run("print(llm_query('a'))", slow).output == "done\n"


def test_too_large_a_message_ends_the_process(sandbox):
    small = Sandbox(TEXT, SandboxLimits(message_bytes=100_000))
    ran = small.run("llm_query('x' * 1_000_000)", upper)
    assert ran.lost and "too large" in ran.error
    small.close()


def test_a_stop_ends_the_process():
    stop = threading.Event()
    sandbox = Sandbox(TEXT, stopped=stop.is_set)
    sandbox.run("x = 1", upper)
    pid = sandbox.pid
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Interrupted):
        sandbox.run("while True:\n    pass", upper)
    assert not psutil.pid_exists(pid)


def test_a_process_that_was_killed_between_two_blocks_is_said(sandbox):
    sandbox.run("x = 1", upper)
    os.kill(sandbox.pid, 9)
    psutil.Process(sandbox.pid).wait(5)
    ran = sandbox.run("x", upper)
    assert ran.lost and "between two blocks" in ran.error
    assert "NameError" in sandbox.run("x", upper).error


def test_nothing_is_left_when_it_is_closed_or_forgotten():
    closed, forgotten = Sandbox(TEXT), Sandbox(TEXT)
    for sandbox in (closed, forgotten):
        sandbox.run("1", upper)
    pids = [closed.pid, forgotten.pid]
    folders = [psutil.Process(pid).cwd() for pid in pids]
    assert all(psutil.Process(pid).environ() == {"PYTHONHASHSEED": "0"} for pid in pids)
    closed.close()
    closed.close()
    del sandbox, forgotten
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not any(Path(folder).exists() for folder in folders)


def test_a_platform_without_limits_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InputError, match="cannot be locked in on win32") as error:
        require_sandbox()
    assert "mode=actions" in error.value.hint
    with pytest.raises(InputError, match="win32"):
        Sandbox(TEXT).run("1", upper)
