"""The sandbox's walls one by one: what would be left if the one before were broken."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from rereader.tools import sandbox_lock, sandbox_rules
from rereader.tools.sandbox import Sandbox

pytestmark = pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no resource limits here")


@pytest.fixture
def sandbox():
    made = Sandbox("The mill was sold in 1871.")
    yield made
    made.close()


LOCKED = """
import importlib.util, os, resource, socket, sys
spec = importlib.util.spec_from_file_location("lock", sys.argv[1])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
print(*lock.lock(512 << 20, 5), flush=True)
own = os.getppid()
attempts = {
    "read": lambda: open("/etc/passwd"), "write": lambda: open("mine", "w"), "list": lambda: os.listdir("/"),
    "remove": lambda: os.unlink(sys.argv[1]), "socket": lambda: socket.socket(), "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]), "kill": lambda: os.kill(own, 0),
    "limits": lambda: resource.setrlimit(resource.RLIMIT_CPU, (100, 100)),
    "memory": lambda: bytearray(1 << 30), "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except BaseException as error:
        print(name, "refused", type(error).__name__, flush=True)
    else:
        print(name, "DONE", flush=True)
os._exit(0)
"""
BY_FILTER = {"read", "write", "list", "remove", "socket", "fork", "exec", "kill", "limits", "memory", "spawn"}


def test_the_kernel_refuses_what_the_language_let_through(tmp_path):
    command = [sys.executable, "-S", "-c", LOCKED, sandbox_lock.__file__]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    layers, *lines = done.stdout.splitlines()
    assert "limits" in layers
    refused = {line.split()[0] for line in lines if "refused" in line}
    assert len(lines) == len(BY_FILTER)
    if "seccomp" in layers:
        assert refused == BY_FILTER
    if "landlock" in layers:
        assert {"read", "write", "list", "remove"} <= refused
    assert "write" in refused  # by limits alone
    assert Path(sandbox_lock.__file__).exists() and list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="walls of Linux")
def test_the_running_process_tells_its_walls(sandbox):
    sandbox.run("1", lambda kind, prompts, texts: [])
    assert {"limits", "audit"} <= set(sandbox.layers)
    process = Path(f"/proc/{sandbox.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line)
    assert (status["Seccomp"].strip() == "2") == ("seccomp" in sandbox.layers)
    assert psutil.Process(sandbox.pid).num_fds() == 3
    if "network" in sandbox.layers:
        assert (process / "ns" / "net").readlink() != Path("/proc/self/ns/net").readlink()


def test_the_audit_hook_refuses_all_but_the_block(tmp_path):
    code = f"""
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("lock", {sandbox_lock.__file__!r})
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
gate = lock.Gate()
def tried(act):
    try:
        return act() or "done"
    except PermissionError as error:
        return str(error)
block = "result = [tried(lambda: open('x')), tried(lambda: compile('1', '', 'eval')), tried(lambda: exec('1'))]"
gate.shut()
names = {{"tried": tried}}
with gate.opened("compile", "exec"):
    exec(compile(block, "b", "exec"), names)
names["result"] += [tried(lambda: exec("1")), tried(os.getcwd), tried(lambda: __import__("wave"))]
print(*names["result"], sep=chr(10))
os._exit(sys.stdout.flush() or 0)
"""
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["open", "compile", "compile", "compile"]
    assert all("not allowed" in line for line in [*lines[:4], lines[5]])


def test_rules_name_the_line_and_how_to_mend_it():
    with pytest.raises(sandbox_rules.Refused, match="line 2: write an f-string"):
        sandbox_rules.check("x = 1\n'{}'.format(x)")
    with pytest.raises(sandbox_rules.Refused, match="there are re, json, collections"):
        sandbox_rules.check("import numpy")
    assert sandbox_rules.check("import re\nx = re.findall('a', 'b')") is not None


def test_modules_show_public_names_only_and_none_is_a_module():
    import types

    for name, shown in sandbox_rules.MODULES.items():
        held = vars(shown)
        assert held and not any(key.startswith("_") for key in held), name
        assert not any(isinstance(value, types.ModuleType) for value in held.values()), name
        with pytest.raises(AttributeError):
            shown.more = 1
