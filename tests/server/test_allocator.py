"""How many pools of memory the C library makes for eight threads, by what stands in the process's map."""

import platform
import subprocess
import sys

import pytest

PROGRAM = r"""
import re, threading
from pathlib import Path
from rereader.server.allocator import share_pools

told = {call}
ready = threading.Barrier(9)

def work():
    held = [bytearray(2_000) for _ in range(2_000)]
    ready.wait()
    ready.wait()

for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
ready.wait()
mapped = Path("/proc/self/maps").read_text()
print(told, len(re.findall(r" rw-p 00000000 00:00 0 *\n\S+ ---p", mapped)))
ready.wait()
"""


def stretches(call):
    """What the call returns, and how many stretches are followed by a guarded one: stacks and pools of threads."""
    command = [sys.executable, "-c", PROGRAM.format(call=call)]
    told, number = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    return told, int(number)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_threads_share_pools(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    told, shared = stretches("share_pools()")
    assert told == "True" and shared < stretches("None")[1]
